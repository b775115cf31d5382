"""AUC, balanced accuracy, MAE and R², each for all bootstrap samples at once.

A bootstrap sample that draws whole patients is a row of weights: how often each patient was drawn.  Row 0 is
the data as they are.  All targets of an audit share the same rows, so differences between them are paired.
"""

from collections.abc import Callable

import numpy as np
from scipy.stats import rankdata

from synth.base.stats import Estimate, resample

_CHUNK = 250  # bootstrap samples at a time: keeps memory in tens of megabytes


def draws(patients: int, rounds: int, seed: int) -> np.ndarray:
    """(1 + rounds, patients) times that each patient is drawn; once each in row 0."""
    drawn = np.ones((1 + rounds, patients))
    for number, rows in enumerate(resample([f"{i:09d}" for i in range(patients)], rounds, seed)):
        drawn[1 + number] = np.bincount(rows, minlength=patients)
    return drawn


def over(drawn: np.ndarray, rows: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """`statistic` of each bootstrap sample, (1 + rounds,); `rows` says whose each of its rows is."""
    chunks = range(0, len(drawn), _CHUNK)
    return np.concatenate([statistic(drawn[i : i + _CHUNK][:, rows]) for i in chunks])


def estimate(values: np.ndarray, patients: int, confidence: float = 0.95) -> Estimate:
    """A value and its percentile interval from the (1 + rounds,) numbers that `over` gives."""
    tail = (1 - confidence) / 2
    finite = values[1:][np.isfinite(values[1:])]
    low, high = np.quantile(finite, [tail, 1 - tail]) if len(finite) else (np.nan, np.nan)
    return Estimate(float(values[0]), float(low), float(high), patients)


def auc(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of (n,) scores, ties counted half, for each row of (B, n) weights.

    nan where a sample holds one class only.
    """
    order = np.argsort(scores, kind="stable")
    _, start = np.unique(scores[order], return_index=True)
    weights = weights[:, order]
    hits = weights * positive[order]
    above = np.add.reduceat(hits, start, axis=1)
    below = np.add.reduceat(weights - hits, start, axis=1)
    won = (above * (np.cumsum(below, axis=1) - below / 2)).sum(axis=1)
    pairs = above.sum(axis=1) * below.sum(axis=1)
    return np.divide(won, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def aucs(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """AUC of each column of (n, R) scores against the same column of (n, R) bool."""
    ranks = rankdata(scores, axis=0)
    ups = positive.sum(axis=0)
    downs = len(positive) - ups
    won = (ranks * positive).sum(axis=0) - ups * (ups + 1) / 2
    pairs = ups * downs
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


def mae(guess: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean absolute error, in years for age, for each row of (B, n) weights."""
    return weights @ np.abs(guess - truth) / weights.sum(axis=1)


def r2(guess: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of the variance explained, for each row of (B, n) weights; below 0 if worse than the mean."""
    total = weights.sum(axis=1)
    spread = weights @ truth**2 / total - (weights @ truth / total) ** 2
    error = weights @ (guess - truth) ** 2 / total
    return 1 - np.divide(error, spread, out=np.full(len(total), np.nan), where=spread > 1e-12)
