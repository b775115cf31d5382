"""Numbers that rounding alone puts apart are ties.

The last digits of a sum depend on the order in which a processor adds, so scores that are equal come out of a matrix
product in an order that means nothing, and is another one on another processor.  What ranks, compares or counts scores
therefore goes through here.  Two neighbours are a tie where they differ by less than

    1e-9 of the spread of the scores, or 1e-12 of the largest of them;

and where their whole spread is less than 1e-9 of the largest, all are.  Why both: an error of rounding is some 1e-16 of
the terms that were added, times the root of their number.  Mostly these are as large as the spread, and a billionth of it
is far above any error and far below any difference that patients could show.  Where scores share a large offset, what is
added is as large as the offset: then a trillionth of it, some thousand units in the last place, covers the error without
swallowing a spread that is small beside it.  Probabilities are ranked by `levels_of`, since of small ones a billionth of
the spread is not small.  Terms that cancelled before cannot be seen in a score: whoever
subtracts numbers that may be equal subtracts by `difference`, or names their `size`.

Single precision (a network's answers as they are) has its own last digits, four units of which are taken instead.
"""

import numpy as np

RELATIVE = 1e-9
_DIGITS = 1e-12
_UNITS = 4  # of the last place, of numbers of less than double precision


def tolerance(values: np.ndarray, axis: int | None = None, size: float = 0.0) -> np.ndarray:
    """By how much neighbours among values may differ and still be a tie; along an axis, with that axis kept.

    Args:
        values: any; what is not finite is left out.
        size:   of the terms that they are sums and differences of, where that is more than the values show.
    """
    values = np.asarray(values)
    coarse, fine = _precision(values.dtype)
    finite = np.isfinite(values)
    high = np.where(finite, values, -np.inf).max(axis=axis, keepdims=axis is not None, initial=-np.inf)
    low = np.where(finite, values, np.inf).min(axis=axis, keepdims=axis is not None, initial=np.inf)
    spread = np.where(high >= low, high, 0.0) - np.where(high >= low, low, 0.0)
    largest = np.where(high >= low, np.maximum(np.abs(high), np.abs(low)), 0.0)
    step = np.maximum(coarse * spread, fine * largest)
    step = np.where(spread <= coarse * np.maximum(largest, size), spread, step)
    return np.maximum(step, fine * size)


def levelled(values: np.ndarray, axis: int = -1, size: float = 0.0) -> np.ndarray:
    """Float values of which ties are equal: neighbours that are one chain of ties all become the least of it.

    Rounding to a grid would not do: it puts apart what lies on both sides of a line of the grid.
    """
    values = np.moveaxis(np.asarray(values), axis, -1)
    if not values.size:
        return np.moveaxis(values.astype(float), -1, axis)
    step = tolerance(values, -1, size)
    values = values.astype(float)
    order, apart = _apart(values, step)
    first = np.maximum.accumulate(np.where(apart, np.arange(values.shape[-1]), 0), axis=-1)
    found = np.empty_like(values)
    np.put_along_axis(found, order, np.take_along_axis(np.take_along_axis(values, order, -1), first, -1), -1)
    return np.moveaxis(found, -1, axis)


def levels_of(probability: np.ndarray) -> np.ndarray:
    """(N, ...) float places, from 0, of (N, ...) probabilities among their ties along the first axis: what an AUC ranks.

    Probabilities are a tie where their odds differ by a billionth, or they by four units in the last place of 1: those
    of a rare class are all small, and a billionth of the spread of all would be large beside them.
    """
    values = np.moveaxis(np.asarray(probability), 0, -1)
    kind: np.dtype = values.dtype if values.dtype.kind == "f" else np.dtype(float)
    values = values.astype(float)
    step = (
        _precision(kind)[0] * np.minimum(values, 1 - values).clip(0)
        + (values > 0.5) * _UNITS * np.finfo(kind).eps
    )
    order, apart = _apart(values, step)
    found = np.empty_like(values)
    np.put_along_axis(found, order, np.cumsum(apart, axis=-1) - 1.0, -1)
    return np.moveaxis(found, -1, 0)


def _apart(values: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The order of values along the last axis, and where in it begins what is no tie with all before."""
    order = np.argsort(values, axis=-1, kind="stable")
    ordered = np.take_along_axis(values, order, -1)
    reach = ordered + np.take_along_axis(np.broadcast_to(step, values.shape), order, -1)
    apart = np.ones(values.shape, bool)
    apart[..., 1:] = ~(ordered[..., 1:] <= reach[..., :-1])  # nan is like nothing
    return order, apart


def together(*groups: np.ndarray, size: float = 0.0) -> list[np.ndarray]:
    """Groups of scores levelled as one set and counted from the least of all: equal ones are equal, and sums of them exact.

    Of groups without any score, the same.
    """
    whole = levelled(np.concatenate([np.asarray(group) for group in groups]), size=size)
    if whole.size:
        whole = whole - whole.min()
    return np.split(whole, np.cumsum([len(group) for group in groups])[:-1])


def first_largest(values: np.ndarray, axis: int = -1, size: float = 0.0) -> np.ndarray:
    """Index of the largest value along an axis; of ties, the first.  `size` as in `tolerance`."""
    values = np.asarray(values)
    step = tolerance(values, axis, size)
    return np.argmax(values >= values.max(axis=axis, keepdims=True) - step, axis=axis)


def first_smallest(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """Index of the smallest value along an axis; of ties, the first."""
    return first_largest(-np.asarray(values), axis)


def at_or_above(values: np.ndarray | float, bar: np.ndarray | float, size: float) -> np.ndarray:
    """Whether values reach a bar, as ties with it do: what a permutation test counts.

    Args:
        size: of the terms that both are sums and differences of: 1 for shares and AUCs.
    """
    return np.asarray(values) >= bar - RELATIVE * size


def above(values: np.ndarray | float, bar: np.ndarray | float, size: float) -> np.ndarray:
    """Whether values are above a bar, as ties with it are not."""
    return np.asarray(values) > bar + RELATIVE * size


def difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """One less the other, exactly 0 where the two are a tie: where they differ by a billionth of themselves."""
    one, other = np.asarray(one, float), np.asarray(other, float)
    gap = one - other
    return np.where(np.abs(gap) <= RELATIVE * np.maximum(np.abs(one), np.abs(other)), 0.0, gap)


def moments(features: np.ndarray, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(k,) means and (k,) deviations of the columns of (N, k); the deviation is infinite where a column is constant.

    So is one that deviates by less than 1e-9 of its largest value (of single precision, four units in the last place),
    or of the column that deviates most: divided by such a deviation, rounding would weigh as much as what was measured.

    Args:
        weights: (N,) of the rows, which sum to 1; all alike without.
    """
    largest = np.abs(features).max(axis=0, initial=0.0)
    coarse, _ = _precision(features.dtype)
    features = features.astype(float)
    weights = np.full(len(features), 1 / len(features)) if weights is None else weights
    mean = weights @ features
    deviation = np.sqrt(weights @ (features - mean) ** 2)
    floor = np.maximum(coarse * largest, RELATIVE * deviation.max(initial=0.0))
    return mean, np.where(deviation > floor, deviation, np.inf)


def standardised(features: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """(N, k) columns of mean 0 and variance 1, and exactly 0 where they are constant; see `moments`."""
    mean, deviation = moments(features, weights)
    return (features - mean) / deviation


def _precision(kind: np.dtype) -> tuple[float, float]:
    if kind.kind != "f" or kind.itemsize >= 8:
        return RELATIVE, _DIGITS
    units = _UNITS * float(np.finfo(kind).eps)
    return units, units
