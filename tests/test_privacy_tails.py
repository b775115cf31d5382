"""A few patients known by heart: no audit passes them, and without them few fail."""

import numpy as np

from privacy.attacks import exposed, membership
from privacy.config import AuditConfig
from privacy.decisions import verdict
from privacy.decisions.results import Result
from privacy.scores.score_calibration import Scores
from privacy.statistics import tails

CONFIG = AuditConfig(detection_rounds=50)


def answers(members: np.ndarray, nonmembers: np.ndarray, n_permutations: int = 1999) -> list[str]:
    """Of the question about all, and of that about a few."""
    scores = Scores(members, nonmembers, np.zeros((len(members), 0)), np.zeros((len(nonmembers), 0)))
    average = membership.evaluate(membership.GENERATOR, scores, CONFIG)
    few = exposed.evaluate(membership.GENERATOR, scores, CONFIG, n_permutations=n_permutations)
    return [word(each) for each in (average, few)]


def word(result: Result) -> str:
    """Of one question alone, whose p is not adjusted."""
    assert result.tested
    estimate, p = result.tested
    return verdict.leak_verdict(
        estimate, p, *result.scale[1:4], result.scale.name, result.scale.two_sided
    ).word


def test_38_of_1900_known_with_certainty_do_not_pass():
    rng = np.random.default_rng(0)
    members, nonmembers = rng.normal(size=1900), rng.normal(size=1900)
    members[:38] += 8
    average, few = answers(members, nonmembers)
    assert average == verdict.PASS and few == verdict.FAIL


def test_with_settings_drawn_at_random_few_audits_say_what_is_not_so():
    """200 draws of group sizes, share of members exposed and by how much: at most one in twenty is wrong either way."""
    rng = np.random.default_rng(1)
    passed = failed = 0
    for number in range(200):
        m, n = (int(each) for each in rng.integers(100, 250, 2))
        members, nonmembers = rng.normal(size=m), rng.normal(size=n)
        if known := number % 2:
            members[: max(10, int(m * rng.uniform(0.02, 0.1)))] += rng.uniform(4, 9)
        found = answers(members, nonmembers, 199)
        passed += bool(known) and set(found) == {verdict.PASS}
        failed += not known and found[1] == verdict.FAIL
    assert passed <= 5 and failed <= 5


def test_the_p_of_a_tail_is_that_of_membership_dealt_anew():
    """Ten members above everybody: the chance of that is known in closed form, and no other rank says more."""
    members, nonmembers = np.concatenate([np.arange(40.0), 100 + np.arange(10)]), np.arange(50.0) + 0.5
    found = tails.tail(members, nonmembers, 999, np.random.default_rng(0))
    assert found.standing_out == 10 and found.tested.p < 0.02
    assert found.tested.estimate.high > 10


def test_scores_that_say_nothing_find_nobody():
    found = tails.tail(np.ones(200), np.ones(300), 199, np.random.default_rng(0))
    assert found.standing_out == 0 and found.tested.p > 0.5
