"""The command `privacy`."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from privacy.commands import canary, suggestions, validation
from synth.base.command import Json, Set, command, config_option, say, show
from synth.base.errors import UserError

app = command(
    "privacy",
    "Show what a release reveals about the patients behind it.",
    "privacy audit --model runs/clip/ckpt.pt --attackers records/odir",
)
app.add_typer(canary.app, name="canary")
app.command()(validation.power)
app.command()(validation.selftest)
app.command()(suggestions.suggest)


@app.command()
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
        Path | None, typer.Option(help="a generator that was trained on other patients, to compare with")
    ] = None,
    attackers: Annotated[
        Path | None,
        typer.Option(
            help="records of patients whose age, sex or race the attacker knows; without, phantoms are drawn"
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="of --attackers: train, validation, test or all")] = "all",
    attributes: Annotated[str, typer.Option(help="what to infer, separated by commas")] = "age,sex,race",
    seed: Annotated[int | None, typer.Option(help="of folds, permutations and resamples; 0")] = None,
    config: Annotated[Path | None, config_option("privacy")] = None,
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
    """
    from privacy import report, scope
    from privacy.audit import audit as run
    from privacy.config import AuditConfig
    from privacy.data import phantoms
    from privacy.data.attributes import check_names
    from privacy.data.inputs import Inputs, People
    from privacy.targets import open_target
    from privacy.targets.generator import Generator
    from synth.base.config import load
    from synth.data.records import parse_splits

    if model is None and generator is None and synthetic is None:
        raise UserError("nothing to audit; give --model ckpt.pt, --generator FOLDER or --synthetic FOLDER")
    assignments = [*set, *([f"seed={seed}"] if seed is not None else [])]
    settings = load(AuditConfig, config, assignments)
    names = check_names([name.strip() for name in attributes.split(",") if name.strip()])
    kept = out / ".cache"

    def people(folder: Path | None, splits: str) -> People | None:
        return People(folder, parse_splits(splits), kept) if folder else None

    encoder = open_target(model) if model else None
    inputs = Inputs(
        kept,
        encoder=encoder,
        generator=Generator(generator) if generator else None,
        synthetic=people(synthetic, "all"),
        members=people(members, members_split),
        nonmembers=people(nonmembers, nonmembers_split),
        attackers=people(attackers, split),
        independent=Generator(independent) if independent else None,
    )
    with scope.claimed(inputs, names, settings, say) as made:
        if made is None:
            if encoder is not None and encoder.has_untrained and inputs.attackers is None:
                inputs.attackers = phantoms.attackers(kept, encoder.preprocessing.size, settings.seed)
            made = run(inputs, names, settings, shlex.join(["privacy", *sys.argv[1:]]))
    show(made, json, f"{report.summary(made)}\nreport: {out / 'report.html'}")
    raise typer.Exit(made["exit_status"])
