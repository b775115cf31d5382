"""Verbs that measure a CLIP."""

import shlex
import sys
from itertools import chain
from pathlib import Path
from typing import Annotated, Literal

import typer

from clip.commands.training import CaptionColumn, ImageColumn
from clip.evaluation import tasks
from synth.base.command import Json, say, show
from synth.base.errors import UserError

Lang = Literal["zh", "en", "both"]
Model = Annotated[
    list[str],
    typer.Option(
        help="a ckpt.pt of 'clip train', or open_clip:NAME=FILE, hf-hub:ORG/NAME, flair:FILE=FOLDER, cn_clip:FILE, "
        "eyeclip:FILE, retfound:FILE, visionfm:FILE, hf:FOLDER; may repeat: models side by side"
    ),
]


Out = Annotated[Path, typer.Option(help="folder for report.html and report.json")]
Data = Annotated[
    list[str],
    typer.Option(
        help="may repeat, judged one by one; what to judge on: records, or any other form that 'clip train' takes, with its own captions"
    ),
]
Benchmark = Annotated[
    list[str], typer.Option(help="a public set instead; 'clip benchmarks' lists them; may repeat")
]
Root = Annotated[
    list[Path],
    typer.Option(
        help="a --root for each --benchmark: its folder in its own layout, or a list (impath,class)"
    ),
]
Partial = Annotated[bool, typer.Option(help="judge a --benchmark although not all of its pictures are there")]
TaskName = Annotated[str, typer.Option(help=", ".join(tasks.TASKS))]
PromptLang = Annotated[
    Lang | None, typer.Option(help="of prompts; 'both' (default) reports zh, en and their mean")
]
Prompts = Annotated[
    list[str],
    typer.Option(help="one task, or FILE.yaml with yours; may repeat; default: all that the records answer"),
]
Classes = Annotated[
    Path | None,
    typer.Option(
        help="YAML with the classes of your folders of pictures, [SPLIT/]CLASS/1.jpg, and their texts in both languages"
    ),
]
Split = Annotated[str | None, typer.Option(help="of --data: train, validation, test (default) or all")]
Aggregation = Annotated[
    Literal["clip", "flair"] | None, typer.Option(help="how prompts make a class; default clip")
]
By = Annotated[
    str | None,
    typer.Option(help="zero-shot also in parts of the people: age, sex, race, camera, eye_side, with commas"),
]
Settings = Annotated[list[str], typer.Option(help="KEY=VALUE over the settings of the evaluation")]


def evaluate(
    model: Model,
    out: Out,
    data: Data = [],
    benchmark: Benchmark = [],
    root: Root = [],
    partial: Partial = False,
    task: TaskName = "zero-shot",
    lang: PromptLang = None,
    prompts: Prompts = [],
    classes: Classes = None,
    split: Split = None,
    aggregation: Aggregation = None,
    by: By = None,
    set: Settings = [],
    image_column: ImageColumn = None,
    caption_column: CaptionColumn = None,
    json: Json = False,
) -> None:
    """Measure a CLIP on photographs that it has not learnt from.

    \b
    Examples:
      clip eval --model runs/clip/ckpt.pt --data records/odir --split test --out report
      clip eval --model ckpt.pt --benchmark messidor2 --root MESSIDOR-2/ --prompts expert-dr5 --aggregation flair --out report
      clip eval --model ckpt.pt --data records/unam --task retrieval --prompts cfp-to-oct --out report
      clip eval --model ckpt.pt --data records/odir --task vqa --set prior=uniform --out report
      clip eval --model ckpt.pt --model flair:flair.pth=bert/ --benchmark fives --root FIVES/ --benchmark refuge --root REFUGE/ --out table
      clip eval --model ckpt.pt --data records/idrid --split all --prompts dr5 --lang zh --out report --json
      clip eval --model ckpt.pt --data records/odir --task few-shot --prompts is_gc --set draws=10 --out report
      clip eval --model ckpt.pt --data records/odir --task finetune --prompts dr5 --set epochs=10 --out report
      clip eval --model ckpt.pt --data records/odir --prompts is_gc --by age,sex --out report
      clip eval --model ckpt.pt --data pairs.csv --task retrieval --out report
      clip eval --model ckpt.pt --data photographs/ --split all --classes classes.yaml --out report
      clip eval --model ckpt.pt --data phantoms-masks --task segmentation --set epochs=20 --out report
    """
    if benchmark and (len(root) != len(benchmark) or data or split is not None):
        raise UserError(
            f"--benchmark {' '.join(benchmark)}: give --root DIR for each, and neither --data nor --split"
        )
    if root and not benchmark:
        raise UserError(f"--root {root[0]}: goes with --benchmark NAME; records are --data")
    if not benchmark and not data:
        raise UserError("give --data RECORDS, or --benchmark NAME with --root DIR")
    if classes and (prompts or not data):
        raise UserError(f"--classes {classes}: goes with --data FOLDER, and takes the place of --prompts")
    from clip import inputs
    from clip.evaluation.run import run
    from clip.evaluation.subgroups import ATTRIBUTES
    from clip.inputs.sets import Columns, unweighted
    from synth.data.records import parse_splits

    for column in by.split(",") if by else ():
        if column.strip() not in ATTRIBUTES:
            raise UserError(f"--by {column}: no such column; choose of {', '.join(ATTRIBUTES)}")
    flags = {"lang": lang, "aggregation": aggregation, "by": by and f"[{by}]"}
    settings = tasks.settings(task, flags, set)
    line = shlex.join(["clip", *sys.argv[1:]])
    name = str(classes) if classes else tasks.joined(task, prompts, bool(benchmark))
    if data:
        chosen, splits = (
            unweighted(data, Columns(image_column, caption_column)),
            parse_splits(split or "test"),
        )
        say(chain(*(inputs.opened(each).notes for each in chosen)))
        if classes:
            say(chain(*(tasks.unnamed(each, splits, classes) for each in chosen)))
        reports = tasks.on_records(task, settings, model, chosen, splits, name, line)
    else:
        sets = [*zip(benchmark, root, strict=True)]
        reports = tasks.on_benchmarks(task, settings, model, sets, partial, name, line)
    written = run(reports, out, line, several=len(model) > 1 or len(benchmark) > 1 or len(data) > 1)
    show(written.content, json, written.text)


def compare(
    reports: Annotated[
        list[Path],
        typer.Argument(help="report.json of 'clip eval', or the folders that hold them; two or more"),
    ],
    out: Annotated[Path, typer.Option(help="folder for comparison.html, .md, .svg and .json")],
    json: Json = False,
) -> None:
    """Put finished reports, also of several machines, into one table with a forest plot, in both languages.

    Differences are paired where both reports have the probabilities of the same photographs beside them
    (clip eval --set probabilities=true).  What is not of one test, one n and one protocol is refused.

    \b
    Examples:
      clip compare report-a report-b --out table
      clip compare report-a/report.json other-machine/report.json --out table --json
    """
    from clip.evaluation.run import compare as run

    written = run(reports, out, shlex.join(["clip", *sys.argv[1:]]))
    show(written.content, json, written.text)
