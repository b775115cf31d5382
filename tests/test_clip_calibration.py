"""Calibration: whether probabilities can be taken at their word, with intervals that allow for few photographs."""

import json

import numpy as np
import pytest
from pictures import write_wide_or_normal
from sklearn.metrics import brier_score_loss
from test_clip_evaluation import MODEL, invoke

from clip.evaluation import core, metrics
from clip.evaluation.core import Answers, EvaluationSettings
from clip.evaluation.results import Metric
from clip.model import checkpoints
from clip.model.encoders import build
from synth.base import checkpoint


def two(probability: np.ndarray) -> np.ndarray:
    """(N, 2) from the probabilities of the second class."""
    return np.stack([1 - probability, probability], axis=1)


def measured(truth: np.ndarray, probability: np.ndarray) -> dict[str, Metric]:
    count = len(truth)
    found = Answers(np.arange(count), truth, np.arange(count), count, {"no": 1, "yes": 1}, {})
    return core.measure(EvaluationSettings(n_bootstrap=200), found, probability, False)


@pytest.mark.parametrize("classes", [2, 5])
def test_the_brier_score_is_that_of_sklearn_weighted_too(classes):
    rng = np.random.default_rng(classes)
    truth = np.concatenate([np.arange(classes), rng.integers(0, classes, 60)])
    probability = rng.dirichlet(np.ones(classes), len(truth))
    score = metrics.statistics(truth, probability, ordinal=False)["brier"]
    for weight in (np.ones(len(truth)), rng.integers(1, 4, len(truth)).astype(float)):
        seen = probability if classes > 2 else probability[:, 1]
        assert score(weight[None])[0] == pytest.approx(brier_score_loss(truth, seen, sample_weight=weight))


def test_the_calibration_error_equals_a_naive_loop_over_bins_of_equal_mass():
    rng = np.random.default_rng(0)
    truth, probability = rng.integers(0, 3, 200), rng.dirichlet(np.ones(3), 200)
    weight = rng.integers(0, 3, 200).astype(float)
    confidence, right = probability.max(axis=1), probability.argmax(axis=1) == truth
    expected = 0.0
    for part in np.array_split(np.argsort(confidence), metrics.BINS):
        gap = (weight[part] * (right[part] - confidence[part])).sum() / weight[part].sum()
        expected += weight[part].sum() / weight.sum() * abs(gap)
    found = metrics.statistics(truth, probability, ordinal=False)["ece"](weight[None])[0]
    assert found == pytest.approx(expected)
    drawn = metrics.reliability(truth, probability)
    assert [each.n for each in drawn] == [20] * metrics.BINS
    plain = sum(each.n * abs(each.accuracy - each.confidence) for each in drawn) / 200
    assert metrics.statistics(truth, probability, False)["ece"](np.ones((1, 200)))[0] == pytest.approx(plain)


def test_equal_confidences_share_a_bin_whatever_the_order_of_the_photographs():
    """A constant answer of the right frequency is calibrated, though its photographs could be cut into bins that are not."""
    truth = np.repeat([0, 1], [30, 70])
    for order in (np.arange(100), np.random.default_rng(0).permutation(100)):
        found = measured(truth[order], two(np.full(100, 0.7)))
        assert found["ece"].value == pytest.approx(0)
        assert found["brier"].value == pytest.approx(0.21)


def test_the_interval_of_a_calibrated_classifier_reaches_0_and_that_of_an_overconfident_one_does_not():
    """The value itself does not: with 40 photographs in a bin, chance alone makes some 0.05 of it."""
    rng = np.random.default_rng(1)
    probability = rng.uniform(0, 1, 400)
    truth = (rng.uniform(0, 1, 400) < probability).astype(int)
    honest = measured(truth, two(probability))["ece"]
    assert honest.low == 0 < 0.02 < honest.value <= honest.high < 0.1
    boasting = measured(truth, two((probability > 0.5) * 0.98 + 0.01))["ece"]
    assert 0.15 < boasting.low < boasting.value < boasting.high < 0.35


@pytest.mark.parametrize("sizes", [[30, 10], [5, 20, 8]])
def test_answers_without_a_picture_have_the_scores_of_sklearn(sizes):
    truth, classes = np.repeat(np.arange(len(sizes)), sizes), len(sizes)
    blind = core.baselines(np.array(sizes), False)
    certain = np.tile(np.eye(classes)[np.argmax(sizes)], (len(truth), 1))
    for row, said in (("majority", certain), ("chance", np.full((len(truth), classes), 1 / classes))):
        seen = said if classes > 2 else said[:, 1]
        assert blind[row]["brier"] == pytest.approx(brier_score_loss(truth, seen, labels=np.arange(classes)))
    assert blind["majority"]["ece"] == pytest.approx(1 - max(sizes) / sum(sizes))


def test_reports_draw_it_and_tables_of_several_models_keep_it_apart(tmp_path):
    records = write_wide_or_normal(tmp_path / "records", 60)
    for seed in (0, 1):
        model = build(MODEL, seed=seed)
        checkpoint.save(tmp_path / f"{seed}.pt", checkpoints.header(model) | {"weights": model.state_dict()})
    shared = (
        "--data",
        records,
        "--split",
        "all",
        "--prompts",
        "is_gc",
        "--lang",
        "en",
        "--set",
        "n_bootstrap=20",
    )
    one = invoke("eval", "--model", tmp_path / "0.pt", *shared, "--out", tmp_path / "one")
    assert one.exit_code == 0, one.output
    assert [line.split()[1] for line in one.stdout.splitlines() if line.startswith("  en")] == [
        "accuracy",
        "Brier",
    ]
    page = (tmp_path / "one" / "report.html").read_text()
    assert "<summary" in page and "share called correctly" in page and "ECE" in page
    [result] = json.loads((tmp_path / "one" / "report.json").read_text())["results"]
    assert sum(each["n"] for each in result["reliability"]["en"]) == result["n"]
    both = invoke(
        "eval",
        "--model",
        tmp_path / "0.pt",
        "--model",
        tmp_path / "1.pt",
        *shared,
        "--out",
        tmp_path / "both",
    )
    assert both.exit_code == 0, both.output
    heads = [
        line
        for line in (tmp_path / "both" / "comparison.md").read_text().splitlines()
        if line.startswith("| model")
    ]
    assert heads == ["| model |  | accuracy | ACA | macro AUC |", "| model |  | Brier ↓ | ECE ↓ |"]
