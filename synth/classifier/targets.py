"""What a classifier predicts: the labels of records as questions of yes, no or unknown."""

import numpy as np
import pyarrow as pa

from synth.data.vocabulary import FINDING_KEYS, FLAGS

TARGETS = ("dr", "referable_dr", *FLAGS, *FINDING_KEYS)
"""What can be told apart: any diabetic retinopathy (grade >= 1), referable (>= 2), the ten flags, the findings."""


def targets(table: pa.Table) -> np.ndarray:
    """(N, len(TARGETS)) float32: 1 present, 0 absent, nan unknown."""
    grade = np.array([np.nan if g is None else g for g in table["dr_grade"].to_pylist()], np.float32)
    found = table["findings"].to_pylist()
    columns = [np.where(np.isnan(grade), np.nan, grade >= lowest) for lowest in (1, 2)]
    columns += [np.array([np.nan if v is None else v for v in table[key].to_pylist()]) for key in FLAGS]
    columns += [np.array([np.nan if f is None else key in f for f in found]) for key in FINDING_KEYS]
    return np.stack(columns, axis=1).astype(np.float32)


def enough(truth: np.ndarray, min_count: int) -> list[int]:
    """The columns of (N, L) truth with at least `min_count` positives and negatives."""
    counts = np.minimum((truth == 1).sum(axis=0), (truth == 0).sum(axis=0))
    return np.flatnonzero(counts >= min_count).tolist()
