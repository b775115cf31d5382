"""The tables that sets come with: CSV files whose columns and numbers are checked on reading."""

import csv
from collections.abc import Iterable
from pathlib import Path

from synth.base.errors import UserError

Line = dict[str, str]
"""One line of a table: column -> text, both stripped."""


def read_csv(path: Path, needed: Iterable[str] = (), delimiter: str | None = None) -> list[Line]:
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
    separator = delimiter or max(",;\t", key=header.count)
    names, *cells = list(csv.reader(text.splitlines(), delimiter=separator)) or [[]]
    names = [name.strip() for name in names]
    for column in needed:
        if column not in names:
            raise UserError(f"{path}: column '{column}' is missing; it has {', '.join(names)}")
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
