"""Frechet and kernel distances between two sets of features."""

import numpy as np

from synth.base import ties
from synth.base.stats import Estimate
from synth.quality import half_sampling

NAMES = ("frechet", "kernel")


def frechet(real: np.ndarray, fake: np.ndarray) -> float:
    """The Frechet distance of the normal distributions fitted to (R, D) and (F, D) features.

        d^2 = |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^1/2)        Dowson & Landau 1982; Heusel et al. 2017 (1706.08500)

    The trace of the root is the sum of the singular values of X Y', X and Y the centred features over root n - 1: exact
    with fewer rows than dimensions too, where the matrix root of `cleanfid.fid.frechet_distance` fails, and else
    the same number.
    """
    middles = real.mean(axis=0), fake.mean(axis=0)
    x, y = (
        _triangle((each - middle) / np.sqrt(max(len(each) - 1, 1)))
        for each, middle in zip((real, fake), middles, strict=True)
    )
    root = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    apart, spreads = ((middles[0] - middles[1]) ** 2).sum(), (x**2).sum() + (y**2).sum()
    return float(apart + ties.difference(spreads, 2 * root))


def kernel(real: np.ndarray, fake: np.ndarray) -> float:
    """The unbiased squared maximum mean discrepancy with kernel (x'y / D + 1)^3 (KID: Binkowski et al. 2018,
    1801.01401), on all rows of the smaller side and as many of the larger; `cleanfid.fid.kernel_distance` takes the mean
    of random subsets.
    """
    from sklearn.metrics.pairwise import polynomial_kernel

    n = min(len(real), len(fake))
    within = 0.0
    for each in (real[:n], fake[:n]):
        values = polynomial_kernel(each, degree=3)
        within += (values.sum() - np.trace(values)) / (n * (n - 1))
    return float(within - 2 * polynomial_kernel(real[:n], fake[:n], degree=3).mean())


def measure(
    real: np.ndarray,
    fake: np.ndarray,
    patient_ids: tuple[np.ndarray, np.ndarray],
    n_subsamples: int,
    seed: int,
) -> dict[str, Estimate]:
    """Both distances of (R, D) and (F, D) features, with intervals over halves of the patients."""
    real, fake = real.astype(np.float64), fake.astype(np.float64)

    def statistic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.array([frechet(real[a], fake[b]), kernel(real[a], fake[b])])

    # The kernel estimate is unbiased, so of equal sets it falls below 0 half of the time.
    lower, upper = [0, -np.inf], [np.inf] * 2
    return dict(
        zip(
            NAMES,
            half_sampling.estimates(statistic, patient_ids, n_subsamples, seed, lower, upper),
            strict=True,
        )
    )


def _triangle(features: np.ndarray) -> np.ndarray:
    """A matrix with the same X'X and no more rows than columns."""
    return np.asarray(np.linalg.qr(features, "r")) if len(features) > features.shape[1] else features
