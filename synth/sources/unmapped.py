"""What no rule of a mapping covers: every cell of every column, counted, and the lines of YAML that would map them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from synth.base.errors import UserError
from synth.sources.mapping import PERSON
from synth.sources.tables import Line

_SHOWN = 200  # cells of a column; a column of free text has more, and is not what the mapping takes it for
TODO = "TODO"
"""What stands in for a value of ours; no column takes it, so it cannot be left there."""


_Setting = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass
class _Cell:
    """A text that is not mapped: why, in how many lines, and the first of them."""

    reason: str
    first: Line
    count: int = 0


class Unmapped:
    """The cells that mean nothing under a mapping, by the setting that would map them."""

    def __init__(self) -> None:
        self._cells: dict[_Setting, dict[str, _Cell]] = {}

    def add(
        self, setting: tuple[str, ...], columns: tuple[str, ...], text: str, reason: str, line: Line
    ) -> None:
        """Count a cell.

        Args:
            setting: keys that lead to the column in the mapping.
            columns: its name in the table; or the two with the dates of birth and of the visit.
        """
        cell = self._cells.setdefault((setting, columns), {}).setdefault(text, _Cell(reason, line))
        cell.count += 1

    def counts(self, *setting: str) -> dict[str, int]:
        """The cells of one setting, and in how many lines each stands."""
        cells = [found for (keys, _), found in self._cells.items() if keys == setting]
        return {text: cell.count for each in cells for text, cell in each.items()}

    def refuse(self, table: Path) -> None:
        """End the import where there are any.

        Raises:
            UserError: one line with every cell, and the YAML to paste into the mapping.
        """
        if not self._cells:
            return
        first = min(
            (cell for cells in self._cells.values() for cell in cells.values()),
            key=lambda cell: cell.first.number,
        )
        total = sum(map(len, self._cells.values()))
        told = "; ".join(_told(setting, cells) for setting, cells in self._cells.items())
        paste = yaml.safe_dump(
            self._yaml(), allow_unicode=True, default_flow_style=True, width=10**9, sort_keys=False
        )
        columns = [names[0] for keys, names in self._cells if keys[-1] not in PERSON]
        several = next((column for column in columns if columns.count(column) > 1), None)
        hint = (
            f"; for several diagnoses in a cell write 'diagnoses: {{column: {several}}}' instead"
            if several
            else ""
        )
        raise UserError(
            f"{first.first.where}: {total} {'cell is' if total == 1 else 'different cells are'} outside the vocabulary: {told}; "
            f"map them, with our value or null for each {TODO}: {' '.join(paste.split())}{hint}"
        )

    def _yaml(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for (keys, columns), cells in self._cells.items():
            section = found
            for key in keys[:-1]:
                section = section.setdefault(key, {})
            values = dict.fromkeys(list(cells)[:_SHOWN], TODO)
            if keys[-1] == "terms":
                section.setdefault("terms", {}).update(values)
            else:
                names = ("column",) if len(columns) == 1 else ("born", "at")
                section[keys[-1]] = dict(zip(names, columns, strict=True)) | {"values": values}
        return found


def _told(setting: _Setting, cells: dict[str, _Cell]) -> str:
    """One column in words: its reason once, every cell with its count."""
    keys, column = setting[0], " to ".join(setting[1])
    counted = sorted(cells.items(), key=lambda item: -item[1].count)
    each = ", ".join(f"'{text}' {_lines(cell)}" for text, cell in counted[:_SHOWN])
    more = f" and {len(cells) - _SHOWN} more; is '{column}' the right column?" if len(cells) > _SHOWN else ""
    key = "diagnoses" if keys[-1] == "terms" else keys[-1]
    return f"{column} as {key}: {each}{more} ({_reasons(cells.values())})"


def _lines(cell: _Cell) -> str:
    return f"in line {cell.first.number}" if cell.count == 1 else f"in {cell.count} lines"


def _reasons(cells: Iterable[_Cell]) -> str:
    return " or ".join(dict.fromkeys(cell.reason for cell in cells))
