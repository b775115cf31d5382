"""What rounding alone puts apart is a tie: in ranks, in counts of permutations, among neighbours, in whoever is called."""

import numpy as np
import pytest
from scipy.stats import rankdata

from clip.evaluation import exchange, metrics, retrieval
from privacy.attacks import likelihood, linkage, population
from privacy.decisions import at_risk, power_simulation
from privacy.scores import guesses, identity, membership_scores, score_calibration
from privacy.statistics import components, inference, measures, probes, sensitivity, strata
from synth.base import stats, ties
from synth.quality import distances, prdc
from synth.sampling.filters import copies
from tests.test_privacy_population import World

OFFSETS = (0.0, 1.0, 1e6)


def noisy(levels: np.ndarray, offset: float = 0.0, seed: int = 0) -> np.ndarray:
    """Scores of few levels, each a little off by what rounding does to numbers as large as the offset."""
    rng = np.random.default_rng(seed)
    size = max(1.0, offset) * 1e-15
    return levels + offset + size * rng.uniform(-1, 1, len(levels))


def coarse(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, count).astype(float)


@pytest.mark.parametrize("offset", OFFSETS)
def test_scores_that_rounding_puts_apart_have_the_ranks_of_equal_ones(offset):
    levels = coarse(50)
    assert (rankdata(ties.levelled(noisy(levels, offset))) == rankdata(levels)).all()


def test_a_difference_that_is_none_of_rounding_stays():
    scores = np.array([0.0, 1e-8, 2e-8, 1.0, np.nan, np.inf, np.inf, -np.inf])
    assert ties.levelled(scores)[:4].tolist() == [0.0, 1e-8, 2e-8, 1.0]
    assert np.isnan(ties.levelled(scores)[4]) and (ties.levelled(scores)[5:] == scores[5:]).all()
    assert len(np.unique(ties.levelled(1e6 + np.arange(10) * 1e-3))) == 10


def test_ties_do_not_depend_on_where_a_grid_has_its_lines():
    """Rounding to twelve digits puts 0.5 and its neighbours below on different sides of a line."""
    middle = 0.1234567890125
    scores = np.array([0.0, np.nextafter(middle, 0), middle, np.nextafter(middle, 1), 1.0])
    assert len(np.unique(np.round(scores, 12))) > 3
    assert len(np.unique(ties.levelled(scores))) == 3


def test_scores_whose_whole_spread_is_rounding_are_one():
    scores = 0.7 + 1e-13 * np.random.default_rng(0).normal(size=30)
    assert len(np.unique(ties.levelled(scores))) == 1
    assert ties.first_largest(scores) == 0 and ties.first_smallest(scores) == 0
    single = np.float32(0.7) + np.float32(6e-8) * np.random.default_rng(0).integers(-1, 2, 30).astype(
        np.float32
    )
    assert len(np.unique(ties.levelled(single))) == 1


@pytest.mark.parametrize("offset", OFFSETS)
def test_an_auc_counts_what_rounding_puts_apart_as_half(offset):
    levels, positive = coarse(60), np.arange(60) % 3 == 0
    weights = np.random.default_rng(2).integers(0, 3, (4, 60)).astype(float)
    scores = noisy(levels, offset)
    assert stats.auc(scores, positive, weights).tolist() == stats.auc(levels, positive, weights).tolist()
    assert measures.aucs(scores[:, None], positive[:, None]) == measures.aucs(
        levels[:, None], positive[:, None]
    )
    same = noisy(np.ones(60), offset)
    assert stats.auc(same, positive, weights).tolist() == [0.5] * 4


def test_small_probabilities_are_no_ties():
    """Of a rare class all are small; a billionth of the spread of all would swallow their order."""
    rare = 10.0 ** np.linspace(-30, -12, 40)
    probability = np.stack([1 - rare, rare], axis=1)
    truth = (np.arange(40) >= 20).astype(int)
    found = metrics.statistics(truth, probability, False)["macro_auc"](np.ones((1, 40)))
    assert found[0] > 0.75  # by the column of the rare class 1; in that of the other, of ones, fewer differ
    assert stats.auc(ties.levels_of(rare), truth == 1, np.ones((1, 40)))[0] == 1


TESTS = {
    "separation": inference.separation,
    "mean_difference": inference.mean_difference,
    "dealt_difference": lambda one, other: inference.dealt_difference(
        one, other, inference.deals(len(one), len(other), 199, np.random.default_rng(3))
    ),
    "permuted": lambda one, other: inference.permuted(one, other, 199, np.random.default_rng(3)),
    "at_false_alarms": lambda one, other: inference.at_false_alarms(
        one, other, 0.2, np.random.default_rng(3)
    ),
    "strata": lambda one, other: strata.mean_difference(
        one, other, np.full(len(one), "a"), np.full(len(other), "a")
    ),
    "at_risk": lambda one, other: at_risk.beyond(one, np.tile(other, 5)).tolist(),
}


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("name", TESTS)
def test_a_comparison_of_arms_is_that_of_equal_scores(name, offset):
    members, nonmembers = coarse(24, seed=4), coarse(30, seed=5)
    exact = TESTS[name](members, nonmembers)
    found = TESTS[name](noisy(members, offset, 6), noisy(nonmembers, offset, 7))
    assert np.hstack([*map(np.ravel, _flat(found))]) == pytest.approx(
        np.hstack([*map(np.ravel, _flat(exact))]), abs=1e-8
    )


@pytest.mark.parametrize("offset", OFFSETS)
@pytest.mark.parametrize("name", ["separation", "mean_difference", "dealt_difference", "permuted", "strata"])
def test_arms_of_one_score_are_no_different(name, offset):
    """Rounding divided by its own deviation would be a leak in half of all audits."""
    found = TESTS[name](noisy(np.ones(24), offset, 6), noisy(np.ones(30), offset, 7))
    assert (found if isinstance(found, float) else found.p) == 1.0


def _flat(found) -> list:
    if isinstance(found, tuple):
        return [part for each in found for part in _flat(each)]
    return [np.asarray(found, float)]


def test_what_is_left_of_equal_scores_orders_nobody():
    """Difficulty explains all of them, and what it leaves is rounding."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(30, 5)), rng.normal(size=(40, 5))
    scores = score_calibration.Scores(noisy(np.zeros(30), 3.0, 1), noisy(np.zeros(40), 3.0, 2), *features)
    found = scores.tested(0)
    assert found.estimate.value == 0.5 and found.p == 1.0


def test_scores_that_are_the_same_of_all_strangers_are_not_blown_up():
    nonmembers = noisy(np.full(40, -3.0), seed=1)
    assert np.abs(membership_scores.units(noisy(np.full(30, -3.0)), nonmembers)).max() < 1e-9
    assert membership_scores.units(np.array([-1.0]), nonmembers)[0] == pytest.approx(2)


def test_a_generator_that_ignores_labels_guesses_none():
    """All candidates leave the same error: the first is guessed, and no margin orders patients."""

    class People:
        patient = np.arange(40)
        cohort = type("Cohort", (), {"patients": 40})

    rng = np.random.default_rng(0)
    error = rng.uniform(0.1, 1, 40)[:, None] * (1 + 1e-15 * rng.uniform(-1, 1, (40, 3)))
    truth = rng.integers(0, 3, 40)
    found = likelihood.guessed([error], [truth], People, rng)  # type: ignore[arg-type]
    assert (found.right == (truth == 0)).all() and not found.margin.any()


def test_an_age_missed_by_five_years_is_right_however_it_was_rounded():
    truth = np.array([30.0, 30.0, 30.0])
    off = guesses.of("years", truth, np.array([35.0, 35.0 + 1e-14, 35.1]))
    assert off.right.tolist() == [True, True, False]


def test_the_nearest_of_equal_pictures_is_the_first():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(30, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    among = np.concatenate([vectors, vectors[::-1]])  # each twice
    closeness, index = identity.nearest(vectors, among, np.arange(60))
    assert (index == np.arange(30)).all() and (closeness == 0).all()
    pictures = np.kron(rng.integers(0, 255, (12, 16, 16, 3)), np.ones((1, 4, 4, 1))).astype(np.uint8)
    described = copies.descriptor(pictures)
    search = copies.Search(np.concatenate([described, described[::-1]]), np.arange(24))
    assert (search.closeness(described)[1] == np.arange(12)).all()


def test_a_match_among_equal_pictures_is_none():
    """Matches are cosines less cosines: of equal ones nothing is left, and no patient stands before another."""
    rng = np.random.default_rng(0)
    gallery = np.tile(rng.normal(size=16), (20, 1)) * rng.uniform(0.5, 2, (20, 1))
    assert not linkage.matches(rng.normal(size=(30, 16)), gallery).any()


def test_equal_captions_share_a_rank():
    """Whichever column of a matrix product they are in."""
    rng = np.random.default_rng(0)
    pictures = rng.normal(size=(37, 48)).astype(np.float32)
    texts = np.tile(rng.normal(size=48), (53, 1)).astype(np.float32)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    own = np.arange(53)
    found = retrieval.search(pictures, texts, lambda q: own[None] == np.arange(37)[q, None])
    assert (found.auc == 0.5).all()
    assert found.hits == pytest.approx(found.by_chance)


def test_exchanged_people_of_equal_pictures_change_nothing():
    vectors = np.tile(np.random.default_rng(0).normal(size=24), (40, 1)).astype(np.float32)
    eyes = 2 * np.arange(40)
    found = exchange.exchanged(vectors, vectors, eyes, eyes, np.zeros((40, 40), bool), 99, 0)
    assert found.p == 1.0


def test_classes_of_equal_probability_call_the_first():
    """As a text tower does for which all texts are one."""
    probability = 1 / 3 + 1e-16 * np.random.default_rng(0).integers(-2, 3, (60, 3))
    truth = np.arange(60) % 3
    found = metrics.statistics(truth, probability, False)
    ones = np.ones((1, 60))
    assert found["accuracy"](ones)[0] == pytest.approx(1 / 3) == found["balanced_accuracy"](ones)[0]
    assert found["macro_auc"](ones)[0] == 0.5
    assert metrics.reliability(truth, probability)[0].n == 60


def test_samples_that_are_the_photographs_lie_on_no_side_of_a_ball():
    rng = np.random.default_rng(0)
    real = rng.integers(0, 3, (40, 2)).astype(float)
    fake = real + 1e-15 * rng.uniform(-1, 1, real.shape)
    from scipy.spatial.distance import cdist

    exact = prdc.prdc(cdist(real, real), cdist(real, real), cdist(real, real), 5)
    found = prdc.prdc(cdist(real, real), cdist(fake, fake), cdist(real, fake), 5)
    assert found.tolist() == exact.tolist()
    features = rng.normal(size=(50, 8))
    assert distances.frechet(features, features[::-1]) == pytest.approx(0, abs=1e-25)


def test_a_planted_leak_moves_scores_past_their_ties():
    """Scores of few values: a shift that ends a hair above the next value must not end as a tie with it."""
    pool = coarse(60)
    trial = power_simulation.scores(pool, 60, inference.separation, probes_scale())
    planted = trial.plant(pool, 0.8, np.random.default_rng(0))
    assert inference.separation(planted, pool).estimate.value >= 0.8


def probes_scale():
    from privacy.decisions.results import AUC

    return AUC


# ---- encoders that tell nothing ----


def constant(rows: int) -> np.ndarray:
    return np.tile(np.random.default_rng(0).normal(size=200), (rows, 1))


BLIND = {
    "constant": constant,
    "constant but for rounding": lambda rows: (
        constant(rows) * (1 + 1e-15 * np.random.default_rng(1).normal(size=(rows, 200)))
    ),
    "a large offset and its rounding": lambda rows: (
        1e6 + 1e-10 * np.random.default_rng(1).normal(size=(rows, 200))
    ),
    "single precision": lambda rows: (
        constant(rows).astype(np.float32)
        * (1 + np.float32(1.2e-7) * np.random.default_rng(1).integers(0, 2, (rows, 200)).astype(np.float32))
    ),
}


@pytest.mark.parametrize("name", ["sex", "race", "age"])
@pytest.mark.parametrize("encoder", BLIND)
def test_an_encoder_that_says_the_same_of_everybody_is_at_chance_exactly(encoder, name):
    world = World(60, images=3)
    judged = world.judged(name, encoder=BLIND[encoder](len(world.patient)))
    assert judged.numbers
    rows = {row.name: row.person for row in judged.numbers.rows}
    if name == "age":
        assert rows["the encoder"]["r2"].value < 0 and rows["nearest neighbours"]["r2"].value < 0
    else:
        chance = {"auc": 0.5, "balanced_accuracy": 1 / (2 if name == "sex" else 3)}
        for row in ("the encoder", "nearest neighbours", "a small neural network"):
            for metric, value in chance.items():
                assert rows[row][metric][:3] == pytest.approx((value, value, value), abs=1e-12), row
        assert judged.numbers.permuted.observed == 0.5 and judged.numbers.permuted.p == 1.0
    assert rows["the encoder"]["bits"] == pytest.approx(rows["the prior"]["bits"])


@pytest.mark.slow
def test_a_signal_beside_a_large_offset_is_found_as_without_it():
    world = World(60, images=2)
    planted = world.with_planted(3.0)
    plain, moved = (world.judged("sex", encoder=each).numbers for each in (planted, planted + 1e6))
    assert plain and moved
    assert moved.encoder("auc") == pytest.approx(plain.encoder("auc"), abs=1e-6)


@pytest.mark.slow
def test_an_encoder_that_shows_the_pixels_in_other_units_adds_nothing_to_them():
    """Both are the same once they are standardised, but for rounding, whose sign would be a finding."""
    world = World(60)
    planted = world.with_planted(2.0)
    for name in ("sex", "age"):
        found = world.judged(name, encoder=planted * 3.7, pixels=planted, untrained=planted / 7).numbers
        assert found
        for excess in found.excess.values():
            assert excess[:3] == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("patients", [80, 600])
def test_components_of_equal_variance_stay_together(patients):
    """A code of its own for each patient varies alike in all directions: no 64 of them are the first."""
    patient = np.arange(patients)
    found = components.reduce(np.eye(patients), patient)
    assert found.shape == (patients, patients - 1)
    likeness = found @ found.T
    others = likeness[~np.eye(patients, dtype=bool)]
    assert np.ptp(others) < 1e-9 and np.ptp(np.diag(likeness)) < 1e-9


def test_what_does_not_vary_is_no_component():
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(100, 3)) @ rng.normal(size=(3, 700))
    found = components.reduce(flat, np.arange(100))
    assert found.shape == (100, 3) and (found**2).sum(axis=1).mean() == pytest.approx(3)


def test_components_do_not_depend_on_the_order_of_columns():
    """Which changes nothing but the order of sums, and the sign that a factorisation happens to give."""
    rng = np.random.default_rng(0)
    features, order = rng.normal(size=(90, 100)), rng.permutation(100)
    one, other = (components.reduce(each, np.arange(90)) for each in (features, features[:, order]))
    assert np.abs(one) == pytest.approx(np.abs(other), abs=1e-9)


def test_neighbours_as_near_as_the_last_all_count():
    """Among codes of their own all patients are as near; the first fifteen would be a draw."""
    world = World(80, images=1)
    from privacy.data import attributes

    task = attributes.task(attributes.cohort(world.columns()), "sex")
    assert isinstance(task, attributes.Task)
    found = sensitivity.out_of_fold(np.eye(80), task, 5, 0)[sensitivity.NEIGHBOURS].scores[:, 0]
    fold = probes.folds(task.labels, 5, np.random.default_rng([0, 1]))
    for number in range(5):
        assert found[fold == number] == pytest.approx(task.labels[fold != number].mean())


def test_decisions_that_are_rounding_call_the_first_class():
    assert probes.called(np.array([[1e-16], [-1e-16], [0.1]])).tolist() == [0, 0, 1]
    assert probes.called(np.array([[0.5, 0.5 + 1e-16, 0.1]])).tolist() == [0]
    assert population.probes is probes
