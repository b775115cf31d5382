"""Excel files (.xlsx): the rows of a sheet as people see them."""

import datetime
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from synth.base import archives
from synth.base.errors import UserError

_PADDED = re.compile(r'(?:"(?P<before>[^"]*)")?(?P<zeros>0+)(?:"(?P<after>[^"]*)")?')
_TAIL = 2**22  # bytes of a sheet in which its merged cells are looked for
_EXACT = 10**15  # from here on Excel keeps and shows a number with its first digits only


def rows(
    path: Path, sheet: str | None = None, header: int | None = None, raw: bool = False
) -> list[list[str]]:
    """The rows of a sheet, the first one if none is named; formulas by their values, merged cells each with the value.

    Args:
        header: the row of the column names, from 1; else the first that is not empty.  Merged cells of it are left as they are.
        raw:    dates are the numbers that stand in the file; formats and merged cells are left aside.

    Raises:
        UserError: no such file, not an Excel file, or no such sheet.
    """
    with _opened(path) as book:
        names = [each.title for each in book.worksheets]
        if sheet is not None and sheet not in names:
            raise UserError(f"{path}: no sheet '{sheet}'; it has {', '.join(names)}")
        found = book.worksheets[names.index(sheet) if sheet else 0]
        found.reset_dimensions()  # what a file says of its size may be wrong
        cells = [[_raw(cell.value) if raw else _shown(cell) for cell in row] for row in found.iter_rows()]
        if not raw:
            first = next((place for place, row in enumerate(cells, start=1) if any(row)), 0)
            _fill(cells, _merged(path, found), header or first)
        return cells


def sheets(path: Path) -> list[str]:
    """The names of the sheets.

    Raises:
        UserError: as `rows`.
    """
    with _opened(path) as book:
        return [each.title for each in book.worksheets]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import openpyxl
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with (
            archives.opened_zip(path),  # it is as large as it says
            path.open("rb") as file,
            warnings.catch_warnings(action="ignore"),  # of styles and the like, which are not read
            closing(openpyxl.load_workbook(file, read_only=True, data_only=True)) as book,
        ):
            yield book
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; is --root the folder of this set?") from None
    except (
        InvalidFileException, zipfile.BadZipFile, LookupError, ValueError, TypeError, AttributeError, SyntaxError, OSError,
    ):  # fmt: skip
        remedy = "save it again as .xlsx, or export its sheet as CSV beside it"
        what = "an Excel file that is damaged" if archives.is_zip(path) else "not an Excel file"
        raise UserError(f"{path}: {what}; {remedy}") from None


def _raw(value: Any) -> str:
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


def _shown(cell: Any) -> str:
    """A cell as it is seen: dates in the form 2024-05-01, TRUE and FALSE, leading zeros that a format adds."""
    value = cell.value
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, datetime.datetime):
        return str(value.date() if value.time() == datetime.time() else value.replace(microsecond=0))
    if isinstance(value, int | float):
        return _number(value, str(cell.number_format))
    return str(value)


def _number(value: int | float, form: str) -> str:
    if abs(value) >= _EXACT:
        return f"{value:.5E}"
    whole = value == int(value)
    padded = _PADDED.fullmatch(form.split(";")[0])
    if padded and whole:
        zeros = str(int(value)).zfill(len(padded["zeros"]))
        return f"{padded['before'] or ''}{zeros}{padded['after'] or ''}"
    if form.rstrip().endswith("%"):
        return f"{value * 100:.15g}%"
    return str(int(value)) if whole else f"{value:.15g}"


def _merged(path: Path, sheet: Any) -> Iterator[tuple[int, int, int, int]]:
    """First column, first row, last column and last row of all merged cells, from 1."""
    from openpyxl.utils.cell import range_boundaries

    with archives.opened_zip(path) as archive, archive.open(sheet._worksheet_path) as file:
        tail = b""  # they stand behind the cells
        while part := file.read(_TAIL):
            tail = (tail + part)[-_TAIL:]
    text = tail.rpartition(b"sheetData>")[2].decode("utf-8", errors="replace")
    for ref in re.findall(r'<(?:\w+:)?mergeCell\s[^>]*?ref="([^"]+)"', text):
        first, top, last, bottom = range_boundaries(ref)
        if first and top and last and bottom:
            yield first, top, last, bottom


def _fill(cells: list[list[str]], merged: Iterator[tuple[int, int, int, int]], header: int) -> None:
    """Give every row of merged cells the value that Excel shows over all of them; not every column."""
    for column, top, _, bottom in merged:
        for row in cells[top:bottom] if top > header else ():
            if len(row) >= column and len(cells[top - 1]) >= column:
                row[column - 1] = cells[top - 1][column - 1]
