"""A list of pictures: a CSV file, or JSON, one entry a picture, with columns called as in records.

    image,caption_zh,caption_en,subject_id,dr_grade,findings,split
    a/1.jpg,疑似青光眼。,Suspected glaucoma.,p1,0,drusen;exudate,train

`image` is a path from the folder of the file, or absolute.  `subject_id` says who it is; it may be left out only where
`split` (train, validation or test) is told.  Captions and all labels may be left out or empty; empty is unknown.

open_clip's columns are read too: `filepath` for the picture, whose path may begin where the command runs, and `title`; and
Hugging Face's image folders, whose `metadata.csv`, `.jsonl` or `.parquet` with `file_name` may stand in each folder, and
whose folders may be named after splits.  Such lists need not say who it is: every picture is a person of its own then.
"""

import difflib
from collections.abc import Sequence
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Any, NamedTuple

import numpy as np

from clip.inputs import kinds, metadata
from clip.inputs.entries import Entry, one_of, read_entries
from clip.inputs.listing import COLUMNS, Files, Listing, caption, split_of_path, unreadable
from clip.inputs.sets import USUAL, Columns
from synth.base.errors import UserError
from synth.sources.paths import Spellings
from synth.sources.separated import header

_SUFFIXES, _JSON = (".csv", ".tsv", ".xlsx"), (".jsonl",)
_PICTURES = ("image", "filepath", "file_name")
"""What records, open_clip, and folders of pictures for Hugging Face's `datasets` call the path."""
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""How Hugging Face's `datasets` calls the list of a folder of pictures, or of one of its folders."""
_CAPTIONS = ("title", "caption", "text")
_PEOPLE = ("subject_id", "patient_id")
_COUNTERS = ("", "Unnamed: 0")  # as pandas writes its index


def holds(data: Path) -> bool:
    """Whether this is a file of text or of Excel, or a folder with a list in it."""
    return kinds.kind(data) in ("text", "empty", "workbook") if data.is_file() else bool(_tables(data))


def beside(folder: Path) -> Path | None:
    """A list of pictures in a folder that holds something else too."""
    lists = (path for path in _tables(folder) if {*_PICTURES} & {*header(path)})
    return next(lists, None)


def read(data: Path, columns: Columns = USUAL) -> Listing:
    """Every entry of the list; where `columns` names its own, what else it has and we do not know is left out and noted.

    Raises:
        UserError: a picture is absent, a column is missing or unknown, or a label is outside the vocabulary.
    """
    tables = [data] if data.is_file() else _tables(data)
    if len(tables) > 1 and tables[0].parent == data:
        raise UserError(f"{data}: holds {', '.join(path.name for path in tables)}; name the one as --data")
    lists = [_list(data, table, columns) for table in tables]
    rows = [row for each in lists for row in each.rows]
    where = [place for each in lists for place in each.where]
    paths = [path for each in lists for path in each.paths]
    sizes = [_size(path, place) for path, place in zip(paths, where, strict=True)]
    notes = tuple(note for each in lists for note in each.notes)
    return Listing(rows, Files(paths, where), np.array(sizes), where, notes)


class _List(NamedTuple):
    """What one list tells, entry by entry."""

    rows: list[dict[str, Any]]
    paths: list[Path]
    where: list[str]
    notes: list[str]


def _list(data: Path, table: Path, columns: Columns) -> _List:
    what = kinds.kind(table)
    if what not in ("text", "workbook") and (what, table.name) != ("parquet", _METADATA[2]):
        raise kinds.refusal(table, what)
    entries = read_entries(table, columns.image, _PICTURES)
    names = list(dict.fromkeys(name for entry in entries for name in entry.content))
    image, left_out = _check_names(table, names, columns)
    where = [entry.where for entry in entries]
    captions = (columns.caption,) if columns.caption else _CAPTIONS
    rows = [_row(entry, image, captions, left_out) for entry in entries]
    spellings = Spellings()
    paths = [
        spellings.stored(_path(table, str(entry.content[image]), image, entry.where)) for entry in entries
    ]
    _check_ids(table, entries, rows, paths)
    if image == _PICTURES[2]:
        told = not {*_PEOPLE}.isdisjoint(names)
        rows = [_placed(data, table, row, path, told) for row, path in zip(rows, paths, strict=True)]
    notes = [f"{table}: columns left out: {', '.join(left_out)}"] if left_out else []
    if not {"split", *_PEOPLE} & set(names):
        notes.append(f"{table}: tells not who it is; every picture is taken for a person of its own")
    return _List(rows, paths, where, notes)


def _placed(data: Path, table: Path, row: dict[str, Any], path: Path, told: bool) -> dict[str, Any]:
    """A row of a list of Hugging Face's: its picture's folders tell the split, and names count from `data`, but people's if they are told."""
    root = data if data.is_dir() else data.parent
    split = split_of_path(root, path.parent) if path.is_relative_to(root) else {}
    folder = "" if table.parent == root else f"{table.parent.relative_to(root).as_posix()}/"
    own = {key: folder + row[key] for key in (("id",) if told else ("id", "subject_id"))}
    return split | row | own


def _tables(folder: Path) -> list[Path]:
    def of(suffixes: tuple[str, ...]) -> list[Path]:
        return sorted(
            path for path in folder.glob("[!.~]*") if path.suffix.lower() in suffixes and path.is_file()
        )

    below = (path for path in kinds.visible(folder) if path.name in _METADATA)
    return of(_SUFFIXES) or of(_JSON) or sorted(below)


def _check_names(table: Path, names: list[str], columns: Columns) -> tuple[str, list[str]]:
    """What the column of the pictures is called, once all names are known ones, and what is left out."""
    for option, name in zip(("--image-column", "--caption-column"), columns, strict=True):
        if name is not None and name not in names:
            raise UserError(f"{table}: has no column '{name}' ({option}); it has {', '.join(names)}")
    image = columns.image or one_of(table, names, _PICTURES)
    if image is None:
        raise UserError(f"{table}: column 'image' is missing; it has {', '.join(names)}")
    if columns.caption is None:
        one_of(table, names, _CAPTIONS)
    known = {image, columns.caption, "split", *COLUMNS, *_CAPTIONS, *_PEOPLE, *_COUNTERS}
    unknown = sorted(set(names) - known)
    if unknown and columns == USUAL:
        near = difflib.get_close_matches(unknown[0].lower(), [*COLUMNS, *_CAPTIONS, *_PEOPLE], 1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise UserError(
            f"{table}: column '{unknown[0]}' is unknown; known: image, split, {', '.join(COLUMNS)}; "
            f"{hint}give --caption-column '{unknown[0]}' if captions are in it, "
            f"--image-column {image} to leave it out, or bring the set in with 'synth import folder --mapping'"
        )
    if image not in (*_PICTURES[1:], columns.image) and not {"split", *_PEOPLE} & set(names):
        raise UserError(
            f"{table}: column 'subject_id' is missing; without it one patient's photographs could be on both sides of "
            "the split; add it, or a column 'split'"
        )
    return image, unknown


def _row(entry: Entry, image: str, captions: Sequence[str], left_out: Sequence[str]) -> dict[str, Any]:
    where, content = entry.where, {key: value for key, value in entry.content.items() if key not in left_out}
    picture = metadata.text(image, content.get(image), where)
    if not picture:
        raise UserError(f"{where}: {image} is empty; name the picture or take the line out")
    texts: dict[str, Any] = {}
    for name in captions:
        if text := metadata.text(name, content.get(name), where):
            texts = caption(text)
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
    except PermissionError as error:
        raise unreadable(f"{where}: {path}", error) from None
    except (OSError, ValueError):  # of a zero byte
        raise UserError(f"{where}: {path} is absent; mend the path or take the line out") from None
    if not S_ISREG(found.st_mode):
        what = "a folder" if S_ISDIR(found.st_mode) else "no file"
        raise UserError(f"{where}: {path} is {what}; name the picture or take the line out")
    return found.st_size
