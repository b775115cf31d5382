"""How many patients an audit needs, before it is begun, and what it can find with those there are.

A leak counts as found where `privacy.decisions.verdict` would say FAIL: the 95 % interval clears the bar, and the one-sided p,
adjusted for the number of attacks in the worst case, is below 5 %.  Patients are per group: so many members and as many
non-members.  How often each was photographed does not matter, since the patient is the unit.
"""

from collections.abc import Callable
from math import ceil, log
from statistics import NormalDist
from typing import Any

import numpy as np
from scipy import stats as distributions

from privacy.decisions.results import AUC, DIFFERENCE, Scale
from privacy.decisions.verdict import ALPHA
from privacy.statistics.inference import CONFIDENCE
from synth.base.errors import UserError

AREAS = (0.55, 0.6, 0.65, 0.7, 0.8)
DIFFERENCES = (0.02, 0.05, 0.1, 0.2)
ACCURACIES = (0.52, 0.55, 0.6, 0.7, 0.8)
COPY_RATES = (1e-2, 1e-3, 1e-4)
_MOST = 20_000_000
_BOUND = (1 - CONFIDENCE) / 2  # of a two-sided interval, what lies beyond one end

z = NormalDist().inv_cdf


def for_auc(area: float, power: float = 0.8, attacks: int = 1) -> int:
    """Patients per group by whom scores that separate members by an AUC of `area` are found (Hanley & McNeil 1982)."""
    return _for(AUC, area, lambda value: _of_area(value), power, attacks)


def for_difference(gap: float, rate: float = 0.5, power: float = 0.8, attacks: int = 1) -> int:
    """Patients per group by whom it is found that members are guessed right more often, by `gap`, than `rate`."""
    if not 0 < gap <= 1 - rate:
        raise UserError(f"a rate of {rate:g} cannot rise by {gap:g}; choose a smaller difference")
    middle = rate + gap / 2

    def variance(value: float) -> float:
        if value == DIFFERENCE.chance:
            return 2 * middle * (1 - middle)
        return rate * (1 - rate) + (rate + gap) * (1 - rate - gap)

    return _for(DIFFERENCE, gap, variance, power, attacks)


def for_canaries(accuracy: float, power: float = 0.8, attacks: int = 1) -> int:
    """Patients with a canary bit by whom guesses of that accuracy are found: exact, and for any more of them too."""
    if not 0.5 < accuracy <= 1:
        raise UserError(f"an accuracy of {accuracy:g} is no leak; give one between 0.5 and 1")
    alpha = min(_BOUND, ALPHA / attacks)
    reach = (z(1 - alpha) + z(power)) / (accuracy - 0.5)
    guesses = np.arange(1, min(_MOST, ceil(reach**2) + 200))
    by_chance = distributions.binom.isf(alpha, guesses, 0.5)  # P[Bin > by_chance] <= alpha
    found = distributions.binom.sf(by_chance, guesses, accuracy)
    short = np.flatnonzero(found < power)
    return int(guesses[short[-1]]) + 1 if len(short) else 1


def to_pass_auc(power: float = 0.8) -> int:
    """Patients per group by whom it is shown that scores tell nothing: the interval of the AUC ends below the margin."""
    assert AUC.margin is not None
    distance = AUC.margin - AUC.chance
    return ceil(_of_area(AUC.chance) * ((z(1 - _BOUND) + z(power)) / distance) ** 2)


def to_pass_difference(rate: float = 0.5, power: float = 0.8) -> int:
    """Patients per group by whom it is shown that members are guessed right no more often: below the margin."""
    assert DIFFERENCE.margin is not None
    return ceil(2 * rate * (1 - rate) * ((z(1 - _BOUND) + z(power)) / DIFFERENCE.margin) ** 2)


def to_bound_copies(rate: float) -> int:
    """Samples, none of them a copy, whose interval (Clopper and Pearson) ends below `rate`."""
    if not 0 < rate < 1:
        raise UserError(f"a rate of copies of {rate:g} is none; give one between 0 and 1")
    return ceil(log(_BOUND) / log(1 - rate))


def smallest_leak(
    needed: Callable[[float], int], patients: int, chance: float, max_leak: float
) -> float | None:
    """The smallest leak that `patients` per group find, by halving; None where they do not find the largest."""
    if patients < needed(max_leak):
        return None
    low, high = chance, max_leak
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if needed(middle) <= patients else (middle, high)
    return high


def table(rate: float, power: float, attacks: int, patients: int | None) -> dict[str, Any]:
    """All of the above as plain values; with `patients`, what these find in place of how many it takes.

    Raises:
        UserError: a rate, a power or a number that is none.
    """
    if not 0 < rate < 1 or not 0 < power < 1:
        raise UserError(f"--rate {rate:g} --power {power:g}: both must lie between 0 and 1")
    if attacks < 1 or (patients is not None and patients < 2):
        raise UserError("--attacks must be at least 1, --patients at least 2")
    kinds = {
        "auc": (lambda size: for_auc(size, power, attacks), AREAS, 0.5, 0.99),
        "difference": (lambda size: for_difference(size, rate, power, attacks), DIFFERENCES, 0.0, 1 - rate),
        "canary": (lambda size: for_canaries(size, power, attacks), ACCURACIES, 0.5, 1.0),
    }
    made: dict[str, Any] = {"rate": rate, "power": power, "attacks": attacks, "patients": patients}
    for kind, (needed, sizes, chance, max_leak) in kinds.items():
        if patients is None:
            made[kind] = [{"leak": size, "patients": needed(size)} for size in sizes if size <= max_leak]
        else:
            made[kind] = smallest_leak(needed, patients, chance + 1e-3, max_leak)
    made["to_pass"] = {"auc": to_pass_auc(power), "difference": to_pass_difference(rate, power)}
    made["copies"] = [{"below": below, "samples": to_bound_copies(below)} for below in COPY_RATES]
    return made


def text(made: dict[str, Any]) -> str:
    """A table for the terminal."""
    names = {
        "auc": ("membership, copies, linkage", "AUC"),
        "difference": (f"attributes, guessed right {made['rate']:.0%} of the time", "difference of rates"),
        "canary": ("canary bits", "accuracy"),
    }
    asked = f"power {made['power']:.0%}, p adjusted for {made['attacks']} attacks"
    if made["patients"] is None:
        lines = [f"patients in each group by whom a leak is found ({asked}):"]
        for kind, (what, statistic) in names.items():
            lines.append(f"  {what} ({statistic})")
            lines += [f"    {each['leak']:<5g} {each['patients']:>9,}" for each in made[kind]]
    else:
        lines = [f"the least leak that {made['patients']:,} patients in each group find ({asked}):"]
        for kind, (what, statistic) in names.items():
            lines.append(f"  {what}: {_found(made[kind], statistic)}")
    passing = made["to_pass"]
    lines += [
        "patients in each group to PASS within margin where there is no leak:",
        f"  AUC below {AUC.margin:g}: {passing['auc']:,}; difference below {DIFFERENCE.margin:g}: {passing['difference']:,}",
        "samples without a copy that bound the rate of copies:",
        *(f"  below {each['below']:g}: {each['samples']:,}" for each in made["copies"]),
    ]
    return "\n".join(lines)


def _found(value: float | None, statistic: str) -> str:
    return "none, they are too few" if value is None else f"{statistic} {value:.3f}"


def _for(scale: Scale, value: float, variance: Callable[[float], float], power: float, attacks: int) -> int:
    """Patients per group by whom interval and p both find `value`; `variance` is that of one patient per group."""
    if value <= scale.bar:
        raise UserError(
            f"{scale.name} {value:g}: no number of patients takes an interval above {scale.bar:g}"
        )
    spread = variance(value) ** 0.5
    by_interval = (z(1 - _BOUND) + z(power)) * spread / (value - scale.bar)
    by_p = (z(1 - ALPHA / attacks) * variance(scale.chance) ** 0.5 + z(power) * spread) / (
        value - scale.chance
    )
    return ceil(max(by_interval, by_p, 2**0.5) ** 2)


def _of_area(area: float) -> float:
    return area / (2 - area) + 2 * area**2 / (1 + area) - 2 * area**2
