"""Whether pictures find their own person: people are exchanged among the candidates, many times over.

An interval over resampled people says how sure a rank is, not why it is good.  That people of whom two kinds of pictures were taken look alike in
both would do, or that one machine took them.  An exchange keeps all of that, and undoes only who is whom.
"""

import numpy as np
from scipy.stats import rankdata

from clip.evaluation.results import Exchange
from synth.base import ties

PEOPLE = 500
"""At most so many people are exchanged; of more, these are drawn."""


def exchanged(
    queries: np.ndarray,
    candidates: np.ndarray,
    query_eyes: np.ndarray,
    owned: np.ndarray,
    out: np.ndarray,
    n_exchanges: int,
    seed: int,
) -> Exchange:
    """The share of candidates that an eye's own pictures stand before, and how often exchanged people reach it.

    Args:
        queries:    (N, D) of unit length.
        candidates: (M, D) of unit length.
        query_eyes:      (N,) the eye that belongs to a query: twice the person's number, and 1 more for one of the sides.
        owned:      (M,) the eye of a candidate.
        out:        (N, M) bool: which candidates are none for a query.
        n_exchanges:     exchanges.

    Returns:
        `value`, `p` (one-sided, Phipson & Smyth 2010, doi:10.2202/1544-6115.1585), `low` and `high` that hold 95 % of the exchanges,
        `exchanges`, `people`.
    """
    rng = np.random.default_rng(seed)
    people = np.intersect1d(query_eyes // 2, owned // 2)
    if len(people) > PEOPLE:
        people = np.sort(rng.choice(people, PEOPLE, replace=False))
    one, other = np.isin(query_eyes // 2, people), np.isin(owned // 2, people)
    ranks = _ranks(queries[one], candidates[other], out[np.ix_(one, other)])
    wanted, by = np.unique(query_eyes[one], return_inverse=True)
    held, to = np.unique(owned[other], return_inverse=True)
    table = _means(ranks, by, to, (len(wanted), len(held)))
    place = np.full((len(people), 2), -1)
    place[np.searchsorted(people, held // 2), held % 2] = np.arange(len(held))
    person, rows = np.searchsorted(people, wanted // 2), np.arange(len(wanted))

    def mean(order: np.ndarray) -> float:
        column = place[order[person], wanted % 2]
        return float(np.nanmean(np.where(column >= 0, table[rows, column], np.nan)))

    value = mean(np.arange(len(people)))
    chance = np.array([mean(rng.permutation(len(people))) for _ in range(n_exchanges)])
    low, high = np.quantile(chance, [0.025, 0.975])
    p = (1 + int(ties.at_or_above(chance, value, 1.0).sum())) / (1 + n_exchanges)
    return Exchange(
        value=value, p=p, low=float(low), high=float(high), exchanges=n_exchanges, people=len(people)
    )


def _ranks(queries: np.ndarray, candidates: np.ndarray, out: np.ndarray) -> np.ndarray:
    """(N, M) the share of a query's candidates that each stands before; nan where it is none."""
    scores = ties.levelled(np.where(out, np.nan, queries.astype(float) @ candidates.T))
    return (rankdata(scores, axis=1, nan_policy="omit") - 0.5) / np.isfinite(scores).sum(
        axis=1, keepdims=True
    )


def _means(values: np.ndarray, by: np.ndarray, to: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The means of (N, M) values over groups of rows and of columns; nan where nothing is finite."""
    rows, columns = np.eye(shape[0])[by].T, np.eye(shape[1])[to]
    finite = np.isfinite(values)
    count = rows @ finite @ columns
    return np.divide(
        rows @ np.where(finite, values, 0) @ columns, count, out=np.full(shape, np.nan), where=count > 0
    )
