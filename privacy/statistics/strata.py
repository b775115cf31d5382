"""Members against non-members of the same composition: patients are compared within strata, then averaged over them.

Where the groups differ in age, sex or race, so does whatever is easier to guess of some ages, sexes or races.  Weights
are those of Mantel and Haenszel (1959): a stratum with m members and n non-members weighs m n / (m + n), which gives both
groups the same marginals, and gives no weight to a stratum that one group lacks.  With one stratum, all is as in
`privacy.statistics.inference`.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy import stats as distributions
from scipy.special import ndtr
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from privacy.statistics.inference import CONFIDENCE, Tested
from synth.base import ties
from synth.base.stats import Estimate

FEWEST = 10
"""Patients of each group without whom a stratum is not spoken of by itself: a smaller group names people."""


_STEADIEST = 0.1  # shares of ten guesses; where all happen to be equal, they are no certainty
NOTHING = Estimate(np.nan, np.nan, np.nan, 0)


class Table(NamedTuple):
    """(K,) per stratum that both groups have."""

    names: np.ndarray
    members: np.ndarray
    """Their number."""
    nonmembers: np.ndarray
    weights: np.ndarray
    """Sum to 1."""

    @property
    def patients(self) -> int:
        """Who is compared at all."""
        return int(self.members.sum() + self.nonmembers.sum())


def table(of_members: np.ndarray, of_nonmembers: np.ndarray) -> Table:
    """The strata that (m,) members and (n,) non-members, each with the name of its stratum, have in common."""
    names = np.intersect1d(np.asarray(of_members, str), np.asarray(of_nonmembers, str))
    members = np.array([(of_members == name).sum() for name in names], float)
    nonmembers = np.array([(of_nonmembers == name).sum() for name in names], float)
    weights = members * nonmembers / (members + nonmembers)
    return Table(names, members, nonmembers, weights / max(weights.sum(), 1e-12))


def rate_difference(
    members: np.ndarray, nonmembers: np.ndarray, of_members: np.ndarray, of_nonmembers: np.ndarray
) -> Tested:
    """Share of (m,) bool members that succeed minus that of (n,) non-members, over the strata of both.

    The interval is Newcombe's (1998), of groups as large as their weights leave them (Kish 1965: 1 / Σ w² / n); p is
    Cochran, Mantel and Haenszel's, without correction for continuity.  Where the groups have no stratum in common,
    there is no difference to state (nan), and p is 1.

    A patient may also be a share of several guesses, in [0, 1]: it varies less than one guess does, so it counts for
    more than one, and the moments of p are those of shares.
    """
    strata = table(of_members, of_nonmembers)
    if not strata.patients:
        return Tested(NOTHING, 1.0)
    hits, others = _sums(members, of_members, strata.names), _sums(nonmembers, of_nonmembers, strata.names)
    rate = [
        float(strata.weights @ (hits / strata.members)),
        float(strata.weights @ (others / strata.nonmembers)),
    ]
    groups = ((members, of_members, strata.members), (nonmembers, of_nonmembers, strata.nonmembers))
    ends = [
        _wilson(value, 1 / float((strata.weights**2 / sizes).sum()) / _steadier(group, stratum, strata))
        for value, (group, stratum, sizes) in zip(rate, groups, strict=True)
    ]
    gap = rate[0] - rate[1]
    low = gap - np.hypot(rate[0] - ends[0][0], ends[1][1] - rate[1])
    high = gap + np.hypot(ends[0][1] - rate[0], rate[1] - ends[1][0])
    spread = _variances(
        np.concatenate([members, nonmembers]), np.concatenate([of_members, of_nonmembers]), strata.names
    )
    p = _cochran(hits, others, spread, strata)
    return Tested(Estimate(gap, float(low), float(high), strata.patients), p)


def mean_difference(
    members: np.ndarray, nonmembers: np.ndarray, of_members: np.ndarray, of_nonmembers: np.ndarray
) -> Tested:
    """Mean of (m,) members minus that of (n,) non-members, over the strata of both that hold two of each; normal."""
    members, nonmembers = ties.together(members, nonmembers)
    strata = table(of_members, of_nonmembers)
    large = (strata.members > 1) & (strata.nonmembers > 1)
    gaps, variances, weights = [], [], strata.weights[large] / max(strata.weights[large].sum(), 1e-12)
    for name in strata.names[large]:
        one, other = members[of_members == name], nonmembers[of_nonmembers == name]
        gaps.append(one.mean() - other.mean())
        variances.append(one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other))
    patients = int(strata.members[large].sum() + strata.nonmembers[large].sum())
    if not patients:
        return Tested(NOTHING, 1.0)
    gap, error = float(weights @ np.array(gaps)), float(weights**2 @ np.array(variances)) ** 0.5
    reach = float(distributions.norm.ppf((1 + CONFIDENCE) / 2)) * error
    p = float(distributions.norm.sf(gap / error)) if error else float(gap <= 0)
    return Tested(Estimate(gap, gap - reach, gap + reach, patients), p)


def subgroups(
    members: np.ndarray, nonmembers: np.ndarray, of_members: np.ndarray, of_nonmembers: np.ndarray
) -> list[dict[str, Any]]:
    """Difference of rates in each stratum of at least `FEWEST` patients of each group, the worst first.

    The intervals hold for all of them at once (Bonferroni).
    """
    strata = table(of_members, of_nonmembers)
    large = np.flatnonzero((strata.members >= FEWEST) & (strata.nonmembers >= FEWEST))
    hits, others = _sums(members, of_members, strata.names), _sums(nonmembers, of_nonmembers, strata.names)
    found = []
    for k in large:
        m, n = int(strata.members[k]), int(strata.nonmembers[k])
        alpha = (1 - CONFIDENCE) / len(large)
        low, high = confint_proportions_2indep(
            int(hits[k]), m, int(others[k]), n, method="newcomb", compare="diff", alpha=alpha
        )
        value = float(hits[k] / m - others[k] / n)
        ends = {"value": value, "low": float(low), "high": float(high)}
        found.append({"name": str(strata.names[k]), **ends, "patients": m + n})
    return sorted(found, key=lambda each: -each["low"])


def _sums(success: np.ndarray, stratum: np.ndarray, names: np.ndarray) -> np.ndarray:
    return np.array([success[stratum == name].sum() for name in names], float)


def _wilson(rate: float, trials: float) -> tuple[float, float]:
    rate = min(max(rate, 0.0), 1.0)  # weights sum to 1 but for rounding
    low, high = proportion_confint(rate * trials, trials, alpha=1 - CONFIDENCE, method="wilson")
    return float(low), float(high)  # type: ignore[arg-type]


def _variances(values: np.ndarray, stratum: np.ndarray, names: np.ndarray) -> np.ndarray:
    """(K,) variance within each stratum, 0 of a single patient."""
    inside = (np.asarray(values[stratum == name], float) for name in names)
    return np.array([each.var(ddof=1) if len(each) > 1 else 0.0 for each in inside])


def _steadier(shares: np.ndarray, stratum: np.ndarray, strata: Table) -> float:
    """Variance of shares within strata over that of single guesses that are right as often: 1 where they are such."""
    sizes = np.array([(stratum == name).sum() for name in strata.names], float)
    rate = _sums(shares, stratum, strata.names) / sizes
    single = rate * (1 - rate) * sizes / np.maximum(sizes - 1, 1) * (sizes > 1)
    alone = float((strata.weights**2 * single / sizes).sum())
    if alone < 1e-12:
        return 1.0
    together = float((strata.weights**2 * _variances(shares, stratum, strata.names) / sizes).sum())
    return min(max(together / alone, _STEADIEST), 1.0)


def _cochran(hits: np.ndarray, others: np.ndarray, spread: np.ndarray, strata: Table) -> float:
    """One-sided p of more hits among members, given all values of each stratum: normal, of the moments of all deals.

    Of guesses that are right or wrong, these are the hypergeometric's.
    """
    total = strata.members + strata.nonmembers
    expected = strata.members * (hits + others) / total
    variance = strata.members * strata.nonmembers * spread / total
    if variance.sum() < 1e-12:
        return 1.0
    return float(ndtr(-(hits - expected).sum() / variance.sum() ** 0.5))
