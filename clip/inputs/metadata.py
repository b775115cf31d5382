"""What a row of somebody else's metadata tells, in the columns of records, each value in its type."""

import math
import re
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa

from clip.inputs.listing import COLUMNS, split_name
from synth.base.errors import UserError
from synth.data.records import LABELS, SCHEMA, check_labels
from synth.sources.cells import TEXTS, OutsideVocabulary, convert

_OLDEST = 120  # years
_WORDS = {*LABELS, "age", "sex", "race"} - {"findings"}
"""Columns whose cells are read as those of an import are, in words of either language."""
_HALF = re.compile("[\ud800-\udfff]")
"""JSON can name one half of a character, which no file can hold."""
_PERSON = ("subject_id", "patient_id")


def columns(content: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The columns of records that `content` tells, and `split`; what is null, nan or empty is left out, so are other keys.

    Raises:
        UserError: a value is of the wrong type or outside the vocabulary; it is named with its key.
    """
    row = {name: typed(name, content[name], where) for name in COLUMNS if content.get(name) is not None}
    person = next((content[name] for name in _PERSON if content.get(name) not in (None, "")), None)
    row["subject_id"] = None if person is None else typed("subject_id", person, where)
    if content.get("split"):
        row["split"] = split_name(str(content["split"]), where)
    row = {name: value for name, value in row.items() if value is not None}
    check_labels(row, where)
    return row


def typed(name: str, value: Any, where: str) -> Any:
    """A value of a column of records, from what a cell, JSON or parquet holds; None where it is empty or no number.

    Raises:
        UserError: text where a number belongs, or the other way, or an age that nobody has.
    """
    if _is_empty(value):
        return None
    if isinstance(value, str) and name in _WORDS:
        return _cell(name, value, where)
    return _TYPES[name](name, value, where)


def text(name: str, value: Any, where: str) -> str:
    """A caption, whatever its column is called; empty where there is none.

    Raises:
        UserError: it is no text.
    """
    return "" if _is_empty(value) else _text(name, value, where).strip()


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _cell(name: str, text: str, where: str) -> Any:
    try:
        return convert(name, text)
    except OutsideVocabulary as error:
        raise UserError(f"{where}: {name}='{text}' is outside the vocabulary; {error}") from None


def _texts(name: str, value: Any, where: str) -> list[str]:
    entries = value.split(";") if isinstance(value, str) else value
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise UserError(f"{where}: {name}={_shown(value)} is no list of texts; mend it, or leave it out")
    read = [_cell(name, entry, where) for entry in entries]
    return [entry for entry in read if entry is not None]


def _text(name: str, value: Any, where: str) -> str:
    if isinstance(value, str):
        if _HALF.search(value):
            raise UserError(f"{where}: {name}={ascii(value)[:60]} holds half a character; mend that text")
        return value
    if name in TEXTS and isinstance(value, date):
        return value.isoformat()
    if name not in TEXTS or isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{where}: {name}={_shown(value)} is no text; mend it, or leave it out")
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _number(name: str, value: Any, where: str) -> int | float | None:
    value = float(value) if isinstance(value, Decimal) else value
    if value is not None and not isinstance(value, int | float):
        raise UserError(f"{where}: {name}={_shown(value)} is not a number; mend it, or leave it out")
    if value is None or math.isnan(value):
        return None
    if name == "age" and (isinstance(value, bool) or not 0 <= value <= _OLDEST):
        raise UserError(f"{where}: age={value} is nobody's; give years from 0 to {_OLDEST}, or leave it out")
    return int(value) if isinstance(value, bool) else value


def _shown(value: Any) -> str:
    return " ".join(repr(value).split())[:60]


def _type(kind: pa.DataType) -> Callable[[str, Any, str], Any]:
    if pa.types.is_list(kind):
        return _texts
    return _text if pa.types.is_string(kind) else _number


_TYPES = {name: _type(SCHEMA.field(name).type) for name in COLUMNS}
