"""Verbs that use a trained CLIP, or hand it on."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from synth.base.command import Json, show
from synth.base.errors import UserError, later

Lang = Literal["zh", "en", "both"]
Model = Annotated[Path, typer.Option(help="a ckpt.pt of 'clip train'")]


def predict(
    images: Annotated[list[Path], typer.Argument(help="fundus photographs, or folders of them")],
    model: Model,
    lang: Annotated[Lang, typer.Option(help="prompts of the probability that is shown first")] = "both",
    saliency: Annotated[
        Path | None,
        typer.Option(help="what speaks for a finding: OUT.png, or a folder for several photographs"),
    ] = None,
    finding: Annotated[
        str | None, typer.Option(help="of the saliency, for example is_gc; default: the most probable one")
    ] = None,
    json: Json = False,
) -> None:
    """Say how probable each disease is against a normal fundus.  For research, not for diagnosis.

    \b
    Examples:
      clip predict photo.jpg --model runs/clip/ckpt.pt
      clip predict photo.jpg --model runs/clip/ckpt.pt --saliency photo-gc.png --finding is_gc
      clip predict photographs/ more.png --model runs/clip/ckpt.pt --saliency maps --json > findings.jsonl
    """
    from clip import prediction
    from clip.embed import load_model
    from clip.photographs import find

    paths = find(images)
    reader = prediction.Reader(load_model(model))
    if finding:
        reader.number(finding)
    refused = 0
    for path, map in zip(paths, prediction.maps(saliency, paths, images), strict=True):
        try:
            made = prediction.predict(reader, path, lang, map, finding)
        except UserError as error:
            if len(paths) == 1:
                raise
            refused += 1
            typer.echo(f"clip: {error}", err=True)
            continue
        show(made, json, prediction.wording(made))
    if refused:
        raise UserError(f"{refused} of {len(paths)} photographs were refused; the others are done")


def embed(
    model: Model,
    data: Annotated[Path, typer.Option(help="records to embed")],
    out: Annotated[Path, typer.Option(help="parquet file: id, subject_id, embedding")],
    split: Annotated[str, typer.Option(help="train, validation, test or all")] = "all",
) -> None:
    """Write the embeddings of photographs, each of length 1.

    \b
    Examples:
      clip embed --model runs/clip/ckpt.pt --data records/odir --out odir.parquet
      clip embed --model runs/clip/ckpt.pt --data records/odir --split test --out test.parquet
    """
    from clip.embed import load_model, write
    from synth.fundus.records import parse_splits

    typer.echo(f"{write(out, load_model(model), data, parse_splits(split))} embeddings: {out}")


def export(
    model: Annotated[Path, typer.Argument(help="a ckpt.pt; with --to visionclip, a Chinese-CLIP .pt")],
    out: Annotated[Path, typer.Option(help="file to write")],
    to: Annotated[
        Literal["cn_clip", "visionclip", "hf", "onnx"], typer.Option(help="hf, onnx: 0.3")
    ] = "cn_clip",
    config: Annotated[
        Path | None, typer.Option(help="for --to visionclip: the model's training config")
    ] = None,
) -> None:
    """Rewrite a checkpoint for Chinese-CLIP, or one of Chinese-CLIP for us.

    \b
    Examples:
      clip export runs/clip/ckpt.pt --to cn_clip --out cn_clip.pt
      clip export cn_clip_rn50.pt --to visionclip --config configs/clip/visionclip.yaml --out ckpt.pt
    """
    if to in ("hf", "onnx"):
        later(f"--to {to}", "0.3")
    from clip.exporting import cn_clip as renaming
    from clip.training.config import TrainConfig
    from synth.base.config import load

    if to == "cn_clip":
        renaming.to_cn_clip(model, out)
    else:
        renaming.from_cn_clip(model, load(TrainConfig, config).model, out)
    typer.echo(out)
