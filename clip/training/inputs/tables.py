"""A CSV file beside a folder of pictures: one line per picture, columns called as in records.

    image,caption_zh,caption_en,subject_id,dr_grade,findings,split
    a/1.jpg,疑似青光眼。,Suspected glaucoma.,p1,0,drusen;exudate,train

`image` is a path from the folder of the file, or absolute.  `subject_id` says who it is; it may be left out only where
`split` (train, validation or test) is told.  Captions and all labels may be left out or empty; empty is unknown.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from clip.training.inputs.listing import COLUMNS, Listing, split_name
from synth.base.errors import UserError
from synth.data.records import SCHEMA, check_labels
from synth.sources.tables import Line, read_csv

_SUFFIXES = (".csv", ".tsv")


class Files:
    """Pictures that are files of their own."""

    def __init__(self, paths: Sequence[Path], where: Sequence[str]) -> None:
        self._paths, self._where = paths, where

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> bytes:
        return self._paths[index].read_bytes()

    def where(self, index: int) -> str:
        return f"{self._where[index]} ({self._paths[index].name})"


def holds(data: Path) -> bool:
    """Whether this is a CSV file, or a folder with one in it."""
    return data.suffix.lower() in _SUFFIXES if data.is_file() else bool(_tables(data))


def read(data: Path) -> Listing:
    """Every line of the file.

    Raises:
        UserError: a picture is absent, a column is missing or unknown, or a label is outside the vocabulary.
    """
    tables = [data] if data.is_file() else _tables(data)
    if len(tables) > 1:
        raise UserError(f"{data}: holds {', '.join(path.name for path in tables)}; name the one as --data")
    table = tables[0]
    lines = read_csv(table, ["image"])
    told = set(lines[0])
    unknown = sorted(told - {"image", "split", *COLUMNS})
    if unknown:
        raise UserError(
            f"{table}: column '{unknown[0]}' is unknown; known: image, split, {', '.join(COLUMNS)}; or bring the set in "
            "with 'synth import folder --mapping'"
        )
    if not told & {"subject_id", "split"}:
        raise UserError(
            f"{table}: column 'subject_id' is missing; without it one patient's photographs could be on both sides of "
            "the split; add it, or a column 'split'"
        )
    where = [line.where for line in lines]
    rows = [_row(line, place) for line, place in zip(lines, where, strict=True)]
    _check_ids(lines, rows)
    paths = [table.parent / line["image"] for line in lines]
    sizes = [_size(path, place) for path, place in zip(paths, where, strict=True)]
    return Listing(rows, Files(paths, where), np.array(sizes), where)


def _tables(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("[!.]*") if path.suffix.lower() in _SUFFIXES)


def _row(line: Line, where: str) -> dict[str, Any]:
    if not line["image"]:
        raise UserError(f"{where}: image is empty; name the picture or take the line out")
    row = {name: _value(name, line[name], where) for name in COLUMNS if line.get(name)}
    if line.get("split"):
        row["split"] = split_name(line["split"], where)
    elif "split" in line:
        raise UserError(f"{where}: split is empty; fill the column, or leave it out")
    if "subject_id" in line and "subject_id" not in row:
        raise UserError(
            f"{where}: subject_id is empty; say who it is, each unknown person by a name of their own"
        )
    check_labels(row, where)
    return {"id": line["image"], "subject_id": line["image"]} | row


def _check_ids(lines: Sequence[Line], rows: Sequence[dict[str, Any]]) -> None:
    """Every id that the file gives is that of one line; without ids, a picture may have several captions."""
    first: dict[str, Line] = {}
    for line, row in zip(lines, rows, strict=True):
        if line.get("id") and first.setdefault(row["id"], line) is not line:
            raise UserError(
                f"{line.where}: id '{row['id']}' is that of line {first[row['id']].number} too; give every line its own, or "
                "leave the column out"
            )


def _value(name: str, text: str, where: str) -> Any:
    kind = SCHEMA.field(name).type
    if pa.types.is_string(kind):
        return text
    if pa.types.is_list(kind):
        return [entry.strip() for entry in text.split(";") if entry.strip()]
    try:
        value = float(text)
    except ValueError:
        raise UserError(f"{where}: {name}='{text}' is not a number; mend it, or leave it empty") from None
    return value if pa.types.is_floating(kind) or not value.is_integer() else int(value)


def _size(path: Path, where: str) -> int:
    try:
        return path.stat().st_size
    except OSError:
        raise UserError(f"{where}: {path} is absent; mend the path or take the line out") from None
