"""T2: what is guessed of members beyond what is guessed of non-members, and nothing else, is a disclosure."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from statsmodels.stats.contingency_tables import StratifiedTable

from privacy.attacks import disclosure
from privacy.config import AuditConfig
from privacy.data.inputs import Inputs, People
from privacy.decisions import verdict
from privacy.decisions.decision import decide
from privacy.decisions.results import Result
from privacy.scores import guesses, validity
from privacy.scores.guesses import GroupGuesses, Guesses
from privacy.statistics import inference, strata
from privacy.targets.embeddings import Embeddings
from synth.base.errors import UserError
from synth.data import images, records

QUICK = AuditConfig(permutations=60, bootstrap=100, detection_rounds=50)
PATIENTS = {"attackers": 150, "members": 160, "nonmembers": 140}
RACES = ("african", "asian", "caucasian")


def write_arm(folder: Path, group: str, patients: int, rng: np.random.Generator, **changed: object) -> People:
    """Grey pictures of patients of any age and sex, one or two of each."""
    rows = []
    for patient in range(patients):
        person = {
            "sex": "FM"[rng.integers(2)],
            "age": float(rng.integers(20, 80)),
            "race": RACES[rng.integers(3)],
        }
        for number in range(1 + patient % 2):
            picture = images.encode(rng.normal(120, 20, (24, 24, 3)).clip(0, 255).astype(np.uint8))
            name = f"{group}-{patient:03d}"
            rows.append(
                records.row(
                    id=f"{name}-{number}",
                    subject_id=name,
                    image={"bytes": picture, "path": None},
                    source="test",
                    **{**person, **changed},
                )
            )
    records.write_records(folder, rows, {"source": "test"})
    return People(folder, kept=folder.parent / "kept")


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> dict[str, People]:
    folder, rng = tmp_path_factory.mktemp("arms"), np.random.default_rng(0)
    return {group: write_arm(folder / group, group, count, rng) for group, count in PATIENTS.items()}


def embed(path: Path, people: dict[str, People], strength: dict[str, float]) -> Embeddings:
    """Embeddings that show the sex of each group's patients so strongly."""
    rng = np.random.default_rng(7)
    ids, values = [], []
    for group, each in people.items():
        ids += each.ids.tolist()
        sex = np.array([value == "M" for value in each.cohort.values["sex"]], float)
        found = rng.normal(size=(each.cohort.patients, 6))
        found[:, 0] += strength[group] * (sex - 0.5)
        values += found[each.patient].tolist()
    pq.write_table(pa.table({"id": ids, "embedding": values}), path)
    return Embeddings(path)


def inputs(tmp_path: Path, encoder: Embeddings, people: dict[str, People]) -> Inputs:
    groups = (people["members"], people["nonmembers"], people["attackers"])
    return Inputs(tmp_path / "kept", encoder, None, None, *groups)


def audited(tmp_path: Path, people: dict[str, People], **strength: float) -> dict[str, tuple[Result, str]]:
    encoder = embed(tmp_path / "e.parquet", people, {group: strength.get(group, 1.0) for group in people})
    found = disclosure.attack(inputs(tmp_path, encoder, people), QUICK)
    words = [each.answer.word for each in decide(found)]
    asked = [name.attack for name in disclosure._BY_ATTACKERS]
    return {
        each.attack.split()[0]: (each, word)
        for each, word in zip(found, words, strict=True)
        if each.attack in asked
    }


@pytest.mark.slow
def test_an_encoder_that_shows_the_sex_of_members_more_plainly_fails(tmp_path, people):
    found = audited(tmp_path, people, members=4.0)
    result, word = found["sex"]
    assert word == verdict.FAIL
    assert result.tested and result.tested.estimate.low > 0
    assert found["age"][1] != verdict.FAIL and found["race"][1] != verdict.FAIL


def test_an_encoder_that_shows_the_sex_of_anyone_does_not_fail(tmp_path, people):
    """What is plain in everybody's picture is no disclosure about members."""
    result, word = audited(tmp_path, people, attackers=6.0, members=6.0, nonmembers=6.0)["sex"]
    rate = dict(result.also)["non-members guessed right"]
    assert rate.low > 0.95
    assert word == verdict.PASS


def test_calling_members_strangers_flips_the_sign(tmp_path, people):
    swapped = {**people, "members": people["nonmembers"], "nonmembers": people["members"]}
    there = audited(tmp_path, people, members=3.0)["sex"][0].tested
    back = audited(tmp_path, swapped, nonmembers=3.0)["sex"][0].tested
    assert there and back
    assert back.estimate.value < 0 < there.estimate.value


def test_a_result_says_what_it_could_have_found_and_what_it_is_compared_with(tmp_path, people):
    result, _ = audited(tmp_path, people)["sex"]
    assert 0.05 < result.details["detection"]["least"] < 0.3
    assert "this attacker finds a leak of" in result.notes[-1]
    assert {disclosure.PIXELS, disclosure.NULL_SPLIT, validity.PIXELS_ALONE} <= set(dict(result.compared))
    assert {each["name"] for each in result.details["subgroups"]} == {"F", "M"}


def test_attackers_may_not_know_the_members(tmp_path, people):
    encoder = embed(tmp_path / "e.parquet", people, dict.fromkeys(people, 1.0))
    mixed = {**people, "attackers": people["members"]}
    with pytest.raises(UserError, match="160 of the attackers' patients are in --members too"):
        disclosure.attack(inputs(tmp_path, encoder, mixed), QUICK)


def test_an_attribute_that_nobody_states_is_not_testable(tmp_path, people):
    rng = np.random.default_rng(1)
    silent = write_arm(tmp_path / "silent", "members", 30, rng, race=None)
    result, word = audited(tmp_path, {**people, "members": silent})["race"]
    assert (word, result.missing) == (
        verdict.NOT_TESTABLE,
        "no record states it; add the column 'race' to --members",
    )


def groups(seed: int = 0, members: int = 80, nonmembers: int = 120) -> tuple[np.ndarray, ...]:
    """Success of two groups, and the decade of each patient."""
    rng = np.random.default_rng(seed)
    decades = [rng.choice(["40s", "50s", "60s"], count) for count in (members, nonmembers)]
    return rng.random(members) < 0.6, rng.random(nonmembers) < 0.4, *decades


def test_one_stratum_is_no_stratum():
    members, nonmembers, *_ = groups()
    plain = inference.rate_difference(members, nonmembers)
    found = strata.rate_difference(members, nonmembers, np.full(80, "a"), np.full(120, "a"))
    assert found.estimate == pytest.approx(plain.estimate)
    assert found.p == pytest.approx(plain.p, rel=0.05)


def test_p_over_strata_is_that_of_cochran_mantel_and_haenszel():
    members, nonmembers, of_members, of_nonmembers = groups()
    found = strata.rate_difference(members, nonmembers, of_members, of_nonmembers)
    tables = []
    for name in ("40s", "50s", "60s"):
        one, other = members[of_members == name], nonmembers[of_nonmembers == name]
        tables.append(np.array([[one.sum(), (~one).sum()], [other.sum(), (~other).sum()]], float))
    oracle = StratifiedTable(tables).test_null_odds(correction=False)
    assert found.p == pytest.approx(oracle.pvalue / 2)  # type: ignore[attr-defined]  # two-sided


def test_arms_of_another_age_are_compared_at_the_same_age():
    """The old are guessed right more often, and more members are old: no disclosure."""
    of_members, of_nonmembers = np.repeat(["old", "young"], [150, 50]), np.repeat(["old", "young"], [50, 150])
    rng = np.random.default_rng(0)
    members = rng.random(200) < np.where(of_members == "old", 0.9, 0.3)
    nonmembers = rng.random(200) < np.where(of_nonmembers == "old", 0.9, 0.3)
    assert inference.rate_difference(members, nonmembers).estimate.low > 0.15
    found = strata.rate_difference(members, nonmembers, of_members, of_nonmembers)
    assert found.estimate.low < 0 < found.estimate.high and found.p > 0.05


def test_a_stratum_that_one_arm_lacks_does_not_count():
    members, nonmembers, of_members, of_nonmembers = groups()
    more = np.concatenate([members, np.ones(50, bool)]), nonmembers
    found = strata.rate_difference(*more, np.concatenate([of_members, np.full(50, "20s")]), of_nonmembers)
    assert found == strata.rate_difference(members, nonmembers, of_members, of_nonmembers)


def test_arms_with_nothing_in_common_have_no_difference():
    found = strata.rate_difference(np.ones(9), np.zeros(9), np.full(9, "a"), np.full(9, "b"))
    assert np.isnan(found.estimate.value) and found.p == 1.0


def test_a_difference_of_means_over_strata_is_that_of_their_means():
    members, nonmembers, of_members, of_nonmembers = groups()
    first, second = members + 0.5, nonmembers.astype(float)
    gaps = {
        n: first[of_members == n].mean() - second[of_nonmembers == n].mean() for n in np.unique(of_members)
    }
    weights = {n: 1 / (1 / (of_members == n).sum() + 1 / (of_nonmembers == n).sum()) for n in gaps}
    wanted = sum(weights[n] * gaps[n] for n in gaps) / sum(weights.values())
    assert strata.mean_difference(first, second, of_members, of_nonmembers).estimate.value == pytest.approx(
        wanted
    )


def test_no_subgroup_is_so_small_that_it_names_people():
    right, names = np.ones(40, bool), np.repeat(["F", "M"], [31, 9])
    found = strata.subgroups(right, ~right, names, names)
    assert [each["name"] for each in found] == ["F"]


def test_ages_are_missed_in_years():
    found = guesses.of("years", np.array([20.0, 80.0, 40.0, 40.0]), np.array([25.0, 75.0, -5.0, 45.1]))
    assert found.right.tolist() == [True, True, False, False]
    assert found.stratum.tolist() == ["20 to 29 years", "80 to 89 years", "40 to 49 years", "40 to 49 years"]


def test_fewer_years_of_error_for_members_are_counted_as_such():
    truth = np.full(20, 50.0)
    near, far = guesses.of("years", truth, truth + np.arange(20) / 10), guesses.of("years", truth, truth + 8)
    found = GroupGuesses(near, far).years()
    assert found.value == pytest.approx(8 - 0.95)
    assert isinstance(near, Guesses)
