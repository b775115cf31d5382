"""What is called of each photograph: probabilities as a table, and who is taken for whom as a picture."""

import csv
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from synth.base.runs import atomic

_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet runs, at the beginning of a cell."""


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
    rows = list(calls.probability)
    with atomic(path) as temporary:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(
                ["id", "subject_id", "class", *(f"{row} {name}" for row in rows for name in calls.classes)]
            )
            for i, (key, subject) in enumerate(zip(calls.ids, calls.subjects, strict=True)):
                numbers = [f"{value:.6g}" for row in rows for value in calls.probability[row][i]]
                table.writerow([*map(_plain, (key, subject, calls.classes[calls.truth[i]])), *numbers])


def _plain(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(_FORMULAS) else cell


def confusion(calls: Calls, row: str) -> np.ndarray:
    """(K, K) photographs of each true class (down) that are called as each class (across)."""
    found = np.zeros((len(calls.classes),) * 2, int)
    np.add.at(found, (calls.truth, calls.probability[row].argmax(axis=1)), 1)
    return found


def draw(path: Path, calls: Calls) -> None:
    """Write the confusion matrix of each row as one PNG; colours are shares of the true class, numbers photographs."""
    from matplotlib.figure import Figure

    rows, count = list(calls.probability), len(calls.classes)
    side = max(3.2, 0.55 * count + 1.6)
    figure = Figure(figsize=(side * len(rows), side), layout="constrained")
    for axis, row in zip(np.atleast_1d(figure.subplots(1, len(rows))), rows, strict=True):
        found = confusion(calls, row)
        share = found / np.maximum(found.sum(axis=1, keepdims=True), 1)
        axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for true in range(count):
            for called in range(count):
                colour = "white" if share[true, called] > 0.5 else "black"
                axis.text(called, true, str(found[true, called]), ha="center", va="center", color=colour)
        axis.set_xticks(range(count), calls.classes, rotation=90)
        axis.set_yticks(range(count), calls.classes)
        axis.set(title=row, xlabel="called", ylabel="true")
    with atomic(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120, metadata={"Software": None})
