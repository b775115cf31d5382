"""Where a benchmark's pictures lie: the set's own layout, a list, or one folder a class.

A list is a CSV file given as --root, or the only one in it that has these columns:

    impath,class[,split][,subject_id]          EyeCLIP's; a class by name or by its number from 0
    image,...,categories                       FLAIR's, whose cells are lists such as ['normal']
    impath,question,answer[,...]               a set of questions, see clip.evaluation.questions

Its paths are taken from the file's folder; leading folders that are not there are left out, but the one that
holds the picture counts.
Splits are train, val or test.  Folders may stand in others called train, val or test (RETFound's layout).
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from clip.benchmarks import Benchmark
from clip.prompts import Task
from synth.base.errors import UserError
from synth.sources import source_of
from synth.sources.paths import SUFFIXES, is_absolute, parts_of, without_suffix
from synth.sources.pictures import Folder, Photo
from synth.sources.report import Report
from synth.sources.separated import header
from synth.sources.tables import Line, keyed, read_csv

_SPLITS = {"train": "train", "training": "train", "val": "validation", "valid": "validation",
           "validation": "validation", "test": "test", "testing": "test"}  # fmt: skip
_COLUMNS = (("impath", "class"), ("image", "categories"))
_QUESTIONS = ("impath", "question", "answer")


class SplitPhoto(NamedTuple):
    """A picture and the split that its set puts it in; None where the set has none."""

    photo: Photo
    split: str | None


def pictures(
    name: str, benchmark: Benchmark, root: Path, task: Task | None, report: Report
) -> Iterator[SplitPhoto]:
    """Every picture of a benchmark, labelled so that `task` tells its class.

    Raises:
        UserError: nothing that can be read lies there, or a class is none of the task's.
    """
    if not root.exists():
        raise UserError(f"{root}: no such folder; {where(name, benchmark)}")
    table = listed(root, bool(benchmark.questions))
    if table is not None and benchmark.questions:
        yield from _asked_about(name, benchmark, table, report)
    elif table is not None:
        yield from _from_list(name, benchmark, table, _task(name, task), report)
    elif root.is_file():
        raise UserError(f"{root}: no list of pictures; it needs the columns impath and class")
    elif benchmark.importer:
        yield from _imported(name, benchmark, root, task, report)
    elif benchmark.questions:
        raise UserError(
            f"{root}: no CSV file of questions ({', '.join(_QUESTIONS)}); {where(name, benchmark)}"
        )
    else:
        yield from _from_folders(name, benchmark, root, _task(name, task), report)


def where(name: str, benchmark: Benchmark) -> str:
    """How a user comes by a benchmark."""
    if benchmark.get is None:
        return f"'{name}' is not public; give a list of your own pictures (impath,class) as --root"
    return f"get '{name}' at {benchmark.get}"


def listed(root: Path, questions: bool = False) -> Path | None:
    """The list of pictures, or of questions, that `root` is, or holds; None where there is none."""
    paths = [root] if root.is_file() else sorted(root.glob("*.csv"))
    wanted = (_QUESTIONS,) if questions else _COLUMNS
    found = [path for path in paths if any(set(columns) <= set(header(path)) for columns in wanted)]
    if len(found) > 1:
        raise UserError(
            f"{root}: {found[0].name} and {found[1].name} are lists of pictures; give one as --root"
        )
    return found[0] if found else None


def _task(name: str, task: Task | None) -> Task:
    if task is None:
        raise UserError(
            f"--benchmark {name}: its classes are not published; give --prompts FILE.yaml with yours"
        )
    return task


def _from_list(
    name: str, benchmark: Benchmark, table: Path, task: Task, report: Report
) -> Iterator[SplitPhoto]:
    lines, classes = read_csv(table), _classes(benchmark, task)
    image, column = next(columns for columns in _COLUMNS if set(columns) <= set(lines[0]))
    report.total = len(lines)
    listed = _Listed(table.parent)
    for line in lines:
        path = listed.find(line[image], line.where, report)
        if path is None:
            continue
        text = line[column].strip("[]'\" ")
        if text.casefold() not in classes:
            raise UserError(
                f"{line.where}: {column}='{text}' is no class of '{name}'; known: {', '.join(task.classes)}"
            )
        labels = _labels(name, benchmark, task, classes[text.casefold()], path)
        split = _split(line.get("split", ""), line.where)
        yield SplitPhoto(_photo(path, line[image], labels | _person(line), line.where), split)


def _asked_about(name: str, benchmark: Benchmark, table: Path, report: Report) -> Iterator[SplitPhoto]:
    """Each picture that a table of questions names, once."""
    questions = read_csv(table, _QUESTIONS)
    person = [column for column in ("subject_id",) if column in questions[0]]
    lines = keyed(((line["impath"], line) for line in questions), person)
    report.total = len(lines)
    listed = _Listed(table.parent)
    for written, line in lines.items():
        path = listed.find(written, line.where, report)
        if path:
            known = {"source": name} | _person(line)
            known |= {"modality": benchmark.modality} if benchmark.modality else {}
            yield SplitPhoto(_photo(path, written, known, line.where), None)


def _person(line: Line) -> dict[str, str]:
    return {"subject_id": line["subject_id"]} if line.get("subject_id") else {}


def _split(text: str, where: str) -> str | None:
    if text and text.lower() not in _SPLITS:
        raise UserError(f"{where}: split='{text}' is unknown; known: train, val, test")
    return _SPLITS[text.lower()] if text else None


class _Listed:
    """The pictures in the folder of a list; those of a format that imports do not look for, where the list tells their path."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(self, written: str, where: str, report: Report) -> Path | None:
        parts = [] if is_absolute(written) else parts_of(written)
        if parts and without_suffix(written) == written and self._root.joinpath(*parts).is_file():
            return self._root.joinpath(*parts)
        return self._folder.find([(written, where)], report)[0]

    @cached_property
    def _folder(self) -> Folder:
        return Folder(self._root, elsewhere=True)


def _imported(
    name: str, benchmark: Benchmark, root: Path, task: Task | None, report: Report
) -> Iterator[SplitPhoto]:
    """Every picture in the set's own layout; where that is not there, of folders of classes, as RETFound's authors hand it out."""
    splits = _class_folders(root, benchmark, task)
    if task and any(splits):
        yield from _from_folders(name, benchmark, root, task, report)
        return
    try:
        photos = list(source_of(str(benchmark.importer))(root, report))
    except UserError:
        if not splits:
            raise
        photos = []
    if task and splits and not photos:
        report.dropped.clear()
        yield from _from_folders(name, benchmark, root, task, report)
        return
    for photo in photos:
        yield SplitPhoto(photo, benchmark.split_of(str(photo.labels["id"])))


def _class_folders(root: Path, benchmark: Benchmark, task: Task | None) -> set[str | None]:
    """The splits, or None, in which folders called as a class of the task hold pictures."""
    classes = _classes(benchmark, task) if task else {}
    inside = (path.relative_to(root) for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)
    return {_split_of_folders(short) for short in inside if short.parent.name.casefold() in classes}


def _split_of_folders(short: Path) -> str | None:
    return next((_SPLITS[part.lower()] for part in short.parts[:-2] if part.lower() in _SPLITS), None)


def _from_folders(
    name: str, benchmark: Benchmark, root: Path, task: Task, report: Report
) -> Iterator[SplitPhoto]:
    classes = _classes(benchmark, task)
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)
    report.total = len(paths)
    inside = [path.relative_to(root) for path in paths]
    if not any(path.parent.name.casefold() in classes for path in inside):
        raise UserError(
            f"{root}: neither a list (impath,class) nor a folder called as a class of '{name}': {', '.join(task.classes)}; "
            f"{where(name, benchmark)}"
        )
    taken = Counter(identity(without_suffix(short.as_posix())) for short in inside)
    for path, short in zip(paths, inside, strict=True):
        if short.parent.name.casefold() not in classes:
            report.drop("picture in a folder of no class", str(short))
            continue
        labels = _labels(name, benchmark, task, classes[short.parent.name.casefold()], path)
        photo = _photo(path, short.as_posix(), labels)
        if taken[photo.labels["id"]] > 1:
            photo.labels["id"] = identity(short.as_posix())
        yield SplitPhoto(photo, _split_of_folders(short))


def _classes(benchmark: Benchmark, task: Task) -> dict[str, str]:
    """What lists and folders call a class -> its name; a number is its place among the classes, from 0."""
    known: dict[str, str] = {}
    for place, (name, asked) in enumerate(task.classes.items()):
        held = (benchmark.classes or {}).get(name)
        for word in (str(place), name, name.replace("_", " "), *asked.en, *(held.also if held else ())):
            known.setdefault(word.casefold(), name)
    return known


def _labels(name: str, benchmark: Benchmark, task: Task, key: str, path: Path) -> dict[str, Any]:
    """Columns of a record on which the first condition of a class holds."""
    labels: dict[str, Any] = {"source": name}
    for column, value in task.classes[key].where[0].items():
        if column == "findings" and isinstance(value, str):
            labels[column] = [value]
        else:
            labels[column] = value[0] if column != "findings" and isinstance(value, list) else value
    if benchmark.modality:
        labels["modality"] = benchmark.modality
    person = re.search(benchmark.subject, path.stem) if benchmark.subject else None
    return labels | ({"subject_id": person[1]} if person else {})


def _photo(path: Path, written: str, labels: dict[str, Any], where: str = "") -> Photo:
    short = without_suffix(written)
    return Photo(short, path.read_bytes, {"id": identity(short)} | labels, where, path)


def identity(short: str) -> str:
    """The id of a picture from its path without suffix, as a list gives it."""
    return "-".join(part for part in Path(short).parts if part not in ("/", "..", "."))
