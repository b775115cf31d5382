"""Verbs that measure a CLIP."""

import shlex
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from synth.base.command import Json, show
from synth.base.errors import UserError

Lang = Literal["zh", "en", "both"]
Model = Annotated[Path, typer.Option(help="a ckpt.pt of 'clip train'")]

TASKS = {
    "zero-shot": ("zeroshot", "EvalConfig"),
    "linear": ("linear", "LinearConfig"),
    "few-shot": ("fewshot", "FewShotConfig"),
    "finetune": ("finetune", "FinetuneConfig"),
    "retrieval": ("retrieval", "RetrievalConfig"),
    "vqa": ("vqa", "VqaConfig"),
    "long-tail": ("longtail", "LongTailConfig"),
}
"""What --task takes -> the module of `clip.evaluation` that has its `evaluate`, and the settings in it."""
WHOLE = ("zero-shot", "retrieval", "vqa", "long-tail")
"""The tasks that learn nothing from a set, and so judge a benchmark in whole."""
NAMED = ("retrieval", "vqa")
"""The tasks without classes: --prompts names one of their results, not a task of `clip.prompts`."""


def evaluate(
    model: Model,
    out: Annotated[Path, typer.Option(help="folder for report.html and report.json")],
    data: Annotated[Path | None, typer.Option(help="records to judge on")] = None,
    benchmark: Annotated[
        str | None, typer.Option(help="a public set instead; 'clip benchmarks' lists them")
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="the public set's folder, in its own layout, or a list (impath,class)")
    ] = None,
    partial: Annotated[
        bool, typer.Option(help="judge a --benchmark although not all of its pictures are there")
    ] = False,
    task: Annotated[str, typer.Option(help=", ".join(TASKS))] = "zero-shot",
    lang: Annotated[
        Lang | None, typer.Option(help="of prompts; 'both' (default) reports zh, en and their mean")
    ] = None,
    prompts: Annotated[
        str | None,
        typer.Option(help="one task, or FILE.yaml with yours; default: all that the records answer"),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="of --data: train, validation, test (default) or all")
    ] = None,
    aggregation: Annotated[
        Literal["clip", "flair"] | None, typer.Option(help="how prompts make a class; default clip")
    ] = None,
    set: Annotated[list[str], typer.Option(help="KEY=VALUE over the settings of the evaluation")] = [],
    json: Json = False,
) -> None:
    """Measure a CLIP on photographs that it has not learnt from.

    \b
    Examples:
      clip eval --model runs/clip/ckpt.pt --data records/odir --split test --out report
      clip eval --model ckpt.pt --benchmark messidor2 --root MESSIDOR-2/ --prompts expert-dr5 --aggregation flair --out report
      clip eval --model ckpt.pt --data records/unam --task retrieval --prompts cfp-to-oct --out report
      clip eval --model ckpt.pt --data records/odir --task vqa --set prior=uniform --out report
      clip eval --model ckpt.pt --data records/idrid --split all --prompts dr5 --lang zh --out report --json
      clip eval --model ckpt.pt --data records/odir --task few-shot --prompts is_gc --set draws=10 --out report
      clip eval --model ckpt.pt --data records/odir --task finetune --prompts dr5 --set epochs=10 --out report
    """
    if benchmark and (root is None or data is not None or split is not None):
        raise UserError(f"--benchmark {benchmark}: give --root DIR and neither --data nor --split")
    if not benchmark and data is None:
        raise UserError("give --data RECORDS, or --benchmark NAME with --root DIR")
    module, settings = _settings(task, {"lang": lang, "aggregation": aggregation}, set)
    from clip.evaluation import report
    from synth.fundus.records import parse_splits

    line = shlex.join(["clip", *sys.argv[1:]])
    if data is not None:
        made = module.evaluate(settings, model, data, parse_splits(split or "test"), prompts, line)
    else:
        from clip.benchmarks.opening import opened

        assert benchmark and root
        named = task in NAMED
        with opened(benchmark, root, None if named else prompts, partial) as it:
            splits = it.splits if task in WHOLE else ("test",)
            if it.questions and task == "vqa":
                settings = settings.model_copy(update={"questions": it.questions})
            made = module.evaluate(
                settings, model, it.records, splits, prompts if named else it.prompts, line
            )
        made["data"] |= it.facts
    report.write(out, made)
    show(made, json, f"{report.summary(made)}\nreport: {out / 'report.html'}")


def _settings(task: str, flags: dict[str, str | None], assignments: list[str]) -> tuple[Any, Any]:
    """The module of a task, and its settings from the flags that were given and `--set`."""
    from synth.base.config import load

    if task not in TASKS:
        raise UserError(f"--task '{task}' is unknown; known: {', '.join(TASKS)}")
    name, kind = TASKS[task]
    module = import_module(f"clip.evaluation.{name}")
    given = {flag: value for flag, value in flags.items() if value is not None}
    for flag in given.keys() - getattr(module, kind).model_fields.keys():
        raise UserError(f"--{flag}: --task {task} has no such choice; leave it out")
    return module, load(
        getattr(module, kind), None, [f"{key}={value}" for key, value in given.items()] + assignments
    )
