"""What is called of each photograph: probabilities as a table, and who is taken for whom."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.metrics import confusion_matrix

from synth.base import private_table, ties
from synth.base.errors import UserError
from synth.base.runs import atomic
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
    """Write a CSV file with a line for each photograph, and the same as parquet, for their owner alone: they tell of single patients."""
    header = [f"{row} {name}" for row in calls.probability for name in calls.classes]
    numbers = np.concatenate([*calls.probability.values()], axis=1)
    lines = (
        [key, subject, calls.classes[true], *(f"{value:.12g}" for value in values)]
        for key, subject, true, values in zip(calls.ids, calls.subjects, calls.truth, numbers, strict=True)
    )
    private_table.write(path, ["id", "subject_id", "class", *header], lines)
    columns = {
        "id": calls.ids,
        "subject_id": calls.subjects,
        "class": [calls.classes[k] for k in calls.truth],
    }
    with atomic(path.with_suffix(".parquet")) as temporary:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))  # before anything is in it
        pq.write_table(pa.table(columns | dict(zip(header, numbers.T, strict=True))), temporary)


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


def confusion(truth: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """(K, K) photographs of each true class (down) that are called as each class (across), of ties as the first."""
    return confusion_matrix(truth, ties.first_largest(probability), labels=range(probability.shape[1]))
