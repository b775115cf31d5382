"""T1 against known truth: what is planted is found, what is not there is not, and patients are the unit."""

from typing import Any

import numpy as np
import pytest

from privacy.attacks.attribute_inference import evaluate
from privacy.attacks.population import Features
from privacy.config import AuditConfig
from privacy.data import attributes
from privacy.decisions import verdict
from privacy.decisions.decision import Decision, decide
from privacy.statistics import codelength, components, inference, measures, probes, sensitivity
from synth.base import stats
from synth.base.stats import Estimate

QUICK = AuditConfig(permutations=60, bootstrap=300, untrained_seeds=1)


class World:
    """Patients with random embeddings that look alike within a patient, and attributes drawn by canary bit."""

    def __init__(
        self, patients: int, images: int = 2, size: int = 12, icc: float = 0.9, seed: int = 0
    ) -> None:
        rng = np.random.default_rng(seed)
        person = rng.normal(size=(patients, size)) * icc**0.5
        self.patient = np.repeat(np.arange(patients), images)
        noise = rng.normal(size=(len(self.patient), size))
        self.features = person[self.patient] + noise * (1 - icc) ** 0.5
        self.sex = rng.integers(0, 2, patients)
        self.race = rng.integers(0, 3, patients)
        self.age = rng.uniform(20, 80, patients)

    def columns(self, **changed: Any) -> dict[str, list[Any]]:
        columns = {
            "id": [f"i{row:05d}" for row in range(len(self.patient))],
            "subject_id": [f"p{number:04d}" for number in self.patient],
            "sex": ["FM"[self.sex[number]] for number in self.patient],
            "race": [("african", "asian", "caucasian")[self.race[number]] for number in self.patient],
            "age": [float(self.age[number]) for number in self.patient],
        }
        return {**columns, **changed}

    def judged(
        self,
        name: str,
        encoder=None,
        untrained=None,
        pixels=None,
        columns=None,
        metadata=None,
        diagnoses=None,
    ) -> Decision:
        cohort = attributes.cohort(columns or self.columns())
        noise = np.random.default_rng(99).normal(size=(3, *self.features.shape))
        sets = [noise[0] if encoder is None else encoder, noise[1] if untrained is None else untrained,
                noise[2] if pixels is None else pixels]  # fmt: skip
        reduced = [components.reduce(each[cohort.order], cohort.patient) for each in sets]
        features = Features(reduced[0], [reduced[1]], reduced[2], metadata, diagnoses)
        return decide(evaluate({name: attributes.task(cohort, name)}, features, QUICK))[0]

    def with_planted(self, strength: float) -> np.ndarray:
        planted = self.features.copy()
        planted[:, 0] += strength * (self.sex[self.patient] - 0.5)
        planted[:, 1] += strength * (self.race[self.patient] == 1)
        planted[:, 2] += strength * (self.race[self.patient] == 2)
        planted[:, 3] += strength * (self.age[self.patient] - 50) / 17
        return planted


@pytest.mark.parametrize(
    "name, metric, chance", [("sex", "auc", 0.5), ("race", "auc", 0.5), ("age", "r2", 0.0)]
)
def test_a_planted_attribute_is_revealed(name, metric, chance):
    world = World(240)
    judged = world.judged(name, encoder=world.with_planted(3.0))
    assert judged.numbers and judged.numbers.encoder(metric).low > chance + 0.2
    assert judged.answer.word == judged.training_effect.word == verdict.REVEALS
    assert verdict.CAPABILITY in judged.answer.why


def test_what_untrained_encoders_show_too_is_not_put_down_to_training():
    """An attribute visible in the pixels: revealed, but no gain over the controls."""
    world = World(240)
    planted = world.with_planted(3.0)
    judged = world.judged("sex", encoder=planted, untrained=planted, pixels=planted)
    assert judged.answer.word == verdict.REVEALS
    assert judged.training_effect.word == verdict.PASS


def test_one_control_that_sees_it_is_enough():
    world = World(240)
    planted = world.with_planted(3.0)
    assert world.judged("age", encoder=planted, pixels=planted).training_effect.word != verdict.REVEALS


def test_what_files_give_away_too_is_not_put_down_to_training():
    """A camera that one sex sat before: metadata is a control, and a diagnosis stands beside it without being one."""
    world = World(120)
    planted = world.with_planted(3.0)
    told = world.sex[world.patient][:, None] - 0.5
    by_files = world.judged("sex", encoder=planted, metadata=told)
    by_disease = world.judged("sex", encoder=planted, diagnoses=told)
    assert by_files.answer.word == by_disease.answer.word == verdict.REVEALS
    assert (
        by_files.training_effect.word == verdict.PASS and by_disease.training_effect.word == verdict.REVEALS
    )
    assert by_files.numbers and by_disease.numbers
    assert "metadata" in by_files.numbers.excess and "diagnoses" not in by_disease.numbers.excess
    row = next(row for row in by_disease.numbers.rows if row.name == "diagnoses")
    assert row.person["auc"].low > 0.9 and row.person["bits"].high < 0.4


def coded(world: World, name: str, features: np.ndarray) -> np.ndarray:
    task = attributes.task(attributes.cohort(world.columns()), name)
    assert isinstance(task, attributes.Task)
    return codelength.bits(probes.mean_by(world.patient, features), task, 0)


@pytest.mark.parametrize("name, uniform", [("sex", 1.0), ("race", np.log2(3)), ("age", 7.0)])
def test_what_shows_plainly_is_told_in_few_bits(name, uniform):
    """The plainer, the shorter; who sees noise or nothing pays what the labels are worth, and little more."""
    world = World(240)
    noise = np.random.default_rng(5).normal(size=world.features.shape)
    told = [coded(world, name, each) for each in (world.with_planted(8.0), world.with_planted(3.0), noise)]
    baseline_separability = coded(world, name, world.features[:, :0])
    lengths = [each.mean() for each in (*told, baseline_separability)]
    assert lengths[0] < lengths[1] < lengths[2] - 0.1
    assert lengths[2] == pytest.approx(lengths[3], abs=0.12)
    # Ages are uniform over 60 years, and the code takes them for normal.
    normal = np.log2(60 / 12**0.5 * (2 * np.pi * np.e) ** 0.5)
    assert lengths[3] == pytest.approx(normal if name == "age" else uniform, abs=0.12)
    assert (told[0] >= 0).all() and (told[0] == uniform).sum() >= 240 // 32


def test_the_code_of_who_sees_nothing_learns_how_rare_a_class_is():
    world = World(400)
    world.sex[:] = np.arange(400) % 10 == 0
    baseline_separability = coded(world, "sex", world.features[:, :0])
    assert baseline_separability.mean() == pytest.approx(-(0.1 * np.log2(0.1) + 0.9 * np.log2(0.9)), abs=0.08)


def test_other_probes_read_what_no_linear_one_can():
    """An attribute that shows in whether two features agree: beside the verdict, not in it."""
    world = World(300, size=2, icc=1.0)
    world.sex[:] = (world.features[::2, 0] > 0) == (world.features[::2, 1] > 0)
    task = attributes.task(attributes.cohort(world.columns()), "sex")
    assert isinstance(task, attributes.Task)
    linear = probes.out_of_fold(world.features, task, 5, 0).scores[::2]
    found = sensitivity.out_of_fold(world.features[::2], task, 5, 0)
    areas = [
        measures.aucs(each, task.labels[:, None] == 1)[0]
        for each in (linear, *(f.scores for f in found.values()))
    ]
    assert areas[0] < 0.65 and min(areas[1:]) > 0.9


def null_p(seed: int, by_image: bool) -> float:
    """The p-value of a world without any effect; `by_image` takes every photograph for a patient."""
    world = World(60, images=4, size=8, seed=seed)
    columns = world.columns()
    cohort = attributes.cohort({**columns, "subject_id": columns["id"]} if by_image else columns)
    features = components.reduce(world.features[cohort.order], cohort.patient)
    task = attributes.task(cohort, "sex")
    assert isinstance(task, attributes.Task)
    return probes.permutation_test(features, task, 5, 39, seed).p


def test_without_an_effect_one_audit_in_twenty_fires():
    """Type-I error at 4 photographs a patient and an intraclass correlation of 0.9."""
    rounds = 120
    limit = 0.05 + 3 * (0.05 * 0.95 / rounds) ** 0.5
    assert np.mean([null_p(seed, by_image=False) <= 0.05 for seed in range(rounds)]) <= limit


def test_counting_photographs_as_patients_would_fire_far_too_often():
    assert np.mean([null_p(seed, by_image=True) <= 0.05 for seed in range(30)]) > 0.5


@pytest.mark.slow
def test_the_verdict_without_an_effect_is_never_that_it_reveals():
    words = [(w := World(60, images=3, seed=seed)).judged("sex", encoder=w.features).answer.word
             for seed in range(6)]  # fmt: skip
    assert words.count(verdict.REVEALS) <= 1


def test_the_order_of_rows_changes_nothing():
    world = World(60)
    encoder = world.with_planted(1.0)
    shuffled = np.random.default_rng(1).permutation(len(encoder))
    columns = {name: [values[i] for i in shuffled] for name, values in world.columns().items()}
    straight, mixed = (
        world.judged("sex", encoder=encoder, untrained=encoder, pixels=encoder),
        world.judged("sex", encoder[shuffled], encoder[shuffled], encoder[shuffled], columns),
    )
    assert straight.numbers and mixed.numbers
    assert straight.numbers.rows == mixed.numbers.rows
    assert straight.answer == mixed.answer


def test_copies_of_photographs_do_not_shrink_the_interval():
    """Ten copies of each photograph are not ten times the evidence."""
    world = World(60)
    encoder, columns = world.with_planted(1.0), world.columns()
    copies = {name: values * 4 for name, values in columns.items()}
    copies["id"] = [f"{name}-{row}" for row, name in enumerate(copies["id"])]
    many = np.tile(encoder, (4, 1))
    once = world.judged("age", encoder, encoder, encoder, columns).numbers
    often = world.judged("age", many, many, many, copies).numbers
    assert once and often
    assert often.encoder("r2") == pytest.approx(once.encoder("r2"), abs=1e-6)
    assert often.rows[0].image["r2"] == pytest.approx(once.rows[0].image["r2"], abs=1e-6)


def test_no_patient_is_on_both_sides():
    """A probe that could look patients up would be perfect; it is at chance."""
    patients = np.repeat(np.arange(80), 3)
    lookup = np.eye(80)[patients]
    world = World(80, images=3)
    found = world.judged("sex", encoder=lookup).numbers
    assert found and found.encoder("auc").high < 0.7


def test_folds_hold_each_class_alike():
    labels = np.repeat([0, 1], [90, 10])
    fold = probes.folds(labels, 5, np.random.default_rng(0))
    assert [int(((fold == k) & (labels == 1)).sum()) for k in range(5)] == [2] * 5
    assert [int((fold == k).sum()) for k in range(5)] == [20] * 5


def test_small_classes_are_left_out_and_said_to_be():
    world = World(100)
    world.race[:] = 0
    world.race[:40], world.race[40:44] = 1, 2
    task = attributes.task(attributes.cohort(world.columns()), "race")
    assert isinstance(task, attributes.Task)
    assert task.counts() == {"african": 56, "asian": 40}
    assert task.notes == ("class 'caucasian' left out: fewer than 10 patients",)


def test_too_few_patients_are_inconclusive_and_told_how_many_would_do():
    world = World(12)
    judged = world.judged("sex", encoder=world.with_planted(5.0))
    assert judged.answer.word == verdict.INCONCLUSIVE
    assert judged.answer.patients_needed and judged.answer.patients_needed > 100


def test_contradictory_records_of_a_patient_are_left_out():
    world = World(40)
    columns = world.columns()
    columns["sex"][0] = "F" if columns["sex"][1] == "M" else "M"
    task = attributes.task(attributes.cohort(columns), "sex")
    assert isinstance(task, attributes.Task)
    assert len(task.labels) == 39 and "contradictory" in task.notes[0]


def test_permuted_labels_that_can_be_predicted_make_it_invalid():
    sure = Estimate(0.9, 0.85, 0.95, 300)
    assert verdict.inference_verdict(sure, 0.001, [0.59, 0.6, 0.61] * 9, 0.0, "auc").word == verdict.INVALID
    assert verdict.inference_verdict(sure, 0.001, [0.45, 0.55] * 9, 0.2, "auc").word == verdict.INVALID
    assert verdict.inference_verdict(sure, 0.001, [0.45, 0.55] * 9, 0.0, "auc")[:2] == (
        verdict.REVEALS,
        "strong",
    )


def test_more_patients_settle_an_open_question():
    """An interval shrunk to the patients asked for decides."""
    wide = Estimate(0.53, 0.43, 0.63, 100)
    answer = verdict.inference_verdict(wide, 0.2, [0.45, 0.55], 0.0, "auc")
    assert answer.word == verdict.INCONCLUSIVE and answer.patients_needed
    half = 0.1 * (100 / answer.patients_needed) ** 0.5
    narrow = Estimate(0.53, 0.53 - half, 0.53 + half, answer.patients_needed)
    assert verdict.inference_verdict(narrow, 0.2, [0.45, 0.55], 0.0, "auc").word == verdict.PASS


def test_holm_multiplies_by_the_questions_still_open():
    """As `statsmodels.stats.multitest.multipletests(..., method="holm")` does."""
    adjusted = inference.holm({"age": 0.01, "sex": 0.04, "race": 0.03})
    assert adjusted == pytest.approx({"age": 0.03, "sex": 0.06, "race": 0.06})


@pytest.mark.parametrize("auc, per_class", [(0.55, 415), (0.60, 103), (0.65, 45)])
def test_patients_for_an_auc_follow_hanley_and_mcneil(auc, per_class):
    assert verdict.patients_for_auc(auc) == pytest.approx(per_class, rel=0.03)


def test_weighted_auc_equals_the_auc_of_repeated_rows():
    """Ties and all, against the textbook's count of pairs."""
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 5, 40).astype(float), rng.integers(0, 2, 40) == 1
    weights = rng.integers(0, 4, (3, 40)).astype(float)
    for row, found in zip(weights, stats.auc(scores, positive, weights), strict=True):
        s, y = np.repeat(scores, row.astype(int)), np.repeat(positive, row.astype(int))
        pairs = s[y][:, None] - s[~y][None, :]
        assert found == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
        assert found == pytest.approx(measures.aucs(s[:, None], y[:, None])[0])


def test_r2_and_mae_are_those_of_the_rows():
    rng = np.random.default_rng(1)
    truth = rng.normal(size=30)
    guess = truth + rng.normal(size=30)
    ones = np.ones((1, 30))
    assert measures.mae(guess, truth, ones)[0] == pytest.approx(np.abs(guess - truth).mean())
    assert measures.r2(guess, truth, ones)[0] == pytest.approx(
        1 - ((guess - truth) ** 2).mean() / truth.var()
    )


def test_the_logistic_probe_is_that_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(2)
    features, weights = rng.normal(size=(80, 5)), rng.uniform(0.2, 1, 80)
    wanted = (features[:, :1] + rng.normal(size=(80, 1)) > 0.7).astype(float)
    probe = probes.logistic(features, wanted, weights, 1.0)
    y = wanted[:, 0] > 0.5
    balanced = weights * np.where(y, 0.5 / weights[y].sum(), 0.5 / weights[~y].sum()) * weights.sum()
    model = LogisticRegression(C=1 / 5, tol=1e-8).fit(features, y, sample_weight=balanced)
    assert probe.coefficients[:, 0] == pytest.approx(model.coef_[0], abs=2e-3)
    assert probe.intercept[0] == pytest.approx(model.intercept_[0], abs=2e-3)
