"""Many features to few, without a look at any label."""

from itertools import pairwise

import numpy as np
from scipy.sparse.linalg import eigsh

from synth.base import ties

_FEW_PATIENTS, _FEW_COMPONENTS, _MOST_COMPONENTS = 3000, 64, 256
_NOTHING = 1e-9  # of the largest variance: what rounding leaves where nothing varies is far below
_EQUAL, _ROUNDING = 1e-9, 1e-12  # of a variance, and of the largest, by which equal ones may differ


def reduce(features: np.ndarray, patient: np.ndarray) -> np.ndarray:
    """Standardise (N, D) features and keep their leading principal components, (N, k).

    k is at most 64 below 3,000 patients (beyond that a probe would learn noise), else at most 256; but components of
    equal variance stay together, see `principal`.  Components keep their relative size; the mean squared length of a
    row is k.  Of features that are all constant, zeros.
    """
    patients = int(patient[-1]) + 1
    most = min(_FEW_COMPONENTS if patients < _FEW_PATIENTS else _MOST_COMPONENTS, features.shape[1])
    weights = 1.0 / np.bincount(patient)[patient] / patients
    features = ties.standardised(features, weights)
    if not features.any():
        return features[:, :most]
    if most < features.shape[1]:
        features = features @ principal(features, weights, most)
    return features * np.sqrt(features.shape[1] / (weights @ features**2).sum())


def principal(features: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """(D, c) leading principal axes of centred (N, D) features, largest first.

    c is `count`, but axes along which nothing varies are left out, and those whose variance is that of the last one are
    kept: which of equals are the first few is up to rounding, and a choice among them may show what no patient does.
    """
    scaled = features * np.sqrt(weights)[:, None]
    wide = scaled.shape[0] < scaled.shape[1]
    vectors = _leading(scaled @ scaled.T if wide else scaled.T @ scaled, count)
    axes = scaled.T @ vectors if wide else vectors
    return axes / np.linalg.norm(axes, axis=0)


def _leading(square: np.ndarray, count: int) -> np.ndarray:
    """(D, c) eigenvectors of a symmetric (D, D) matrix, largest first; c as in `principal`."""
    if not square.any():
        return np.zeros((len(square), 0))
    if len(square) > 8 * count:  # a few of many: Lanczos, from a fixed start
        values, vectors = eigsh(square, count + 1, v0=np.ones(len(square)))
        if (ends := _ends(values[::-1], count))[-1] <= count:
            return _turned(vectors[:, ::-1], ends)
    values, vectors = np.linalg.eigh(square)
    return _turned(vectors[:, ::-1], _ends(values[::-1], count))


def _ends(values: np.ndarray, count: int) -> list[int]:
    """Where each group of equals among falling eigenvalues ends, up to the one that holds the last of `count`."""
    values = values[values > _NOTHING * values[0]]
    apart = values[:-1] - values[1:] > np.maximum(_EQUAL * values[:-1], _ROUNDING * values[0])
    ends = [*(np.flatnonzero(apart) + 1).tolist(), len(values)]
    return ends[: 1 + next(i for i, end in enumerate(ends) if end >= min(count, len(values)))]


def _turned(vectors: np.ndarray, ends: list[int]) -> np.ndarray:
    """The vectors of each group, turned among themselves towards fixed directions: rounding leaves even a sign open."""
    fixed = np.random.default_rng(0).standard_normal((len(vectors), ends[-1]))
    groups = [vectors[:, start:end] for start, end in pairwise([0, *ends])]
    for place, group in enumerate(groups):
        turned, triangle = np.linalg.qr(group @ (group.T @ fixed[:, : group.shape[1]]))
        groups[place] = turned * np.sign(np.diag(triangle))
    return np.hstack(groups)
