"""Verbs that plant canary bits and look for them."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from synth.base.command import App, Json, Set, config_option, show

app = App(
    help="Plant random marks before training and look for them afterwards.\n\n\b\n"
    "Examples:\n"
    "  privacy canary plant --data records/odir --out records/marked --key sealed/odir.json\n"
    "  privacy canary score --key sealed/odir.json --members records/marked --generator runs/odir --out canary",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def plant(
    data: Annotated[Path, typer.Option(help="records that will be trained on")],
    out: Annotated[Path, typer.Option(help="folder for records with marks; repeat to continue")],
    key: Annotated[Path, typer.Option(help="file for the canary bits, to be kept from whoever trains")],
    share: Annotated[float, typer.Option(help="of the patients in split 'train'")] = 1.0,
    seed: Annotated[
        int | None, typer.Option(help="of the canary bits, as secret as they are; else random")
    ] = None,
    json: Json = False,
) -> None:
    """Give every training patient a canary bit that enters captions and conditions.

    A generator, or a CLIP, is then trained on the records in OUT as on any others.  What it releases shows no marks
    unless 'synth generate --marks' asks for them.

    \b
    Examples:
      privacy canary plant --data records/odir --out records/marked --key sealed/odir.json
      privacy canary plant --data records/odir --out records/marked --key sealed/odir.json --share 0.25
    """

    from privacy.canaries import planting

    show(planting.plant(data, out, key, share, seed), json)


@app.command()
def score(
    key: Annotated[Path, typer.Option(help="the sealed file of 'privacy canary plant'")],
    members: Annotated[Path, typer.Option(help="the records that it read, or those that it wrote")],
    out: Annotated[Path, typer.Option(help="folder for canary.json; repeat to continue")],
    generator: Annotated[Path | None, typer.Option(help="trained on the marked records")] = None,
    synthetic: Annotated[Path | None, typer.Option(help="records of 'synth generate --marks'")] = None,
    model: Annotated[Path | None, typer.Option(help="a ckpt.pt of 'clip train' on any of these")] = None,
    config: Annotated[Path | None, config_option("privacy")] = None,
    set: Set = [],
    json: Json = False,
) -> None:
    """Count how many planted canaries each stage of a release gives away.

    Exit status: 0 done; 2 something you can fix; 3 canary bits were given away; 5 none were, and an
    answer is INVALID.

    \b
    Examples:
      privacy canary score --key sealed/odir.json --members records/marked --generator runs/odir --out canary
      privacy canary score --key sealed/odir.json --members records/marked --generator runs/odir \\
        --synthetic synthetic-marked --model runs/clip/ckpt.pt --out canary --json
    """
    from privacy.canaries import scoring
    from privacy.canaries.planting import read_key
    from privacy.config import AuditConfig
    from privacy.data.inputs import Inputs, People
    from privacy.targets import open_target
    from privacy.targets.generator import Generator
    from synth.base.config import load

    settings, opened, kept = load(AuditConfig, config, set), read_key(key), out / ".cache"
    inputs = Inputs(
        kept,
        encoder=open_target(model) if model else None,
        generator=Generator(generator) if generator else None,
        synthetic=People(synthetic, kept=kept) if synthetic else None,
        members=People(members, kept=kept),
    )
    made = scoring.score(inputs, opened, settings, shlex.join(["privacy", *sys.argv[1:]]))
    show(made, json, scoring.lines(made))
    raise typer.Exit(made["exit_status"])
