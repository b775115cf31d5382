"""Where a benchmark's pictures lie: the set's own layout, a list, or one folder a class.

A list is a CSV file given as --root, or the only one in it that has these columns:

    impath,class[,split][,subject_id]          EyeCLIP's; a class by name or by its number from 0
    image,...,categories                       FLAIR's, whose cells are lists such as ['normal']
    impath,question,answer[,...]               a set of questions, see clip.evaluation.questions

Its paths are taken from the file's folder; leading folders that are not there are left out.  Splits are train, val or
test.  Folders may stand in others called train, val or test (RETFound's layout).
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from clip.benchmarks import Benchmark
from clip.prompts import Task
from synth.base.errors import UserError
from synth.sources import source_of
from synth.sources.pictures import SUFFIXES, Photo
from synth.sources.report import Report
from synth.sources.tables import Line, read_csv

_SPLITS = {"train": "train", "training": "train", "val": "validation", "valid": "validation",
           "validation": "validation", "test": "test", "testing": "test"}  # fmt: skip
_COLUMNS = (("impath", "class"), ("image", "categories"))
_QUESTIONS = ("impath", "question", "answer")


class Placed(NamedTuple):
    """A picture and the split that its set puts it in; None where the set has none."""

    photo: Photo
    split: str | None


def pictures(
    name: str, benchmark: Benchmark, root: Path, task: Task | None, report: Report
) -> Iterator[Placed]:
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
        for photo in source_of(benchmark.importer)(root, report):
            yield Placed(photo, benchmark.split_of(str(photo.labels["id"])))
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
    found = [path for path in paths if any(set(columns) <= set(_header(path)) for columns in wanted)]
    if len(found) > 1:
        raise UserError(
            f"{root}: {found[0].name} and {found[1].name} are lists of pictures; give one as --root"
        )
    return found[0] if found else None


def _header(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return [column.strip() for column in re.split("[,;\t]", file.readline())]


def _task(name: str, task: Task | None) -> Task:
    if task is None:
        raise UserError(
            f"--benchmark {name}: its classes are not published; give --prompts FILE.yaml with yours"
        )
    return task


def _from_list(name: str, benchmark: Benchmark, table: Path, task: Task, report: Report) -> Iterator[Placed]:
    lines, classes = read_csv(table), _classes(benchmark, task)
    image, column = next(columns for columns in _COLUMNS if set(columns) <= set(lines[0]))
    report.total = len(lines)
    for place, line in enumerate(lines, start=2):
        path = _found(table.parent, line[image])
        if path is None:
            report.drop("picture absent", line[image])
            continue
        text = line[column].strip("[]'\" ")
        if text.casefold() not in classes:
            raise UserError(
                f"{table} line {place}: {column}='{text}' is no class of '{name}'; known: {', '.join(task.classes)}"
            )
        labels = _labels(name, benchmark, task, classes[text.casefold()], path)
        split = _split(line.get("split", ""), f"{table} line {place}")
        yield Placed(_photo(path, Path(line[image]).with_suffix(""), labels | _person(line)), split)


def _asked_about(name: str, benchmark: Benchmark, table: Path, report: Report) -> Iterator[Placed]:
    """Each picture that a table of questions names, once."""
    lines = {line["impath"]: line for line in read_csv(table, _QUESTIONS)}
    report.total = len(lines)
    for written, line in lines.items():
        path = _found(table.parent, written)
        if path is None:
            report.drop("picture absent", written)
        else:
            known = {"source": name} | _person(line)
            known |= {"modality": benchmark.modality} if benchmark.modality else {}
            yield Placed(_photo(path, Path(written).with_suffix(""), known), None)


def _person(line: Line) -> dict[str, str]:
    return {"subject_id": line["subject_id"]} if line.get("subject_id") else {}


def _split(text: str, where: str) -> str | None:
    if text and text.lower() not in _SPLITS:
        raise UserError(f"{where}: split='{text}' is unknown; known: train, val, test")
    return _SPLITS[text.lower()] if text else None


def _found(folder: Path, name: str) -> Path | None:
    parts = Path(name.replace("\\", "/")).parts
    paths = (folder.joinpath(*parts[start:]) for start in range(len(parts)))
    return next((path for path in paths if path.is_file()), None)


def _from_folders(
    name: str, benchmark: Benchmark, root: Path, task: Task, report: Report
) -> Iterator[Placed]:
    classes = _classes(benchmark, task)
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)
    report.total = len(paths)
    inside = [path.relative_to(root) for path in paths]
    if not any(path.parent.name.casefold() in classes for path in inside):
        raise UserError(
            f"{root}: neither a list (impath,class) nor a folder called as a class of '{name}': {', '.join(task.classes)}; "
            f"{where(name, benchmark)}"
        )
    for path, short in zip(paths, inside, strict=True):
        if short.parent.name.casefold() not in classes:
            report.drop("picture in a folder of no class", str(short))
            continue
        split = next((_SPLITS[part.lower()] for part in short.parts[:-2] if part.lower() in _SPLITS), None)
        labels = _labels(name, benchmark, task, classes[short.parent.name.casefold()], path)
        yield Placed(_photo(path, short.with_suffix(""), labels), split)


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


def _photo(path: Path, short: Path, labels: dict[str, Any]) -> Photo:
    return Photo(str(short), path.read_bytes, {"id": identity(short)} | labels)


def identity(short: Path) -> str:
    """The id of a picture from its path without suffix, as a list gives it."""
    return "-".join(part for part in short.parts if part not in ("/", "..", "."))
