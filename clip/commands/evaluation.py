"""Verbs that measure a CLIP."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from synth.base.command import Json, show
from synth.base.errors import UserError, later

Lang = Literal["zh", "en", "both"]
Model = Annotated[Path, typer.Option(help="a ckpt.pt of 'clip train'")]


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
    from clip.evaluation import report, zeroshot
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
    show(made, json, f"{report.summary(made)}\nreport: {out / 'report.html'}")
