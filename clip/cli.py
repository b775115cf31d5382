"""The command `clip`: parse, load the config, one library call per verb."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from synth.base.command import command
from synth.base.errors import UserError, later
from synth.base.runs import is_first_process

app = command(
    "clip",
    "Train a Chinese-English CLIP on fundus photographs, and measure it.",
    "clip train --data synthetic --out runs/clip --config configs/clip/tiny.yaml",
    "clip eval --model runs/clip/ckpt.pt --data records/odir --split test --out report",
    "clip predict photo.jpg --model runs/clip/ckpt.pt",
)

Model = Annotated[Path, typer.Option(help="a ckpt.pt of 'clip train'")]
Json = Annotated[bool, typer.Option("--json", help="print the result as JSON")]
Lang = Literal["zh", "en", "both"]


@app.command()
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
    from clip.training import TrainConfig
    from clip.training import train as run
    from synth.base.config import load

    settings = load(TrainConfig, config, set)
    if dry_run:
        typer.echo(settings.model_dump_json(indent=2))
    else:
        checkpoint = run(settings, data, out)
        if is_first_process():
            typer.echo(checkpoint)


@app.command("eval")
def evaluate(
    model: Model,
    out: Annotated[Path, typer.Option(help="folder for report.html and report.json")],
    data: Annotated[Path | None, typer.Option(help="records to judge on")] = None,
    benchmark: Annotated[str | None, typer.Option(help="a public set instead; 'synth import --list'")] = None,
    root: Annotated[Path | None, typer.Option(help="the public set's folder, in its own layout")] = None,
    task: Annotated[
        str, typer.Option(help="zero-shot (linear, few-shot, retrieval, vqa: 0.3)")
    ] = "zero-shot",
    lang: Annotated[Lang, typer.Option(help="prompts; 'both' reports zh, en and their mean")] = "both",
    prompts: Annotated[
        str | None, typer.Option(help="one task; default: all that the records answer")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="of --data: train, validation, test (default) or all")
    ] = None,
    aggregation: Annotated[Literal["clip", "flair"], typer.Option(help="how prompts make a class")] = "clip",
    set: Annotated[list[str], typer.Option(help="KEY=VALUE over the settings of the evaluation")] = [],
    json: Json = False,
) -> None:
    """Measure a CLIP on photographs that it has not learnt from.

    \b
    Examples:
      clip eval --model runs/clip/ckpt.pt --data records/odir --split test --out report
      clip eval --model ckpt.pt --benchmark messidor2 --root MESSIDOR-2/ --out report
      clip eval --model ckpt.pt --data records/idrid --split all --prompts dr5 --lang zh --out report --json
    """
    if task not in ("zero-shot", "linear", "few-shot", "retrieval", "vqa"):
        raise UserError(f"--task '{task}' is unknown; known: zero-shot")
    if task != "zero-shot":
        later(f"--task {task}", "0.3")
    from clip import report, zeroshot
    from synth.base.config import load
    from synth.fundus.records import parse_splits

    assignments = [f"lang={lang}", f"aggregation={aggregation}", *set]
    settings = load(zeroshot.EvalConfig, None, assignments)
    line = shlex.join(["clip", *sys.argv[1:]])
    if benchmark:
        if root is None or data is not None or split is not None:
            raise UserError(f"--benchmark {benchmark}: give --root DIR and neither --data nor --split")
        made = zeroshot.benchmark(settings, model, benchmark, root, prompts, line)
    elif data is None:
        raise UserError("give --data RECORDS, or --benchmark NAME with --root DIR")
    else:
        made = zeroshot.evaluate(settings, model, data, parse_splits(split or "test"), prompts, line)
    report.write(out, made)
    _show(made, json, f"{report.summary(made)}\nreport: {out / 'report.html'}")


@app.command()
def predict(
    image: Annotated[Path, typer.Argument(help="a fundus photograph")],
    model: Model,
    lang: Annotated[Lang, typer.Option(help="prompts")] = "both",
    json: Json = False,
) -> None:
    """Say how probable each disease is against a normal fundus.  For research, not for diagnosis.

    \b
    Examples:
      clip predict photo.jpg --model runs/clip/ckpt.pt
      clip predict photo.jpg --model runs/clip/ckpt.pt --lang zh --json
    """
    from clip import zeroshot

    made = zeroshot.predict(model, image, lang)
    lines = [f"{row['zh']} {row['en']}: {row['probability']:.3f}" for row in made["diseases"]]
    _show(made, json, "\n".join(lines))


@app.command()
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


@app.command()
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
    from clip import export as renaming
    from clip.training import TrainConfig
    from synth.base.config import load

    if to == "cn_clip":
        renaming.to_cn_clip(model, out)
    else:
        renaming.from_cn_clip(model, load(TrainConfig, config).model, out)
    typer.echo(out)


def _show(result: object, as_json: bool, text: str) -> None:
    import json

    typer.echo(json.dumps(result, indent=2, ensure_ascii=False) if as_json else text)
