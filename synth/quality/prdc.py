"""Precision, recall, density and coverage: whether samples lie among real photographs, and reach all of them."""

import numpy as np

from synth.base import ties
from synth.base.stats import Estimate
from synth.quality import half_sampling

NAMES = ("precision", "recall", "density", "coverage")


def prdc(real: np.ndarray, fake: np.ndarray, between: np.ndarray, k: int) -> np.ndarray:
    """(4,): precision and recall of Kynkaanniemi et al. 2019 (1904.06991), density and coverage of Naeem et al.
    2020 (2002.09797).

        precision: share of fakes within the k-th neighbour distance of some real photograph
        recall:    share of real photographs within that of some fake
        density:   how many such real balls a fake lies in, over k; 1 for equal distributions, may exceed 1
        coverage:  share of real photographs with a fake in their ball

    Args:
        real:    (R, R) distances among real photographs, `fake` (F, F) among fakes.
        between: (R, F) distances from the one to the other.
        k:       neighbours that make the ball; a photograph is not its own.
    """
    ball, reach = _radius(real, k)[:, None], _radius(fake, k)[None, :]
    size = float(between.max())
    inside = ties.above(ball, between, size)
    return np.array(
        [
            inside.any(axis=0).mean(),
            ties.above(reach, between, size).any(axis=1).mean(),
            inside.sum(axis=0).mean() / k,
            inside.any(axis=1).mean(),
        ]
    )


def measure(
    real: np.ndarray,
    fake: np.ndarray,
    patient_ids: tuple[np.ndarray, np.ndarray],
    k: int,
    n_subsamples: int,
    seed: int,
) -> dict[str, Estimate]:
    """The four numbers of (R, D) real and (F, D) fake features, with intervals over halves of the patients."""
    from scipy.spatial.distance import cdist

    among, own, between = cdist(real, real), cdist(fake, fake), cdist(real, fake)

    def statistic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        if min(len(a), len(b)) <= k:  # halves of patients with many photographs each may be uneven
            return np.full(4, np.nan)
        return prdc(among[np.ix_(a, a)], own[np.ix_(b, b)], between[np.ix_(a, b)], k)

    found = half_sampling.estimates(
        statistic, patient_ids, n_subsamples, seed, lower=[0] * 4, upper=[1, 1, np.inf, 1]
    )
    return dict(zip(NAMES, found, strict=True))


def _radius(distances: np.ndarray, k: int) -> np.ndarray:
    """The distance to the k-th neighbour; the nearest is oneself, at 0."""
    return np.partition(distances, k, axis=1)[:, k]
