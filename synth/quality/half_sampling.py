"""Intervals of distances between two sets of photographs, from random halves of the patients on either side."""

from collections.abc import Callable, Sequence

import numpy as np

from synth.base.stats import Estimate

Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Takes the rows kept of either side, returns (K,) numbers."""


def estimates(
    statistic: Statistic,
    patient_ids: tuple[np.ndarray, np.ndarray],
    n_subsamples: int,
    seed: int,
    lower: Sequence[float],
    upper: Sequence[float],
    confidence: float = 0.95,
) -> list[Estimate]:
    """K values on all rows, with intervals.

    A half drawn without replacement varies about the whole as the whole varies about the truth, since
    (1 - 1/2) / (n/2) = 1/n; and nobody is there twice, as a bootstrap would have it, which a nearest neighbour
    sees.  What depends on the number of rows, as a Frechet distance does, is centred first: the interval is the
    value plus the quantiles of the halves about their mean.  Subsampling: Politis & Romano 1994, doi:10.1214/aos/1176325770.

    Args:
        patient_ids: the patient of each row on either side; patients are what is halved.
        n_subsamples: halves that are drawn.
        lower, upper: (K,) what the numbers cannot fall below, and cannot exceed; intervals end there.
    """
    rng = np.random.default_rng(seed)
    everyone = tuple(np.arange(len(each)) for each in patient_ids)
    value = statistic(*everyone)
    halved = np.stack([statistic(*(_half(each, rng) for each in patient_ids)) for _ in range(n_subsamples)])
    apart = halved - np.nanmean(halved, axis=0)
    tail = (1 - confidence) / 2
    low, high = np.clip(value + np.nanquantile(apart, [tail, 1 - tail], axis=0), lower, upper)
    patients = min(len(np.unique(each)) for each in patient_ids)
    return [
        Estimate(float(v), float(a), float(b), patients) for v, a, b in zip(value, low, high, strict=True)
    ]


def _half(patient_ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    people = np.unique(patient_ids)
    kept = rng.permutation(people)[: max(1, len(people) // 2)]
    return np.flatnonzero(np.isin(patient_ids, kept))
