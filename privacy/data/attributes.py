"""Who the attackers' patients are: age, sex and race per patient, and the questions that these allow.

The patient is the unit of everything: labels, folds, permutations and intervals are about patients, and an
image only ever belongs to one.  Rows are sorted by patient and id, so that the order of a file changes nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from synth.base.errors import UserError

Kind = Literal["years", "classes"]

ATTRIBUTES: dict[str, Kind] = {"age": "years", "sex": "classes", "race": "classes"}
SMALLEST_CLASS = 10
"""Patients that a class needs; fewer can be neither learnt nor judged, and their exact number names people."""
FEWEST_YEARS = 30
"""Patients of known age without whom age is not probed."""


class Cohort(NamedTuple):
    """N photographs of P patients, sorted by patient, then id."""

    ids: np.ndarray
    """(N,) str."""
    order: np.ndarray
    """(N,) the row of `records.read_table` that each row here was."""
    patient: np.ndarray
    """(N,) int in [0, P), never falling."""
    values: dict[str, np.ndarray]
    """Attribute -> (P,) object: float years or str, None where unknown."""
    notes: dict[str, list[str]]
    """Attribute -> what was left out and why."""

    @property
    def patients(self) -> int:
        """P."""
        return int(self.patient[-1]) + 1 if len(self.patient) else 0


class Task(NamedTuple):
    """One attribute, of the n photographs of p patients in whom it is known."""

    name: str
    kind: Kind
    rows: np.ndarray
    """(n,) row numbers of the cohort."""
    patient: np.ndarray
    """(n,) int in [0, p), never falling."""
    labels: np.ndarray
    """(p,) float years, or int class numbers."""
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def weights(self) -> np.ndarray:
        """(n,) so that every patient weighs 1, however often photographed."""
        return 1.0 / np.bincount(self.patient)[self.patient]

    def counts(self) -> dict[str, int]:
        """Patients per class; empty for age."""
        return {name: int((self.labels == number).sum()) for number, name in enumerate(self.classes)}


def check_names(names: Sequence[str]) -> list[str]:
    """The attributes asked for, in the order of `ATTRIBUTES`.

    Raises:
        UserError: one is unknown, or none was given.
    """
    for name in names:
        if name not in ATTRIBUTES:
            raise UserError(f"--attributes: unknown attribute '{name}'; known: {', '.join(ATTRIBUTES)}")
    if not names:
        raise UserError(f"--attributes: none given; known: {', '.join(ATTRIBUTES)}")
    return [name for name in ATTRIBUTES if name in names]


def cohort(columns: Mapping[str, Sequence[Any]], where: str = "records") -> Cohort:
    """Sort rows by patient and id, and settle one value of each attribute per patient.

    A patient's age is the mean over his or her photographs; a patient with two sexes or races has neither.

    Args:
        columns: `id`, `subject_id` and any of `ATTRIBUTES`, all of length N; None or nan is unknown.

    Raises:
        UserError: no rows, an id twice, or a row that belongs to nobody.
    """
    ids, subjects = np.asarray(columns["id"], object), np.asarray(columns["subject_id"], object)
    if not len(ids):
        raise UserError(f"{where}: no records in it")
    for name, column in (("id", ids), ("subject_id", subjects)):
        if any(value is None for value in column):
            raise UserError(f"{where}: a row has no {name}; patients cannot be told apart without it")
    ids, subjects = ids.astype(str), subjects.astype(str)
    if len(set(ids)) < len(ids):
        raise UserError(f"{where}: an id occurs twice; ids must be unique")
    order = np.lexsort((ids, subjects))
    names, patient = np.unique(subjects[order], return_inverse=True)
    values, notes = {}, {}
    for attribute, kind in ATTRIBUTES.items():
        column = np.asarray(columns.get(attribute, [None] * len(ids)), object)[order]
        values[attribute], notes[attribute] = _settle(column, patient, len(names), kind)
    return Cohort(ids[order], order, patient, values, notes)


def _settle(
    column: np.ndarray, patient: np.ndarray, patients: int, kind: Kind
) -> tuple[np.ndarray, list[str]]:
    stated: list[list[Any]] = [[] for _ in range(patients)]
    for value, number in zip(column, patient, strict=True):
        if value is not None and value == value:
            stated[number].append(value)
    settled = np.full(patients, None, object)
    contradicted = 0
    for number, found in enumerate(stated):
        if kind == "years" and found:
            settled[number] = float(np.mean(found))
        elif len(set(found)) == 1:
            settled[number] = str(found[0])
        contradicted += kind == "classes" and len(set(found)) > 1
    note = [f"{contradicted} patients with contradictory records left out"] if contradicted else []
    return settled, note


def task(cohort: Cohort, name: str) -> Task | str:
    """The question that a cohort allows about one attribute, or why it allows none.

    Classes of fewer than `SMALLEST_CLASS` patients are left out, and the notes say so.
    """
    values, kind = cohort.values[name], ATTRIBUTES[name]
    known = np.array([value is not None for value in values])
    notes = list(cohort.notes[name])
    if not known.any():
        return "no record states it"
    if not known.all():
        notes.append(f"{int((~known).sum())} patients in whom it is unknown left out")
    if kind == "years":
        return _select(cohort, name, known, values[known].astype(float), (), notes)
    names, counts = np.unique(values[known].astype(str), return_counts=True)
    kept = tuple(str(n) for n, count in zip(names, counts, strict=True) if count >= SMALLEST_CLASS)
    for dropped in sorted(set(names) - set(kept)):
        notes.append(f"class '{dropped}' left out: fewer than {SMALLEST_CLASS} patients")
        known &= values != dropped
    labels = np.searchsorted(kept, values[known].astype(str)) if kept else np.zeros(0, int)
    return _select(cohort, name, known, labels, kept, notes)


def _select(
    cohort: Cohort,
    name: str,
    known: np.ndarray,
    labels: np.ndarray,
    classes: tuple[str, ...],
    notes: list[str],
) -> Task:
    rows = np.flatnonzero(known[cohort.patient])
    renumbered = (np.cumsum(known) - 1)[cohort.patient[rows]]
    return Task(name, ATTRIBUTES[name], rows, renumbered, labels, classes, tuple(notes))
