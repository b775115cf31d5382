"""Long tail: groups by frequency, marks as sklearn's, classes of a task and labels of records."""

import json

import languages
import numpy as np
import pytest
from pictures import rows
from sklearn.metrics import recall_score, roc_auc_score
from test_clip_evaluation import MODEL, invoke, refusal

from clip.evaluation import long_tail
from clip.evaluation.long_tail import LongTailConfig
from clip.model import checkpoints
from clip.model.encoders import build
from synth.base import checkpoint
from synth.data.records import write_records


def test_groups_are_cut_at_more_than_100_and_fewer_than_20():
    groups = [long_tail.group(size, LongTailConfig()) for size in (101, 100, 20, 19)]
    assert groups == ["many", "medium", "medium", "few"]


def test_marks_are_means_over_the_classes_of_a_group():
    rng = np.random.default_rng(0)
    number = np.repeat(np.arange(4), [120, 60, 10, 8])
    scores = rng.dirichlet(np.ones(4), len(number)) + 0.3 * np.eye(4)[number]
    truth = (number[:, None] == np.arange(4)).astype(int)
    groups = np.array(["many", "medium", "few", "few"])
    found = long_tail.statistics(scores, truth, groups, exclusive=True)
    marks = {key: each(np.ones((1, len(number))))[0] for key, each in found.items()}
    areas = [roc_auc_score(truth[:, k], scores[:, k]) for k in range(4)]
    recalls = [recall_score(number == k, scores.argmax(axis=1) == k) for k in range(4)]
    assert marks["many_auc"] == pytest.approx(areas[0])
    assert marks["few_auc"] == pytest.approx(np.mean(areas[2:]))
    assert marks["few_recall"] == pytest.approx(np.mean(recalls[2:]))


def test_unknown_labels_are_in_no_mark():
    truth = np.array([[1], [0], [-1], [1], [0]])
    scores = np.array([[0.9], [0.1], [0.0], [0.8], [0.2]])
    found = long_tail.statistics(scores, truth, np.array(["few"]), exclusive=False)
    assert set(found) == {"few_auc"}
    assert found["few_auc"](np.ones((1, 5)))[0] == 1


def test_clip_eval_tells_common_labels_from_rare_ones(tmp_path):
    made = []
    for i, each in enumerate(rows(160, side=32)):
        rare = {"is_rvo": int(i % 16 == 0), "findings": ["drusen"] if i % 3 else []}
        made.append(each | rare)
    write_records(tmp_path / "records", made, {"kind": "drawn"})
    model = build(MODEL, seed=0)
    checkpoint.save(tmp_path / "ckpt.pt", checkpoints.header(model) | {"weights": model.state_dict()})
    arguments = ["eval", "--model", tmp_path / "ckpt.pt", "--data", tmp_path / "records", "--split", "all",
                 "--task", "long-tail", "--set", "n_bootstrap=20", "--lang", "en", "--out", tmp_path / "out"]  # fmt: skip
    result = invoke(*arguments, "--json")
    assert result.exit_code == 0, result.output
    [judged] = json.loads(result.stdout)["results"]
    assert judged["classes"] == {"is_gc": 80, "is_rvo": 10, "drusen": 106}
    assert set(judged["metrics"]["en"]) == {"many_auc", "medium_auc", "few_auc"}
    assert judged["notes"] == ["many: drusen 106.", "medium: is_gc 80.", "few: is_rvo 10."]
    result = invoke(*arguments, "--set", f"frequency={tmp_path / 'records'}", "--set", "many=50", "--json")
    assert json.loads(result.stdout)["results"][0]["notes"][0].startswith("many: is_gc")
    result = invoke(*arguments, "--prompts", "is_gc", "--json")
    assert set(json.loads(result.stdout)["results"][0]["metrics"]["en"]) == {"medium_auc", "medium_recall"}
    assert "few=200 must not be above many=100" in refusal(*arguments, "--set", "few=200")
    languages.whole(tmp_path / "out" / "report.html")
