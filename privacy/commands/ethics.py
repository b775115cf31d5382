"""The verb that fills in a checklist of ethics."""

from pathlib import Path
from typing import Annotated

import typer

from synth.base.command import Json, show


def checklist(
    out: Annotated[
        Path, typer.Option(help="folder of a report of 'privacy audit', or another; answers are kept there")
    ] = Path("audit"),
    synthetic: Annotated[
        Path | None, typer.Option(help="the released records, whose card gets a section")
    ] = None,
    generator: Annotated[Path | None, typer.Option(help="the generator that drew them")] = None,
    quality: Annotated[
        Path | None, typer.Option(help="report.json of 'synth evaluate' on them, or its folder")
    ] = None,
    evaluation: Annotated[
        Path | None, typer.Option(help="report.json of 'clip eval' of the encoder, or its folder")
    ] = None,
    json: Json = False,
) -> None:
    """Fill in a checklist of ethics (after TREGAI) with what files answer, and ask a person for the rest.

    Writes checklist.html, checklist.zh.html and checklist.json into OUT, and a section into the card of --synthetic.
    What no file answers stands in OUT/checklist.yaml: fill it in, with sources, and repeat.  Exit status: 0 done,
    whatever is open; 2 something you can fix.

    \b
    Examples:
      privacy checklist --out audit --synthetic synthetic --generator runs/odir
      privacy checklist --out audit --synthetic synthetic --quality judged --evaluation evaluation --json
    """
    from privacy.checklist import checklist as lists
    from privacy.checklist import page
    from privacy.targets import release_documents
    from synth.base.lock import sole_writer
    from synth.base.runs import nothing_if_refused

    with nothing_if_refused(out), sole_writer(out):
        made = lists.gather(out, generator, synthetic, quality, evaluation)
        page.write(out, made)
        if synthetic:
            release_documents.write_section(synthetic, page.section(made))
    show(made.model_dump(), json, page.lines(made, out))
