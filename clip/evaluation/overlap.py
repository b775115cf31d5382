"""How far two regions of a photograph are the same, and the region that is told without looking."""

from collections.abc import Callable

import numpy as np

from synth.base import ties
from synth.base.stats import Statistic

_THRESHOLDS = np.linspace(0.05, 1, 20)


def counts(truth: np.ndarray, said: np.ndarray) -> np.ndarray:
    """(K, 3) pixels of K classes: in both, said, true; of (K, ...) bool each."""
    axes = tuple(range(1, truth.ndim))
    return np.stack([(truth & said).sum(axis=axes), said.sum(axis=axes), truth.sum(axis=axes)], axis=1)


def dice(counted: np.ndarray) -> np.ndarray:
    """(...) 2 |A n B| / (|A| + |B|) of (..., 3) counts; nan where a class neither is nor was said to be.

    Dice 1945, doi:10.2307/1932409.
    """
    both, said, true = np.moveaxis(counted, -1, 0)
    return _share(2 * both, said + true)


def iou(counted: np.ndarray) -> np.ndarray:
    """(...) |A n B| / |A u B| of (..., 3) counts (Jaccard 1912); nan where a class neither is nor was said to be."""
    both, said, true = np.moveaxis(counted, -1, 0)
    return _share(both, said + true - both)


METRICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"dice": dice, "iou": iou}


def statistic(values: np.ndarray) -> Statistic:
    """The mean over classes of the means over photographs, of (n, K) values; nan counts nowhere."""
    known = np.isfinite(values)
    filled = np.where(known, values, 0)

    def mean(weights: np.ndarray) -> np.ndarray:
        return _share(weights @ filled, weights @ known.astype(float)).mean(axis=1)

    return mean


def mean_mask(regions: np.ndarray) -> np.ndarray:
    """(K, S, S) bool: where each class lies most often, of (K, N, S, S) regions of photographs to learn from.

    A class's region is where at least such a share of the photographs has it as gives the best mean Dice on them.
    """
    best = np.zeros((len(regions), *regions.shape[2:]), bool)
    for k, masks in enumerate(regions):
        share = masks.mean(axis=0)
        tried = [
            ties.at_or_above(share, threshold * share.max(), 1.0) for threshold in _THRESHOLDS if share.any()
        ]
        scores = [np.nanmean([dice(counts(each[None], said[None])[0]) for each in masks]) for said in tried]
        if scores:
            best[k] = tried[int(ties.first_largest(np.array(scores)))]
    return best


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)
