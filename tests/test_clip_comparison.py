"""Models side by side: how far they are apart, over the same patients."""

import json

import numpy as np
import pytest
from pictures import folder
from sklearn.metrics import roc_auc_score
from test_clip_evaluation import MODEL, invoke

from clip.evaluation import comparison
from clip.evaluation.results import Metric
from clip.model import checkpoints
from clip.model.encoders import build
from synth.base import checkpoint, stats


def test_an_interval_of_a_difference_takes_both_models_on_the_same_patients():
    """Two models that err on the same people are told apart where intervals of each by itself overlap by far."""
    rng = np.random.default_rng(0)
    truth = rng.random(200) < 0.5
    hard = rng.normal(0, 1, 200)
    scores = [truth + hard, truth + hard + 0.1 * truth]
    drawn, whose = stats.draws(100, 300, 0), np.arange(200) // 2
    samples = [stats.over(drawn, whose, lambda weights, s=s: stats.auc(s, truth, weights)) for s in scores]
    told = [Metric.of(stats.estimate(each, 100), each) for each in samples]
    rows = [
        comparison.Row(model=name, row="en", metrics={"auc": each})
        for name, each in zip("ab", told, strict=True)
    ]
    [gap] = comparison.differences(rows, 100)
    assert (gap.model, gap.base, gap.row) == ("b", "a", "en")
    found = gap.metrics["auc"]
    assert found.value == pytest.approx(roc_auc_score(truth, scores[1]) - roc_auc_score(truth, scores[0]))
    low, high = np.quantile((samples[1] - samples[0])[1:], [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.low > 0 and told[1].low < told[0].high


def test_a_table_of_models_tells_the_difference_from_the_first(tmp_path):
    records = folder(tmp_path / "records", 40)
    for seed in range(2):
        model = build(MODEL, seed)
        checkpoint.save(tmp_path / f"{seed}.pt", checkpoints.header(model) | {"weights": model.state_dict()})
    specs = [tmp_path / "0.pt", tmp_path / "1.pt"]
    result = invoke("eval", "--model", specs[0], "--model", specs[1], "--data", records, "--split", "all", "--prompts",
                    "is_gc", "--set", "n_bootstrap=50", "--out", tmp_path / "out", "--json")  # fmt: skip
    assert result.exit_code == 0, result.output
    [table] = json.loads(result.stdout)["tables"]
    assert [row["row"] for row in table["differences"]] == ["zh", "en", "both"]
    for gap, first, second in zip(table["differences"], table["rows"][:3], table["rows"][3:], strict=True):
        assert gap["from"] == str(specs[0]) and gap["model"] == str(specs[1])
        for key, value in gap["metrics"].items():
            apart = second["metrics"][key]["value"] - first["metrics"][key]["value"]
            assert value["value"] == pytest.approx(apart)
            assert value["low"] <= value["high"]
    last = table["differences"][-1]["metrics"]
    assert "macro_auc" in last and "ece" not in last
    page = (tmp_path / "out" / "comparison.md").read_text()
    assert f"Differences from {specs[0]}; intervals are over patients" in page
