"""The tasks by which `clip eval` judges models: on records, or on public sets."""

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from synth.base.config import Config, load
from synth.base.errors import UserError


class Task(NamedTuple):
    """A module of this package that has `evaluate`, the settings in it, and what it takes of a public set."""

    module: str
    settings: str
    whole: bool = False
    """It learns nothing from a set, and so judges all of it."""
    named: bool = False
    """It has no classes: prompts, if anything, name one of its results, not a task of `clip.prompts`."""


TASKS = {
    "zero-shot": Task("zero_shot", "EvalConfig", whole=True),
    "linear": Task("linear", "LinearConfig"),
    "few-shot": Task("few_shot", "FewShotConfig"),
    "finetune": Task("finetune", "FinetuneConfig"),
    "retrieval": Task("retrieval", "RetrievalConfig", whole=True, named=True),
    "vqa": Task("vqa", "VqaConfig", whole=True, named=True),
    "long-tail": Task("long_tail", "LongTailConfig", whole=True),
    "segmentation": Task("segmentation", "SegmentationConfig", named=True),
}


class Judged(NamedTuple):
    """One model on one set."""

    place: str
    """Its folder, where several are judged."""
    model: str
    report: dict[str, Any]


def settings(task: str, flags: dict[str, str | None], assignments: list[str]) -> Config:
    """Settings of a task from the flags that were given (not None) and KEY=VALUE `assignments`.

    Raises:
        UserError: no such task; a flag that it has no use for; a wrong key or value.
    """
    if task not in TASKS:
        raise UserError(f"--task '{task}' is unknown; known: {', '.join(TASKS)}")
    kind = getattr(_module(task), TASKS[task].settings)
    given = {flag: value for flag, value in flags.items() if value is not None}
    for flag in given.keys() - kind.model_fields.keys():
        raise UserError(f"--{flag}: --task {task} has no such choice; leave it out")
    return load(kind, None, [f"{key}={value}" for key, value in given.items()] + assignments)


def on_records(
    task: str,
    config: Config,
    models: list[str],
    data: Path,
    splits: Sequence[str],
    prompts: str | None,
    command: str,
) -> Iterator[Judged]:
    """Judge each model on `splits` of records."""
    for k, model in enumerate(models, 1):
        report = _module(task).evaluate(config, Path(model), data, splits, prompts, command)
        yield Judged(f"model-{k}", model, report)


def on_benchmarks(
    task: str,
    config: Config,
    models: list[str],
    benchmarks: list[tuple[str, Path]],
    partial: bool,
    prompts: str | None,
    command: str,
) -> Iterator[Judged]:
    """Judge each model on public sets, by name and folder; `partial` where not all of their pictures need be there."""
    from clip.benchmarks.opening import opened

    known = TASKS[task]
    for name, root in benchmarks:
        with opened(name, root, None if known.named else prompts, partial) as it:
            chosen = config.model_copy(
                update={"questions": it.questions} if task == "vqa" and it.questions else {}
            )
            asked = prompts if known.named else it.prompts
            splits = it.splits if known.whole else ("test",)
            for k, model in enumerate(models, 1):
                report = _module(task).evaluate(chosen, Path(model), it.records, splits, asked, command)
                report["data"] |= it.facts
                yield Judged(f"{name}/model-{k}", model, report)


def _module(task: str) -> Any:
    return import_module(f"clip.evaluation.{TASKS[task].module}")
