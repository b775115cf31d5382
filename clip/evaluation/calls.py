"""What is called of each photograph: probabilities as a table, and who is taken for whom."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.metrics import confusion_matrix

from synth.base import private_table


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
        [key, subject, calls.classes[true], *(f"{value:.6g}" for value in values)]
        for key, subject, true, values in zip(calls.ids, calls.subjects, calls.truth, numbers, strict=True)
    )
    private_table.write(path, ["id", "subject_id", "class", *header], lines)


def confusion(calls: Calls, row: str) -> np.ndarray:
    """(K, K) photographs of each true class (down) that are called as each class (across)."""
    called = calls.probability[row].argmax(axis=1)
    return confusion_matrix(calls.truth, called, labels=range(len(calls.classes)))
