"""The YAML file that says which column of one's own table is what; `docs/mapping.md` tells it with examples."""

import datetime
import re
from collections.abc import Iterator
from collections.abc import Mapping as Mapped
from typing import Any, Self

from pydantic import Field, PositiveInt, field_validator, model_validator

from synth.base.config import Config
from synth.data.records import LABELS
from synth.sources import encodings
from synth.sources.ages import Order
from synth.sources.cells import OutsideVocabulary, canonical, convert, plain
from synth.sources.diagnoses import Diagnoses, Value
from synth.sources.tables import Form

PERSON = ("id", "subject_id", "age", "sex", "race", "visit", "camera", "split")
COLUMNS = ("image", *PERSON, *LABELS)
"""What a mapping may name."""

_YES, _NO = ("yes", "true", "on"), ("no", "false", "off")


class Column(Config):
    """One column of the table and what its cells mean; or, for `age`, two columns with dates."""

    column: str = ""
    """Its name in the table."""
    values: dict[str, Value] = Field(default_factory=dict)
    """Cell -> our value, or a word of the vocabulary; null is unknown."""
    separator: str = ";"
    """Between the entries of one cell; only `findings` has several."""
    pattern: str = ""
    """A regular expression; its first group, or all that it finds, is taken for the cell."""
    born: str = ""
    """For `age`: the column with the date, or the year, of birth."""
    at: str = ""
    """For `age`: the column with the date of the visit."""
    order: Order = "ymd"
    """Of day, month and year in dates that do not begin with a year of four digits."""

    @model_validator(mode="before")
    @classmethod
    def _named_alone(cls, value: Any) -> Any:
        return {"column": value} if isinstance(value, str) else value

    @field_validator("values", mode="before")
    @classmethod
    def _cells(cls, values: Any) -> Any:
        """YAML reads yes, 1 and 2024-05-01 as other things than text."""
        if not isinstance(values, dict):
            return values
        found: dict[str, Any] = {}
        for cell, value in values.items():
            if cell is None:
                raise ValueError('a key is null; write "" for an empty cell')
            meant = int(value) if isinstance(value, bool) else str(value) if _is_date(value) else value
            found |= dict.fromkeys(_spellings(cell), meant)
        return found

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        return _checked_pattern(pattern)

    @model_validator(mode="after")
    def names_cells(self) -> Self:
        if bool(self.column) == bool(self.born and self.at) or bool(self.born) != bool(self.at):
            raise ValueError("give 'column', or for age 'born' and 'at'")
        return self

    @property
    def sources(self) -> tuple[str, ...]:
        """The columns of the table that it reads."""
        return (self.column,) if self.column else (self.born, self.at)


class Eye(Config):
    """The columns of one eye, in a table with a line for both."""

    columns: dict[str, Column]
    """Column of the records -> column of the table; `image` is needed."""
    diagnoses: str = ""
    """The column with this eye's diagnoses, read as `diagnoses` of the mapping says."""

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        """`{image: right_file, dr_grade: right_grade}` without a section `columns`."""
        if not isinstance(value, dict) or "columns" in value:
            return value
        columns = {key: each for key, each in value.items() if key != "diagnoses"}
        return {"columns": columns} | {key: each for key, each in value.items() if key == "diagnoses"}

    @model_validator(mode="after")
    def names_are_columns(self) -> Self:
        _check_columns(self.columns)
        if "image" not in self.columns or "eye_side" in self.columns:
            raise ValueError("an eye needs 'image', and no 'eye_side'")
        return self


class Mapping(Config):
    """How a table of one's own becomes records."""

    table: str | None = None
    """The CSV or Excel file, below --root; without one, every picture is a line and `pattern` tells who it is."""
    encoding: str | None = None
    """Of a CSV file, such as gb18030 or cp1252; else its byte-order mark tells it, or it is UTF-8 or, with a note, GB18030."""
    header: PositiveInt | None = None
    """The line with the names of the columns, where lines with a title stand above it."""
    sheet: str | None = None
    """Of an Excel file; the first one if none is named."""
    images: str = "."
    """The folder of pictures, below --root."""
    columns: dict[str, Column] = Field(default_factory=dict)
    """Column of the records -> column of the table."""
    pattern: str = ""
    """A regular expression that finds columns of the records in the picture's name, such as `(?P<subject_id>\\d+)_(?P<eye_side>left|right)`."""
    diagnoses: Diagnoses | None = None
    """A column with several diagnoses in a cell."""
    eyes: dict[str, Eye] = Field(default_factory=dict)
    """`right` and `left`: the columns of each eye, where a line has both."""
    constants: dict[str, Value] = Field(default_factory=dict)
    """Column of the records -> the value that every picture has."""

    @field_validator("constants", mode="before")
    @classmethod
    def _numbers(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {key: int(value) if isinstance(value, bool) else value for key, value in values.items()}

    @field_validator("diagnoses", mode="before")
    @classmethod
    def _named_alone(cls, value: Any) -> Any:
        return {"column": value} if isinstance(value, str) else value

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        return _checked_pattern(pattern)

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, encoding: str | None) -> str | None:
        if encoding is not None and not encodings.exists(encoding):
            raise ValueError(
                f"'{encoding}' is no encoding; known: utf-8, gb18030, cp1252, utf-16 and what Python names"
            )
        return encoding

    @model_validator(mode="after")
    def names_are_columns(self) -> Self:
        _check_columns({**self.columns, **self.constants})
        groups = re.compile(self.pattern).groupindex
        _check_columns(groups)
        if self.pattern and (not groups or "image" in groups):
            raise ValueError(
                "pattern: name its groups as columns of the records, such as (?P<subject_id>\\d+)"
            )
        return self

    @model_validator(mode="after")
    def pictures_are_named(self) -> Self:
        if self.table is None and (self.columns or self.eyes or self.diagnoses or not self.pattern):
            raise ValueError("table is missing; only a mapping with 'pattern' alone can do without")
        if self.table is not None and ("image" in self.columns) == bool(self.eyes):
            raise ValueError(
                "columns.image is missing; name the column that holds the file's name, once or under 'eyes'"
            )
        if set(self.eyes) - {"right", "left"}:
            raise ValueError("eyes: known: right, left")
        if self.eyes and {"id", "eye_side"} & {*self.columns, *self.constants}:
            raise ValueError(
                "id and eye_side belong to one picture; leave them out, or put id under each of 'eyes'"
            )
        return self

    @model_validator(mode="after")
    def diagnoses_have_a_column(self) -> Self:
        own = [eye for eye in self.eyes.values() if eye.diagnoses]
        if self.diagnoses and not self.diagnoses.column and not own:
            raise ValueError("diagnoses.column is missing; name the column that holds them")
        if self.diagnoses and self.diagnoses.column and own:
            raise ValueError("diagnoses.column is that of both eyes; leave it out where each eye has its own")
        return self

    @model_validator(mode="after")
    def values_are_ours(self) -> Self:
        for where, key, value in self._values():
            try:
                convert(key, plain(value))
            except OutsideVocabulary as error:
                raise ValueError(f"{where}: {value!r} is outside the vocabulary of {key}; {error}") from None
        return self

    def _values(self) -> Iterator[tuple[str, str, Value]]:
        sections = [("", self.columns), *((f"eyes.{side}.", eye.columns) for side, eye in self.eyes.items())]
        for name, columns in sections:
            for key, column in columns.items():
                for cell, value in column.values.items():
                    yield f"{name or 'columns.'}{key}.values.{cell}", key, value
        for key, value in self.constants.items():
            yield f"constants.{key}", key, value

    @property
    def form(self) -> Form:
        """How the table is written."""
        return Form(self.encoding, self.header, self.sheet)

    def needed(self) -> list[str]:
        """The columns that the table must have."""
        columns = [
            *self.columns.values(),
            *(column for eye in self.eyes.values() for column in eye.columns.values()),
        ]
        names = [name for column in columns for name in column.sources]
        names += [self.diagnoses.column] if self.diagnoses else []
        return [
            name for name in dict.fromkeys([*names, *(eye.diagnoses for eye in self.eyes.values())]) if name
        ]


def _check_columns(columns: Mapped[str, Any]) -> None:
    for key in columns:
        if key not in COLUMNS:
            raise ValueError(f"'{key}' is no column of the records; known: {', '.join(COLUMNS)}")


def _checked_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"'{pattern}' is no regular expression ({error})") from None
    return pattern


def _spellings(cell: object) -> list[str]:
    """The cells that a key of YAML may stand for."""
    if isinstance(cell, bool):
        words = _YES if cell else _NO
        return [form for word in words for form in (word, word.title(), word.upper())]
    return [canonical(str(cell)) if isinstance(cell, int | float) else str(cell)]


def _is_date(value: object) -> bool:
    return isinstance(value, datetime.date)
