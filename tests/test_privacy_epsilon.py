"""The ε that guesses prove is below that of mechanisms whose ε is known, for the neighbour that is named."""

import numpy as np
import pytest
from scipy import optimize
from scipy import stats as distributions
from scipy.special import expit

from privacy.statistics.epsilon import Adjacency, lower_bound

AUDITS = 400
ALLOWED = 0.05 + 3 * np.sqrt(0.05 * 0.95 / AUDITS)
"""Share of bounds above the truth: 5 % and three standard errors."""
BOTH: tuple[Adjacency, ...] = ("replace-one", "add-remove")


def gaussian_epsilon(distance: float, delta: float) -> float:
    """ε of adding normal noise of deviation 1 to what differs by `distance` (Balle & Wang 2018, 1805.06530, theorem 8)."""

    def excess(epsilon: float) -> float:
        near, far = distance / 2 - epsilon / distance, -distance / 2 - epsilon / distance
        return float(distributions.norm.cdf(near) - np.exp(epsilon) * distributions.norm.cdf(far)) - delta

    return float(optimize.brentq(excess, 0, 60))  # type: ignore[arg-type]


def too_large(share_right: float, bits: int, truth: float, adjacency: Adjacency, delta: float = 0.0) -> float:
    """The share of audits whose bound is above the truth."""
    right = np.random.default_rng(0).binomial(bits, share_right, AUDITS)
    bound = {each: lower_bound(int(each), bits, adjacency, delta) for each in np.unique(right)}
    return float(np.mean([bound[each] > truth for each in right]))


@pytest.mark.parametrize("truth", [0.5, 1, 2, 7.94])
@pytest.mark.parametrize("bits", [100, 1900])
def test_bounds_of_randomised_response_are_below_its_epsilon(truth, bits):
    """Flipping the bit that is published replaces a record; leaving it out answers by a fair coin instead."""
    assert too_large(float(expit(truth)), bits, truth, "replace-one") <= ALLOWED
    assert too_large(float(1 - 0.5 * np.exp(-truth)), bits, truth, "add-remove") <= ALLOWED


def test_a_bound_for_replaced_records_is_none_for_added_ones():
    """What was reported as the ε of DP-SGD's accountant before."""
    assert too_large(float(1 - 0.5 * np.exp(-1)), 1900, 1, "replace-one") == 1


@pytest.mark.parametrize("deviation", [0.5, 1, 2, 4])
@pytest.mark.parametrize("delta", [1e-5, 1e-3])
def test_bounds_of_gaussian_noise_are_below_its_epsilon(deviation, delta):
    """A record of length 1 is there or not; one that is replaced may turn into its opposite, at distance 2."""
    right = float(distributions.norm.cdf(1 / deviation))
    added, replaced = (gaussian_epsilon(distance / deviation, delta) for distance in (1, 2))
    assert too_large(right, 500, added, "add-remove", delta) <= ALLOWED
    assert too_large(right, 500, replaced, "replace-one", delta) <= ALLOWED


@pytest.mark.parametrize("guesses, ceiling", [(30, 2.25), (100, 3.49), (1000, 5.81)])
def test_epsilon_of_guesses_that_are_all_right_has_a_closed_form(guesses, ceiling):
    """P[Bin(n, q) = n] = q^n = 5 % at q = .05^(1/n), and ε is the log-odds of q."""
    q = 0.05 ** (1 / guesses)
    assert lower_bound(guesses, guesses) == pytest.approx(np.log(q / (1 - q)))
    assert lower_bound(guesses, guesses) == pytest.approx(ceiling, abs=5e-3)
    assert lower_bound(guesses, guesses, "add-remove") == pytest.approx(lower_bound(guesses, guesses) / 2)


@pytest.mark.parametrize("right, guesses", [(60, 100), (25, 30), (700, 1000)])
def test_epsilon_is_where_the_binomial_tail_is_five_per_cent(right, guesses):
    tail = distributions.binom.sf(right - 1, guesses, expit(lower_bound(right, guesses)))
    assert tail == pytest.approx(0.05)


@pytest.mark.parametrize("adjacency", BOTH)
def test_guesses_no_better_than_chance_prove_nothing(adjacency):
    assert all(lower_bound(right, n, adjacency) == 0 for right, n in ((0, 50), (25, 50), (30, 60)))


@pytest.mark.parametrize("adjacency", BOTH)
def test_the_more_may_go_wrong_the_less_is_proved(adjacency):
    found = [lower_bound(90, 100, adjacency, delta) for delta in (0, 1e-6, 1e-4, 1e-3)]
    assert found == sorted(found, reverse=True) and found[0] > found[-1] > 0
    assert lower_bound(30, 30, adjacency, 1e-4, bits=100) < lower_bound(30, 30, adjacency, 1e-4)
