"""From numbers to words, by rules fixed in advance.

Whether an encoder reveals an attribute of anyone (threat model T1) is answered in two parts: (a) it can be
read from the embeddings; (b) training made it more readable than pixels and an untrained network make it.
Neither is a breach.  Absence of a finding is only ever "within a margin", and only with the patients to show it.
"""

from collections.abc import Mapping, Sequence
from math import ceil, isfinite
from statistics import NormalDist, mean, stdev
from typing import NamedTuple

from synth.base.stats import Estimate

REVEALS = "REVEALS"
FAIL = "FAIL"
PASS = "PASS within margin"
INCONCLUSIVE = "INCONCLUSIVE"
INVALID = "INVALID"
NOT_TESTABLE = "NOT TESTABLE"
WORST = (FAIL, INVALID, REVEALS, INCONCLUSIVE, PASS, NOT_TESTABLE)
"""In the order in which several answers are shown; which of them speaks for all, `combined` decides."""

CAPABILITY = "capability, affects every future patient, not evidence of memorisation"
ALPHA = 0.05
CHANCE = {"auc": 0.5, "r2": 0.0}
REVEALED = {"auc": 0.52, "r2": 0.02}
"""A lower bound above this reveals."""
WITHIN = {"auc": 0.55, "r2": 0.05}
"""An upper bound below this is too little to matter."""
LEVELS = {
    "auc": ((0.90, "near-certain"), (0.75, "strong"), (0.60, "weak")),
    "r2": ((0.70, "near-certain"), (0.40, "strong"), (0.10, "weak")),
}
EXCESS_WITHIN = {"auc": 0.05, "mae": 0.5}
"""An excess over the controls below this (AUC; years) is too little to matter."""
_BELOW = "is below chance: the groups differ in a way that this attack does not expect, and one turned around may use"
_LEAKY_CONTROL = 0.02  # permuted labels this far above chance mean that the folds leak
_TOO_MANY_DUPLICATES = 0.01  # of patients: the same picture filed under two of them


class Answer(NamedTuple):
    """A verdict word, how strongly, why, and the patients that would settle an open question."""

    word: str
    level: str
    why: str
    patients_needed: int | None = None


class Combined(NamedTuple):
    """One word for several questions."""

    word: str
    answered: int
    """Questions with an answer other than NOT TESTABLE."""
    of: int
    """All questions."""


def combined(words: Sequence[str]) -> Combined:
    """The worst answer of those asked; PASS only where all were, else NOT TESTABLE."""
    answered = [word for word in words if word != NOT_TESTABLE]
    worst = min(answered, key=WORST.index, default=NOT_TESTABLE)
    if worst == PASS and len(answered) < len(words):
        worst = NOT_TESTABLE
    return Combined(worst, len(answered), len(words))


def exit_status(words: Sequence[str]) -> int:
    """Of any command that gives answers: 3 with a FAIL, else 5 with an INVALID, else 4 where nothing could be tested, else 0."""
    return {FAIL: 3, INVALID: 5, NOT_TESTABLE: 4}.get(min(words, key=WORST.index, default=NOT_TESTABLE), 0)


def inference_verdict(
    estimate: Estimate, p: float, permuted: Sequence[float], duplicates: float, metric: str
) -> Answer:
    """Part (a): can the attribute be read from the embeddings of patients nobody trained on?

    Args:
        estimate: person-level `auc` or `r2` of the probe.
        p:        of the permutation test, adjusted.
        permuted: the statistic for each permutation of the labels.
        duplicates:    share of patients one of whose pictures is also filed under another patient.
    """
    if duplicates > _TOO_MANY_DUPLICATES:
        return Answer(
            INVALID, "", f"{duplicates:.1%} of patients share a picture with another; remove duplicates"
        )
    doubt = 3 * stdev(permuted) / len(permuted) ** 0.5
    if mean(permuted) - doubt > CHANCE[metric] + _LEAKY_CONTROL:
        why = f"permuted labels are predicted too ({mean(permuted):.3f}); patients are mixed up"
        return Answer(INVALID, "", why)
    name = {"auc": "AUC", "r2": "R²"}[metric]
    bar, margin = REVEALED[metric], WITHIN[metric]
    if estimate.low > bar and p < ALPHA:
        level = next((word for at, word in LEVELS[metric] if estimate.low >= at), "trace")
        return Answer(
            REVEALS, level, f"lower bound of {name} {estimate.low:.3f} > {bar}, p = {p:.3f}; {CAPABILITY}"
        )
    if (
        metric == "auc" and estimate.high < CHANCE[metric]
    ):  # R² below 0 is that of a probe which learnt nothing
        why = f"{name} {estimate.low:.3f} to {estimate.high:.3f} {_BELOW}; p = {p:.3f}"
        return Answer(INCONCLUSIVE, "", why)
    if estimate.high < margin:
        return Answer(
            PASS, "", f"upper bound of {name} {estimate.high:.3f} < {margin}, for linear probes of this size"
        )
    needed = patients_to_decide(estimate, bar, margin)
    why = (
        f"the interval of {name} {estimate.low:.3f} to {estimate.high:.3f} decides neither way (p = {p:.3f})"
    )
    return Answer(INCONCLUSIVE, "", f"{why}; about {needed:,} patients would", needed)


def training_verdict(first: Answer, excess: Mapping[str, Estimate], untrained: bool, metric: str) -> Answer:
    """Part (b): did training make the attribute more readable than each trivial control makes it?

    Beating every control is needed, so no correction for their number is (an intersection-union test).

    Args:
        first:     the answer to part (a).
        excess:    control -> what the encoder gains on it: AUC, or years of MAE.
        untrained: whether an untrained encoder was among the controls.
        metric:    `auc` or `mae`.
    """
    if first.word != REVEALS:
        return Answer(first.word, "", "follows part (a)", first.patients_needed)
    if not untrained:
        return Answer(
            NOT_TESTABLE, "", "needs an untrained encoder of the same architecture; audit the checkpoint"
        )
    control, least = min(excess.items(), key=lambda item: item[1].value)
    lowest = min(each.low for each in excess.values())
    unit = " years" if metric == "mae" else " AUC"
    if lowest > 0:
        return Answer(REVEALS, "", f"at least {lowest:.3f}{unit} better than every control; {CAPABILITY}")
    if least.high < EXCESS_WITHIN[metric]:
        why = f"at most {least.high:.3f}{unit} better than {control}: a property of the photograph"
        return Answer(PASS, "", why)
    needed = patients_to_decide(least, 0.0, EXCESS_WITHIN[metric])
    why = f"{least.low:.3f} to {least.high:.3f}{unit} better than {control} decides neither way"
    return Answer(INCONCLUSIVE, "", f"{why}; about {needed:,} patients would", needed)


def patients_to_decide(estimate: Estimate, bar: float, margin: float, power: float = 0.8) -> int:
    """Patients with which an interval about the same value would clear `bar` or stay below `margin`.

    The interval shrinks with the root of the number of patients.
    """
    if not isfinite(estimate.high - estimate.low):
        return 2 * patients_for_auc(0.6)
    z = NormalDist().inv_cdf
    distance = max(estimate.value - bar, margin - estimate.value)
    error = (estimate.high - estimate.low) / 2 / z(0.975)
    more = ((z(0.975) + z(power)) * error / distance) ** 2
    return ceil(estimate.patients * max(1.0, more))


def patients_for_auc(value: float, power: float = 0.8) -> int:
    """Patients per class for an AUC of `value` to be told from 0.5 (Hanley & McNeil 1982; one-sided 5 %)."""
    z = NormalDist().inv_cdf

    def variance(area: float) -> float:  # times the patients per class
        return area / (2 - area) + 2 * area**2 / (1 + area) - 2 * area**2

    needed = (z(1 - ALPHA) * variance(0.5) ** 0.5 + z(power) * variance(value) ** 0.5) / (value - 0.5)
    return ceil(needed**2)


def leak_verdict(
    estimate: Estimate,
    p: float,
    chance: float,
    bar: float,
    margin: float | None,
    name: str,
    two_sided: bool = True,
) -> Answer:
    """Does a release tell more of members than of non-members?

    An interval wholly below chance is no PASS: whoever turns the attack around tells the groups apart.  Without any
    difference that happens in one of forty audits by chance, so it is no FAIL and no INVALID either.

    Args:
        estimate: of the statistic, over patients.
        p:        one-sided, adjusted.
        chance, bar, margin, two_sided: of the statistic (`privacy.decisions.results.Scale`).
    """
    said = f"{name} {estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f}), p = {p:.3g}"
    if estimate.low > bar and p < ALPHA:
        return Answer(FAIL, "", f"{said}; {chance:g} is what non-members give")
    if two_sided and estimate.high < chance:
        return Answer(INCONCLUSIVE, "", f"{said} {_BELOW}")
    if margin is None:
        return Answer(INCONCLUSIVE, "", f"{said}; no alarm, which does not show that nothing leaks")
    if estimate.high < margin:
        return Answer(PASS, "", f"{said}; the upper bound is below {margin:g}")
    needed = patients_to_decide(estimate, bar, margin)
    return Answer(INCONCLUSIVE, "", f"{said} decides neither way; about {needed:,} patients would", needed)
