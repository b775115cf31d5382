"""What only an audit measures: means, MAE and R² of weighted rows, and many AUCs at once."""

import numpy as np
from scipy.stats import rankdata

from synth.base import ties


def aucs(scores: np.ndarray, positive: np.ndarray, size: float = 0.0) -> np.ndarray:
    """AUC of each column of (n, R) scores against the same column of (n, R) bool; ties (`synth.base.ties`) count half."""
    ranks = rankdata(ties.levelled(scores, axis=0, size=size), axis=0)
    ups = positive.sum(axis=0)
    downs = len(positive) - ups
    won = (ranks * positive).sum(axis=0) - ups * (ups + 1) / 2
    pairs = ups * downs
    return np.divide(won, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of (n,) values, for each row of (B, n) weights."""
    return weights @ values / weights.sum(axis=1)


def mae(guess: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean absolute error, in years for age, for each row of (B, n) weights."""
    return mean(np.abs(guess - truth), weights)


def r2(guess: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of the variance explained, for each row of (B, n) weights; below 0 if worse than the mean."""
    total, middle = weights.sum(axis=1), np.median(truth)
    guess, truth = guess - middle, truth - middle  # squares of what is far from 0 would cancel
    spread = weights @ truth**2 / total - (weights @ truth / total) ** 2
    error = weights @ (guess - truth) ** 2 / total
    return 1 - np.divide(
        error,
        spread,
        out=np.full(len(total), np.nan),
        where=spread > 1e-12 * np.square(truth).max(initial=1e-300),
    )
