"""Rates with intervals; people, not photographs, are what is resampled."""

from collections.abc import Callable, Sequence
from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from synth.base.errors import UserError


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


def resample(patients: Sequence[str], rounds: int, seed: int) -> list[np.ndarray]:
    """Row numbers of `rounds` bootstrap samples that draw whole patients with replacement.

    Field & Welsh 2007, doi:10.1111/j.1467-9868.2007.00593.x: the cluster bootstrap.
    """
    _, group = np.unique(np.asarray(patients), return_inverse=True)
    order = np.argsort(group, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(group))[:-1])
    rng = np.random.default_rng(seed)
    return [np.concatenate([rows[i] for i in rng.integers(0, len(rows), len(rows))]) for _ in range(rounds)]


def bootstrap(
    statistic: Callable[[np.ndarray], float],
    patients: Sequence[str],
    rounds: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Estimate:
    """`statistic` of all rows, with a percentile interval over resampled patients.

    Args:
        statistic: takes row numbers, returns a number; nan where a sample cannot be judged (one class only).
        patients:  the patient of each row.
    """
    value = float(statistic(np.arange(len(patients))))
    draws = np.array([statistic(rows) for rows in resample(patients, rounds, seed)], dtype=float)
    draws = draws[np.isfinite(draws)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail]) if len(draws) else (float("nan"), float("nan"))
    return Estimate(value, float(low), float(high), len(set(patients)))
