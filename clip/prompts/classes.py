"""A task of classes to choose between: which records make a class, and which texts describe it, in both languages."""

from collections.abc import Mapping
from typing import Any, Literal, Protocol, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from synth.base.config import Config
from synth.base.errors import UserError
from synth.data import captions
from synth.data.records import COLUMNS, check_labels
from synth.data.vocabulary import DR, FLAGS

NORMAL: dict[str, Any] = dict.fromkeys((DR.key, *FLAGS), 0) | {"findings": []}

_EMPTY = frozenset(("", "nan", "null", "<na>"))
"""What tables write for an empty cell; `none` may be the word for a class."""

Lang = Literal["zh", "en"]
Condition = dict[str, Any]
"""Column -> value, or list of values, null for unknown; all must hold.  Of findings: one that is there, or [] for none."""


class Class(Config):
    """One class of a task."""

    where: tuple[Condition, ...]
    """The records that belong to it: those of which any condition holds."""
    labels: dict[str, Any] = Field(default={})
    """What a caption states of it; every template words it."""
    zh: tuple[str, ...] = ()
    """Chinese texts, beside those of `labels`."""
    en: tuple[str, ...] = ()
    """English texts, beside those of `labels`."""

    @field_validator("where", mode="before")
    @classmethod
    def one_or_more(cls, value: Any) -> Any:
        conditions = value if isinstance(value, list | tuple) else [value]
        return tuple(NORMAL if condition == "normal" else condition for condition in conditions)

    @field_validator("labels", mode="before")
    @classmethod
    def normal_is_a_word(cls, value: Any) -> Any:
        return NORMAL if value == "normal" else value

    @field_validator("zh", "en")
    @classmethod
    def texts_say_something(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        return checked_texts(texts)

    @model_validator(mode="after")
    def has_words_and_columns(self) -> Self:
        for column in {key for condition in self.where for key in condition}:
            if column not in COLUMNS:
                raise ValueError(f"unknown column '{column}'; known: {', '.join(COLUMNS)}")
        try:
            check_labels(self.labels, "labels")
        except UserError as error:
            raise ValueError(str(error)) from None
        if not self.labels and not (self.zh and self.en):
            raise ValueError("a class needs 'labels', or texts in both 'zh' and 'en'")
        return self

    def texts(self, lang: Lang) -> tuple[str, ...]:
        """The prompts of this class in one language."""
        written = captions.variants(self.labels, lang) if self.labels else ()
        return tuple(dict.fromkeys((*written, *(self.zh if lang == "zh" else self.en))))

    def holds(self, record: dict[str, Any]) -> bool:
        """Whether a record belongs to this class."""
        return any(
            all(_fits(record[column], wanted) for column, wanted in condition.items())
            for condition in self.where
        )


class Task(Config):
    """Classes to choose between."""

    title: str
    """For people."""
    source: str
    """Where the classes and the words come from."""
    ordinal: bool = False
    """The classes are grades, from none to most."""
    classes: dict[str, Class] = Field(min_length=2)
    """By name, in order."""

    @model_validator(mode="after")
    def classes_differ(self) -> Self:
        check_differ(self.classes)
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that tell the classes apart."""
        keys = (key for each in self.classes.values() for condition in each.where for key in condition)
        return tuple(dict.fromkeys(keys))

    def classify(self, table: pa.Table) -> np.ndarray:
        """(N,) the number of each record's class; -1 where it is of none, or of more than one."""
        records = table.select(list(self.columns)).to_pylist()
        found = [
            [k for k, each in enumerate(self.classes.values()) if each.holds(record)] for record in records
        ]
        return np.array([ks[0] if len(ks) == 1 else -1 for ks in found], dtype=int)


def _fits(value: Any, wanted: Any) -> bool:
    if isinstance(value, list) or wanted == []:  # findings
        known = value if isinstance(value, list) else None
        return known == [] if wanted == [] else known is not None and wanted in known
    return value in wanted if isinstance(wanted, list) else value == wanted


class Described(Protocol):
    """What has texts in both languages."""

    def texts(self, lang: Lang) -> tuple[str, ...]: ...


def checked_texts(texts: tuple[str, ...]) -> tuple[str, ...]:
    """The texts of a class.

    Raises:
        ValueError: one is empty, or what tables write for an empty cell.
    """
    if empty := [text for text in texts if text.strip().casefold() in _EMPTY]:
        raise ValueError(f"text '{empty[0]}' says nothing of its class; write what a caption of it would say")
    return texts


def check_differ(classes: Mapping[str, Described]) -> None:
    """Refuse two classes that one language describes by the same texts: nothing could tell them apart.

    Raises:
        ValueError: there are two.
    """
    languages: tuple[Lang, ...] = ("zh", "en")
    for lang in languages:
        first: dict[frozenset[str], str] = {}
        for name, each in classes.items():
            if (other := first.setdefault(frozenset(each.texts(lang)), name)) != name:
                raise ValueError(
                    f"classes '{other}' and '{name}' have the same {lang} texts; describe each by its own"
                )
