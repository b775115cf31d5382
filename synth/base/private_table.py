"""Tables that are personal data themselves: their owner alone can read them, and no spreadsheet runs a cell."""

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from synth.base.runs import atomic


def write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """Write a CSV file that only its owner may read."""
    with atomic(path) as temporary:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # before anything is in it
        with open(handle, "w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(header)
            table.writerows([text(cell) for cell in row] for row in rows)
    return path


def text(cell: object) -> object:
    """A cell that no spreadsheet takes for a formula: what begins as one gets an apostrophe before it."""
    formula = isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    return f"'{cell}" if formula else cell
