"""A line of one's own table -> its pictures with labels of our vocabulary, as a mapping says."""

import re
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as Mapped
from pathlib import Path
from typing import Any, NamedTuple

from synth.base.errors import UserError
from synth.data.vocabulary import AGE
from synth.sources import ages
from synth.sources.cells import OutsideVocabulary, canonical, convert, plain
from synth.sources.diagnoses import Reader, Value
from synth.sources.mapping import Column, Eye, Mapping
from synth.sources.summary import DISEASES
from synth.sources.tables import Line
from synth.sources.terms import is_unknown
from synth.sources.unmapped import Unmapped

_REQUIRED = ("id", "split")
_DIGITS = 15  # of a number that Excel keeps


class Picture(NamedTuple):
    """What a line says of one picture."""

    image: str
    """The cell that names it."""
    labels: dict[str, Any]
    """Columns of a record that the mapping names, and `split`."""
    doubtful: tuple[str, ...]
    """Entries of its diagnoses that are kept as unknown."""


class _Cell(NamedTuple):
    """What a cell says."""

    value: Any
    problems: tuple[tuple[str, str], ...] = ()
    """Its entries that are not mapped, each with the reason."""


class _Rule(NamedTuple):
    """A column of the mapping, and the cells of it that have been read."""

    keys: tuple[str, ...]
    """What leads to it in the mapping, its own name last."""
    column: Column
    sources: tuple[str, ...]
    cells: dict[tuple[str, ...], _Cell]


class Translation:
    """Reads lines by a mapping; what it does not cover is collected."""

    def __init__(self, settings: Mapping) -> None:
        self._settings = settings
        self._shared = _rules(("columns",), settings.columns)
        self._eyes = {side: _rules(("eyes", side), eye.columns) for side, eye in settings.eyes.items()}
        self._reader = Reader(settings.diagnoses) if settings.diagnoses else None
        self._is_complete = bool(settings.diagnoses and settings.diagnoses.complete)
        self._pattern = re.compile(settings.pattern)
        self._constants = {key: _constant(key, value) for key, value in settings.constants.items()}
        self._unmapped = Unmapped()

    def images(self, lines: Iterable[Line], table: Path) -> list[tuple[str, Line]]:
        """Read every line; what it calls each of its pictures.

        Raises:
            UserError: cells that the mapping does not cover, all of them; or a line contradicts itself.
        """
        found = [(picture.image, line) for line in lines for picture in self.pictures(line)]
        self._unmapped.refuse(table)
        self._refuse_cut_numbers(table)
        return found

    def _refuse_cut_numbers(self, table: Path) -> None:
        """Excel keeps fifteen digits of a number and writes zeros for the rest, so that several patients become one."""
        for rule in (rule for rule in self._shared if rule.keys[-1] in ("id", "subject_id")):
            long = [cell for (cell, *_) in rule.cells if re.fullmatch(r"\d{16,}", cell)]
            by_chance = 10.0 ** -sum(len(cell) - _DIGITS for cell in long)
            if by_chance < 0.1 and not any(cell[_DIGITS:].strip("0") for cell in long):
                raise UserError(
                    f"{table}: {rule.sources[0]}: every long number in it ends in zeros behind the fifteenth digit, such as "
                    f"'{long[0]}', so Excel has cut them; make that column text there and export it again"
                )

    def unmapped(self, lines: Iterable[Line]) -> Unmapped:
        """The cells of some lines that the mapping does not cover."""
        for line in lines:
            for _ in self.pictures(line):
                pass
        return self._unmapped

    def pictures(self, line: Line) -> Iterator[Picture]:
        """The picture of a line, or one of each eye that has one."""
        if not self._eyes:
            yield self._picture(line, self._shared, None, self._column(None))
        for side, rules in self._eyes.items():
            picture = self._picture(
                line, [*self._shared, *rules], side, self._column(self._settings.eyes[side])
            )
            if picture.image:
                yield picture

    def _column(self, eye: Eye | None) -> str:
        """The column with the diagnoses."""
        shared = self._settings.diagnoses.column if self._settings.diagnoses else ""
        return (eye.diagnoses if eye else "") or shared

    def _picture(self, line: Line, rules: list[_Rule], side: str | None, column: str) -> Picture:
        told = {rule.keys[-1]: self._value(rule, line) for rule in rules}
        image = told.pop("image", None) or ("" if self._settings.table else line["image"])
        labels = self._named(image, line) if image else {}
        labels |= {key: value for key, value in told.items() if value is not None or key not in labels}
        labels |= {"eye_side": side} if side else {}
        labels |= self._constants
        if self._reader is None or not column:
            return Picture(image, labels, ())
        reading = self._reader.read(line[column], labels.get("eye_side"))
        for entry in reading.unmapped:
            self._unmapped.add(
                ("diagnoses", "terms"),
                (column,),
                entry,
                "no term of the vocabulary or of diagnoses.terms",
                line,
            )
        return Picture(
            image, _joined(reading.labels, labels, self._is_complete, line.where), reading.doubtful
        )

    def _value(self, rule: _Rule, line: Line) -> Any:
        cells = tuple([line[name] for name in rule.sources])
        found = rule.cells.get(cells)
        if found is None:
            found = rule.cells[cells] = _read(rule.keys[-1], rule.column, cells)
        value, problems = found
        for entry, reason in problems:
            self._unmapped.add(rule.keys, rule.sources, entry, reason, line)
        key = rule.keys[-1]
        if value is None and not problems and key in _REQUIRED:
            raise UserError(
                f"{line.where}: {rule.column.column} is empty, but maps to {key}; fill it or leave {key} out"
            )
        return value

    def _named(self, image: str, line: Line) -> dict[str, Any]:
        """What the picture's name tells."""
        groups = self._pattern.groupindex
        if not groups:
            return {}
        found = self._pattern.search(image)
        if found is None:
            raise UserError(
                f"{line.where}: '{image}' does not fit pattern '{self._settings.pattern}'; mend the pattern, so that it fits "
                "every picture"
            )
        try:
            return {key: convert(key, found[key] or "") for key in groups}
        except OutsideVocabulary as error:
            raise UserError(
                f"{line.where}: pattern finds {found.groupdict()} in '{image}'; {error}"
            ) from None


def _rules(keys: tuple[str, ...], columns: Mapped[str, Column]) -> list[_Rule]:
    return [_Rule((*keys, key), column, tuple(column.sources), {}) for key, column in columns.items()]


def _read(key: str, column: Column, cells: tuple[str, ...]) -> _Cell:
    if key == "findings":
        return _findings(column, cells[0])
    try:
        return _Cell(_age(column, *cells) if column.born else _resolved(key, column, cells[0]))
    except OutsideVocabulary as error:
        return _Cell(None, ((" to ".join(cells), str(error)),))


def _findings(column: Column, text: str) -> _Cell:
    if text in column.values and column.values[text] is None:
        return _Cell([])
    entries = [entry.strip() for entry in text.split(column.separator) if not is_unknown(entry)]
    found, problems = [], []
    for entry in entries:
        try:
            found.append(_resolved("findings", column, entry))
        except OutsideVocabulary as error:
            problems.append((entry, str(error)))
    return _Cell([each for each in found if each is not None] if entries else None, tuple(problems))


def _resolved(key: str, column: Column, text: str) -> Any:
    """One cell, or one entry of it, through the pattern and the values of its column."""
    if column.pattern and not is_unknown(text):
        found = re.search(column.pattern, text)
        if found is None:
            raise OutsideVocabulary(f"it does not fit the pattern {column.pattern}")
        text = (found[1] if found.re.groups else found[0]) or ""
    for cell in (text, canonical(text)):
        if cell in column.values:
            text = plain(column.values[cell])
            break
    return convert(key, text)


def _constant(key: str, value: Value) -> Any:
    found = convert(key, plain(value))
    return [found] if key == "findings" and found is not None else found


def _age(column: Column, born: str, at: str) -> float | None:
    both = f"{born} to {at}"
    if both in column.values:
        return convert(AGE.key, plain(column.values[both]))
    if any(is_unknown(cell) or ages.is_placeholder(cell) for cell in (born, at)):
        return None
    try:
        return ages.between(born, at, column.order)
    except ValueError as error:
        raise OutsideVocabulary(f"it {error}") from None


def _joined(reading: dict[str, Any], labels: dict[str, Any], is_complete: bool, where: str) -> dict[str, Any]:
    """Labels from both: what a column of its own says goes over what the diagnoses leave out, and may not contradict them."""
    for key in DISEASES:
        own, named = labels.get(key), reading.get(key)
        if own is not None and named is not None and own != named and (named or not is_complete):
            raise UserError(
                f"{where}: {key} is {own} by its own column, {named} by the diagnoses; mend the one, or take {key} out of the "
                "mapping"
            )
    known = {key: value for key, value in labels.items() if value is not None}
    both = {*(reading.get("findings") or ()), *(labels.get("findings") or ())}
    return labels | reading | known | ({"findings": sorted(both)} if both else {})
