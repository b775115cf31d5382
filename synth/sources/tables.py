"""The tables that sets come with: CSV and Excel files whose columns and numbers are checked on reading."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from synth.base.disk_errors import check_file
from synth.base.errors import UserError
from synth.sources import encodings, separated, workbooks
from synth.sources.report import Report
from synth.sources.separated import Record

_KEPT = 50_000
_NO_TABLES = {
    b"%PDF": "a PDF file",
    b"\x1f\x8b": "a gzip archive",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"PAR1": "a parquet file",
    b"SQLite": "a data base",
    b"version https://git-lfs": "a pointer of Git LFS, not fetched",
}


class Form(NamedTuple):
    """How a table is written, where the file does not tell it by itself."""

    encoding: str | None = None
    header: int | None = None
    """The line of the column names, from 1."""
    sheet: str | None = None
    """Of an Excel file; the first one if none is named."""


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
        """The file, and the line in it on which this one begins, for errors; the file alone where it has no lines."""
        return f"{self._header.path} line {self.number}" if self.number else str(self._header.path)

    @property
    def repeated(self) -> frozenset[str]:
        """Names that several columns have."""
        return self._header.repeated

    def __getitem__(self, column: str) -> str:
        if column in self._header.repeated:
            raise _repeated(self._header.path, column)
        return self.cells[self._header.places[column]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._header.places)

    def __len__(self) -> int:
        return len(self._header.places)


def read_csv(
    path: Path, needed: Iterable[str] = (), form: Form = Form(), report: Report | None = None
) -> list[Line]:
    """The lines of a comma-, semicolon- or tab-separated file, or by its content of a sheet of an Excel file.

    Raises:
        UserError: no such file, no line in it, not a table, a needed column is missing or repeated, or a row does not fit
            the header.
    """
    needed = list(needed)
    kind = _kind(path)
    if kind == "workbook":
        lines = _lines(path, _sheet(path, needed, form), needed)
        if report and form.sheet is None:
            for name in _other_sheets(path, needed):
                report.note(f"{path.name}: sheet '{name}' has the same columns and is not read")
        return lines
    if kind is not None:
        raise UserError(f"{path}: {kind}; save it as .xlsx or as CSV in UTF-8")
    text = encodings.read(path, form.encoding)
    if report and form.encoding is None and text.encoding == "gb18030":
        report.note(f"{path.name} is not UTF-8, read as GB18030")
    return _lines(path, separated.records(text, path, needed, form.header), needed)


def read_xlsx(path: Path, needed: Iterable[str] = (), sheet: str | None = None) -> list[Line]:
    """The lines of a sheet of an Excel file, the first if none is named, dates as the numbers that stand there.

    A column without a name is called ''.

    Raises:
        UserError: no such file, not an Excel file, no such sheet, no line in it, or a needed column is missing.
    """
    rows = workbooks.rows(path, sheet, raw=True)
    return _lines(path, [Record(number, row) for number, row in enumerate(rows, start=1)], needed)


def _kind(path: Path) -> str | None:
    """What a file is by its first bytes: a workbook, in words what we do not read, or None for text."""
    check_file(path)
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError:
        return None  # told when its text is read
    if start.startswith(b"PK\x03\x04"):
        return "workbook"
    if start.startswith(b"\xd0\xcf\x11\xe0"):
        return "an Excel file of the old kind (.xls), or one with a password"
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return "a web page or XML under the name of a table"
    return next((f"{name}, not a table" for sign, name in _NO_TABLES.items() if start.startswith(sign)), None)


def _sheet(path: Path, needed: Sequence[str], form: Form) -> list[Record]:
    """The rows of a workbook, from its header on."""
    found = [
        Record(number, row)
        for number, row in enumerate(workbooks.rows(path, form.sheet, form.header), start=1)
    ]
    rows = [row for row in found if any(cell.strip() for cell in row.cells)]
    if form.header is not None:
        if form.header not in {row.number for row in rows}:
            raise UserError(
                f"{path}: header={form.header} is no row with column names; the sheet has {len(found)} rows"
            )
        rows = [row for row in rows if row.number >= form.header]
    names = [separated.shown(cell) for cell in rows[0].cells] if rows else []
    column = next((column for column in needed if column not in names), None)
    if column is not None:
        remedy = separated.header_below(rows, needed)
        other = next(_other_sheets(path, needed), None) if not remedy and form.sheet is None else None
        if other is not None:
            remedy = f"; the sheet '{other}' has them: write 'sheet: {other}' in the mapping"
        raise separated.missing(path, column, names, remedy)
    width = max((len(row.cells) for row in rows), default=0)
    return [Record(rows[0].number, [*names, *[""] * (width - len(names))]), *rows[1:]] if rows else []


def _other_sheets(path: Path, needed: Sequence[str]) -> Iterator[str]:
    """Sheets behind the one that is read by itself that have the needed columns."""
    for name in workbooks.sheets(path)[1:]:
        found = workbooks.rows(path, name, max_row=separated.SEARCHED)
        if separated.header_below((Record(number, row) for number, row in enumerate(found, 1)), needed):
            yield name


def _lines(path: Path, rows: Iterable[Record], needed: Iterable[str]) -> list[Line]:
    rows = iter(rows)
    first = next(rows, None)
    names = [separated.shown(name) for name in first.cells] if first else []
    header = _header(path, names, needed)
    kept: dict[str, str] = {}  # a text that stands in many cells is kept once
    lines = []
    for number, row in rows:
        cells = [separated.shown(text) for text in row[: len(names)]]
        if any(cells):
            if len(kept) < _KEPT:
                cells = [kept.setdefault(text, text) for text in cells]
            else:
                cells = [kept.get(text, text) for text in cells]
            cells += [""] * (len(names) - len(cells))
            if cells == names:
                raise UserError(f"{path} line {number}: the header stands there again; take that line out")
            lines.append(Line(header, tuple(cells), number))
    if not lines:
        raise UserError(f"{path}: no line below its header; is the file whole?")
    return lines


def _header(path: Path, names: list[str], needed: Iterable[str]) -> Header:
    places = {name: place for place, name in reversed(list(enumerate(names)))}
    repeated = frozenset(name for name in names if name and names.count(name) > 1)
    for column in needed:
        if column not in names:
            raise separated.missing(path, column, names)
        if column in repeated:
            raise _repeated(path, column)
    return Header(path, {name: places[name] for name in names}, repeated)


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
