"""The ε of differential privacy that right guesses of secret bits prove, from below (Steinke et al. 2023, 2305.08846, theorem 5.2).

A secret bit changes one record, so that guesses of it bound the ε between two sets that differ in what one record is
(replace-one).  Accountants of DP-SGD state the ε between a set and the same without one record (add-remove): what is (ε, δ)
there is (2 ε, (1 + e^ε) δ) for a record that is replaced, by way of the set without it.
"""

from typing import Literal

import numpy as np
from scipy import optimize
from scipy import stats as distributions

from privacy.statistics.inference import CONFIDENCE

Adjacency = Literal["replace-one", "add-remove"]

_LARGEST = 50.0  # of an ε; no number of guesses proves as much


def lower_bound(
    right: int,
    guesses: int,
    adjacency: Adjacency = "replace-one",
    delta: float = 0.0,
    bits: int | None = None,
    confidence: float = CONFIDENCE,
) -> float:
    """The least ε that so many right guesses of fair coin flips are compatible with.

    Args:
        right:   guesses that are right.
        guesses: guesses that were made, of those bits that somebody is surest of.
        delta:   of (ε, δ)-differential privacy for the same adjacency; 0 is pure differential privacy.
        bits:    all that were flipped; None where every one was guessed.

    Returns:
        0 where guesses are no better than chance would give.
    """
    total = guesses if bits is None else bits

    def excess(epsilon: float) -> float:
        replaced, slack = epsilon, delta
        if adjacency == "add-remove":
            replaced, slack = 2 * epsilon, min(1.0, delta * (1 + np.exp(epsilon)))
        return _chance(right, guesses, replaced, slack, total) - (1 - confidence)

    if right == 0 or excess(0.0) >= 0:
        return 0.0
    return float(optimize.brentq(excess, 0.0, _LARGEST, xtol=1e-10))  # type: ignore[arg-type]


def _chance(right: int, guesses: int, epsilon: float, delta: float, bits: int) -> float:
    """The most likely that so many guesses or more are right, for a record that is replaced."""
    binomial = distributions.binom(guesses, 1 / (1 + np.exp(-epsilon)))
    tail = float(binomial.sf(right - 1))
    if not delta:
        return tail
    fewer = np.arange(1, right + 1)
    between = binomial.sf(right - 1 - fewer) - tail
    return tail + 2 * bits * delta * float(np.max(between / fewer))
