"""What evaluations that learn share: patients to learn from, patients to choose by, and other patients to judge."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from clip import prompts
from clip.evaluation import core
from clip.evaluation.core import Answers
from clip.evaluation.results import ClassificationResult, Part
from clip.inputs import photographs
from clip.inputs.sets import Data
from clip.prompts import Task
from synth.base import stats, ties
from synth.base.errors import UserError


class Tables(NamedTuple):
    """What records say of their photographs; no patient is in two of the three."""

    train: pa.Table
    validation: pa.Table
    test: pa.Table


class Parts(NamedTuple):
    """The answers to one task: the same classes in the same order in each, though validation may lack some."""

    train: Answers
    validation: Answers
    test: Answers


def tables(data: Data, splits: Sequence[str]) -> Tables:
    """The train and validation records, and those of `splits`, which are judged.

    Raises:
        UserError: one of them is empty, `splits` names one that is learnt from, or a patient is in two.
    """
    if "train" in splits or "validation" in splits:
        raise UserError(
            f"--split {','.join(splits)}: this task learns from train and chooses by validation; give --split test"
        )
    parts = {"train": ["train"], "validation": ["validation"], ", ".join(splits): list(splits)}
    found = {name: photographs.table(data, wanted) for name, wanted in parts.items()}
    if empty := [name for name, table in found.items() if not len(table)]:
        raise UserError(
            f"{data}: no records in {empty[0]}; this task learns from train, chooses by validation and judges test, "
            "so import the set into all three splits"
        )
    owner: dict[str, str] = {}
    for name, table in found.items():
        for patient in set(table["subject_id"].to_pylist()):
            if patient in owner:
                raise UserError(
                    f"{data}: subject_id '{patient}' is in both {owner[patient]} and {name}; "
                    "split the records by patient, as 'synth import' does"
                )
            owner[patient] = name
    return Tables(*found.values())


def tasks(name: str | None, tables: Tables, min_count: int, data: Data) -> dict[str, tuple[Task, Parts]]:
    """The tasks of a name that can be learnt and judged; without a name, all such.

    A class needs `min_count` photographs to learn from and as many to judge, and validation two of the classes.

    Raises:
        UserError: there is no such task, or none that can be learnt.
    """
    chosen = {}
    for key, task in prompts.tasks(name).items():
        enough = [set(core.answers(task, table, min_count).classes) for table in (tables.train, tables.test)]
        names = sorted(enough[0] & enough[1])
        parts = Parts(*(core.answers(task, table, min_count, names) for table in tables))
        if len(names) >= 2 and len(set(parts.validation.truth)) >= 2:
            chosen[key] = task, parts
    if not chosen:
        what = f"'{name}'" if name else "any task"
        raise UserError(
            f"{data}: {what} cannot be learnt: it takes 2 classes with {min_count} photographs in train and in "
            "test, and 2 in validation; choose another --prompts, or --set min_count=N"
        )
    return chosen


def score(truth: np.ndarray, probability: np.ndarray) -> float:
    """Macro AUC of (n, K) probabilities, over those classes that are among the (n,) true ones: what chooses."""
    once, levels = np.ones((1, len(truth))), ties.levels_of(probability)
    present = np.unique(truth)
    return float(np.mean([stats.auc(levels[:, k], truth == k, once)[0] for k in present]))


def result(kind: str, name: str, task: Task, parts: Parts, **more: Any) -> ClassificationResult:
    """A learnt classification: what every one says beside `more`."""
    train, validation = (
        Part(n=len(each.rows), patients=each.patients, classes=each.classes)
        for each in (parts.train, parts.validation)
    )
    return core.result(kind, name, task, parts.test, train=train, validation=validation, **more)
