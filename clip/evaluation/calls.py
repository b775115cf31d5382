"""What is called of each photograph: probabilities as a table, and who is taken for whom."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.metrics import confusion_matrix

from synth.base import private_table
from synth.base.errors import UserError
from synth.sources.tables import Line, read_csv


class Calls(NamedTuple):
    """Of n photographs in K classes."""

    ids: list[str]
    subjects: list[str]
    classes: list[str]
    """(K,)"""
    truth: np.ndarray
    """(n,) numbers into `classes`."""
    probability: dict[str, np.ndarray]
    """Row, such as a language -> (n, K)."""


def write(path: Path, calls: Calls) -> None:
    """Write a CSV file with a line for each photograph, for its owner alone: it tells of single patients."""
    header = [f"{row} {name}" for row in calls.probability for name in calls.classes]
    numbers = np.concatenate([*calls.probability.values()], axis=1)
    lines = (
        [key, subject, calls.classes[true], *(f"{value:.12g}" for value in values)]
        for key, subject, true, values in zip(calls.ids, calls.subjects, calls.truth, numbers, strict=True)
    )
    private_table.write(path, ["id", "subject_id", "class", *header], lines)


def read(path: Path, rows: Sequence[str], classes: Sequence[str]) -> Calls:
    """What `write` wrote, for the rows and classes that a report names.

    Raises:
        UserError: a column is missing, a class is none of `classes`, or a probability is no number from 0 to 1.
    """
    wanted = [f"{row} {name}" for row in rows for name in classes]
    lines = read_csv(path, ["id", "subject_id", "class", *wanted])
    written = {str(private_table.text(name)): k for k, name in enumerate(classes)}
    unknown = next((line for line in lines if line["class"] not in written), None)
    if unknown is not None:
        raise UserError(
            f"{unknown.where}: class '{unknown['class']}' is none of the report's: {', '.join(classes)}"
        )
    values = np.array([[_probability(line, key) for key in wanted] for line in lines])
    parts = np.split(values, len(rows), axis=1)
    return Calls(
        [line["id"] for line in lines],
        [line["subject_id"] for line in lines],
        [*classes],
        np.array([written[line["class"]] for line in lines]),
        dict(zip(rows, parts, strict=True)),
    )


def _probability(line: Line, column: str) -> float:
    try:
        value = float(line[column])
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        raise UserError(f"{line.where}: {column} '{line[column]}' is no probability; repeat 'clip eval'")
    return value


def confusion(calls: Calls, row: str) -> np.ndarray:
    """(K, K) photographs of each true class (down) that are called as each class (across)."""
    called = calls.probability[row].argmax(axis=1)
    return confusion_matrix(calls.truth, called, labels=range(len(calls.classes)))
