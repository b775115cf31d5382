"""A benchmark's files -> records for the length of an evaluation, once their numbers are what was published."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from clip import benchmarks, prompts
from clip.benchmarks import Benchmark, BenchmarkSummary, layouts
from clip.benchmarks.layouts import SplitPhoto
from clip.prompts import Task
from synth.base.errors import UserError
from synth.base.scratch import scratch
from synth.data import records
from synth.data.records import SPLITS
from synth.data.shards import shard_name
from synth.sources import importing
from synth.sources.people import distinct, same_people
from synth.sources.report import Report
from synth.sources.tables import read_csv


class Opened(NamedTuple):
    """A benchmark as records."""

    records: Path
    splits: tuple[str, ...]
    """Those that the published number is over."""
    prompts: str | None
    """The name of the task, or of a file of tasks."""
    questions: Path | None
    """The table of questions, where it is a set of them."""
    data: str
    """What a report calls it."""
    imported: dict[str, Any]
    """What was read and what was left out, as an import tells it."""
    summary: BenchmarkSummary
    """What the set is, what it lacks, and who has learnt from it."""


@contextmanager
def opened(name: str, root: Path, task_name: str | None = None, partial: bool = False) -> Iterator[Opened]:
    """The records of a benchmark below `root`, in a folder that is removed afterwards.

    Args:
        task_name: a task of `clip.prompts`, or a file of tasks; without it, the benchmark's own.
        partial:   judge what is there, although it is not the number that was published.

    Raises:
        UserError: unknown, not there, or not as many pictures of each class as were published.
    """
    benchmark = benchmarks.named(name)
    wanted = task_name or (benchmark.prompts[0] if benchmark.prompts else None)
    task = next(iter(prompts.tasks(wanted).values())) if wanted else None
    with scratch(root) as out:
        report = Report(name)
        _write(name, benchmark, root, task, out, report)
        table = layouts.listed(root, True) if benchmark.questions else None
        missing = differences(benchmark, counts(out, benchmark, task), report)
        if table and benchmark.questions != (questions := len(read_csv(table))):
            missing.append(f"{questions} of {benchmark.questions} questions")
        if missing and not partial:
            raise UserError(
                f"{root}: not '{name}' as published: {'; '.join(missing)}; {layouts.where(name, benchmark)}, "
                "or judge what is there with --partial"
            )
        summary = benchmarks.summary(name, missing)
        yield Opened(out, benchmark.evaluated, wanted, table, f"{name} ({root})", report.summary(), summary)


def counts(folder: Path, benchmark: Benchmark, task: Task | None) -> dict[str, int]:
    """Class -> pictures among those that are judged; '' for what is of no class."""
    table = records.read_table(folder, benchmark.evaluated)
    if task is None:
        return {"": len(table)}
    number, names = task.classify(table), list(task.classes)
    found = {name: int((number == k).sum()) for k, name in enumerate(names)}
    return found | ({"": int((number < 0).sum())} if (number < 0).any() else {})


def differences(benchmark: Benchmark, sizes: dict[str, int], report: Report) -> list[str]:
    """In which numbers a set differs from what was published; what was left out on reading is told with it.

    Files that a set holds twice are judged once, so a class may lack as many as were left out for that reason.
    """
    total = sum(sizes.values())
    short = {
        name: (sizes.get(name, 0), held.n)
        for name, held in (benchmark.classes or {}).items()
        if held.n is not None and sizes.get(name, 0) != held.n
    }
    repeated = sum(count for reason, count in report.dropped.items() if reason.startswith("same file twice"))
    lacking = sum(published - here for here, published in short.values())
    only_repeated = all(here < published for here, published in short.values()) and lacking == repeated
    if (benchmark.n is None or total == benchmark.n - (repeated if short else 0)) and (
        not short or only_repeated
    ):
        return []
    said = [f"{total} of {benchmark.n} pictures"] if total != benchmark.n else []
    said += [f"{name} {here} of {published}" for name, (here, published) in short.items()]
    said += [f"{sizes['']} of no class"] if sizes.get("") else []
    return [", ".join(said), *(f"{count} {reason}" for reason, count in report.dropped.most_common())]


def _write(name: str, benchmark: Benchmark, root: Path, task: Task | None, out: Path, report: Report) -> None:
    """Records of all pictures, in the set's own splits where it has any; what is of no split is for training."""
    source = benchmark.importer if benchmark.importer and layouts.listed(root) is None else name
    placed = list(layouts.pictures(name, benchmark, root, task, report))
    if not placed:
        raise _nothing(root, name)
    people = same_people(distinct(each.photo for each in placed), report)
    plan = {"kind": "benchmark", "source": name, "root": str(root.resolve())}
    known = {each.split for each in placed}
    if known == {None} or (known == {"train"} and set(benchmark.evaluated) == set(SPLITS)):
        rows = importing.rows(source, (each.photo for each in placed), report, None, people)
        records.write_records(out, _some(rows, root, name), plan)
        return
    digest = records.claim(out, plan)
    for split in SPLITS:
        mine = [each.photo for each in placed if _side(each, known) == split]
        if mine:
            rows = importing.rows(source, iter(mine), report, None, people)
            records.write_shard(out / shard_name(split, 0, 1), _some(rows, root, name), digest, 0)


def _side(placed: SplitPhoto, known: set[str | None]) -> str:
    """The split of a picture; where the set has no validation part, a tenth of its training patients become one."""
    split = placed.split or "train"
    if split == "train" and "validation" not in known:
        split = records.split_of(
            str(placed.photo.labels.get("subject_id") or placed.photo.labels["id"]), (9, 1, 0)
        )
    return split


def _some(rows: Iterator[Any], root: Path, name: str) -> Iterator[Any]:
    first = next(rows, None)
    if first is None:
        raise _nothing(root, name)
    return chain([first], rows)


def _nothing(root: Path, name: str) -> UserError:
    return UserError(f"{root}: no picture of '{name}' could be read; is the set unpacked there?")
