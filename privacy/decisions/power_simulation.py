"""What an audit of these very patients could have found: leaks of known size are planted on a copy of its scores.

The non-members' scores are what no training has touched.  Both groups are drawn from them with replacement, as many
patients as the audit has; then a leak is planted in one group and judged as the audit judges.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import norm

from privacy.decisions import verdict
from privacy.decisions.results import Result, Scale
from privacy.statistics.inference import CONFIDENCE, Tested
from synth.base import ties

POWER = 0.8
ASKED = 32
"""Questions about a release for which p is adjusted at most; what an audit could have found is said for so many."""
_HALVINGS = 7
_MOST_OF_ALL = 0.95  # of counts, to members: nineteen times as many as to non-members
_SOONER = float(norm.ppf(1 - (1 - CONFIDENCE) / 2))
_POWERFUL = float(norm.ppf(POWER))


class Trial(NamedTuple):
    """How one attack is simulated; a group is an array whose first axis is patients."""

    draw: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]
    """Members and non-members without a leak."""
    plant: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
    """Members with a leak by which the statistic is so much."""
    test: Callable[[np.ndarray, np.ndarray], Tested]
    scale: Scale
    max_leak: float
    """The largest leak that can be planted, as the statistic states it."""


class Limit(NamedTuple):
    """What an audit can find."""

    smallest_leak: float | None
    """The statistic that is found with 80 % power; None where not even the largest leak is."""
    power: float
    """Share of the rounds in which that leak was found."""
    false_alarms: float
    """Share of the rounds that FAILED without any leak."""
    n_simulations: int

    def as_dict(self) -> dict[str, float | None]:
        """As `details["detection"]` of a report has it."""
        return {
            "least": self.smallest_leak,
            "power": self.power,
            "false_alarms": self.false_alarms,
            "rounds": self.n_simulations,
        }


def scores(
    nonmembers: np.ndarray, members: int, test: Callable[[np.ndarray, np.ndarray], Tested], scale: Scale
) -> Trial:
    """A trial of (n,) scores, one per patient, of which an AUC is taken; members' are raised by a constant."""
    pool, span = np.asarray(nonmembers, float), float(np.ptp(nonmembers)) or 1.0

    def area(shift: float) -> float:
        raised, plain = ties.together(pool + shift, pool)
        ordered = np.sort(plain)
        below = np.searchsorted(ordered, raised, "left") + np.searchsorted(ordered, raised, "right")
        return float(below.mean() / 2 / len(pool))

    @cache
    def shift(wanted: float) -> float:
        low, high = 0.0, 2 * span
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if area(middle) < wanted else (low, middle)
        return high

    def plant(group: np.ndarray, wanted: float, rng: np.random.Generator) -> np.ndarray:
        return group + shift(wanted)

    return Trial(_resampled(pool, members), plant, test, scale, 1.0)


def rates(
    nonmembers: np.ndarray, members: int, test: Callable[[np.ndarray, np.ndarray], Tested], scale: Scale
) -> Trial:
    """A trial of (n, ...) successes, one row per patient and success in the first column (or alone).

    So many members' failures become successes that the rate rises by what is wanted.
    """
    pool = np.asarray(nonmembers, float)
    failures = 1 - float((pool if pool.ndim == 1 else pool[:, 0]).mean())

    def plant(group: np.ndarray, wanted: float, rng: np.random.Generator) -> np.ndarray:
        planted = group.copy()
        column = planted if planted.ndim == 1 else planted[:, 0]
        column[rng.random(len(column)) < wanted / max(failures, 1e-12)] = 1.0
        return planted

    return Trial(_resampled(pool, members), plant, test, scale, failures)


def counts(
    everybody: np.ndarray, members: int, test: Callable[[np.ndarray, np.ndarray], Tested], scale: Scale
) -> Trial:
    """A trial of (P,) counts of both groups, of which members have a share; each member is given more, at random."""
    pool = np.asarray(everybody, float)

    def plant(group: np.ndarray, wanted: float, rng: np.random.Generator) -> np.ndarray:
        return group + rng.poisson(pool.mean() * (wanted / (1 - wanted) - 1), len(group))

    return Trial(_resampled(pool, members, len(pool) - members), plant, test, scale, _MOST_OF_ALL)


def standing_out(
    nonmembers: np.ndarray, members: int, test: Callable[[np.ndarray, np.ndarray], Tested], scale: Scale
) -> Trial:
    """A trial of (n,) scores above a high threshold; so large a share of members is put above everybody."""
    pool = np.asarray(nonmembers, float)

    def plant(group: np.ndarray, wanted: float, rng: np.random.Generator) -> np.ndarray:
        return np.where(rng.random(len(group)) < wanted, pool.max() + 1, group)

    return Trial(_resampled(pool, members), plant, test, scale, 1.0)


def limit(trial: Trial, n_simulations: int, seed: int, attacks: int = 1) -> Limit:
    """The least leak that FAILS in 80 % of `n_simulations`, found by halving.

    Every leak meets the same draws, so that only its size differs.

    Args:
        attacks: for how many p-values are adjusted, in the worst case of Holm's procedure.
    """

    def power_at(size: float) -> float:
        return share(trial, size, n_simulations, seed, attacks)

    false_alarms = power_at(trial.scale.chance)
    low, high = trial.scale.chance, trial.max_leak
    power = power_at(high)
    if power < POWER:
        return Limit(None, power, false_alarms, n_simulations)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        often = power_at(middle)
        if often >= POWER:
            high, power = middle, often
        else:
            low = middle
    return Limit(high, power, false_alarms, n_simulations)


def share(trial: Trial, size: float, n_simulations: int, seed: int, attacks: int = 1) -> float:
    """Of so many rounds with a leak of this size, those that FAIL."""
    failed = 0
    for number in range(n_simulations):
        rng = np.random.default_rng([seed, number])
        members, nonmembers = trial.draw(rng)
        if size > trial.scale.chance:
            members = trial.plant(members, size, rng)
        failed += fails(trial.test(members, nonmembers), trial.scale, attacks)
    return failed / n_simulations


def fails(tested: Tested, scale: Scale, attacks: int = 1) -> bool:
    """Whether an audit would call this a leak."""
    p = min(1.0, tested.p * attacks)
    answer = verdict.leak_verdict(tested.estimate, p, scale.chance, scale.bar, scale.margin, scale.name)
    return answer.word == verdict.FAIL


def state(result: Result, trial: Trial, n_simulations: int, seed: int, attacks: int = ASKED) -> Result:
    """The same result, which says in `details["detection"]` what it could have found."""
    found = limit(trial, n_simulations, seed, attacks)
    return _said(result, found.as_dict(), trial.max_leak, attacks)


def state_by_width(result: Result, attacks: int = ASKED) -> Result:
    """The same, from how wide the interval is, where an attack is too slow, or too much of one piece, to simulate.

    A leak is found where it lies so far above the bar that the interval about it mostly clears it, and so far above
    chance that p, normal and adjusted, is mostly below 5 %.
    """
    assert result.tested
    estimate, scale = result.tested.estimate, result.scale
    error = (estimate.high - estimate.low) / 2 / _SOONER
    by_interval = scale.bar + (_SOONER + _POWERFUL) * error
    by_p = scale.chance + (float(norm.ppf(1 - verdict.ALPHA / attacks)) + _POWERFUL) * error
    return _said(result, {"least": max(by_interval, by_p), "power": POWER}, None, attacks)


def _said(result: Result, found: Mapping[str, Any], max_leak: float | None, attacks: int) -> Result:
    if found["least"] is None:
        said = f"this attacker finds no leak up to {result.scale.name} {max_leak:.3f} with 80 % power in so few patients"
    else:
        size = f"{result.scale.name} {found['least']:.3g}"
        said = f"with these patients, this attacker finds a leak of {size} or more with 80 % power; another may find less"
    adjusted = f"p adjusted for {attacks} questions at most"
    details = {**result.details, "detection": {**found, "attacks": attacks}}
    return result._replace(details=details, notes=(*result.notes, f"{said}; {adjusted}"))


def _resampled(
    pool: np.ndarray, members: int, nonmembers: int = 0
) -> Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]:
    """Both groups, drawn with replacement; as many non-members as in the pool where 0."""

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        sizes = members, nonmembers or len(pool)
        one, other = (pool[rng.integers(0, len(pool), size)] for size in sizes)
        return one, other

    return draw
