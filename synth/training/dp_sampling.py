"""What private training draws: the photographs of a step, and the labels that its generator is sampled with."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from synth.base.errors import UserError
from synth.data.records import read_table
from synth.data.vocabulary import FLAGS, SIDE_KEYS
from synth.training.dp_gradients import randomness

_SHOWN = (
    {"dr_grade": 0, **dict.fromkeys(FLAGS, 0)},
    *({"dr_grade": grade} for grade in (1, 2, 3, 4)),
    *({flag: 1} for flag in FLAGS),
)
MIX = [{"weight": 1, "labels": {**labels, "eye_side": side}} for labels in _SHOWN for side in SIDE_KEYS]
"""Healthy eyes and each disease equally often: what real patients have is not told."""


def rows_by_patient(data: Sequence[Path]) -> list[np.ndarray]:
    """The training rows of each patient; one id in two folders is one patient."""
    ids: list[str | None] = []
    for folder in data:
        ids += read_table(folder, ["train"], ["subject_id"])["subject_id"].to_pylist()
        if None in ids:
            raise UserError(
                f"{folder}: a row without subject_id; a patient who has no name cannot be protected"
            )
    _, patient = np.unique(np.array(ids, str), return_inverse=True)
    return np.split(np.argsort(patient, kind="stable"), np.cumsum(np.bincount(patient))[:-1])


def poisson_sample(rows_of: list[np.ndarray], rate: float, secret: int, step: int) -> list[tuple[int, int]]:
    """(patient, row) of a Poisson sample of patients, one photograph of each."""
    patients = np.flatnonzero(randomness(secret, step).random(len(rows_of)) < rate).tolist()
    return [(patient, randomness(secret, step, patient).choice(rows_of[patient])) for patient in patients]
