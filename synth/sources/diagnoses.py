"""One cell of several diagnoses -> labels: split, each entry taken apart, and only what is affirmed is positive."""

import re
from collections.abc import Iterator
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from synth.base.config import Config
from synth.sources.assertions import (
    HARD,
    NOTHING,
    Assertion,
    Entry,
    Written,
    in_context,
    spelt_out,
    taken_apart,
)
from synth.sources.cells import OutsideVocabulary, convert, plain
from synth.sources.summary import DISEASES, Reading, Summary
from synth.sources.terms import Meaning, fold, is_unknown, key_of, meaning_of

_AND = re.compile(r"\s*(?:以及|[及和与或]|\b(?:and|or|nor)\b)\s*")

Value = str | int | float | None


class Diagnoses(Config):
    """One column with several diagnoses in a cell; the vocabulary's names and synonyms are known in both languages.

    What a cell denies (`未见出血`, `no drusen`) is 0; what it doubts, or says of the past, is unknown.
    """

    column: str = ""
    """Its name in the table; under `eyes`, each eye names its own."""
    separators: str = "，,、；;。|\n"
    """The signs between the entries of a cell; / and + are none unless they are given."""
    terms: dict[str, dict[str, Value | list[str]] | str | None] = Field(default_factory=dict)
    """Entry -> labels of ours such as `{is_gc: 1}` or `{findings: [drusen]}`, or a word of the vocabulary; null says nothing."""
    others: Literal["error", "unknown"] = "error"
    """An entry that nobody knows ends the import, or leaves every disease open that its cell does not name."""
    complete: bool = False
    """Whether a cell that is filled in names all there is: other diseases are 0 then, save those that a named one leaves open."""

    @field_validator("terms", mode="before")
    @classmethod
    def _texts(cls, terms: Any) -> Any:
        return {str(term): meaning for term, meaning in terms.items()} if isinstance(terms, dict) else terms

    @model_validator(mode="after")
    def terms_mean_labels(self) -> Self:
        for term, said in self.terms.items():
            try:
                _given(said)
            except OutsideVocabulary as error:
                raise ValueError(f"terms: '{term}': {error}") from None
        return self

    def meanings(self) -> dict[str, Meaning]:
        """Folded entry -> what the mapping says that it means."""
        return {fold(term): _given(said) for term, said in self.terms.items()}


class Reader:
    """Reads the cells of one column; the same cell is read once."""

    def __init__(self, settings: Diagnoses) -> None:
        self._settings, self._terms = settings, settings.meanings()
        self._cells: dict[tuple[str, str | None], Reading] = {}

    def read(self, text: str, side: str | None = None) -> Reading:
        """What a cell says of the eye `side`; an entry of the other eye says nothing, of an eye where `side` is unknown, nothing sure."""
        key = text, side
        if key not in self._cells:
            self._cells[key] = self._read(text, side)
        return self._cells[key]

    def _read(self, text: str, side: str | None) -> Reading:
        if fold(text) not in NOTHING and is_unknown(text):
            return Reading({})
        summary = Summary(self._settings.complete)
        entries = list(self._entries(text))
        is_normal = any(side in each.entry.sides and self._is_normal(each.entry) for each in entries)
        for entry, written, _, is_doubtful, is_of_side_before in entries:
            is_doubtful |= is_normal and not entry.sides  # it may be of the other eye
            is_other = bool(entry.sides) and side is not None and side not in entry.sides
            if is_other and not is_of_side_before:
                continue
            unsure = is_doubtful or is_other or (len(entry.sides) == 1 and side is None)
            if entry.rest not in NOTHING:
                summary.add(
                    self._meanings(entry.rest), Assertion.OPEN if unsure else entry.assertion, written
                )
            if is_doubtful:
                summary.doubtful.append(written)
        return summary.reading(self._settings.others == "unknown")

    def _is_normal(self, entry: Entry) -> bool:
        meanings = self._meanings(entry.rest) or []
        return entry.assertion is Assertion.PLAIN and any(meaning.normal for meaning in meanings)

    def _entries(self, text: str) -> Iterator[Written]:
        """Every entry with its context."""
        if self._meaning(text):
            yield Written(Entry(Assertion.PLAIN, fold(text)), text.strip(), "")
            return
        signs = f"([{re.escape(self._settings.separators)}])"
        parts = re.split(signs, spelt_out(text)) if self._settings.separators else [text]
        clause: list[Written] = []
        for sign, part in zip(["\n", *parts[1::2]], parts[::2], strict=True):
            if sign in HARD:
                yield from in_context(clause)
                clause = []
            if part.strip():
                clause.append(Written(taken_apart(part, self._is_term), part.strip(), sign))
        yield from in_context(clause)

    def _is_term(self, word: str) -> bool:
        return self._meaning(word) is not None

    def _meaning(self, word: str) -> Meaning | None:
        known = self._terms.get(fold(word))
        return known if known is not None else meaning_of(word)

    def _meanings(self, rest: str) -> list[Meaning] | None:
        """What an entry names: one thing, or several with `and` or `及` between them; None where one of them is unknown."""
        whole = self._meaning(rest)
        if whole is not None:
            return [whole]
        parts = [self._meaning(part) for part in _AND.split(rest)]
        return (
            [part for part in parts if part]
            if len(parts) > 1 and all(part is not None for part in parts)
            else None
        )


def _given(said: dict[str, Any] | str | None) -> Meaning:
    """What the mapping says of a term.

    Raises:
        OutsideVocabulary: no label of ours, or no word of the vocabulary.
    """
    if said is None:
        return Meaning()
    if isinstance(said, str):
        found = meaning_of(said)
        if found is None:
            raise OutsideVocabulary(
                f"'{said}' is no word of the vocabulary; write labels such as {{is_gc: 1}}"
            )
        return found
    labels: dict[str, int | None] = {}
    findings: list[str] = []
    for key, value in said.items():
        if key == "findings":
            findings += [_finding(each) for each in ([value] if isinstance(value, str) else value or [])]
        elif key in DISEASES and not isinstance(value, list):
            labels[key] = convert(key, plain(value))
        else:
            raise OutsideVocabulary(f"'{key}' is no disease of ours; known: {', '.join(DISEASES)}, findings")
    return Meaning(labels, tuple(findings))


def _finding(text: Any) -> str:
    found = key_of("findings", str(text))
    if found is None:
        raise OutsideVocabulary(f"'{text}' is no finding of ours")
    return found
