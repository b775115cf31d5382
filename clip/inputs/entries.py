"""The entries of a list of pictures as they stand in its file: lines of CSV, objects of JSON, rows of parquet."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from clip.inputs import kinds
from clip.inputs.listing import unreadable
from synth.base.documents import unique_keys
from synth.base.errors import UserError
from synth.sources.separated import header
from synth.sources.tables import read_csv

_LONGEST = 200  # characters of the name of a column


class Entry(NamedTuple):
    """One entry of a list."""

    where: str
    """The file and the line, or the number of the entry."""
    content: Mapping[str, Any]


def read_entries(table: Path, image: str | None, pictures: tuple[str, ...]) -> list[Entry]:
    """Every entry of a list; of a CSV file its pictures are in the column `image`, or in one of `pictures`.

    Raises:
        UserError: not CSV, JSON or parquet, without a header, or without an entry.
    """
    if table.suffix == ".parquet":
        return _from_parquet(table)
    begin = _begin(table)
    if begin in (b"[", b"{"):
        return _from_json(table, whole=begin == b"[")
    if kinds.kind(table) == "workbook":
        return [Entry(line.where, dict(line)) for line in read_csv(table)]
    names = header(table)
    if any(len(name) > _LONGEST for name in names):
        raise UserError(
            f"{table}: its first row is no header, a cell has more than {_LONGEST} characters; give the columns names"
        )
    return [
        Entry(line.where, dict(line))
        for line in read_csv(table, [image or one_of(table, names, pictures) or "image"])
    ]


def _from_parquet(table: Path) -> list[Entry]:
    try:
        lines = pq.read_table(table).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise UserError(
            f"{table}: damaged parquet ({str(error).splitlines()[0]}); fetch or write it again"
        ) from None
    if not lines:
        raise UserError(f"{table}: no entry in it")
    return [Entry(f"{table} row {number}", line) for number, line in enumerate(lines)]


def _begin(table: Path) -> bytes:
    with open(table, "rb") as file:
        return file.read(512).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]


def _from_json(table: Path, whole: bool) -> list[Entry]:
    """The objects of a JSON list, or of a file of one a line."""
    try:
        text = table.read_text(encoding="utf-8-sig")
        lines = enumerate([text] if whole else text.split("\n"), start=1)
        found = [
            (number, json.loads(line, object_pairs_hook=unique_keys))
            for number, line in lines
            if line.strip()
        ]
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


def one_of(table: Path, names: Sequence[str], wanted: tuple[str, ...]) -> str | None:
    """The one of some names that a list has."""
    found = [name for name in wanted if name in names]
    if len(found) > 1:
        raise UserError(
            f"{table}: has the columns {' and '.join(found)}; nobody can tell which is meant, take one out"
        )
    return found[0] if found else None
