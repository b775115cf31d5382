"""The command `privacy`."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from synth.base.command import command
from synth.base.errors import later

app = command(
    "privacy",
    "Show what a release reveals about the patients behind it.",
    "privacy audit --model runs/clip/ckpt.pt --attackers records/odir --out report",
)
canary = typer.Typer(
    help="Plant random marks before training and look for them afterwards (visionclip 0.4).\n\n\b\n"
    "Examples:\n  privacy canary plant --help",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(canary, name="canary")


@app.command()
def audit(
    model: Annotated[Path, typer.Option(help="a ckpt.pt of 'clip train', or embeddings (.npy, .parquet)")],
    out: Annotated[Path, typer.Option(help="folder for report.html and report.json; repeat to continue")],
    attackers: Annotated[
        Path | None, typer.Option(help="records of patients whose age, sex or race the attacker knows")
    ] = None,
    split: Annotated[str, typer.Option(help="of --attackers: train, validation, test or all")] = "all",
    attributes: Annotated[str, typer.Option(help="what to infer, separated by commas")] = "age,sex,race",
    members: Annotated[Path | None, typer.Option(help="records trained on (visionclip 0.4)")] = None,
    nonmembers: Annotated[Path | None, typer.Option(help="records not trained on (visionclip 0.4)")] = None,
    synthetic: Annotated[Path | None, typer.Option(help="the released set (visionclip 0.4)")] = None,
    seed: Annotated[int | None, typer.Option(help="of folds, permutations and resamples; 0")] = None,
    config: Annotated[Path | None, typer.Option(help="for example configs/privacy/quick.yaml")] = None,
    set: Annotated[list[str], typer.Option(help="KEY=VALUE over the config; may repeat")] = [],
    json: Annotated[bool, typer.Option("--json", help="print the report as JSON")] = False,
) -> None:
    """Infer age, sex and race from an encoder's embeddings, beside the controls that give it a meaning.

    Exit status: 0 done, whatever was revealed; 2 something you can fix; 3 a leak about training patients was
    found (only with member lists, visionclip 0.4); 4 nothing could be tested.

    \b
    Examples:
      privacy audit --model runs/clip/ckpt.pt --attackers records/odir --split test --out report
      privacy audit --model ckpt.pt --attackers records --attributes age,sex --out report --json
      privacy audit --model ckpt.pt --attackers records --out report --config configs/privacy/quick.yaml
    """
    for flag, value in {"--members": members, "--nonmembers": nonmembers, "--synthetic": synthetic}.items():
        if value is not None:
            later(flag, "0.4")
    from privacy import report
    from privacy.audit import audit as run
    from privacy.population import AuditConfig
    from synth.base.config import load
    from synth.fundus.records import parse_splits

    assignments = [*set, *([f"seed={seed}"] if seed is not None else [])]
    settings = load(AuditConfig, config, assignments)
    names = [name.strip() for name in attributes.split(",") if name.strip()]
    line = shlex.join(["privacy", *sys.argv[1:]])
    made = run(model, attackers, names, settings, out, line, parse_splits(split))
    if json:
        import json as encoder

        typer.echo(encoder.dumps(made, indent=2, ensure_ascii=False))
    else:
        typer.echo(report.summary(made))
        typer.echo(f"report: {out / 'report.html'}")
    raise typer.Exit(made["exit_status"])


@canary.command()
def plant() -> None:
    """Give every training patient a coin that enters captions and conditions (visionclip 0.4).

    \b
    Examples:
      privacy canary plant --help
    """
    later("privacy canary plant", "0.4")


@canary.command()
def score() -> None:
    """Count how many planted coins a release gives away (visionclip 0.4).

    \b
    Examples:
      privacy canary score --help
    """
    later("privacy canary score", "0.4")


@app.command()
def power() -> None:
    """Say how many patients an audit needs to find a leak of a given size (visionclip 0.4).

    \b
    Examples:
      privacy power --help
    """
    later("privacy power", "0.4")


@app.command()
def selftest() -> None:
    """Plant leaks of known size and show that the audit finds them (visionclip 0.4).

    \b
    Examples:
      privacy selftest --help
    """
    later("privacy selftest", "0.4")
