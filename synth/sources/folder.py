"""A folder of one's own: a CSV file, a folder of pictures, and a YAML file that says which column is what.

    table: visits.csv            # below --root
    images: photos               # below --root, searched with its subfolders; default: --root itself
    columns:
      image: file                # column with the file's name or path, the only one that is needed
      subject_id: patient        # without it every picture is a subject of its own
      age: age_years
      eye_side: {column: eye, values: {OD: right, OS: left}}
      dr_grade: {column: icdr, values: {R0: 0, R1: 1, R2: 2, R3: 3, R4: 4, ungraded: null}}
      is_gc: {column: glaucoma, values: {"yes": 1, "no": 0}}
      findings: {column: notes, separator: ";", values: {CNV: neovascularization, none: null}}
    constants: {modality: cfp}   # the same for every picture

On the left stand columns of our records, on the right yours.  Cells without an entry under `values` must already be
in our vocabulary; an empty cell is unknown, except in `findings`, where it is an entry of nothing found only if
`values` maps "" to null.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from synth.base.config import Config, load
from synth.base.errors import UserError
from synth.data.records import LABELS, check_labels
from synth.sources.pictures import Folder, Photo
from synth.sources.report import Report
from synth.sources.tables import Line, read_csv

_WHO = ("id", "subject_id", "age", "sex", "race")
_TEXT = ("id", "subject_id", "sex", "race", "eye_side", "modality")
COLUMNS = ("image", *_WHO, *LABELS)
"""What a mapping may name."""


class Column(Config):
    """One column of the table and what its cells mean."""

    column: str
    """Its name in the table."""
    values: dict[str, str | int | float | None] = Field(default_factory=dict)
    """Cell -> our value; null is unknown.  Quote yes and no, which YAML takes for true and false."""
    separator: str = ";"
    """Between the entries of one cell; only `findings` has several."""


class Mapping(Config):
    """How a table of one's own becomes records."""

    table: str
    """The CSV file, below --root."""
    images: str = "."
    """The folder of pictures, below --root."""
    columns: dict[str, str | Column] = Field(min_length=1)
    """Column of the records -> column of the table."""
    constants: dict[str, str | int | float] = Field(default_factory=dict)
    """Column of the records -> the value that every picture has."""

    @model_validator(mode="after")
    def names_are_columns(self) -> Self:
        for key in (*self.columns, *self.constants):
            if key not in COLUMNS:
                raise ValueError(f"'{key}' is no column of the records; known: {', '.join(COLUMNS)}")
        if "image" not in self.columns:
            raise ValueError("columns.image is missing; name the column that holds the file's name")
        return self


def photos(root: Path, report: Report, mapping: Path) -> Iterator[Photo]:
    """Every line of the table that has a picture."""
    settings = load(Mapping, mapping)
    columns = {
        key: Column(column=value) if isinstance(value, str) else value
        for key, value in settings.columns.items()
    }
    table = root / settings.table
    lines = read_csv(table, [column.column for column in columns.values()])
    report.total = len(lines)
    folder = Folder(root / settings.images, above=root)
    image = columns.pop("image")
    ids: dict[str, Line] = {}
    found = folder.find(((line[image.column], line.where) for line in lines), report)
    for line, path in zip(lines, found, strict=True):
        labels = _labels(line, columns, line.where) | settings.constants
        if path:
            _refuse_repeated(ids, line, labels)
            yield folder.photo(path, line.where, **labels)
    folder.drop_unused(report)


def _refuse_repeated(ids: dict[str, Line], line: Line, labels: dict[str, Any]) -> None:
    """Every id that the mapping gives is that of one line."""
    identity = str(labels.get("id"))
    if "id" in labels and ids.setdefault(identity, line) is not line:
        raise UserError(
            f"{line.where}: id '{identity}' is that of line {ids[identity].number} too; give every line its own, or leave id out"
        )


def _labels(line: Line, columns: dict[str, Column], where: str) -> dict[str, Any]:
    labels = {key: _value(key, line[column.column], column, where) for key, column in columns.items()}
    check_labels(labels, where)
    if not labels.get("id", "whole"):
        raise UserError(f"{where}: {columns['id'].column} is empty, but maps to id; fill it or leave id out")
    return labels


def _value(key: str, text: str, column: Column, where: str) -> Any:
    if key == "findings":
        if text in column.values and column.values[text] is None:
            return []
        entries = [entry.strip() for entry in text.split(column.separator) if entry.strip()]
        found = [column.values.get(entry, entry) for entry in entries]
        return [finding for finding in found if finding is not None] if entries else None
    if text in column.values:
        return column.values[text]
    if not text:
        return None
    if key in _TEXT:
        return text
    known = f"; map it under columns.{key}.values" if column.values else ""
    try:
        value = float(text)
    except ValueError:
        raise UserError(
            f"{where}: {column.column}='{text}' is outside the vocabulary of {key}{known}"
        ) from None
    return value if key == "age" else int(value) if value.is_integer() else value
