"""Are a few members known by heart?  Ranks among all patients are asked where an AUC, a mean over everybody, says nothing.

Of the r patients with the highest scores so many are members: without an effect that is hypergeometric.  The least tail over
all r up to a tenth of the patients is the statistic of Berk and Jones (1979), over ranks; its p is that of membership dealt
anew, so that it is exact for any number of patients.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats as distributions

from privacy.statistics.inference import CONFIDENCE, Tested, share
from synth.base import ties
from synth.base.stats import Estimate

_SHARE, _MOST, _FEWEST = 0.1, 400, 10
"""Of all patients whose ranks are asked, at most and at least."""
_FALSE = 0.001
"""Of the non-members above whom somebody stands out; the highest alone where they are fewer than 1,000."""


class Tail(NamedTuple):
    """What the upper end of the scores tells."""

    tested: Tested
    """Members who stand out, in patients, beyond how many would by chance."""
    smallest: int | None
    """Members known with certainty whom this test finds, given for how many questions p is adjusted; None without any."""
    standing_out: int
    """Members above all but one in a thousand non-members."""


def tail(
    members: np.ndarray,
    nonmembers: np.ndarray,
    n_permutations: int,
    rng: np.random.Generator,
    questions: int = 1,
) -> Tail:
    """Test whether some of (m,) members stand out above (n,) non-members; equal scores count against the members.

    The estimate is members above all but one in a thousand non-members, less those expected.  Its lower end is 0 or less
    where chance gives as many in one deal of forty; its upper end, that of Clopper and Pearson's, bounds how many can be
    known with certainty, and where the ranks say that some are, by how many more they are at any rank.
    """
    members, nonmembers = ties.together(members, nonmembers)
    m, n = len(members), len(nonmembers)
    order = np.lexsort((np.arange(m + n) < m, -np.concatenate([members, nonmembers])))
    is_member = order < m
    table = _table(m, n)
    spared = int(_FALSE * n)  # non-members who may be above
    seen, count = _least(is_member, table), _above(is_member, spared)
    dealt = [
        (_least(each, table), _above(each, spared))
        for each in (rng.permutation(is_member) for _ in range(n_permutations))
    ]
    least, counts = (np.array(each) for each in zip(*dealt, strict=True))
    p = (1 + int((least <= seen * (1 + 1e-9)).sum())) / (1 + n_permutations)
    expected, chance = float(counts.mean()), float(np.quantile(counts, (1 + CONFIDENCE) / 2))
    high = share(count, m).high * m
    if p < 1 - CONFIDENCE:
        high = max(high, _excess(is_member, m, n))
    estimate = Estimate(count - expected, count - chance, high, m + n)
    return Tail(Tested(estimate, p), _smallest(least, chance, table, questions), count)


def _table(m: int, n: int) -> np.ndarray:
    """(R, R + 1) probability of so many members or more among the first r, for r from 1 to R."""
    ranks = min(_MOST, max(_FEWEST, int(_SHARE * (m + n))), m + n)
    r, hits = np.meshgrid(np.arange(1, ranks + 1), np.arange(ranks + 1), indexing="ij")
    exactly = distributions.hypergeom.pmf(hits, m + n, m, r)
    return np.cumsum(exactly[:, ::-1], axis=1)[:, ::-1]


def _least(is_member: np.ndarray, table: np.ndarray) -> float:
    hits = np.cumsum(is_member[: len(table)])
    return float(table[np.arange(len(table)), hits].min())


def _above(is_member: np.ndarray, spared: int) -> int:
    """Members before the non-member who comes after so many others."""
    places = np.flatnonzero(~is_member)
    return int(places[spared] - spared)


def _excess(is_member: np.ndarray, m: int, n: int) -> float:
    """By how many members more than expected any rank has at most, as if all of them were known."""
    ranks = np.arange(1, max(_FEWEST, int(_SHARE * (m + n))) + 1)
    hits = np.cumsum(is_member[: len(ranks)])
    return float(((hits - ranks[: len(hits)] * m / (m + n)) * (m + n) / n).max())


def _smallest(least: np.ndarray, chance: float, table: np.ndarray, questions: int) -> int | None:
    """Members above everybody with whom p, adjusted, is below 5 % and their number beyond chance."""
    for count in range(1, len(table) + 1):
        p = (1 + int((least <= table[count - 1, count]).sum())) / (1 + len(least))
        if p * questions < 1 - CONFIDENCE and count > chance:
            return count
    return None
