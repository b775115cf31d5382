"""The tasks by which `clip eval` judges models: on records, or on public sets."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from synth.base.config import load
from synth.base.errors import UserError

if TYPE_CHECKING:  # `clip --help` names the tasks, and must not pay for torch
    from clip.evaluation.core import EvaluationSettings
    from clip.evaluation.results import EvaluationReport
    from clip.inputs.sets import Data


_SHOWN = 8  # folders that are named in a line


class Evaluate(Protocol):
    """The report of a model on some splits of records; `name` is of a task of `clip.prompts`, or of one of the results."""

    def __call__(
        self, settings, model: Path, data: "Data", splits: Sequence[str], name: str | None, command: str, /
    ) -> "EvaluationReport": ...


class Evaluator(NamedTuple):
    """One way of judging: its settings, and what makes a report by them."""

    settings: "type[EvaluationSettings]"
    evaluate: Evaluate


class EvaluationKind(NamedTuple):
    """What `--task` names, and what it takes of a public set."""

    open: Callable[[], Evaluator]
    """Imports what it needs, which takes seconds."""
    whole: bool = False
    """It learns nothing from a set, and so judges all of it."""
    named: bool = False
    """It has no classes: prompts, if anything, name one of its results, not a task of `clip.prompts`."""


def _zero_shot() -> Evaluator:
    from clip.evaluation import zero_shot

    return Evaluator(zero_shot.EvalConfig, zero_shot.evaluate)


def _linear() -> Evaluator:
    from clip.evaluation import linear

    return Evaluator(linear.LinearConfig, linear.evaluate)


def _few_shot() -> Evaluator:
    from clip.evaluation import few_shot

    return Evaluator(few_shot.FewShotConfig, few_shot.evaluate)


def _finetune() -> Evaluator:
    from clip.evaluation import finetune

    return Evaluator(finetune.FinetuneConfig, finetune.evaluate)


def _retrieval() -> Evaluator:
    from clip.evaluation import retrieval

    return Evaluator(retrieval.RetrievalConfig, retrieval.evaluate)


def _vqa() -> Evaluator:
    from clip.evaluation import vqa

    return Evaluator(vqa.VqaConfig, vqa.evaluate)


def _long_tail() -> Evaluator:
    from clip.evaluation import long_tail

    return Evaluator(long_tail.LongTailConfig, long_tail.evaluate)


def _segmentation() -> Evaluator:
    from clip.evaluation import segmentation

    return Evaluator(segmentation.SegmentationConfig, segmentation.evaluate)


TASKS = {
    "zero-shot": EvaluationKind(_zero_shot, whole=True),
    "linear": EvaluationKind(_linear),
    "few-shot": EvaluationKind(_few_shot),
    "finetune": EvaluationKind(_finetune),
    "retrieval": EvaluationKind(_retrieval, whole=True, named=True),
    "vqa": EvaluationKind(_vqa, whole=True, named=True),
    "long-tail": EvaluationKind(_long_tail, whole=True),
    "segmentation": EvaluationKind(_segmentation, named=True),
}


class Evaluated(NamedTuple):
    """One model on one set."""

    place: str
    """Its folder, where there are several."""
    model: str
    report: "EvaluationReport"


def settings(task: str, flags: dict[str, str | None], assignments: list[str]) -> "EvaluationSettings":
    """Settings of a task from the flags that were given (not None) and KEY=VALUE `assignments`.

    Raises:
        UserError: no such task; a flag that it has no use for; a wrong key or value.
    """
    if task not in TASKS:
        raise UserError(f"--task '{task}' is unknown; known: {', '.join(TASKS)}")
    kind = TASKS[task].open().settings
    given = {flag: value for flag, value in flags.items() if value is not None}
    for flag in given.keys() - kind.model_fields.keys():
        raise UserError(f"--{flag}: --task {task} has no such choice; leave it out")
    return load(kind, None, [f"{key}={value}" for key, value in given.items()] + assignments)


def on_records(
    task: str,
    settings: "EvaluationSettings",
    models: list[str],
    data: Sequence["Data"],
    splits: Sequence[str],
    prompts: str | None,
    command: str,
) -> Iterator[Evaluated]:
    """Judge each model on `splits` of each set."""
    evaluate = TASKS[task].open().evaluate
    for number, each in enumerate(data, 1):
        place = f"data-{number}/" if len(data) > 1 else ""
        for k, model in enumerate(models, 1):
            report = evaluate(settings, Path(model), each, splits, prompts, command)
            yield Evaluated(f"{place}model-{k}", model, report)


def joined(task: str, prompts: Sequence[str], is_benchmark: bool) -> str | None:
    """The names of several tasks as `clip.prompts.tasks` takes them; None for none.

    Raises:
        UserError: several, where one is taken.
    """
    if len(prompts) > 1 and (is_benchmark or TASKS[task].named):
        what = "a --benchmark" if is_benchmark else f"--task {task}"
        raise UserError(f"--prompts {' and '.join(prompts)}: {what} takes one; give it once")
    return ",".join(dict.fromkeys(prompts)) or None


def unnamed(data: "Data", splits: Sequence[str], classes: Path) -> Iterator[str]:
    """Which folders of pictures a file of classes does not name, in a line for people.

    Raises:
        UserError: no such file, or it holds no classes.
    """
    import pyarrow as pa

    from clip import prompts
    from clip.inputs import photographs

    task = prompts.own(classes)
    table = photographs.table(data, splits, ["source"])
    left = table["source"].filter(pa.array(task.classify(table) < 0)).to_pylist()
    if left:
        counts = Counter(f"'{folder}'" if folder else "no folder" for folder in left).most_common()
        shown = ", ".join(f"{count} in {folder}" for folder, count in counts[:_SHOWN])
        more = f", and {len(counts) - _SHOWN} more folders" if len(counts) > _SHOWN else ""
        yield f"{data}: photographs in folders that {classes} does not name are left out: {shown}{more}"


def on_benchmarks(
    task: str,
    settings: "EvaluationSettings",
    models: list[str],
    benchmarks: list[tuple[str, Path]],
    partial: bool,
    prompts: str | None,
    command: str,
) -> Iterator[Evaluated]:
    """Judge each model on public sets, by name and folder; `partial` where not all of their pictures need be there."""
    from clip.benchmarks.opening import opened
    from clip.evaluation import references

    kind = TASKS[task]
    evaluate = kind.open().evaluate
    for name, root in benchmarks:
        with opened(name, root, None if kind.named else prompts, partial) as benchmark:
            chosen = settings.model_copy(
                update={"questions": benchmark.questions} if task == "vqa" and benchmark.questions else {}
            )
            task_name = prompts if kind.named else benchmark.prompts
            splits = benchmark.splits if kind.whole else ("test",)
            for k, model in enumerate(models, 1):
                report = evaluate(chosen, Path(model), benchmark.records, splits, task_name, command)
                report.data = report.data.of_benchmark(benchmark.data, benchmark.imported, benchmark.summary)
                for result in report.results:
                    result.published = references.beside(benchmark.summary, result)
                yield Evaluated(f"{name}/model-{k}", model, report)
