"""The tables that sets come with: CSV (and plain Excel) files whose columns and numbers are checked on reading."""

import datetime
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from synth.base.errors import UserError
from synth.sources import separated
from synth.sources.separated import Record


class Header(NamedTuple):
    """The columns of a table."""

    path: Path
    places: dict[str, int]
    """Name -> number of its cell; of a name that several columns have, the first."""
    repeated: frozenset[str]
    """Names that several columns have, so that nobody knows which is meant."""


class Line(Mapping[str, str]):
    """One line of a table: column -> text, both stripped.  To ask for a column whose name is repeated is a `UserError`."""

    __slots__ = ("_header", "cells", "number")

    def __init__(self, header: Header, cells: Sequence[str], number: int) -> None:
        self._header, self.cells, self.number = header, cells, number

    @property
    def where(self) -> str:
        """The file, and the line in it on which this one begins, for errors."""
        return f"{self._header.path} line {self.number}"

    def __getitem__(self, column: str) -> str:
        if column in self._header.repeated:
            raise _repeated(self._header.path, column)
        return self.cells[self._header.places[column]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._header.places)

    def __len__(self) -> int:
        return len(self._header.places)


def read_csv(path: Path, needed: Iterable[str] = ()) -> list[Line]:
    """The lines of a comma-, semicolon- or tab-separated file.

    Raises:
        UserError: no such file, no line in it, not text, a needed column is missing or repeated, or a row does not fit
            the header.
    """
    needed = list(needed)
    return _lines(path, separated.records(path, needed), needed)


def read_xlsx(path: Path, needed: Iterable[str] = (), sheet: str | None = None) -> list[Line]:
    """The lines of a sheet of an Excel file, the first if none is named, formulas by their values; a column without a name is called ''.

    Raises:
        UserError: no such file, not an Excel file, no such sheet, no line in it, or a needed column is missing.
    """
    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with (
            warnings.catch_warnings(action="ignore"),  # of styles and the like, which are not read
            closing(openpyxl.load_workbook(path, read_only=True, data_only=True)) as book,
        ):
            names = [each.title for each in book.worksheets]
            if sheet is not None and sheet not in names:
                raise UserError(f"{path}: no sheet '{sheet}'; it has {', '.join(names)}")
            rows: Any = book.worksheets[names.index(sheet) if sheet else 0]
            rows.reset_dimensions()  # what a file says of its size may be wrong
            found = [[_text(cell) for cell in row] for row in rows.iter_rows(values_only=True)]
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; is --root the folder of this set?") from None
    except (
        InvalidFileException, zipfile.BadZipFile, LookupError, ValueError, TypeError, AttributeError, SyntaxError, OSError,
    ):  # fmt: skip
        raise UserError(f"{path}: not an Excel file; export its sheet as CSV beside it") from None
    return _lines(path, [Record(number, row) for number, row in enumerate(found, start=1)], needed)


def _text(value: Any) -> str:
    """A cell as it stands in the file: dates are numbers there, and booleans 1 and 0."""
    from openpyxl.utils.datetime import to_excel

    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, datetime.date | datetime.time | datetime.timedelta):
        serial = to_excel(value)
        return str(int(serial) if serial == int(serial) else serial)
    return str(value)


def _lines(path: Path, rows: list[Record], needed: Iterable[str]) -> list[Line]:
    names = [name.strip() for name in rows[0].cells] if rows else []
    places = {name: place for place, name in reversed(list(enumerate(names)))}
    repeated = frozenset(name for name in names if name and names.count(name) > 1)
    header = Header(path, {name: places[name] for name in names}, repeated)
    for column in needed:
        if column not in names:
            has = ", ".join(filter(None, names)) or "none"
            raise UserError(f"{path}: column '{column}' is missing; it has {has}")
        if column in repeated:
            raise _repeated(path, column)
    lines = []
    for number, row in rows[1:]:
        if any(row):
            cells = [cell.strip() for cell in row[: len(names)]]
            lines.append(Line(header, cells + [""] * (len(names) - len(cells)), number))
    if not lines:
        raise UserError(f"{path}: no line below its header; is the file whole?")
    return lines


def _repeated(path: Path, column: str) -> UserError:
    return UserError(
        f"{path}: several columns are called '{column}'; give the one that is meant a name of its own"
    )


def keyed(lines: Iterable[tuple[str, Line]], columns: Sequence[str]) -> dict[str, Line]:
    """Key -> its line, the first of several that agree in `columns`.

    Raises:
        UserError: two lines of one key differ in one of them.
    """
    found: dict[str, Line] = {}
    for key, line in lines:
        first = found.setdefault(key, line)
        for column in columns:
            if line[column] != first[column]:
                raise UserError(
                    f"{line.where}: {column}='{line[column]}' of '{key}', but '{first[column]}' in line {first.number}; "
                    "mend the one or take it out"
                )
    return found


def number(text: str, where: str) -> float | None:
    """A number, or None for an empty cell.

    Raises:
        UserError: neither; `where` names the file and the column.
    """
    if text.lower() in ("", "nan", "na", "n/a", "none", "null", "-"):
        return None
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{where}='{text}' is not a number; mend that cell or leave it empty") from None


def whole(text: str, allowed: Iterable[int], where: str) -> int | None:
    """One of the `allowed` whole numbers, or None for an empty cell.

    Raises:
        UserError: another value; `where` names the file and the column.
    """
    value = number(text, where)
    allowed = list(allowed)
    if value is not None and value not in allowed:
        raise UserError(f"{where}='{text}' is outside the vocabulary; known: {', '.join(map(str, allowed))}")
    return None if value is None else int(value)
