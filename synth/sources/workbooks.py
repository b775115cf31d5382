"""Excel files (.xlsx): the rows of a sheet as people see them."""

import datetime
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from synth.base import archives
from synth.base.errors import UserError

_PADDED = re.compile(r'(?:"(?P<before>[^"]*)")?(?P<zeros>0+)(?:"(?P<after>[^"]*)")?')
_PART = 2**22  # bytes of a sheet that are searched at a time
_UNKEPT = re.compile(r"<c ([^<>]*)><f(?:\s[^<>]*)?(?:/>|>[^<]*</f>)(?:<v\s*/>|<v></v>)?</c>")
_MERGED = re.compile(r'<(?:\w+:)?mergeCell\s[^<>]*?ref="([^"]+)"')
NO_VALUE = "#VALUE?"
"""What stands for a formula whose value is not in the file: a program wrote it, and Excel has not opened it since."""
_ROWS = 2**20
"""Of a sheet, as Excel has them."""
_CELLS = 20_000_000
"""That a sheet may have: those that are filled, and those to their left, above, or merged with them."""
_EXACT = 10**15  # from here on Excel keeps and shows a number with its first digits only


def rows(
    path: Path,
    sheet: str | None = None,
    header: int | None = None,
    raw: bool = False,
    max_row: int | None = None,
) -> list[list[str]]:
    """The rows of a sheet, the first one that is not hidden if none is named; formulas by their values, merged cells each with the value.

    Args:
        header: the row of the column names, from 1; else the first that is not empty.  Merged cells of it are left as they are.
        raw:    dates are the numbers that stand in the file; formats and merged cells are left aside.
        max_row: read no more rows than that.

    Raises:
        UserError: no such file, not an Excel file, or no such sheet.
    """
    with _opened(path) as book:
        names = [each.title for each in book.worksheets]
        if sheet is not None and sheet not in names:
            raise UserError(f"{path}: no sheet '{sheet}'; it has {', '.join(names)}")
        found = book.worksheets[names.index(sheet) if sheet else _first_seen(book.worksheets)]
        found.reset_dimensions()  # what a file says of its size may be wrong
        told = found.iter_rows(max_row=min(max_row or _ROWS, _ROWS))
        cells = [[_raw(cell.value) if raw else _shown(cell) for cell in row] for row in _counted(told, path)]
        formulas, merged = _beside_the_values(path, found)
        for column, row in formulas:
            if row <= len(cells):
                cells[row - 1] += [""] * (column - len(cells[row - 1]))
                cells[row - 1][column - 1] = NO_VALUE
        _check_cells(path, sum(bottom - top for _, top, _, bottom in merged))
        if not raw:
            first = next((place for place, row in enumerate(cells, start=1) if any(row)), 0)
            _fill(cells, merged, header or first)
        return cells


def sheets(path: Path) -> list[str]:
    """The names of the sheets that are not hidden; the first is the one that `rows` reads by itself.

    Raises:
        UserError: as `rows`.
    """
    with _opened(path) as book:
        seen = [each.title for each in book.worksheets if each.sheet_state == "visible"]
        return seen or [each.title for each in book.worksheets]


def _first_seen(sheets: Sequence[Any]) -> int:
    """The place of the first sheet that is not hidden."""
    return next((place for place, sheet in enumerate(sheets) if sheet.sheet_state == "visible"), 0)


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
        what = "an Excel file that is damaged" if _is_workbook(path) else "not an Excel file"
        raise UserError(f"{path}: {what}; {remedy}") from None


def _counted(rows: Iterable[Sequence[Any]], path: Path) -> Iterator[Sequence[Any]]:
    """The same rows, while they are not too many: a few bytes can stand for a row of 16,384 cells."""
    total = 0
    for row in rows:
        total += len(row)
        _check_cells(path, total)
        yield row


def _check_cells(path: Path, total: int) -> None:
    if total > _CELLS:
        raise UserError(
            f"{path}: more than {_CELLS:,} cells, most of them empty; delete what stands far off, or save the sheet as CSV"
        )


def _is_workbook(path: Path) -> bool:
    if not archives.is_zip(path):
        return False
    with archives.opened_zip(path) as archive:
        return any(name.startswith("xl/") for name in archive.namelist())


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


def _beside_the_values(
    path: Path, sheet: Any
) -> tuple[list[tuple[int, int]], list[tuple[int, int, int, int]]]:
    """What openpyxl does not tell of a sheet that it reads row by row, columns and rows from 1.

    Returns:
        (column, row) of formulas whose values no program has kept, and (first column, first row, last column, last row) of
        merged cells.
    """
    from openpyxl.utils.cell import column_index_from_string, coordinate_from_string, range_boundaries

    formulas: list[tuple[int, int]] = []
    text = ""
    with archives.opened_zip(path) as archive, archive.open(sheet._worksheet_path) as file:
        while part := file.read(_PART):
            text += part.decode("utf-8", errors="replace")
            for attributes in _UNKEPT.findall(text):
                place = re.search(r'\br="([A-Z]+\d+)"', attributes)
                if place and 't="str"' not in attributes:  # the value of that one is an empty text
                    letters, row = coordinate_from_string(place[1])
                    formulas.append((column_index_from_string(letters), row))
            text = text[text.rfind("<c ") if "<c " in text else 0 :]  # merged cells stand behind the last one
    found = [range_boundaries(ref) for ref in _MERGED.findall(text)]
    return formulas, [(a, b, c, d) for a, b, c, d in found if a and b and c and d]


def _fill(cells: list[list[str]], merged: Iterable[tuple[int, int, int, int]], header: int) -> None:
    """Give every row of merged cells the value that Excel shows over all of them; not every column."""
    for column, top, _, bottom in merged:
        for row in cells[top:bottom] if top > header else ():
            if len(row) >= column and len(cells[top - 1]) >= column:
                row[column - 1] = cells[top - 1][column - 1]
