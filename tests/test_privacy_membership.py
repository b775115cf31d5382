"""T3 and T6: a generator, a release and a CLIP that know their patients by heart are found; those that do not are not."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from generators import MIX
from pictures import drawn

from privacy import auditing, threats
from privacy.attacks import exposed, likelihood, membership
from privacy.attacks.likelihood import Guessed
from privacy.config import AuditConfig
from privacy.data.inputs import Inputs, People
from privacy.decisions import verdict
from privacy.decisions.decision import decide
from privacy.decisions.results import Result
from privacy.scores import references, validity
from privacy.scores.membership_scores import HEADLINE, MembershipScores
from privacy.scores.score_calibration import Scores
from privacy.statistics import inference, strata
from privacy.targets import open_target, queries
from privacy.targets.generator import Generator
from synth import pipeline
from synth.base.checkpoint import save
from synth.base.errors import UserError
from synth.data import images, records
from synth.data.images import Preprocessing
from synth.data.vocabulary import VERSION as VOCABULARY
from synth.diffusion.losses import loss as denoising_loss
from synth.diffusion.process import VPrediction
from synth.diffusion.schedulers import STEPS
from synth.model.card import GeneratorCard
from synth.model.denoiser import Denoiser, NetworkConfig
from synth.model.labels import current
from synth.model.wavelet import WaveletSpace

QUICK = AuditConfig(detection_rounds=50)
SMALL = Preprocessing(size=8)
MEMBERS, NONMEMBERS = 24, 60
WORDS = ["disc", "macula", "vessel", "nerve", "rim", "lesion", "cup", "arcade", "fovea", "choroid"]


def people(folder: Path, count: int, seed: int, **columns: Any) -> Path:
    """Records of `count` patients with one photograph each, whose colour and labels are drawn alike in all folders."""
    rng = np.random.default_rng([seed, 1])
    rows = []
    for i in range(count):
        labels = {"is_gc": i % 2, "dr_grade": int(rng.integers(2)), "eye_side": "left", "modality": "cfp"}
        rows.append(
            records.row(
                id=f"{seed}-{i:03d}",
                subject_id=f"{seed}-{i:03d}",
                image={"bytes": images.encode(drawn(seed * 1000 + i, i % 2, 32)), "path": None},
                caption_en=" ".join(rng.choice(WORDS, 6)),
                **(labels | columns),
            )
        )
    records.write_records(folder, rows, {"kind": "test", "seed": seed}, (1, 0, 0))
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("membership")
    people(folder / "members", MEMBERS, 1)
    people(folder / "strangers", NONMEMBERS, 2)
    people(folder / "release", 40, 3)
    return folder


def groups(root: Path, **given: Any) -> Inputs:
    kept = root / ".cache"
    told = {"members": root / "members", "nonmembers": root / "strangers"} | given
    opened: dict[str, Any] = {
        key: People(value, kept=kept) if isinstance(value, Path) else value for key, value in told.items()
    }
    return Inputs(kept, **opened)


@pytest.fixture(scope="module")
def snapshots(root) -> dict[int, Generator]:
    """Steps of training -> a generator that saw nothing but the members' pictures, over and over."""
    seen = People(root / "members", kept=root / ".cache")
    torch.manual_seed(0)
    network = Denoiser(NetworkConfig(channels=(16, 32), attention_from=2), SMALL.size)
    pictures = torch.from_numpy(np.array(seen.photographs(SMALL))).permute(0, 3, 1, 2).float() / 127.5 - 1
    space = WaveletSpace(1)
    space.fit(pictures)
    clean, told = space.encode(pictures), torch.from_numpy(current().codes(seen.table))
    optimizer, schedule = torch.optim.Adam(network.parameters(), lr=4e-3), VPrediction()
    found = {}
    for step in range(301):
        if step in (0, 80, 300):
            made = pipeline.FundusPipeline(
                network.unet, VPrediction().scheduler, network.conditioning, copy.deepcopy(space)
            )
            card = GeneratorCard.of(
                images=step, config={}, preprocessing=SMALL.model_dump(), vocabulary=VOCABULARY
            )
            pipeline.save(made, root / f"after{step}", card, MIX)
            found[step] = Generator(root / f"after{step}")
        noise, time = torch.randn_like(clean), torch.randint(0, STEPS, (len(clean),))
        loss = denoising_loss(network, schedule, clean, noise, time, told)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    return found


def words(results: list[Result]) -> list[str]:
    return [judged.answer.word for judged in decide(results)]


def auc(result: Result) -> float:
    assert result.tested
    return result.tested.estimate.value


@pytest.mark.slow
def test_a_generator_that_knows_its_patients_by_heart_fails_and_an_untrained_one_does_not(root, snapshots):
    found = {
        step: membership.attack(groups(root, generator=made), QUICK)[0] for step, made in snapshots.items()
    }
    assert words([found[300]]) == [verdict.FAIL]
    assert words([found[0]]) != [verdict.FAIL]
    assert auc(found[0]) + 0.05 < auc(found[80]) < auc(found[300])
    compared = dict(found[300].compared)
    assert compared[references.UNTRAINED].low < 0.5 < compared[references.UNTRAINED].high
    assert not any(check.fired for check in found[300].checks)
    assert {"denoising error", "SimA", "CLiD", "PIA", "SecMI"} <= dict(found[300].also).keys()


def test_a_killed_attack_asks_nothing_twice(root, snapshots, monkeypatch):
    inputs = groups(root, generator=snapshots[300])
    first = membership.attack(inputs, QUICK)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Generator, "predict", killed)
    assert membership.attack(inputs, QUICK)[0].tested == first[0].tested


def test_noise_and_its_seed_are_shared_by_all_photographs(snapshots):
    """A photograph's answers depend on nobody it is asked with, however the groups are ordered."""
    made, rng = snapshots[80], np.random.default_rng(0)
    pictures = rng.integers(0, 256, (3, 8, 8, 3)).astype(np.uint8)
    told = made.unconditional(3)
    for ask in (
        lambda x, c: made.losses(x, c, (100, 500), 2).reshape(len(x), -1),
        lambda x, c: queries.sima(made, x, c, 200),
        lambda x, c: queries.pia(made, x, c, 200),
        lambda x, c: queries.secmi(made, x, c, 200, 50),
    ):
        assert ask(pictures, told)[::-1] == pytest.approx(ask(pictures[::-1], told), rel=1e-4)


def test_a_release_of_the_members_themselves_fails_and_one_of_others_does_not(root):
    copied = membership.attack(groups(root, synthetic=root / "members"), QUICK)[2]
    others = membership.attack(groups(root, synthetic=root / "release"), QUICK)[2]
    assert words([copied]) == [verdict.FAIL] and auc(copied) > 0.95
    assert words([others]) != [verdict.FAIL] and abs(auc(others) - 0.5) < 0.2


@pytest.mark.slow
def test_a_clip_that_knows_its_captions_by_heart_fails_and_an_untrained_one_does_not(root):
    from clip.model import checkpoints
    from clip.model.encoders import ClipConfig, ImageTower, TextTower, build, normalise

    seen = People(root / "members", kept=root / ".cache")
    config = ClipConfig(
        image=ImageTower(layers=(1, 1, 1, 1), width=8),
        text=TextTower(layers=1, width=16, heads=1, feedforward=16, positions=52, dropout=0),
        embedding=32,
        preprocessing=Preprocessing(size=32),
    )
    model = build(config, seed=3)
    save(root / "new.pt", {**checkpoints.header(model), "weights": model.state_dict()})
    pixels = normalise(torch.from_numpy(np.array(seen.photographs(config.preprocessing))))
    tokens = model.tokenize(seen.table["caption_en"].to_pylist())
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    model.train()
    for _ in range(60):
        image, text = (
            torch.nn.functional.normalize(each, dim=-1)
            for each in (model.encode_image(pixels), model.encode_text(tokens))
        )
        logits = 10 * image @ text.T
        loss = torch.nn.functional.cross_entropy(logits, torch.arange(MEMBERS))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    save(root / "old.pt", {**checkpoints.header(model), "weights": model.state_dict()})
    new, old = (
        membership.attack(groups(root, encoder=open_target(root / name)), QUICK)[4]
        for name in ("new.pt", "old.pt")
    )
    assert words([new]) != [verdict.FAIL]
    assert words([old]) == [verdict.FAIL]


def test_what_is_not_given_is_named(root):
    found = decide(membership.attack(groups(root), QUICK))
    assert [each.answer.word for each in found] == [verdict.NOT_TESTABLE] * 7
    assert [
        "--generator" in found[0].answer.why,
        "--synthetic" in found[2].answer.why,
        "--model" in found[4].answer.why,
    ]
    assert "--members" in auditing.results_of(threats.threat("T6"), Inputs(root / ".cache"), QUICK)[0].missing


def test_the_most_exposed_are_found_where_the_average_patient_is_not():
    rng = np.random.default_rng(0)
    members, nonmembers = rng.normal(size=1000), rng.normal(size=1000)
    members[:60] += 6
    scores = Scores(members, nonmembers, np.zeros((1000, 0)), np.zeros((1000, 0)))
    average, most = (
        membership.evaluate(membership.GENERATOR, scores, QUICK),
        exposed.evaluate(membership.GENERATOR, scores, QUICK),
    )
    assert words([average, most])[1] == verdict.FAIL and auc(average) < 0.55


def test_difficulty_is_taken_off_without_false_alarms():
    """Null: 5 %; a leak that difficulty hides is found twice as often."""
    rng = np.random.default_rng(0)
    alarms, raw, freed = [], [], []
    for seed in range(300):
        features, noise = rng.normal(size=(160, 10)), rng.normal(size=160)
        values = features @ np.full(10, 0.6) + noise
        for shift, found in ((0.0, alarms), (0.4, freed)):
            scores = Scores(values[:60] + shift, values[60:], features[:60], features[60:])
            found.append(scores.tested(seed).p < 0.05)
        raw.append(inference.separation(values[:60] + 0.4, values[60:]).p < 0.05)
    assert np.mean(alarms) < 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5
    assert np.mean(freed) > 1.5 * np.mean(raw)


def test_exchanging_the_arms_turns_the_sign():
    rng = np.random.default_rng(0)
    one, other, none = rng.normal(0.5, 1, 80), rng.normal(0, 1, 80), np.zeros((80, 0))
    there, back = (
        Scores(*pair, none, none).tested(0).estimate.value for pair in ((one, other), (other, one))
    )
    assert there - 0.5 == pytest.approx(0.5 - back)


def test_an_attack_that_learns_from_those_it_judges_is_caught_by_halves():
    """As where an attack model is trained on the members it is then evaluated on."""
    values = np.random.default_rng(0).normal(size=(100, 40))

    def overfitted(first: np.ndarray, second: np.ndarray) -> inference.Tested:
        direction = values[first].mean(axis=0) - values[second].mean(axis=0)
        return inference.separation(values[first] @ direction, values[second] @ direction)

    def fixed(first: np.ndarray, second: np.ndarray) -> inference.Tested:
        return inference.separation(values[first, 0], values[second, 0])

    assert validity.null_split(overfitted, 100, 0)[0].fired
    assert not validity.null_split(fixed, 100, 0)[0].fired


def test_arms_that_no_model_is_needed_to_tell_apart_are_invalid(root, tmp_path):
    other = people(tmp_path / "other", NONMEMBERS, 5, source="another clinic")
    found = decide(membership.attack(groups(root, nonmembers=other, synthetic=root / "release"), QUICK))[2]
    assert found.answer.word == verdict.INVALID and "labels and files" in found.answer.why


def test_pixels_tell_arms_apart_only_where_they_differ():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(80, 30)), rng.normal(size=(100, 30))
    assert not validity.baseline_separability("pixels", one, other, QUICK)[0].fired
    one[:, :5] += 1
    assert validity.baseline_separability("pixels", one, other, QUICK)[0].fired


def test_a_patient_in_both_arms_is_an_error_and_a_picture_a_gate(root, tmp_path):
    with pytest.raises(UserError, match="24 of its subjects are in --members"):
        validity.groups(groups(root, nonmembers=root / "members"), QUICK)
    rows = [
        records.row(id=f"x{i}", subject_id=f"x{i}", image={"bytes": images.encode(drawn(1000 + i, i % 2, 32)), "path": None})
        for i in range(MEMBERS)
    ]  # fmt: skip
    records.write_records(tmp_path / "twins", rows, {"kind": "twins"}, (1, 0, 0))
    checked = validity.groups(groups(root, nonmembers=tmp_path / "twins"), QUICK)
    assert checked.checks[0].fired and "100.0% of the non-members" in checked.checks[0].why


def patients(right: np.ndarray, rng: np.random.Generator) -> Guessed:
    labels = rng.integers(0, 2, len(right)).astype(str)
    return Guessed(right.astype(float), rng.random(len(right)), rng.normal(size=len(right)), labels)


def test_labels_that_anyone_shows_are_no_leak_and_labels_of_members_alone_are():
    rng = np.random.default_rng(0)
    visible = likelihood.evaluate(patients(np.ones(500), rng), patients(np.ones(500), rng))
    known = likelihood.evaluate(patients(rng.random(500) < 0.8, rng), patients(rng.random(500) < 0.6, rng))
    assert words([visible, known]) == [verdict.PASS, verdict.FAIL]
    few = likelihood.evaluate(patients(np.ones(20), rng), patients(np.ones(20), rng))
    assert words([few]) == [verdict.INCONCLUSIVE]  # twenty who are all guessed bound nothing below 5 %


def test_more_of_an_easy_label_in_one_arm_is_no_leak():
    """The groups differ in how common a label is, and it is the label that is easily guessed."""
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(200):
        made = []
        for share in (0.7, 0.3):
            easy = rng.random(200) < share
            right = rng.random(200) < np.where(easy, 0.95, 0.55)
            made.append(patients(right, rng)._replace(stratum=easy.astype(str)))
        alarms += likelihood.gap(*made).p < 0.05
        assert strata.table(made[0].stratum, made[1].stratum).patients == 400
    assert alarms / 200 < 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5


def test_a_generator_guesses_what_it_was_told(root, snapshots):
    """`is_gc` is in every picture; who was trained on makes no difference to it."""
    found = likelihood.attack(groups(root, generator=snapshots[300]), QUICK)[0]
    also = dict(found.also)
    assert also["non-members guessed"].value > 0.6
    assert found.tested and not any(check.fired for check in found.checks)
    assert "is_gc (2 candidates)" in found.notes[0] and validity.NULL_SPLIT in dict(found.compared)


def test_some_patients_of_an_arm_are_an_arm(tmp_path):
    group = People(people(tmp_path / "records", 60, seed=0))
    chosen = group.choice(20, seed=3)
    assert (
        np.isin(group.choice(10, seed=3), chosen).all()
        and len(group.choice(10**6, 3)) == group.cohort.patients
    )
    part, kept = group.some(chosen), np.isin(group.patient, chosen)
    assert part.cohort.patients == 20 and list(part.ids) == list(group.ids[kept])
    assert list(part.subjects) == list(group.subjects[chosen]) and part.fingerprint != group.fingerprint
    assert np.array_equal(part.photographs(SMALL), group.photographs(SMALL)[kept])
    values = np.arange(len(group.ids))
    assert np.array_equal(part.per_patient(values[kept]), group.per_patient(values)[chosen])


def test_several_reference_models_tell_what_one_models_errors_hide():
    """Photographs are hard for every generator alike; what exceeds the mean of six others is membership."""
    rng = np.random.default_rng(0)
    hard = rng.normal(size=(2, 150))

    def scored(of_members: float) -> MembershipScores:
        groups = [
            {name: 3 * level + gain + rng.normal(size=150) for name in HEADLINE}
            for level, gain in zip(hard, (of_members, 0.0), strict=True)
        ]
        return MembershipScores(*groups)

    audited, others = scored(0.6), [scored(0.0) for _ in range(6)]
    plain, beyond = (inference.separation(*each.headline()) for each in (audited, audited.less(others)))
    assert beyond.estimate.low > plain.estimate.low and beyond.p < 1e-4 < plain.p
    nobody = inference.separation(*scored(0.0).less(others).headline())
    assert nobody.p > 0.05
