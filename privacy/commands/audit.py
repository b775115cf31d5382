"""The verb that attacks a release."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from synth.base.command import Json, Set, config_option, say, show, then
from synth.base.lock import sole_writer


def audit(
    out: Annotated[
        Path, typer.Option(help="folder for report.html and report.json; repeat to continue")
    ] = Path("audit"),
    model: Annotated[
        Path | None, typer.Option(help="a ckpt.pt of 'clip train', or embeddings (.npy, .parquet)")
    ] = None,
    generator: Annotated[Path | None, typer.Option(help="a generator of 'synth train'")] = None,
    synthetic: Annotated[Path | None, typer.Option(help="the released records of 'synth generate'")] = None,
    members: Annotated[Path | None, typer.Option(help="records of patients that were trained on")] = None,
    members_split: Annotated[
        str, typer.Option(help="of --members: train, validation, test or all")
    ] = "train",
    nonmembers: Annotated[
        Path | None, typer.Option(help="records of other patients of the same source")
    ] = None,
    nonmembers_split: Annotated[str, typer.Option(help="of --nonmembers")] = "test",
    independent: Annotated[
        list[Path],
        typer.Option(help="a generator that was trained on other patients, to compare with; may repeat"),
    ] = [],
    attackers: Annotated[
        Path | None,
        typer.Option(
            help="records of patients whose age, sex or race the attacker knows; without, phantoms are drawn"
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="of --attackers: train, validation, test or all")] = "all",
    given: Annotated[
        str,
        typer.Option(
            metavar="ACCESS",
            help="what the attacker has who is assumed: data, data+captions, embeddings, api or weights",
        ),
    ] = "weights",
    seal: Annotated[
        Path | None,
        typer.Option(
            help="folder for scores of members and non-members under salted ids, which 'privacy verdict' reads"
        ),
    ] = None,
    attributes: Annotated[str, typer.Option(help="what to infer, separated by commas")] = "age,sex,race",
    seed: Annotated[int | None, typer.Option(help="of folds, permutations and resamples; 0")] = None,
    config: Annotated[Path | None, config_option("privacy")] = None,
    engine: Annotated[
        str, typer.Option(help="who embeds: local, or ray (the cluster of RAY_ADDRESS)")
    ] = "local",
    workers: Annotated[
        int, typer.Option(min=0, help="processes that embed; 0 is two per GPU, else one per core")
    ] = 0,
    set: Set = [],
    json: Json = False,
) -> None:
    """Attack a release and say what it reveals: about anyone, about the patients behind it, and whether it copies them.

    Exit status: 0 done, whatever was revealed of anyone; 2 something you can fix; 3 a leak about training patients
    was found; else 5 an answer is INVALID; else 4 nothing could be tested.

    \b
    Examples:
      privacy audit --model runs/clip/ckpt.pt
      privacy audit --model runs/clip/ckpt.pt --attackers records/odir --split test --out report
      privacy audit --model ckpt.pt --attackers records --attributes age,sex --out report --json
      privacy audit --generator runs/odir --synthetic synthetic --members records/odir --nonmembers records/odir --out report
      privacy audit --model ckpt.pt --attackers records --out report --config quick
      privacy audit --synthetic synthetic --nonmembers held-out --given data+captions --out report
      privacy audit --generator runs/odir --members records/odir --nonmembers records/odir --out report --seal sealed
    """
    from privacy import auditing, report
    from privacy.config import audit_config
    from privacy.data import access
    from synth.base.config import load
    from synth.data.records import parse_splits

    attacker = access.parse(given)
    with sole_writer(out):
        made = auditing.audit(
            out,
            model=model,
            generator=generator,
            synthetic=synthetic,
            members=members,
            members_split=parse_splits(members_split),
            nonmembers=nonmembers,
            nonmembers_split=parse_splits(nonmembers_split),
            independent=independent,
            attackers=attackers,
            split=parse_splits(split),
            attributes=[name.strip() for name in attributes.split(",") if name.strip()],
            given=attacker,
            seal=seal,
            config=load(audit_config(), config, [*set, *([f"seed={seed}"] if seed is not None else [])]),
            command=shlex.join(["privacy", *sys.argv[1:]]),
            tell=say,
            engine=engine,
            workers=workers,
        )
    show(made.as_json(), json, f"{report.summary(made)}\nreport: {out / 'report.html'}")
    then("privacy", "suggest", "--report", out, open=out / "report.html")
    raise typer.Exit(made.exit_status)


def verdict(
    scores: Annotated[list[Path], typer.Argument(help="members.parquet and nonmembers.parquet of --seal")],
    out: Annotated[Path, typer.Option(help="folder for report.html and report.json")] = Path("audit"),
    commitment: Annotated[
        str | None, typer.Option(help="what 'privacy audit --seal' printed; else changes to all files pass")
    ] = None,
    json: Json = False,
) -> None:
    """Judge the scores of a sealed audit, without photographs, models or lists of patients.

    What was checked on photographs, and questions that no scores are there of, are as the controller says; the
    report counts them.  Exit status as that of 'privacy audit'.

    \b
    Examples:
      privacy verdict sealed/members.parquet sealed/nonmembers.parquet --out verdict
      privacy verdict sealed/*.parquet --commitment 5f1c… --out verdict --json
    """
    from privacy import report
    from privacy.sealed import verdicts

    with sole_writer(out):
        made = verdicts.verdicts(scores, out, commitment, shlex.join(["privacy", *sys.argv[1:]]))
    show(made.as_json(), json, f"{report.summary(made)}\nreport: {out / 'report.html'}")
    raise typer.Exit(made.exit_status)
