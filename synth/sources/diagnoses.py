"""One cell of several diagnoses -> labels: split, each entry taken apart, and only what is affirmed is positive."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from synth.base.config import Config
from synth.data.vocabulary import DR, FLAGS
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
from synth.sources.terms import Meaning, fold, is_unknown, key_of, meaning_of

DISEASES = (DR.key, *FLAGS)
_AND = re.compile(r"\s*(?:以及|[及和与或]|\b(?:and|or|nor)\b)\s*")

_RETINOPATHY = (DR.key, "is_dme")
_OPENS: Mapping[str, tuple[str, ...]] = {
    DR.key: ("is_dme",), "is_aon": ("is_gc",), "is_gc": ("is_aon",), "is_rvo": ("is_dme",), "is_dm": ("is_pm", "is_crp"),
    "is_pm": ("is_dm", "is_crp", "is_aon"), "drusen": ("is_amd",), "haemorrhage": (*_RETINOPATHY, "is_rvo", "is_htr"),
    "exudate": _RETINOPATHY, "microaneurysm": _RETINOPATHY, "cotton_wool_spot": (DR.key, "is_htr"),
    "neovascularization": (*_RETINOPATHY, "is_amd", "is_crp", "is_rvo"), "macular_disease": ("is_amd", "is_dme", "is_crp"),
    "macular_edema": ("is_dme",), "central_serous": ("is_crp",), "laser_scars": _RETINOPATHY, "disc_swelling": ("is_aon",),
    "media_haze": DISEASES,
    "large_cup": ("is_gc",), "lesion": DISEASES,
}  # fmt: skip
"""What a named disease or finding leaves open of those that a cell does not name."""

Value = str | int | float | None


class Diagnoses(Config):
    """One column with several diagnoses in a cell; the vocabulary's names and synonyms are known in both languages.

    What a cell denies (`未见出血`, `no drusen`) is 0; what it doubts, or says of the past, is unknown.
    """

    column: str = ""
    """Its name in the table; under `eyes`, each eye names its own."""
    separators: str = "，,、；;|\n"
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


class Reading(NamedTuple):
    """What one cell says."""

    labels: dict[str, Any]
    """Diseases with 0, 1, a grade, or null where they are left open; `findings` where it tells them."""
    unmapped: tuple[str, ...] = ()
    """Entries that nobody knows."""
    doubtful: tuple[str, ...] = ()
    """Entries kept as unknown: those of which nobody knows whether a denial beside them is meant for them too, and unmapped ones."""


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
        summary = _Summary(self._settings.complete)
        for entry, written, _, is_doubtful, is_of_side_before in self._entries(text):
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


class _Summary:
    """The labels of a cell as its entries are added."""

    def __init__(self, complete: bool) -> None:
        self._complete = complete
        self._sure: dict[str, set[int]] = {}
        self._open: set[str] = set()
        self._implied: set[str] = set()
        self._findings: set[str] = set()
        self._findings_open = self._normal = False
        self.unmapped: list[str] = []
        self.doubtful: list[str] = []

    def add(self, meanings: list[Meaning] | None, assertion: Assertion, written: str) -> None:
        """Take in an entry; one that is denied must be one that can be."""
        denied = assertion is Assertion.ABSENT
        if meanings is None or (denied and any(meaning.normal for meaning in meanings)):
            self.unmapped.append(written)
            return
        for meaning in meanings:
            if assertion is Assertion.OPEN:
                self._open |= set(DISEASES) if meaning.normal else set(meaning.labels)
                self._findings_open |= bool(meaning.findings) or meaning.normal
            elif denied:
                self._deny(meaning)
            else:
                self._affirm(meaning)

    def _deny(self, meaning: Meaning) -> None:
        for key, value in meaning.labels.items():
            if value == (None if key == DR.key else 1):
                self._sure.setdefault(key, set()).add(0)
            else:
                self._open.add(key)

    def _affirm(self, meaning: Meaning) -> None:
        self._normal |= meaning.normal
        self._findings |= set(meaning.findings)
        for key, value in meaning.labels.items():
            if value is None:
                self._open.add(key)
            else:
                self._sure.setdefault(key, set()).add(value)
            if value != 0:
                self._implied |= set(_OPENS.get(key, ()))
        for finding in meaning.findings:
            self._implied |= set(_OPENS.get(finding, ()))

    def reading(self, others_unknown: bool) -> Reading:
        """What the whole cell says; what is named wins over what is left open, the worst grade counts, yes and no is neither."""
        positive = any(value for values in self._sure.values() for value in values) or bool(self._findings)
        full = not self.unmapped and (self._complete or (self._normal and not positive and not self._open))
        labels: dict[str, Any] = dict.fromkeys(DISEASES, 0) if full else {}
        labels |= dict.fromkeys(key for key in DISEASES if key in self._open | self._implied)
        for key, values in self._sure.items():
            is_contradiction = len(values) > 1 and 0 in values
            is_doubted = values == {0} and key in self._open
            labels[key] = None if is_contradiction or is_doubted else max(values)
        if self._findings or (full and not self._findings_open):
            labels["findings"] = sorted(self._findings)
        if others_unknown:
            return Reading(labels, (), (*self.doubtful, *self.unmapped))
        return Reading(labels, tuple(self.unmapped), tuple(self.doubtful))


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
