"""The tables that sets come with: CSV (and plain Excel) files whose columns and numbers are checked on reading."""

import csv
import zipfile
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

from synth.base.errors import UserError

Line = dict[str, str]
"""One line of a table: column -> text, both stripped."""

_SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def read_csv(path: Path, needed: Iterable[str] = ()) -> list[Line]:
    """The lines of a comma-, semicolon- or tab-separated file.

    Raises:
        UserError: no such file, no line in it, not text, or a needed column is missing.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; is --root the folder of this set?") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; export it as a CSV file in UTF-8") from None
    header = text.split("\n", 1)[0]
    separator = max(",;\t", key=header.count)
    return _lines(path, list(csv.reader(text.splitlines(), delimiter=separator)), needed)


def read_xlsx(path: Path, needed: Iterable[str] = ()) -> list[Line]:
    """The lines of the first sheet of an Excel file; a column without a name is called ''.

    Raises:
        UserError: no such file, not an Excel file, no line in it, or a needed column is missing.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            texts = []
            if "xl/sharedStrings.xml" in archive.namelist():
                shared = ElementTree.fromstring(archive.read("xl/sharedStrings.xml"))
                texts = ["".join(item.itertext()) for item in shared.findall(f"{_SHEET}si")]
            sheet = ElementTree.fromstring(archive.read("xl/worksheets/sheet1.xml"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; is --root the folder of this set?") from None
    except (zipfile.BadZipFile, KeyError, ElementTree.ParseError):
        raise UserError(f"{path}: not an Excel file; export its sheet as CSV beside it") from None
    rows = []
    for row in sheet.iter(f"{_SHEET}row"):
        cells: dict[int, str] = {}
        for cell in row.findall(f"{_SHEET}c"):
            text = "".join(cell.itertext())
            shared_text = cell.get("t") == "s" and text
            cells[_column(cell.get("r", "A"))] = texts[int(text)] if shared_text else text
        rows.append([cells.get(i, "") for i in range(max(cells, default=-1) + 1)])
    return _lines(path, rows, needed)


def _column(reference: str) -> int:
    """The number of a cell's column, 0 for A: 27 for `AB7`."""
    place = 0
    for letter in reference.rstrip("0123456789"):
        place = 26 * place + ord(letter) - ord("A") + 1
    return place - 1


def _lines(path: Path, rows: list[list[str]], needed: Iterable[str]) -> list[Line]:
    names, *cells = rows or [[]]
    names = [name.strip() for name in names]
    for column in needed:
        if column not in names:
            raise UserError(f"{path}: column '{column}' is missing; it has {', '.join(filter(None, names))}")
    lines = [dict(zip(names, map(str.strip, line), strict=False)) for line in cells if any(line)]
    if not lines:
        raise UserError(f"{path}: no line below its header; is the file whole?")
    return [dict.fromkeys(names, "") | line for line in lines]


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
