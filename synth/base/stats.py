"""Rates with intervals; people, not photographs, are what is resampled."""

from collections.abc import Callable
from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from synth.base import ties
from synth.base.errors import UserError

Statistic = Callable[[np.ndarray], np.ndarray]
"""Takes (B, n) weights of n rows, returns (B,) numbers; nan where a sample cannot be judged (one class only)."""

_CHUNK = 250  # bootstrap samples at a time: keeps memory in tens of megabytes


class Estimate(NamedTuple):
    """A number with its interval and the patients behind it."""

    value: float
    low: float
    high: float
    patients: int


def wilson(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Confidence interval of a success rate; sound at 0, at `trials`, and for few trials.

    Wilson 1927, doi:10.1080/01621459.1927.10502953.  Both ends lie in [0, 1].
    """
    if not 0 <= hits <= trials or trials == 0:
        raise UserError(
            f"{hits} hits of {trials} trials is no rate; is the attribute missing from every record?"
        )
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    total, middle = trials + z * z, hits + z * z / 2
    spread = z * sqrt(hits * (trials - hits) / trials + z * z / 4)
    return max(0.0, middle - spread) / total, min(total, middle + spread) / total


def draws(patients: int, n_bootstrap: int, seed: int) -> np.ndarray:
    """(1 + n_bootstrap, patients) times that each patient is drawn; once each in row 0, the data as they are.

    Whole patients are drawn with replacement: the cluster bootstrap of Field & Welsh 2007,
    doi:10.1111/j.1467-9868.2007.00593.x.  Two metrics over the same draws are paired.
    """
    rng = np.random.default_rng(seed)
    drawn = [np.bincount(rng.integers(0, patients, patients), minlength=patients) for _ in range(n_bootstrap)]
    return np.stack([np.ones(patients), *drawn])


def over(drawn: np.ndarray, patient_ids: np.ndarray, statistic: Statistic) -> np.ndarray:
    """(1 + n_bootstrap,): `statistic` of each sample of `draws`; `patient_ids` is the patient of each of its n rows."""
    chunks = range(0, len(drawn), _CHUNK)
    return np.concatenate([statistic(drawn[i : i + _CHUNK][:, patient_ids]) for i in chunks])


def estimate(values: np.ndarray, patients: int, confidence: float = 0.95) -> Estimate:
    """A value and its percentile interval from the numbers that `over` gives; samples without one are left out."""
    tail = (1 - confidence) / 2
    finite = values[1:][np.isfinite(values[1:])]
    low, high = np.quantile(finite, [tail, 1 - tail]) if len(finite) else (np.nan, np.nan)
    return Estimate(float(values[0]), float(low), float(high), patients)


def auc(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray, size: float = 0.0) -> np.ndarray:
    """Area under the ROC curve of (n,) scores, ties (`synth.base.ties`) counted half, for each row of (B, n) weights.

    nan where a sample holds one class only.  `size` of what scores are sums of, as in `ties.tolerance`.
    """
    scores = ties.levelled(scores, size=size)
    order = np.argsort(scores, kind="stable")
    _, start = np.unique(scores[order], return_index=True)
    weights = weights[:, order]
    hits = weights * positive[order]
    above = np.add.reduceat(hits, start, axis=1)
    below = np.add.reduceat(weights - hits, start, axis=1)
    won = (above * (np.cumsum(below, axis=1) - below / 2)).sum(axis=1)
    pairs = above.sum(axis=1) * below.sum(axis=1)
    return np.divide(won, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def balanced_accuracy(guess: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over classes of the share guessed right, for each row of (B, n) weights."""
    recalls = []
    for label in np.unique(truth):
        of_class = truth == label
        total = weights @ of_class
        right = weights @ (of_class & (guess == truth)).astype(float)
        recalls.append(np.divide(right, total, out=np.full(len(total), np.nan), where=total > 0))
    return np.mean(recalls, axis=0)
