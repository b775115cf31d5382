"""One cell -> one value of a column of the records; every column, constant and entry of a mapping goes through here."""

import re
from typing import Any

from synth.data.records import SPLITS
from synth.data.vocabulary import (
    AGE,
    DR,
    FINDING_KEYS,
    FLAGS,
    MODALITY_KEYS,
    READABILITY_KEYS,
    SEX_KEYS,
    SIDE_KEYS,
)
from synth.sources import ages
from synth.sources.terms import NO, SPLIT_NAMES, YES, fold, is_unknown, key_of

TEXTS = ("image", "id", "subject_id", "camera", "visit")
"""Columns whose texts are kept as they are."""

_KNOWN = {
    "age": "0 to 120 years, also 061Y, 18月, 90+",
    DR.key: "0, 1, 2, 3, 4",
    "eye_side": ", ".join(SIDE_KEYS),
    "modality": ", ".join(MODALITY_KEYS),
    "sex": ", ".join(SEX_KEYS),
    "findings": ", ".join(FINDING_KEYS),
    "split": ", ".join(SPLITS),
}
_ERROR = re.compile(r"#(?:REF|VALUE|NAME|DIV/0|NUM|NULL|SPILL|CALC)[!?]")
_CUT = re.compile(r"\d(?:[.,]\d+)?E\+\d+", re.IGNORECASE)


class OutsideVocabulary(ValueError):
    """A cell that means nothing in its column."""


def convert(column: str, text: str) -> Any:
    """The value that a cell has in a column of the records, null where it says that nothing is known.

    Ids, visits and cameras stay text, leading zeros and all; ages become years; `findings` is one entry of the list.

    Raises:
        OutsideVocabulary: it is none.
    """
    text = text.strip()
    if is_unknown(text):
        return None
    if _ERROR.fullmatch(text):
        raise OutsideVocabulary(
            "an error of Excel, or a formula that was never computed; mend it there and save it"
        )
    if column in TEXTS:
        return _text(column, text)
    if column == AGE.key:
        return _age(text)
    if column == DR.key:
        return _grade(text)
    if column in FLAGS or column in READABILITY_KEYS:
        return _flag(column, text)
    found = SPLIT_NAMES.get(fold(text)) if column == "split" else key_of(column, text)
    if found is None and column != "race":
        raise OutsideVocabulary(expected(column))
    return found or text


def expected(column: str) -> str:
    """What a column takes, for errors."""
    return f"known: {_KNOWN.get(column, '0, 1, yes, no')}, null"


def plain(value: str | int | float | None) -> str:
    """A value of a mapping as the cell that would hold it."""
    return "" if value is None else str(value)


def canonical(text: str) -> str:
    """A number as a mapping has it that was read from YAML: `01` and `1.0` are 1; any other text is itself."""
    if not re.fullmatch(r"-?\d+(\.\d+)?", text):
        return text
    return f"{float(text):.15g}"


def _text(column: str, text: str) -> str:
    if column in ("id", "subject_id") and _CUT.fullmatch(text):
        raise OutsideVocabulary(
            "a long number that Excel has cut; make its column text there and export it again"
        )
    return text


def _age(text: str) -> float:
    try:
        return ages.parse(text)
    except ValueError as error:
        raise OutsideVocabulary(f"it {error}") from None


def _grade(text: str) -> int:
    found = key_of(DR.key, text)
    number = canonical(text)
    if found is None and number not in ("0", "1", "2", "3", "4"):
        raise OutsideVocabulary(expected(DR.key))
    return int(found or number)


def _flag(column: str, text: str) -> int:
    word = canonical(fold(text))
    if word not in YES and word not in NO:
        raise OutsideVocabulary(expected(column))
    return int(word in YES)
