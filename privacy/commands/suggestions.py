"""The verb that says what to change, from the report of an audit or from the snapshots of a training."""

from pathlib import Path
from typing import Annotated

import typer

from synth.base.command import Json, Set, config_option, show
from synth.base.errors import UserError


def suggest(
    report: Annotated[Path | None, typer.Option(help="report.json of 'privacy audit', or its folder")] = None,
    run: Annotated[
        Path | None, typer.Option(help="a folder of 'synth train' with snapshots, to find where to stop")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="with --run: folder for tradeoff.json and .svg; repeat to continue")
    ] = None,
    members: Annotated[
        Path | None, typer.Option(help="with --run: records of patients that were trained on")
    ] = None,
    members_split: Annotated[
        str, typer.Option(help="of --members: train, validation, test or all")
    ] = "train",
    nonmembers: Annotated[
        Path | None, typer.Option(help="with --run: records of other patients of the same source")
    ] = None,
    nonmembers_split: Annotated[str, typer.Option(help="of --nonmembers")] = "test",
    key: Annotated[
        Path | None,
        typer.Option(help="with --run: of 'privacy canary plant'; canary bits instead of membership"),
    ] = None,
    evaluated: Annotated[
        list[str],
        typer.Option(
            metavar="IMAGES=REPORT", help="of 'synth evaluate' on pictures of that snapshot; may repeat"
        ),
    ] = [],
    config: Annotated[Path | None, config_option("privacy")] = None,
    set: Set = [],
    json: Json = False,
) -> None:
    """Say what to change in a release whose audit found something, or where its training should have stopped.

    It repeats the answers of an audit and gives none: exit status 0 done, whatever these are; 2 something you can fix.

    \b
    Examples:
      privacy suggest --report audit
      privacy suggest --report audit/report.json --json
      privacy suggest --run runs/odir --members records/odir --nonmembers records/odir --out tradeoff
      privacy suggest --run runs/marked --key odir.key --members marked --evaluated 1024000=judged/early --out tradeoff
    """
    from privacy.advice import suggest as suggestions

    if (report is None) == (run is None):
        raise UserError(
            "give either --report, for what an audit found, or --run, for snapshots of a training"
        )
    if report:
        found = suggestions.suggest(report)
        show(found.model_dump(), json, suggestions.lines(found))
        return
    from privacy.advice import tradeoff
    from privacy.canaries.planting import read_key
    from privacy.config import AuditConfig
    from privacy.data.inputs import Inputs, People
    from synth.base.config import load
    from synth.data.records import parse_splits

    if run is None or out is None:
        raise UserError("--run needs --out FOLDER, for tradeoff.json and tradeoff.svg")
    kept = out / ".cache"
    splits = "all" if key else members_split  # withheld canary bits are of the patients of every split
    inputs = Inputs(
        kept,
        members=People(members, parse_splits(splits), kept) if members else None,
        nonmembers=People(nonmembers, parse_splits(nonmembers_split), kept) if nonmembers else None,
    )
    opened = read_key(key) if key else None
    made = tradeoff.trace(run, out, inputs, opened, _reports(evaluated), load(AuditConfig, config, set))
    show(made, json, f"{tradeoff.lines(made)}\n{out / tradeoff.PICTURE}")


def _reports(evaluated: list[str]) -> dict[int, Path]:
    found = {}
    for each in evaluated:
        images, equals, path = each.partition("=")
        if not (equals and path and images.isdecimal()):
            raise UserError(f"--evaluated '{each}': takes IMAGES=REPORT, such as 1024000=judged/report.json")
        found[int(images)] = Path(path)
    return found
