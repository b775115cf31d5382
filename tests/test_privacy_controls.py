"""Releases that are known to leak must FAIL, and models that learnt nothing must not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import releases
from generators import tiny

from privacy import auditing, threats
from privacy.config import AuditConfig
from privacy.data.inputs import Inputs, People
from privacy.decisions import verdict
from privacy.decisions.decision import Decision, decide
from privacy.targets import open_target
from privacy.targets.generator import Generator
from synth.base.runs import read_json
from synth.data.images import Preprocessing
from synth.model.denoiser import NetworkConfig
from synth.training.dp_budget import DpConfig
from synth.training.trainer import train

PATIENTS = {"attackers": 100, "members": 30, "nonmembers": 50}
QUICK = AuditConfig(**releases.QUICK, **releases.COMPLETED)
WHOLE = Preprocessing(size=releases.SIDE)
ATTACKS = tuple(row.key for row in threats.CATALOGUE if row.key != "T1")
GENERATOR = ("T3", "membership by what the generator makes")
RELEASED = ("T3", "membership by nearness")
ENCODER = ("T3", "membership by how well")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("controls")


@pytest.fixture(scope="module")
def people(root) -> dict[str, People]:
    """Attackers' patients, members and non-members."""
    return {
        group: releases.people(root / group, count, seed)
        for seed, (group, count) in enumerate(PATIENTS.items(), 1)
    }


def asked(root: Path, people: dict[str, People], attacks: tuple[str, ...], **given: Any) -> list[Decision]:
    """Every answer of these attacks on a release."""
    given |= {group: people[group] for group in ("members", "nonmembers", "attackers")}
    inputs = Inputs(root / "kept", **given)
    return decide(
        [each for key in attacks for each in auditing.results_of(threats.threat(key), inputs, QUICK)]
    )


def word(judged: list[Decision], threat: str, attack: str) -> str:
    [found] = [
        each for each in judged if each.result.threat == threat and each.result.attack.startswith(attack)
    ]
    return found.answer.word


@pytest.mark.parametrize("altered", [False, True])
def test_a_copycat_fails_whatever_it_does_to_the_photographs(root, people, altered):
    """Training photographs themselves; mirrored, re-coloured and saved as JPEG."""
    pictures = np.array(people["members"].photographs(WHOLE))
    name = "altered copies" if altered else "copies"
    copies = releases.released(root / name, releases.altered(pictures, 1) if altered else pictures)
    judged = asked(root, people, ("T3", "T4"), synthetic=copies)
    assert word(judged, *RELEASED) == verdict.FAIL
    assert [each.answer.word for each in judged if each.result.threat == "T4"] == [verdict.FAIL] * 3


@pytest.mark.slow
def test_a_generator_that_knows_its_patients_by_heart_fails(root, people):
    made = Generator(releases.generator(root / "by heart", people["members"], 300))
    assert word(asked(root, people, ("T3",), generator=made), *GENERATOR) == verdict.FAIL


@pytest.mark.slow
def test_an_encoder_that_knows_its_pairs_by_heart_fails(root, people):
    encoder = open_target(releases.encoder(root / "pairs.pt", people["members"], 80))
    assert word(asked(root, people, ("T3",), encoder=encoder), *ENCODER) == verdict.FAIL


@pytest.mark.slow
def test_an_encoder_that_learnt_the_sex_of_members_by_heart_fails(tmp_path, monkeypatch):
    """Sex is a hint in the pictures: enough for a probe of others to find where the encoder keeps it."""
    monkeypatch.setattr(releases, "SEX", 0.3)
    counts = {"attackers": 150, "members": 60, "nonmembers": 60}
    groups = {
        group: releases.people(tmp_path / group, count, seed)
        for seed, (group, count) in enumerate(counts.items(), 1)
    }
    encoder = open_target(releases.encoder(tmp_path / "sex.pt", groups["members"], 100, sex=True))
    judged = asked(tmp_path, groups, ("T2",), encoder=encoder)
    assert word(judged, "T2", "sex read from embeddings") == verdict.FAIL
    assert word(judged, "T2", "age read from embeddings") != verdict.FAIL


def nothing_leaks(judged: list[Decision]) -> None:
    """No FAIL in anything that was asked about members and copies, which was at least ten questions."""
    words = {each.result.attack: each.answer.word for each in judged if each.result.panel != "anyone"}
    assert not {verdict.FAIL, verdict.INVALID} & set(words.values()), words
    assert sum(each != verdict.NOT_TESTABLE for each in words.values()) >= 10, words


def whole(root: Path, people: dict[str, People], name: str, encoder: Path, generator: Path) -> list[Decision]:
    """Every answer about an encoder, a generator and pictures that it draws of the members' labels."""
    made = Generator(generator)
    drawn = made.sample(made.codes(people["members"].table.drop_columns(["canary"])))
    given = {"encoder": open_target(encoder), "synthetic": releases.released(root / f"drawn {name}", drawn)}
    independent = Generator(releases.generator(root / f"independent {name}", None, 0, seed=3))
    return asked(root, people, ATTACKS, generator=made, independent=independent, **given)


@pytest.mark.slow
def test_untrained_models_leak_nothing_however_plain_a_picture_is(root, people):
    """Race is in the pixels of anyone: to read it there is no disclosure about members."""
    models = releases.encoder(root / "new.pt"), releases.generator(root / "untrained", None, 0)
    judged = whole(root, people, "untrained", *models)
    nothing_leaks(judged)
    race = next(each.result for each in judged if each.result.attack.startswith("race read"))
    assert dict(race.also)["non-members guessed right"].low > 0.7


@pytest.mark.slow
def test_models_that_know_others_by_heart_leak_nothing(root, people):
    """A third group of patients of the same source, who are in neither group."""
    others = releases.people(root / "others", 30, 9)
    models = (
        releases.encoder(root / "others.pt", others, 40),
        releases.generator(root / "of others", others, 100),
    )
    nothing_leaks(whole(root, people, "of others", *models))


@pytest.mark.slow
def test_a_generator_trained_with_differential_privacy_leaks_nothing(root, people, monkeypatch):
    """At epsilon 1; its secret randomness is fixed, so that this test cannot fail by chance."""
    monkeypatch.setattr("secrets.randbits", lambda bits: 7)
    config = tiny(
        images=96,
        batch=8,
        micro_batch=8,
        dp=DpConfig(epsilon=1, draws=2),
        preprocessing=releases.SMALL,
        network=NetworkConfig(channels=(16, 32), attention_from=2),
    )
    folder = train(config, [people["members"].folder], root / "private")
    assert read_json(folder / "visionclip.json")["differential_privacy"]["epsilon"] <= 1
    nothing_leaks(whole(root, people, "private", releases.encoder(root / "private.pt"), folder))
