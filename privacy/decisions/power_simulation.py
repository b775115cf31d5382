"""What an audit of these very patients could have found: leaks of known size are planted on a copy of its scores.

The strangers' scores are what no training has touched.  Both arms are drawn from them with replacement, as many
patients as the audit has; then a leak is planted in one arm and judged as the audit judges.
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
ASKED = 24
"""Questions about a release for which p is adjusted at most; what an audit could have found is said for so many."""
_HALVINGS = 7
_MOST_OF_ALL = 0.95  # of counts, to members: nineteen times as many as to strangers
_SOONER = float(norm.ppf(1 - (1 - CONFIDENCE) / 2))
_POWERFUL = float(norm.ppf(POWER))


class Trial(NamedTuple):
    """How one attack is rehearsed; an arm is an array whose first axis is patients."""

    draw: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]
    """Members and strangers without a leak."""
    plant: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
    """Members with a leak by which the statistic is so much."""
    judge: Callable[[np.ndarray, np.ndarray], Tested]
    scale: Scale
    most: float
    """The largest leak that can be planted, as the statistic states it."""


class Limit(NamedTuple):
    """What an audit can find."""

    least: float | None
    """The statistic that is found with 80 % power; None where not even the largest leak is."""
    power: float
    """Share of the rounds in which that leak was found."""
    false_alarms: float
    """Share of the rounds that FAILED without any leak."""
    rounds: int


def scores(
    strangers: np.ndarray, members: int, judge: Callable[[np.ndarray, np.ndarray], Tested], scale: Scale
) -> Trial:
    """A trial of (n,) scores, one per patient, of which an AUC is taken; members' are raised by a constant."""
    pool, span = np.asarray(strangers, float), float(np.ptp(strangers)) or 1.0

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

    def plant(arm: np.ndarray, wanted: float, rng: np.random.Generator) -> np.ndarray:
        return arm + shift(wanted)

    return Trial(_resampled(pool, members), plant, judge, scale, 1.0)


def rates(
    strangers: np.ndarray, members: int, judge: Callable[[np.ndarray, np.ndarray], Tested], scale: Scale
) -> Trial:
    """A trial of (n, ...) successes, one row per patient and success in the first column (or alone).

    So many members' failures become successes that the rate rises by what is wanted.
    """
    pool = np.asarray(strangers, float)
    failures = 1 - float((pool if pool.ndim == 1 else pool[:, 0]).mean())

    def plant(arm: np.ndarray, wanted: float, rng: np.random.Generator) -> np.ndarray:
        planted = arm.copy()
        column = planted if planted.ndim == 1 else planted[:, 0]
        column[rng.random(len(column)) < wanted / max(failures, 1e-12)] = 1.0
        return planted

    return Trial(_resampled(pool, members), plant, judge, scale, failures)


def counts(
    everybody: np.ndarray, members: int, judge: Callable[[np.ndarray, np.ndarray], Tested], scale: Scale
) -> Trial:
    """A trial of (P,) counts of both arms, of which members have a share; each member is given more, at random."""
    pool = np.asarray(everybody, float)

    def plant(arm: np.ndarray, wanted: float, rng: np.random.Generator) -> np.ndarray:
        return arm + rng.poisson(pool.mean() * (wanted / (1 - wanted) - 1), len(arm))

    return Trial(_resampled(pool, members, len(pool) - members), plant, judge, scale, _MOST_OF_ALL)


def standing_out(
    strangers: np.ndarray, members: int, judge: Callable[[np.ndarray, np.ndarray], Tested], scale: Scale
) -> Trial:
    """A trial of (n,) scores above a high threshold; so large a share of members is put above everybody."""
    pool = np.asarray(strangers, float)

    def plant(arm: np.ndarray, wanted: float, rng: np.random.Generator) -> np.ndarray:
        return np.where(rng.random(len(arm)) < wanted, pool.max() + 1, arm)

    return Trial(_resampled(pool, members), plant, judge, scale, 1.0)


def limit(trial: Trial, rounds: int, seed: int, attacks: int = 1) -> Limit:
    """The least leak that FAILS in 80 % of `rounds`, found by halving.

    Every leak meets the same draws, so that only its size differs.

    Args:
        attacks: for how many p-values are adjusted, in the worst case of Holm's procedure.
    """

    def found(size: float) -> float:
        return share(trial, size, rounds, seed, attacks)

    false_alarms = found(trial.scale.chance)
    low, high = trial.scale.chance, trial.most
    power = found(high)
    if power < POWER:
        return Limit(None, power, false_alarms, rounds)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        often = found(middle)
        if often >= POWER:
            high, power = middle, often
        else:
            low = middle
    return Limit(high, power, false_alarms, rounds)


def share(trial: Trial, size: float, rounds: int, seed: int, attacks: int = 1) -> float:
    """Of so many rounds with a leak of this size, those that FAIL."""
    failed = 0
    for number in range(rounds):
        rng = np.random.default_rng([seed, number])
        members, strangers = trial.draw(rng)
        if size > trial.scale.chance:
            members = trial.plant(members, size, rng)
        failed += fails(trial.judge(members, strangers), trial.scale, attacks)
    return failed / rounds


def fails(tested: Tested, scale: Scale, attacks: int = 1) -> bool:
    """Whether an audit would call this a leak."""
    p = min(1.0, tested.p * attacks)
    answer = verdict.discloses(tested.estimate, p, scale.chance, scale.bar, scale.margin, scale.name)
    return answer.word == verdict.FAIL


def state(result: Result, trial: Trial, rounds: int, seed: int, attacks: int = ASKED) -> Result:
    """The same result, which says in `details["detection"]` what it could have found."""
    found = limit(trial, rounds, seed, attacks)
    return _said(result, found._asdict(), trial.most, attacks)


def state_by_width(result: Result, attacks: int = ASKED) -> Result:
    """The same, from how wide the interval is, where an attack is too slow, or too much of one piece, to rehearse.

    A leak is found where it lies so far above the bar that the interval about it mostly clears it, and so far above
    chance that p, normal and adjusted, is mostly below 5 %.
    """
    assert result.tested
    estimate, scale = result.tested.estimate, result.scale
    error = (estimate.high - estimate.low) / 2 / _SOONER
    by_interval = scale.bar + (_SOONER + _POWERFUL) * error
    by_p = scale.chance + (float(norm.ppf(1 - verdict.ALPHA / attacks)) + _POWERFUL) * error
    return _said(result, {"least": max(by_interval, by_p), "power": POWER}, None, attacks)


def _said(result: Result, found: Mapping[str, Any], most: float | None, attacks: int) -> Result:
    if found["least"] is None:
        said = f"no leak up to {result.scale.name} {most:.3f} is found with 80 % power by so few patients"
    else:
        size = f"{result.scale.name} {found['least']:.3g}"
        said = f"with these patients, a leak of {size} or more is found with 80 % power"
    adjusted = f"p adjusted for {attacks} questions at most"
    details = {**result.details, "detection": {**found, "attacks": attacks}}
    return result._replace(details=details, notes=(*result.notes, f"{said}; {adjusted}"))


def _resampled(
    pool: np.ndarray, members: int, strangers: int = 0
) -> Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]:
    """Both arms, drawn with replacement; as many strangers as in the pool where 0."""

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        sizes = members, strangers or len(pool)
        one, other = (pool[rng.integers(0, len(pool), size)] for size in sizes)
        return one, other

    return draw
