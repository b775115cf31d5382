"""Verbs that make a CLIP."""

from pathlib import Path
from typing import Annotated

import typer

from synth.base.command import DryRun, Json, Set, config_option, say, show, show_dry, then
from synth.base.runs import is_first_process

ImageColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="of a CSV or JSON list: the column of the pictures' paths")
]
CaptionColumn = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="of a CSV or JSON list: the column of the captions, in either language"
    ),
]


def train(
    data: Annotated[
        list[str],
        typer.Option(
            metavar="PATH[=WEIGHT]",
            help="records, or webdataset, parquet, a CSV list, an LMDB: splits train and validation; may repeat: sets mixed, "
            "the pairs of one with weight 2 are seen twice as often",
        ),
    ],
    out: Annotated[Path, typer.Option(help="run folder; repeat the command to resume")] = Path("runs/clip"),
    config: Annotated[Path | None, config_option("clip")] = None,
    set: Set = [],
    image_column: ImageColumn = None,
    caption_column: CaptionColumn = None,
    skip_damaged: Annotated[
        float,
        typer.Option(
            metavar="SHARE", help="leave damaged pictures out, at most this share of a set; 0: refuse them"
        ),
    ] = 0.0,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Train a CLIP on captioned photographs; writes OUT/ckpt.pt.

    Without --config it is towers of VisionCLIP's size, which two cores train for weeks; the recipe tiny is for them.

    \b
    Examples:
      clip train --data synthetic/ --config tiny
      clip train --data synthetic/ --out runs/zh --config tiny --set caption=zh --set images=50000
      clip train --data synthetic/ --data own.csv=2 --out runs/mixed --config tiny
      clip train --data list.csv --image-column path --caption-column report --config tiny --skip-damaged 0.01
      clip train --data synthetic/ --out runs/clip --config visionclip --dry-run
    """
    from clip.inputs.sets import Columns, given
    from clip.training import cost
    from clip.training.config import TrainConfig
    from clip.training.trainer import train as run
    from synth.base.config import load

    settings = load(TrainConfig, config, set)
    sets = given(data, Columns(image_column, caption_column), skip_damaged)
    if dry_run:
        show_dry(settings.model_dump(mode="json"), cost.dry_lines(settings, sets))
        return
    checkpoint = run(settings, sets, out, tell=say)
    if is_first_process():
        show({"checkpoint": str(checkpoint)}, json, str(checkpoint))
        then("clip", "eval", "--model", checkpoint, "--data", data[0], "--split", "test", "--out", "report")


def doctor(
    model: Annotated[
        str, typer.Argument(help="a ckpt.pt of 'clip train', or what 'clip eval --model' takes")
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            help="what holds pictures to look at, in any form that 'clip train' takes; default: phantoms"
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="train, validation, test, several with commas, or all")] = "all",
    json: Json = False,
) -> None:
    """Say whether an encoder has collapsed: spread of its texts and pictures, temperature.  Exit status 3 if so.

    \b
    Examples:
      clip doctor runs/clip/ckpt.pt
      clip doctor runs/clip/ckpt.pt --data records --split validation
      clip doctor eyeclip:eyeclip.pt --json
    """
    from json import dumps

    from clip.evaluation import diagnostics
    from synth.data.records import parse_splits

    verdicts = diagnostics.checkup(model, data, parse_splits(split))
    if json:
        typer.echo(dumps([verdict._asdict() for verdict in verdicts], ensure_ascii=False))
    else:
        typer.echo("\n".join(f"{'ok  ' if each.healthy else 'SICK'} {each.line}" for each in verdicts))
    if not all(verdict.healthy for verdict in verdicts):
        raise typer.Exit(3)
