"""The verb that tells what is known of published benchmarks."""

from typing import Annotated, Any

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
        show({key: each.model_dump(mode="json") for key, each in found.items()}, json, "\n".join(lines))
        return
    told = about(name)
    show(told, json, "\n".join(_lines(told)))


def _lines(told: dict[str, Any]) -> list[str]:
    from clip.evaluation.summary import leak

    classes = told["classes"] or {}
    rows = [
        ("what", told["title"]),
        ("cite", told["citation"]),
        ("licence", told["licence"] or "not stated"),
        ("get it", told["get"] or "not public"),
        ("protocol", told["protocol"]),
        ("pictures", f"{told['n'] or 'unknown'} ({told['counted']})"),
        (
            "classes",
            ", ".join(f"{key} {each['n'] or '?'}" for key, each in classes.items()) or "not published",
        ),
        ("prompts", ", ".join(told["prompts"]) or "--prompts FILE.yaml"),
    ]
    lines = [f"{key:10}{value}" for key, value in rows]
    for row, found in told["without_pictures"].items():
        lines.append(f"{row:10}" + "  ".join(f"{key} {value:.3f}" for key, value in found.items()))
    return lines + [
        f"{'learnt by' if not i else '':10}{who}: {leak(each)}"
        for i, (who, each) in enumerate(told["leaks"].items())
    ]
