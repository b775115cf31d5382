"""The audit proves itself: no false alarms, leaks of the stated size found as often as stated, enough patients planned."""

import json
from importlib.util import module_from_spec, spec_from_file_location
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as distributions
from typer.testing import CliRunner

from privacy import threats
from privacy.attacks import repeats
from privacy.attacks.memorization import NEARER
from privacy.commands.app import app
from privacy.decisions import power, power_simulation, verdict
from privacy.decisions.results import AUC, DIFFERENCE, Result, ValidityCheck
from privacy.scores import guesses
from privacy.scores.guesses import GroupGuesses
from privacy.statistics import inference
from privacy.validation import calibration, selftest
from privacy.validation.calibration import Rejections
from privacy.validation.confounds import Outcome
from privacy.validation.decision_rules import DECISION_RULES
from privacy.validation.settings import SETTINGS
from synth.base.errors import UserError
from synth.base.stats import Estimate

# A package of the same name as that folder may be installed.
spec = spec_from_file_location("calibrate", Path(__file__).parents[1] / "benchmarks/calibrate.py")
assert spec and spec.loader
calibrate = module_from_spec(spec)
spec.loader.exec_module(calibrate)

SLOW = {
    "INVALID by traces of a camera",
    "T1 attributes of anyone, permuted labels",
    "T2 a probe of other members",
    "T4 nearest patients",
    "T5 completed halves",
    "T7 words beyond labels",
    "T8 photographs of one patient",
}
ROUNDS = 100


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(DECISION_RULES.keys()))
def test_without_a_leak_a_judgement_rejects_no_more_than_chance_lets_it(name):
    """Over ICC 0 and .9, one to six photographs, one in twenty, ties, constants and long tails."""
    rounds = ROUNDS // 4 if name in SLOW else ROUNDS
    found = [calibration.rejections(name, setting, rounds) for setting in SETTINGS]
    assert [each for each in found if each.significant > each.max_share or each.failed > each.max_share] == []
    assert sum(each.n_audits > 0 for each in found) >= 6


def test_a_check_that_fires_counts_as_invalid(monkeypatch):
    fires = ValidityCheck("a check", True, "it always fires")
    monkeypatch.setitem(DECISION_RULES, "a check", (lambda setting, rng: fires, AUC))
    assert calibration.rejections("a check", SETTINGS[0], 3)[2:] == (1.0, 1.0, 3)


def test_new_questions_are_asked_without_a_leak():
    """In each setting that has patients enough, and as an audit asks them."""
    for name in ("T2 a probe of other members", "T2 prompts", "T3 the most exposed, by ranks"):
        assert calibration.rejections(name, SETTINGS[2], 2).n_audits == 2
    few = next(each for each in SETTINGS if each.members < each.nonmembers)
    assert calibration.rejections("T2 a probe of other members", few, 2).n_audits == 0


def test_a_setting_is_what_it_says():
    rng = np.random.default_rng(0)
    rare = next(each for each in SETTINGS if each.rate == 0.05)
    successes = np.concatenate([np.concatenate(rare.successes(rng)) for _ in range(25)])
    assert successes.mean() == pytest.approx(0.05, abs=0.01)
    few = next(each for each in SETTINGS if each.members < each.nonmembers)
    members, nonmembers = few.scores(rng)
    assert len(members) / (len(members) + len(nonmembers)) == 0.05


def rates(members: np.ndarray, nonmembers: np.ndarray) -> inference.Tested:
    return inference.rate_difference(members > 0.5, nonmembers > 0.5)


def counted(members: np.ndarray, nonmembers: np.ndarray) -> inference.Tested:
    """Of the share that members have of all pictures."""
    one, other = inference.mean_difference(members, nonmembers), members.mean() + nonmembers.mean()
    value, low, high = (0.5 + each / 2 / max(other, 1e-12) for each in one.estimate[:3])
    return inference.Tested(Estimate(value, low, high, one.estimate.patients), one.p)


def alarms(members: np.ndarray, nonmembers: np.ndarray) -> inference.Tested:
    found = inference.at_false_alarms(members, nonmembers, 0.05, np.random.default_rng(0))
    assert found
    return found[0]


def trials() -> dict[str, power_simulation.Trial]:
    rng = np.random.default_rng(3)
    everybody = rng.poisson(2, 300)
    success = rng.random(150) < 0.7
    who = GroupGuesses(
        *(guesses.Guesses(success, np.repeat(["F", "M"], 75), np.zeros(150)) for _ in range(2))
    )
    return {
        "scores": power_simulation.scores(rng.normal(size=150), 150, inference.separation, AUC),
        "tied scores": power_simulation.scores(rng.integers(0, 4, 150), 150, inference.separation, AUC),
        "rates": power_simulation.rates(success, 150, rates, DIFFERENCE),
        "attributes": who.trial(),
        "counts": power_simulation.counts(everybody, 150, counted, NEARER),
        "standing out": power_simulation.standing_out(rng.normal(size=150), 150, alarms, DIFFERENCE),
    }


@pytest.mark.parametrize("name", ["scores", "rates", "attributes", "counts", "standing out"])
def test_a_leak_is_found_as_often_as_the_limit_says(name):
    """Judged on draws that had no part in finding the limit."""
    trial, rounds = trials()[name], 80
    limit = power_simulation.limit(trial, rounds, seed=0)
    assert limit.smallest_leak is not None and limit.false_alarms <= 0.1
    error = (power_simulation.POWER * (1 - power_simulation.POWER) / rounds) ** 0.5
    found = power_simulation.share(trial, limit.smallest_leak, rounds, seed=1)
    assert found == pytest.approx(power_simulation.POWER, abs=3 * 2**0.5 * error)


@pytest.mark.parametrize("name", ["scores", "tied scores", "rates", "attributes", "counts", "standing out"])
def test_a_larger_leak_is_found_no_less_often(name):
    trial = trials()[name]
    sizes = np.linspace(trial.scale.chance, min(trial.scale.chance + 0.25, trial.max_leak), 5)
    found = [power_simulation.share(trial, size, 40, seed=0) for size in sizes]
    assert found == sorted(found) and found[0] <= 0.1 and found[-1] > 0.9


@pytest.mark.parametrize("wanted", [0.55, 0.7, 0.9])
def test_a_planted_leak_has_the_size_asked_for(wanted):
    pool = np.random.default_rng(0).normal(size=400)
    trial = power_simulation.scores(pool, 400, inference.separation, AUC)
    raised = trial.plant(pool, wanted, np.random.default_rng(1))
    assert inference.separation(raised, pool).estimate.value == pytest.approx(wanted, abs=1e-3)


def test_a_planted_rate_has_the_size_asked_for():
    pool = np.repeat([0.0, 1.0], [3000, 7000])
    trial = power_simulation.rates(pool, 10000, rates, DIFFERENCE)
    raised = trial.plant(pool, 0.1, np.random.default_rng(1))
    assert trial.max_leak == pytest.approx(0.3)
    assert rates(raised, pool).estimate.value == pytest.approx(0.1, abs=0.01)


def test_too_few_patients_are_said_to_find_nothing():
    trial = power_simulation.rates(np.arange(8) % 8 > 0, 8, rates, DIFFERENCE)
    result = power_simulation.state(Result("T2", "sex", "members", DIFFERENCE), trial, 50, seed=0)
    assert result.details["detection"]["least"] is None
    assert result.notes[-1].startswith("this attacker finds no leak up to difference of rates 0.125")
    assert result.notes[-1].endswith("p adjusted for 32 questions at most")


def test_what_is_found_is_said_for_no_fewer_questions_than_an_audit_asks():
    """Words are asked of age, sex and race; a release may hold all three.  Repeats are no matter of a p-value."""
    asked = [row.attack().QUESTIONS for row in threats.CATALOGUE if row.attack and row.key != "T1"]
    decided = [each for questions in asked for each in questions if each is not repeats.QUESTION]
    assert len(decided) + 2 <= power_simulation.ASKED


@pytest.mark.parametrize("statistic", ["AUC", "difference of means"])
def test_a_limit_by_width_is_near_that_of_planted_leaks(statistic):
    rng = np.random.default_rng(0)
    members, nonmembers = rng.normal(size=(2, 300))
    if statistic == "AUC":
        scale, judge = AUC, inference.separation
        planted = power_simulation.limit(
            power_simulation.scores(nonmembers, 300, judge, scale), 60, 0, attacks=10
        ).smallest_leak
    else:
        scale, judge = DIFFERENCE, inference.mean_difference
        pool = (nonmembers > 0).astype(float)
        members = (members > 0).astype(float)
        planted = power_simulation.limit(
            power_simulation.rates(pool, 300, judge, scale), 60, 0, attacks=10
        ).smallest_leak
        nonmembers = pool
    result = Result("T9", "", "anyone", scale, judge(members, nonmembers))
    found = power_simulation.state_by_width(result, attacks=10).details["detection"]["least"]
    assert planted and found - scale.chance == pytest.approx(planted - scale.chance, rel=0.2)


def test_more_attacks_ask_for_a_larger_leak():
    trial = trials()["scores"]
    one, many = (power_simulation.limit(trial, 50, 0, attacks).smallest_leak for attacks in (1, 40))
    assert one and many and many > one


@pytest.mark.parametrize("area, per_arm", [(0.55, 1436), (0.6, 195)])
def test_as_many_patients_as_planned_find_the_auc(area, per_arm):
    """Normal scores whose AUC is `area`."""
    assert power.for_auc(area) == per_arm
    rng, shift = np.random.default_rng(0), 2**0.5 * distributions.norm.ppf(area)
    found = [
        power_simulation.fails(
            inference.separation(rng.normal(shift, 1, per_arm), rng.normal(size=per_arm)), AUC
        )
        for _ in range(120)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.11)


@pytest.mark.parametrize("gap, rate", [(0.1, 0.5), (0.05, 0.9)])
def test_as_many_patients_as_planned_find_the_difference(gap, rate):
    count, rng = power.for_difference(gap, rate), np.random.default_rng(0)
    found = [
        power_simulation.fails(
            inference.rate_difference(rng.random(count) < rate + gap, rng.random(count) < rate), DIFFERENCE
        )
        for _ in range(150)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.1)


@pytest.mark.parametrize("accuracy", [0.6, 0.7])
def test_as_many_coins_as_planned_find_the_guesser(accuracy):
    """Exactly: the binomial's own tail at the planned number, at one fewer, and at more."""

    def share(count: int) -> float:
        hits = np.arange(count + 1)
        fail = [
            power_simulation.fails(inference.fair_guesses(int(each), count), AUC._replace(bar=0.5))
            for each in hits
        ]
        return float(distributions.binom.pmf(hits, count, accuracy)[np.array(fail)].sum())

    planned = power.for_canaries(accuracy)
    assert share(planned - 1) < 0.8 <= min(share(planned), share(planned + 1), share(planned + 7))


def test_samples_without_a_copy_bound_the_rate_as_planned():
    assert inference.share(0, power.to_bound_copies(1e-3)).high <= 1e-3
    assert inference.share(0, power.to_bound_copies(1e-3) - 1).high > 1e-3


def test_what_patients_find_is_what_needs_them():
    made = power.table(0.75, 0.8, 6, 400)
    assert power.for_auc(made["auc"], attacks=6) <= 400 < power.for_auc(made["auc"] - 1e-3, attacks=6)
    assert power.table(0.5, 0.8, 1, 2)["canary"] is None


@pytest.mark.parametrize(
    "wrong", [lambda: power.for_auc(0.52), lambda: power.for_difference(0.6, 0.5), lambda: power.for_canaries(0.5),
              lambda: power.table(0.5, 1.0, 1, None), lambda: power.table(0.5, 0.8, 0, None)]
)  # fmt: skip
def test_a_plan_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(UserError):
        wrong()


def test_the_command_plans():
    result = CliRunner().invoke(app, ["power", "--patients", "534", "--attacks", "12", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["auc"] == pytest.approx(0.569, abs=1e-3)
    assert verdict.ALPHA == 0.05


def test_a_killed_calibration_goes_on(tmp_path):
    """What was finished is not made again; a line that the kill cut short is."""
    path = tmp_path / ".page.jsonl"
    first = calibrate.Kept(path)
    assert first.once(["a", 300], lambda: [0.05, 0.01]) == [0.05, 0.01]
    first.once(["b", 300], lambda: [0.06, 0.02])
    path.write_text(path.read_text()[:-4])
    again = calibrate.Kept(path)
    assert again.once(["a", 300], list) == [0.05, 0.01]
    assert again.once(["a", 30], lambda: [1.0]) == [1.0]
    assert again.once(["b", 300], lambda: [0.07]) == [0.07]
    assert calibrate.Kept(path).once(["b", 300], list) == [0.07]
    again.delete()
    assert not path.exists()


def test_the_page_shows_what_is_above_chance_and_what_was_not_asked():
    rows = [Rejections(name, each.name, 0.04, 0.01, 300) for name in DECISION_RULES for each in SETTINGS]
    rows[0] = rows[0]._replace(significant=0.09)
    rows[1] = rows[1]._replace(n_audits=0)
    said = Outcome("blur", "none", dict.fromkeys(calibrate.WORDS, 0.25), 50)
    page = calibrate.written(rows, [[0.6, 0.61, None, 0.2]] * 3, [said, said._replace(leak="strong")], 300)
    assert "| AUC of scores | **9.0% / 1.0%** | – | 4.0% / 1.0% |" in page
    assert "| 100 | 0.600 | 0.610 | none | 0.200 |" in page
    assert "| blur | none | **25%** | 25% | 25% | 25% |" in page
    assert "| blur | strong | 25% | 25% | 25% | **25%** |" in page


def test_the_selftest_says_what_it_checks(tmp_path):
    first = list(islice(selftest.run(tmp_path, 0), 2))
    assert all(check.passed for check in first) and "false alarms" in selftest.line(first[0])
    assert selftest.table(first)["passed"] is True
    broken = selftest.table([first[0], first[1]._replace(passed=False)])
    assert broken["passed"] is False
    assert selftest.table([])["passed"] is False


def test_what_members_alone_show_is_found_by_the_selftest():
    checks = list(selftest.leaks_of_members(1))
    assert len(checks) == 4 and [each.detail for each in checks if not each.passed] == []


@pytest.mark.parametrize("passed, status", [(True, 0), (False, 1)])
def test_the_exit_status_of_the_selftest_says_whether_all_is_as_it_must_be(passed, status, monkeypatch):
    made = [selftest.SelfTest("a leak: T2", passed, "FAIL")]
    monkeypatch.setattr(selftest, "run", lambda folder, seed: iter(made))
    result = CliRunner().invoke(app, ["selftest"])
    assert result.exit_code == status and ("WRONG" in result.stdout) != passed
