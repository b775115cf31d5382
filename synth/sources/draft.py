"""The text of a mapping that was guessed: YAML with the reasons in comments, and a gap for every cell that is to be mapped."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from synth.sources.unmapped import TODO, Unmapped

_SHOWN = 200  # cells of a column that are written down
_LONGEST = 200  # characters of a cell


class Draft:
    """Writes a mapping down; `todo` counts the gaps."""

    def __init__(self, settings: Mapping[str, Any], why: Mapping[str, str], unmapped: Unmapped) -> None:
        self._settings, self._why, self._unmapped = settings, why, unmapped
        self._lines: list[str] = []
        self.todo = 0

    def text(self, lines: int, pictures: int, unused: Sequence[str], problem: str | None) -> str:
        """The whole file.

        Args:
            lines:   how many the table has.
            unused:  its columns that nothing is guessed of.
            problem: what stops an import with this mapping.
        """
        table = f"{self._settings['table']} ({lines} lines) and " if "table" in self._settings else ""
        self._lines = [
            f"# Guessed by 'synth import folder --suggest' from {table}{pictures} pictures.  Check every line, put our value or",
            f"# null for unknown in place of each {TODO}, and then: synth import folder --root … --mapping … --out …",
        ]
        self._lines += [f"# This stops the import: {problem}"] if problem else []
        for key, value in self._settings.items():
            if key == "columns":
                self._lines.append("columns:")
                self._columns(("columns",), value)
            elif key == "diagnoses":
                self._diagnoses(value)
            elif key == "eyes":
                self._eyes(value)
            else:
                self._put(0, key, value, self._why.get(key))
        self._lines += [f"# not used: {', '.join(map(_flow, unused))}"] if unused else []
        if not self._is_told("subject_id"):
            self._lines += [
                "# subject_id is missing: every picture counts as a person of its own, and one patient may be on both sides of a",
                "# split.  Name the column with the patient, or a pattern of the pictures' names.",
            ]
        return "\n".join(self._lines) + "\n"

    def _is_told(self, key: str) -> bool:
        return key in self._settings.get("columns", {}) or f"<{key}>" in self._settings.get("pattern", "")

    def _put(self, indent: int, key: str, value: Any, why: str | None) -> None:
        comment = f"  # guess: {why}" if why else ""
        self._lines.append(f"{' ' * indent}{_flow(key)}: {_flow(value)}{comment}")

    def _columns(self, keys: tuple[str, ...], columns: Mapping[str, Any]) -> None:
        indent = 2 * len(keys)
        for key, value in columns.items():
            cells = self._unmapped.counts(*keys, key)
            if not cells or not isinstance(value, str):
                dates = f"; {len(cells)} are not understood: order dmy or mdy?" if cells else ""
                self._put(indent, key, value, (self._why.get(key) or "by its name") + dates)
                continue
            self._lines.append(f"{' ' * indent}{key}:  # guess: {self._why.get(key, 'by its name')}")
            self._put(indent + 2, "column", value, None)
            self._gaps(indent + 2, "values", cells)

    def _diagnoses(self, value: Mapping[str, Any]) -> None:
        self._lines.append(f"diagnoses:  # guess: {self._why['diagnoses']}")
        for key, each in value.items():
            self._put(2, key, each, None)
        self._lines.append("  # complete: true  # if a cell that is filled in names all there is")
        if cells := self._unmapped.counts("diagnoses", "terms"):
            self._gaps(2, "terms", cells)

    def _eyes(self, eyes: Mapping[str, Mapping[str, Any]]) -> None:
        self._lines.append("eyes:")
        for side, columns in eyes.items():
            self._lines.append(f"  {side}:")
            self._columns(("eyes", side), columns)

    def _gaps(self, indent: int, key: str, cells: Mapping[str, int]) -> None:
        shown = [text for text in sorted(cells, key=lambda text: -cells[text]) if len(text) <= _LONGEST][
            :_SHOWN
        ]
        self._lines.append(f"{' ' * indent}{key}:")
        self._lines += [
            f"{' ' * (indent + 2)}{_flow(text)}: {TODO}  # in {cells[text]} line{'s' * (cells[text] > 1)}"
            for text in shown
        ]
        self.todo += len(shown)
        if len(shown) < len(cells):
            self._lines.append(
                f"{' ' * (indent + 2)}# and {len(cells) - len(shown)} more; is this the right column?"
            )


def _flow(value: Any) -> str:
    """A value on one line, quoted where YAML needs it."""
    if isinstance(value, str) and "\n" in value:
        return json.dumps(value, ensure_ascii=False)  # which YAML reads too
    text = yaml.safe_dump(value, allow_unicode=True, default_flow_style=True, width=10**9, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")
