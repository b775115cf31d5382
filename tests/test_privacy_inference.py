"""The audit's statistics against libraries and brute force, and what must not change them."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats as distributions
from scipy.special import expit, logit
from statsmodels.stats.proportion import confint_proportions_2indep
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from privacy.statistics import inference
from synth.base.errors import UserError


def scores(members: int, nonmembers: int, seed: int = 0, levels: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores of two groups, members a little higher; tied where there are only some `levels`."""
    rng = np.random.default_rng(seed)
    first, second = rng.normal(0.4, 1, members), rng.normal(0, 1, nonmembers)
    return (np.round(first * levels), np.round(second * levels)) if levels else (first, second)


def delong(members: np.ndarray, nonmembers: np.ndarray) -> tuple[float, float, float]:
    """AUC and interval pair by pair, as DeLong, DeLong & Clarke-Pearson 1988 write them, eq. 3 to 5."""
    won = np.array([[(m > s) + 0.5 * (m == s) for s in nonmembers] for m in members])
    area, of_members, of_nonmembers = won.mean(), won.mean(axis=1), won.mean(axis=0)
    variance = sum((v - area) ** 2 for v in of_members) / (len(members) - 1) / len(members)
    variance += sum((v - area) ** 2 for v in of_nonmembers) / (len(nonmembers) - 1) / len(nonmembers)
    reach = distributions.norm.ppf(0.975) * variance**0.5 / (area * (1 - area))
    return area, float(expit(logit(area) - reach)), float(expit(logit(area) + reach))


@pytest.mark.parametrize("members, nonmembers, levels", [(40, 40, 0), (7, 60, 0), (25, 31, 1), (30, 20, 2)])
def test_a_separation_is_delongs_pair_by_pair(members, nonmembers, levels):
    groups = scores(members, nonmembers, levels=levels)
    found = inference.separation(*groups)
    assert found.estimate[:3] == pytest.approx(delong(*groups))
    alone = distributions.mannwhitneyu(*groups, alternative="greater").pvalue
    assert found.p == pytest.approx(
        max(alone, distributions.brunnermunzel(*groups[::-1], alternative="less").pvalue)
    )


def test_arms_wholly_apart_get_the_interval_of_a_binomial():
    """DeLong's variance is 0 there; 20 of 20 above all others is not certainty."""
    found = inference.separation(np.arange(20) + 100.0, np.arange(30.0))
    exact = distributions.binomtest(20, 20).proportion_ci(0.95, "exact")
    assert found.estimate[:3] == pytest.approx((1.0, exact.low, 1.0))
    mirrored = inference.separation(np.arange(30.0), np.arange(20) + 100.0)
    assert mirrored.estimate[:3] == pytest.approx((0.0, 0.0, 1 - exact.low))


def test_constant_scores_separate_nobody():
    found = inference.separation(np.full(30, 0.1), np.full(40, 0.1))
    assert (found.estimate.value, found.p) == (0.5, 1.0)


def newcombe(hits: int, m: int, others: int, n: int) -> tuple[float, float]:
    """Method 10 of Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I."""
    z = float(distributions.norm.ppf(0.975))

    def wilson(hit: int, of: int) -> tuple[float, float]:
        middle, reach = 2 * hit + z * z, z * (z * z + 4 * hit * (1 - hit / of)) ** 0.5
        return (middle - reach) / (2 * (of + z * z)), (middle + reach) / (2 * (of + z * z))

    (low, high), (less, more), gap = wilson(hits, m), wilson(others, n), hits / m - others / n
    a, b = hits / m, others / n
    down, up = np.hypot(a - low, more - b), np.hypot(high - a, b - less)
    return gap - float(down), gap + float(up)


@pytest.mark.parametrize(
    "hits, m, others, n", [(56, 70, 48, 80), (9, 10, 3, 10), (10, 10, 0, 20), (0, 5, 0, 9)]
)
def test_a_difference_of_rates_is_newcombes(hits, m, others, n):
    """Written out, and by statsmodels."""
    found = inference.rate_difference(np.arange(m) < hits, np.arange(n) < others)
    assert found.estimate.value == pytest.approx(hits / m - others / n)
    assert found.estimate[1:3] == pytest.approx(newcombe(hits, m, others, n), abs=1e-9)
    assert found.estimate[1:3] == pytest.approx(
        confint_proportions_2indep(hits, m, others, n, method="newcomb")
    )


def test_newcombes_own_example():
    """Row (a) of his table II, method 10: 56/70 against 48/80."""
    found = inference.rate_difference(np.arange(70) < 56, np.arange(80) < 48)
    assert found.estimate[1:3] == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_the_p_of_a_difference_of_rates_is_that_of_the_pooled_score_test():
    hits, m, others, n = 31, 50, 40, 90
    pooled = (hits + others) / (m + n)
    z = (hits / m - others / n) / (pooled * (1 - pooled) * (1 / m + 1 / n)) ** 0.5
    found = inference.rate_difference(np.arange(m) < hits, np.arange(n) < others)
    assert found.p == pytest.approx(distributions.norm.sf(z), rel=0.02)


@pytest.mark.parametrize("success", [0, 1])
def test_rates_that_are_the_same_everywhere_differ_nowhere(success):
    found = inference.rate_difference(np.full(30, success), np.full(20, success))
    assert (found.estimate.value, found.p) == (0.0, 1.0)
    assert found.estimate.low < 0 < found.estimate.high


def test_a_difference_of_means_is_welchs():
    groups = scores(30, 50)
    found = inference.mean_difference(*groups)
    both = CompareMeans(DescrStatsW(groups[0]), DescrStatsW(groups[1]))
    assert found.estimate[1:3] == pytest.approx(both.tconfint_diff(usevar="unequal"))
    assert found.p == pytest.approx(both.ttest_ind("larger", usevar="unequal")[1])


@pytest.mark.parametrize("right, guesses", [(0, 10), (7, 10), (163, 300), (300, 300)])
def test_coins_are_an_exact_binomial(right, guesses):
    found = inference.fair_guesses(right, guesses)
    oracle = distributions.binomtest(right, guesses, alternative="greater")
    interval = distributions.binomtest(right, guesses).proportion_ci(0.95, "exact")
    assert found.p == pytest.approx(oracle.pvalue)
    assert found.estimate[:3] == pytest.approx((right / guesses, interval.low, interval.high))


def test_a_permutation_p_comes_near_that_of_all_permutations():
    values = np.array([3.0, 1.0, 4.0, 1.5, 9.0, 2.6, 4.0])
    is_member = np.array([True, False, True, False, True, False, False])

    def gap(members: np.ndarray) -> float:
        return float(values[members].mean() - values[~members].mean())

    dealt = [gap(np.isin(np.arange(7), chosen)) for chosen in combinations(range(7), 3)]
    exact = np.mean(np.array(dealt) >= gap(is_member) - 1e-12)
    found = inference.permuted(values[is_member], values[~is_member], 4000, np.random.default_rng(0))
    assert found == pytest.approx(exact, abs=0.01)


def test_a_permutation_p_is_never_nothing():
    found = inference.permuted(np.ones(1), np.zeros(49), 19, np.random.default_rng(0))
    assert found >= 1 / 20


def test_hits_are_judged_on_strangers_who_did_not_choose_the_threshold():
    """Whatever the non-members are like, the rate on the other half is what was asked for, on average."""
    rng = np.random.default_rng(0)
    found = [
        inference.at_false_alarms(rng.normal(size=50), rng.normal(size=100), 0.1, rng) for _ in range(200)
    ]
    assert np.mean([each[2].value for each in found if each]) == pytest.approx(0.1, abs=0.02)
    assert np.mean([each[0].estimate.value for each in found if each]) == pytest.approx(0, abs=0.02)


def test_a_rate_that_the_strangers_cannot_show_is_not_stated():
    rng = np.random.default_rng(0)
    assert inference.at_false_alarms(np.ones(50), np.zeros(198), 0.01, rng) is None
    assert inference.at_false_alarms(np.ones(50), np.zeros(200), 0.01, rng) is not None


STATISTICS = [inference.separation, inference.mean_difference]


@pytest.mark.parametrize("statistic", [*STATISTICS, inference.rate_difference])
def test_calling_members_strangers_flips_the_sign(statistic):
    members, nonmembers = scores(40, 60)
    if statistic is inference.rate_difference:
        members, nonmembers = members > 0, nonmembers > 0
    chance = 0.5 if statistic is inference.separation else 0.0
    there, back = statistic(members, nonmembers).estimate, statistic(nonmembers, members).estimate
    assert there.value - chance == pytest.approx(chance - back.value)
    assert there.low - chance == pytest.approx(chance - back.high)
    assert there.high - chance == pytest.approx(chance - back.low)


@pytest.mark.parametrize("statistic", [*STATISTICS, inference.rate_difference])
def test_the_order_of_patients_changes_nothing(statistic):
    members, nonmembers = (np.round(group) for group in scores(40, 60))
    if statistic is inference.rate_difference:
        members, nonmembers = members > 0, nonmembers > 0
    straight, turned = statistic(members, nonmembers), statistic(members[::-1], np.roll(nonmembers, 7))
    assert turned.estimate == pytest.approx(straight.estimate)
    assert turned.p == pytest.approx(straight.p)


def photographed(patients: int, photographs: int, seed: int = 0) -> tuple[dict[str, float], dict[str, str]]:
    """Scores by id of photographs that look alike within a patient, and whose they are."""
    rng = np.random.default_rng(seed)
    person = rng.normal(size=patients)
    ids = [f"p{patient:03d}-{number}" for patient in range(patients) for number in range(photographs)]
    return {name: float(person[int(name[1:4])]) for name in ids}, {name: name[:4] for name in ids}


@pytest.mark.parametrize("statistic", STATISTICS)
def test_a_third_photograph_is_no_new_patient(statistic):
    """The same photograph once more changes nothing; a new patient narrows the interval."""

    def width(patients: int, photographs: int) -> float:
        groups = [inference.by_patient(*photographed(patients, photographs, seed)) for seed in (1, 2)]
        estimate = statistic(*(np.array(list(group.values())) for group in groups)).estimate
        return estimate.high - estimate.low

    assert width(30, 3) == pytest.approx(width(30, 2))
    assert width(45, 2) < 0.9 * width(30, 2)


def test_scores_are_joined_to_patients_by_id():
    found, patient_ids = photographed(5, 2)
    backwards = dict(reversed(found.items()))
    assert inference.by_patient(backwards, patient_ids) == inference.by_patient(found, patient_ids)


def test_a_score_without_a_patient_is_refused():
    found, patient_ids = photographed(5, 2)
    del patient_ids["p003-1"]
    with pytest.raises(UserError, match="id 'p003-1': 1 photographs have a score or a patient, but not both"):
        inference.by_patient(found, patient_ids)


def test_a_score_that_is_not_finite_is_refused():
    found, patient_ids = photographed(5, 2)
    with pytest.raises(UserError, match="id 'p001-0': its score is nan"):
        inference.by_patient({**found, "p001-0": float("nan")}, patient_ids)


def test_halves_share_nobody_and_lose_nobody():
    first, second = inference.split_in_two(np.arange(31), np.random.default_rng(0))
    assert sorted([*first, *second]) == list(range(31))
    assert (len(first), len(second)) == (15, 16)


def test_equal_scores_are_equal_however_often_photographed():
    """The mean of three 0.1 is not 0.1 to the last digit; that is no leak."""
    members, nonmembers = np.full(30, np.mean([0.1, 0.1, 0.1])), np.full(30, 0.1)
    assert members[0] != nonmembers[0]
    assert (
        inference.separation(members, nonmembers).p == 1
        and inference.separation(members, nonmembers).estimate.value == 0.5
    )
    assert inference.mean_difference(members, nonmembers).p == 1


def test_the_interval_of_an_auc_near_1_holds_what_it_says():
    """At .96 with 25 a side, an interval that is symmetric about the AUC holds .87."""
    rng = np.random.default_rng(0)
    shift = 2**0.5 * float(distributions.norm.ppf(0.96))
    held = 0
    for _ in range(600):
        found = inference.separation(rng.normal(size=25) + shift, rng.normal(size=25)).estimate
        held += found.low <= 0.96 <= found.high
    assert held / 600 >= 0.93


@pytest.mark.parametrize("members, nonmembers, spread", [(20, 380, (3, 1)), (380, 20, (1, 3))])
def test_groups_that_differ_in_spread_alone_are_no_finding(members, nonmembers, spread):
    """With 20 of 400, Mann and Whitney's p alone rejects in 11 %, and a difference of means dealt anew in 21 %."""
    rng = np.random.default_rng(0)
    dealt, rejected = inference.deals(members, nonmembers, 199, rng), np.zeros(2)
    for _ in range(300):
        one, other = spread[0] * rng.normal(size=members), spread[1] * rng.normal(size=nonmembers)
        rejected += [
            inference.separation(one, other).p < 0.05,
            inference.dealt_difference(one, other, dealt).p < 0.05,
        ]
    assert (rejected / 300 <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5).all()
