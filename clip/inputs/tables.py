"""A list of pictures: a CSV file, or JSON, one entry a picture, with columns called as in records.

    image,caption_zh,caption_en,subject_id,dr_grade,findings,split
    a/1.jpg,疑似青光眼。,Suspected glaucoma.,p1,0,drusen;exudate,train

`image` is a path from the folder of the file, or absolute.  `subject_id` says who it is; it may be left out only where
`split` (train, validation or test) is told.  Captions and all labels may be left out or empty; empty is unknown.

open_clip's columns are read too: `filepath` for the picture, whose path may begin where the command runs, and `title`.  Such
a list need not say who it is: every picture is a person of its own then, as it is in open_clip.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any, NamedTuple

import numpy as np

from clip.inputs import kinds, metadata
from clip.inputs.listing import COLUMNS, Files, Listing, caption, unreadable
from clip.inputs.sets import USUAL, Columns
from synth.base.errors import UserError
from synth.sources.separated import header
from synth.sources.tables import read_csv

_SUFFIXES, _JSON = (".csv", ".tsv"), (".jsonl",)
_PICTURES = ("image", "filepath", "file_name")
"""What records, open_clip, and folders of pictures for Hugging Face's `datasets` call the path."""
_CAPTIONS = ("title", "caption", "text")
_PEOPLE = ("subject_id", "patient_id")
_COUNTERS = ("", "Unnamed: 0")  # as pandas writes its index
_LONGEST = 200  # characters of the name of a column


class Entry(NamedTuple):
    """One entry of a list."""

    where: str
    """The file and the line, or the number of the entry."""
    content: Mapping[str, Any]


def holds(data: Path) -> bool:
    """Whether this is a file of text, or a folder with a list in it."""
    return kinds.kind(data) in ("text", "empty") if data.is_file() else bool(_tables(data))


def read(data: Path, columns: Columns = USUAL) -> Listing:
    """Every entry of the list; where `columns` names its own, what else it has and we do not know is left out and noted.

    Raises:
        UserError: a picture is absent, a column is missing or unknown, or a label is outside the vocabulary.
    """
    tables = [data] if data.is_file() else _tables(data)
    if len(tables) > 1:
        raise UserError(f"{data}: holds {', '.join(path.name for path in tables)}; name the one as --data")
    table = tables[0]
    if (what := kinds.kind(table)) != "text":
        raise kinds.refusal(table, what)
    entries = _entries(table, columns)
    names = list(dict.fromkeys(name for entry in entries for name in entry.content))
    image, left_out = _check_names(table, names, columns)
    where = [entry.where for entry in entries]
    captions = (columns.caption,) if columns.caption else _CAPTIONS
    rows = [_row(entry, image, captions, left_out) for entry in entries]
    paths = [_path(table, str(entry.content[image]), image, entry.where) for entry in entries]
    _check_ids(table, entries, rows, paths)
    sizes = [_size(path, place) for path, place in zip(paths, where, strict=True)]
    notes = (f"{table}: columns left out: {', '.join(left_out)}",) if left_out else ()
    if not {"split", *_PEOPLE} & set(names):
        notes += (f"{table}: tells not who it is; every picture is taken for a person of its own",)
    return Listing(rows, Files(paths, where), np.array(sizes), where, notes)


def _tables(folder: Path) -> list[Path]:
    def of(suffixes: tuple[str, ...]) -> list[Path]:
        return sorted(
            path for path in folder.glob("[!.]*") if path.suffix.lower() in suffixes and path.is_file()
        )

    return of(_SUFFIXES) or of(_JSON)


def _entries(table: Path, columns: Columns) -> list[Entry]:
    begin = _begin(table)
    if begin in (b"[", b"{"):
        return _from_json(table, whole=begin == b"[")
    names = header(table)
    if any(len(name) > _LONGEST for name in names):
        raise UserError(
            f"{table}: its first row is no header, a cell has more than {_LONGEST} characters; give the columns names"
        )
    return [
        Entry(line.where, dict(line))
        for line in read_csv(table, [columns.image or _column(table, names, _PICTURES) or "image"])
    ]


def _begin(table: Path) -> bytes:
    with open(table, "rb") as file:
        return file.read(512).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]


def _from_json(table: Path, whole: bool) -> list[Entry]:
    """The objects of a JSON list, or of a file of one a line."""
    try:
        text = table.read_text(encoding="utf-8-sig")
        lines = enumerate([text] if whole else text.split("\n"), start=1)
        found = [(number, json.loads(line)) for number, line in lines if line.strip()]
    except (ValueError, RecursionError) as error:
        raise UserError(f"{table}: not JSON in UTF-8 ({error}); a list, or one object a line") from None
    except OSError as error:
        raise unreadable(table, error) from None
    if whole:
        found = list(enumerate(found[0][1], start=1))
    for number, content in found:
        if not isinstance(content, dict):
            raise UserError(f"{table} entry {number}: holds a {type(content).__name__}, not keys and values")
    if not found:
        raise UserError(f"{table}: no entry in it")
    return [Entry(f"{table} {'entry' if whole else 'line'} {number}", content) for number, content in found]


def _check_names(table: Path, names: list[str], columns: Columns) -> tuple[str, list[str]]:
    """What the column of the pictures is called, once all names are known ones, and what is left out."""
    for option, name in zip(("--image-column", "--caption-column"), columns, strict=True):
        if name is not None and name not in names:
            raise UserError(f"{table}: has no column '{name}' ({option}); it has {', '.join(names)}")
    image = columns.image or _column(table, names, _PICTURES)
    if image is None:
        raise UserError(f"{table}: column 'image' is missing; it has {', '.join(names)}")
    if columns.caption is None:
        _column(table, names, _CAPTIONS)
    known = {image, columns.caption, "split", *COLUMNS, *_CAPTIONS, *_PEOPLE, *_COUNTERS}
    unknown = sorted(set(names) - known)
    if unknown and columns == USUAL:
        raise UserError(
            f"{table}: column '{unknown[0]}' is unknown; known: image, split, {', '.join(COLUMNS)}; or bring the set in "
            "with 'synth import folder --mapping'"
        )
    if image not in ("filepath", columns.image) and not {"split", *_PEOPLE} & set(names):
        raise UserError(
            f"{table}: column 'subject_id' is missing; without it one patient's photographs could be on both sides of "
            "the split; add it, or a column 'split'"
        )
    return image, unknown


def _column(table: Path, names: Sequence[str], wanted: tuple[str, ...]) -> str | None:
    """The one of some names that a list has."""
    found = [name for name in wanted if name in names]
    if len(found) > 1:
        raise UserError(
            f"{table}: has the columns {' and '.join(found)}; nobody can tell which is meant, take one out"
        )
    return found[0] if found else None


def _row(entry: Entry, image: str, captions: Sequence[str], left_out: Sequence[str]) -> dict[str, Any]:
    where, content = entry.where, {key: value for key, value in entry.content.items() if key not in left_out}
    picture = content.get(image)
    if not isinstance(picture, str) or not picture:
        raise UserError(f"{where}: {image} is empty; name the picture or take the line out")
    texts: dict[str, Any] = {}
    for name in captions:
        if text := content.get(name):
            texts = caption(metadata.typed("caption_en", text, where).strip())
    row = texts | metadata.columns(content, where)
    if "split" in content and "split" not in row:
        raise UserError(f"{where}: split is empty; fill the column, or leave it out")
    if any(name in content for name in _PEOPLE) and "subject_id" not in row:
        raise UserError(
            f"{where}: subject_id is empty; say who it is, each unknown person by a name of their own"
        )
    return {"id": picture, "subject_id": picture} | row


def _check_ids(
    table: Path, entries: Sequence[Entry], rows: Sequence[dict[str, Any]], paths: Sequence[Path]
) -> None:
    """Every id that the list gives is that of one entry, and a picture is of one person; it may have several captions."""
    ids: dict[str, str] = {}
    people: dict[Path, tuple[str, str]] = {}
    for entry, row, path in zip(entries, rows, paths, strict=True):
        if entry.content.get("id") and ids.setdefault(row["id"], entry.where) != entry.where:
            raise UserError(
                f"{entry.where}: id '{row['id']}' is that of {ids[row['id']].removeprefix(f'{table} ')} too; give every line "
                "its own, or leave the column out"
            )
        person, first = people.setdefault(path, (row["subject_id"], entry.where))
        if person != row["subject_id"]:
            raise UserError(
                f"{entry.where}: {path.name} is of '{row['subject_id']}', but of '{person}' in {first}; a picture shows one person"
            )


def _path(table: Path, cell: str, image: str, where: str) -> Path:
    """The file that a cell names: from the folder of the list, or, as open_clip reads it, from where the command runs."""
    if "://" in cell:
        raise UserError(
            f"{where}: '{cell}' is a web address; fetch the pictures first, for example with img2dataset"
        )
    path = table.parent / cell
    if "\\" in cell and not path.exists():
        path = table.parent / cell.replace("\\", "/")
    other = Path(cell)
    if image != "filepath" or other.is_absolute() or not other.exists():
        return path
    if path.exists() and not path.samefile(other):
        raise UserError(f"{where}: '{cell}' could be {path} or {other.resolve()}; write the whole path")
    return other.resolve()


def _size(path: Path, where: str) -> int:
    try:
        found = path.stat()
    except (OSError, ValueError):  # of a zero byte
        raise UserError(f"{where}: {path} is absent; mend the path or take the line out") from None
    if not S_ISREG(found.st_mode):
        what = "a folder" if S_ISDIR(found.st_mode) else "no file"
        raise UserError(f"{where}: {path} is {what}; name the picture or take the line out")
    return found.st_size
