"""Do members fare otherwise than non-members?  One number per patient goes in, a rate with interval and p comes out.

Every p is one-sided: how likely so much or more would be if membership made no difference.  Scores of photographs
become scores of patients by `by_patient` first, joined by id; intervals are for patients, never for photographs.
Scores that rounding alone puts apart are ties (`synth.base.ties`).
"""

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy import stats as distributions
from scipy.special import expit, logit, ndtr, ndtri
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from synth.base import ties
from synth.base.errors import UserError
from synth.base.stats import Estimate

CONFIDENCE = 0.95
_REACH = float(ndtri((1 + CONFIDENCE) / 2))
_EXACT = 8  # patients of a group up to which all deals are counted


class Tested(NamedTuple):
    """A statistic with its 95 % interval, and the one-sided p of so much or more without an effect."""

    estimate: Estimate
    p: float


def by_patient(scores: Mapping[str, float], patient_ids: Mapping[str, str]) -> dict[str, float]:
    """Mean score per patient.

    Args:
        scores: id of a photograph -> score.
        patient_ids:  id of a photograph -> patient.

    Raises:
        UserError: the ids are not the same ones, or a score is not finite.
    """
    if odd := sorted(scores.keys() ^ patient_ids.keys()):
        raise UserError(f"id '{odd[0]}': {len(odd)} photographs have a score or a patient, but not both")
    found: dict[str, list[float]] = {}
    for name, score in sorted(scores.items()):
        if not np.isfinite(score):
            raise UserError(f"id '{name}': its score is {score}")
        found.setdefault(patient_ids[name], []).append(score)
    return {patient: float(np.mean(values)) for patient, values in found.items()}


def separation(members: np.ndarray, nonmembers: np.ndarray, *, size: float = 0.0) -> Tested:
    """AUC of (m,) scores of members above (n,) of non-members, with its interval and p.

    The interval is DeLong's (1988) on the scale of log-odds (Pepe 2003), which holds 95 % near 1 too.  p is the larger of
    Mann and Whitney's, exact where membership makes no difference at all, and Brunner and Munzel's (2000), which holds
    where the groups are alike on the whole but not as spread: the first alone rejects in 11 % with 20 of 400.

    Where one group is wholly above the other, DeLong's variance is 0; then an end of the interval is what an exact
    binomial of the smaller group would give.  `size` of what scores are sums of, as in `ties.tolerance`.
    """
    members, nonmembers = ties.together(members, nonmembers, size=size)
    m, n = len(members), len(nonmembers)
    if m < 2 or n < 2:
        raise UserError(f"{m} members and {n} non-members: at least two of each are needed")
    above, below = _won(members, np.sort(nonmembers)), 1 - _won(nonmembers, np.sort(members))
    area = float(above.mean())
    variances = above.var(ddof=1) / m, below.var(ddof=1) / n
    low, high = _delong(area, float(np.sqrt(sum(variances))), min(m, n))
    p = max(_mann_whitney(members, nonmembers, area), _brunner_munzel(area, variances, (m, n)))
    return Tested(Estimate(area, low, high, m + n), p)


def _delong(area: float, error: float, smaller: int) -> tuple[float, float]:
    """The interval of an AUC with so large a standard error; `smaller` is the smaller group."""
    if area in (0.0, 1.0):
        end = ((1 - CONFIDENCE) / 2) ** (1 / smaller)
        return (end, 1.0) if area else (0.0, 1 - end)
    reach = _REACH * error / (area * (1 - area))
    return float(expit(logit(area) - reach)), float(expit(logit(area) + reach))


def _brunner_munzel(area: float, variances: tuple[float, float], sizes: tuple[int, int]) -> float:
    """One-sided p of an AUC by the variances of both groups' shares, of t with Welch and Satterthwaite's degrees; 0 without variance."""
    whole = sum(variances)
    if not whole:
        return 0.0
    freedom = whole**2 / sum(each**2 / (size - 1) for each, size in zip(variances, sizes, strict=True))
    return float(distributions.t.sf((area - 0.5) / whole**0.5, freedom))


def rate_difference(members: np.ndarray, nonmembers: np.ndarray) -> Tested:
    """Share of members that succeed minus share of non-members that do: Newcombe's interval (1998), score test.

    The variance of the test is that of Miettinen and Nurminen (1985), as in statsmodels.

    Args:
        members:   (m,) bool, one per patient; nonmembers: (n,).
    """
    hits, m = int(np.sum(members)), len(members)
    others, n = int(np.sum(nonmembers)), len(nonmembers)
    pooled = (hits + others) / (m + n)
    spread = (pooled * (1 - pooled) * (1 / m + 1 / n) * (m + n) / (m + n - 1)) ** 0.5
    p = float(ndtr(-(hits / m - others / n) / spread)) if spread else 1.0
    return Tested(_newcombe(hits, m, others, n), p)


def exact_difference(members: np.ndarray, nonmembers: np.ndarray) -> Tested:
    """The same with Fisher's exact p: membership dealt anew over the patients, in closed form."""
    hits, m = int(np.sum(members)), len(members)
    others, n = int(np.sum(nonmembers)), len(nonmembers)
    p = float(distributions.hypergeom.sf(hits - 1, m + n, hits + others, m))
    return Tested(_newcombe(hits, m, others, n), p)


def mean_difference(members: np.ndarray, nonmembers: np.ndarray) -> Tested:
    """Mean of (m,) members minus mean of (n,) non-members, with Welch's interval and p."""
    members, nonmembers = ties.together(members, nonmembers)
    gap, patients = float(members.mean() - nonmembers.mean()), len(members) + len(nonmembers)
    if np.ptp(members) == np.ptp(nonmembers) == 0:
        return Tested(Estimate(gap, gap, gap, patients), 1.0 if gap <= 0 else 0.0)
    welch = partial(distributions.ttest_ind, members, nonmembers, equal_var=False)
    with warnings.catch_warnings(action="ignore"):  # of scores that are nearly equal
        low, high = welch().confidence_interval(CONFIDENCE)
        p = np.asarray(welch(alternative="greater"))[1]
    return Tested(Estimate(gap, float(low), float(high), patients), float(p))


def deals(members: int, nonmembers: int, n_permutations: int, rng: np.random.Generator) -> np.ndarray:
    """(n_permutations, members + nonmembers): times scores of patients, a difference of means with membership dealt anew."""
    weights = np.repeat([1 / members, -1 / nonmembers], [members, nonmembers])
    return rng.permuted(np.tile(weights, (n_permutations, 1)), axis=1)


def dealt_difference(members: np.ndarray, nonmembers: np.ndarray, dealt: np.ndarray) -> Tested:
    """Mean of (m,) members minus mean of (n,) non-members, with interval and p of `deals`.

    What is dealt anew is the difference in units of its own standard error (Janssen 1997): exact where membership makes no
    difference, and right where only the spread differs.  Where scores crowd at one end and one group is small, Welch's p is
    far too low: the few far from the crowd are in the other group, and with them all the spread.
    """
    scores = np.concatenate(ties.together(members, nonmembers))
    chosen = np.arange(len(scores)) < len(members)
    gap, error = (float(each[0]) for each in _differences(scores, chosen[None]))
    gaps, errors = _differences(scores, dealt > 0)
    units = gaps / errors
    p = (1 + int(ties.at_or_above(units, gap / error, abs(gap / error)).sum())) / (1 + len(dealt))
    low, high = np.quantile(units, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Tested(Estimate(gap, gap - float(high) * error, gap - float(low) * error, len(scores)), p)


def _differences(scores: np.ndarray, is_member: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(D,) differences of means and their standard errors, never 0, where (D, P) bool are the members of (P,) scores."""
    least = max(float(np.abs(scores).max()), 1e-300) * 1e-9
    sums, variance = [], np.zeros(len(is_member))
    for group in (is_member, ~is_member):
        size = group.sum(axis=1)
        mean = group @ scores / size
        spread = np.maximum(group @ scores**2 / size - mean**2, 0) * size / np.maximum(size - 1, 1)
        sums.append(mean)
        variance += spread / size
    return sums[0] - sums[1], np.maximum(np.sqrt(variance), least)


def permuted(
    members: np.ndarray, nonmembers: np.ndarray, n_permutations: int, rng: np.random.Generator
) -> float:
    """p of so high a mean of (m,) members when membership is dealt anew to the patients: exact, whatever ties them.

    What is dealt is how many members have each value, which is all that a mean depends on.
    """
    members, nonmembers = ties.together(members, nonmembers)
    values, counts = np.unique(np.concatenate([members, nonmembers]), return_counts=True)
    dealt = rng.multivariate_hypergeometric(counts, len(members), n_permutations) @ values
    return (1 + int(ties.at_or_above(dealt, members.sum(), float(values.max())).sum())) / (1 + n_permutations)


def at_false_alarms(
    members: np.ndarray, nonmembers: np.ndarray, rate: float, rng: np.random.Generator
) -> tuple[Tested, Estimate, Estimate] | None:
    """Members above a threshold that `rate` of half of the non-members exceed, against the other half.

    Returns:
        Hits among members minus those among the other non-members, tested; both shares by Clopper and Pearson.  None
        where the non-members are too few for such a rate: fewer than one would be expected above it in each half.
    """
    members, nonmembers = ties.together(members, nonmembers)
    order = rng.permutation(len(nonmembers))
    chosen, others = order[: len(order) // 2], order[len(order) // 2 :]
    if len(chosen) * rate < 1:
        return None
    threshold = np.quantile(nonmembers[chosen], 1 - rate, method="higher")
    hits, alarms = members > threshold, nonmembers[others] > threshold
    return (
        rate_difference(hits, alarms),
        share(int(hits.sum()), len(hits)),
        share(int(alarms.sum()), len(alarms)),
    )


def share(hits: int, trials: int) -> Estimate:
    """A rate with Clopper and Pearson's interval."""
    low, high = proportion_confint(hits, trials, alpha=1 - CONFIDENCE, method="beta")
    return Estimate(hits / trials, float(low), float(high), trials)  # type: ignore[arg-type]


def fair_guesses(right: int, guesses: int) -> Tested:
    """Guesses of fair coin flips that came right: exact, however the guesses hang together."""
    p = distributions.binomtest(right, guesses, 0.5, alternative="greater").pvalue
    return Tested(share(right, guesses), float(p))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values adjusted for asking several questions (Holm 1979)."""
    if not p_values:
        return {}
    adjusted = np.asarray(multipletests(list(p_values.values()), method="holm")[1])
    return {name: float(value) for name, value in zip(p_values, adjusted, strict=True)}


def split_in_two(
    values: Sequence[float] | np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One group as two, at random: what a null split is given."""
    mixed = np.asarray(values)[rng.permutation(len(values))]
    return mixed[: len(mixed) // 2], mixed[len(mixed) // 2 :]


def _newcombe(hits: int, m: int, others: int, n: int) -> Estimate:
    """Difference of two rates by method 10 of Newcombe 1998."""
    low, high = confint_proportions_2indep(hits, m, others, n, method="newcomb", alpha=1 - CONFIDENCE)
    return Estimate(hits / m - others / n, float(low), float(high), m + n)


def _won(values: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """(n,) share of sorted others that lie below each of (n,) values, ties counted half."""
    below, upto = np.searchsorted(ordered, values, "left"), np.searchsorted(ordered, values, "right")
    return (below + upto) / 2 / len(ordered)


def _mann_whitney(members: np.ndarray, nonmembers: np.ndarray, area: float) -> float:
    """One-sided p of an AUC, as scipy has it, but in a tenth of the time where it is normal."""
    m, n = len(members), len(nonmembers)
    counts = np.unique(np.concatenate([members, nonmembers]), return_counts=True)[1].astype(float)
    if len(counts) == 1:
        return 1.0
    if min(m, n) <= _EXACT:
        return float(distributions.mannwhitneyu(members, nonmembers, alternative="greater")[1])
    patients = m + n
    tied = float((counts**3 - counts).sum()) / (patients * (patients - 1))
    spread = (m * n / 12 * (patients + 1 - tied)) ** 0.5
    return float(ndtr(-(m * n * (area - 0.5) - 0.5) / spread))
