"""Verbs that make a CLIP."""

from pathlib import Path
from typing import Annotated

import typer

from synth.base.runs import is_first_process


def train(
    data: Annotated[Path, typer.Option(help="records to learn from: splits train and validation")],
    out: Annotated[Path, typer.Option(help="run folder; repeat the command to resume")],
    config: Annotated[Path | None, typer.Option(help="for example configs/clip/tiny.yaml")] = None,
    set: Annotated[list[str], typer.Option(help="KEY=VALUE over the config; may repeat")] = [],
    dry_run: Annotated[bool, typer.Option(help="print the resolved config and stop")] = False,
) -> None:
    """Train a CLIP on captioned photographs; writes OUT/ckpt.pt.

    \b
    Examples:
      clip train --data synthetic/ --out runs/clip --config configs/clip/tiny.yaml
      clip train --data synthetic/ --out runs/zh --config configs/clip/tiny.yaml --set caption=zh --set images=50000
      clip train --data synthetic/ --out runs/clip --config configs/clip/visionclip.yaml --dry-run
    """
    from clip.training.config import TrainConfig
    from clip.training.trainer import train as run
    from synth.base.config import load

    settings = load(TrainConfig, config, set)
    if dry_run:
        typer.echo(settings.model_dump_json(indent=2))
    else:
        checkpoint = run(settings, data, out)
        if is_first_process():
            typer.echo(checkpoint)
