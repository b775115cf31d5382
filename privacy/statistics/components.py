"""Many features to few, without a look at any label."""

import numpy as np
from scipy.sparse.linalg import eigsh

_FEW_PATIENTS, _FEW_COMPONENTS, _MOST_COMPONENTS = 3000, 64, 256


def reduce(features: np.ndarray, patient: np.ndarray) -> np.ndarray:
    """Standardise (N, D) features and keep their leading principal components, (N, k).

    k is at most 64 below 3,000 patients (beyond that a probe would learn noise), else at most 256.
    Components keep their relative size; the mean squared length of a row is k.
    """
    patients = int(patient[-1]) + 1
    most = min(_FEW_COMPONENTS if patients < _FEW_PATIENTS else _MOST_COMPONENTS, features.shape[1])
    weights = 1.0 / np.bincount(patient)[patient] / patients
    features = features.astype(np.float64)
    features = features - weights @ features
    deviation = np.sqrt(weights @ features**2)
    features = features / np.where(deviation > 1e-9 * (1 + deviation.max()), deviation, np.inf)
    if most < features.shape[1]:
        features = features @ principal(features, weights, most)
    size = (weights @ features**2).sum()
    return features * np.sqrt(most / size) if size > 0 else features


def principal(features: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """(D, count) leading principal axes of centred (N, D) features, largest first."""
    scaled = features * np.sqrt(weights)[:, None]
    wide = scaled.shape[0] < scaled.shape[1]
    vectors = _leading(scaled @ scaled.T if wide else scaled.T @ scaled, count)
    if not wide:
        return vectors
    axes = scaled.T @ vectors
    return axes / np.maximum(np.linalg.norm(axes, axis=0), 1e-12)


def _leading(square: np.ndarray, count: int) -> np.ndarray:
    """(D, count) eigenvectors of a symmetric (D, D) matrix, largest first."""
    if len(square) > 8 * count:  # a few of many: Lanczos, from a fixed start
        return eigsh(square, count, v0=np.ones(len(square)))[1][:, ::-1]
    return np.linalg.eigh(square)[1][:, ::-1][:, :count]
