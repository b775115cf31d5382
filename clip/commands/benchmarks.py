"""The verb that tells what is known of published benchmarks."""

from typing import Annotated

import typer

from synth.base.command import Json, show


def benchmarks(
    name: Annotated[str | None, typer.Argument(help="one of them; default: all")] = None,
    json: Json = False,
) -> None:
    """Tell what a benchmark holds, where it is to be had, what a guess scores on it, and who has learnt from it.

    \b
    Examples:
      clip benchmarks
      clip benchmarks refuge
      clip benchmarks messidor2 --json
    """
    from clip.benchmarks import every
    from clip.evaluation.summary import about

    if name is None:
        found = every()
        lines = [f"{key:18}{each.n or '-':>6}  {each.title}" for key, each in found.items()]
        listed = {key: each.model_dump(mode="json", by_alias=True) for key, each in found.items()}
        show(listed, json, "\n".join(lines))
        return
    overview = about(name)
    show(overview.model_dump(mode="json", by_alias=True), json, overview.text())
