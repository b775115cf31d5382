"""`clip eval --by`: how well a model does in parts of the people, and where nobody can tell."""

import json

import languages
import numpy as np
import pyarrow as pa
import pytest
from pictures import drawn
from sklearn.metrics import roc_auc_score
from test_clip_evaluation import MODEL, invoke

from clip.evaluation import subgroups
from clip.evaluation.core import Answers
from clip.model import checkpoints
from clip.model.encoders import build
from synth.base import checkpoint
from synth.data.images import encode
from synth.data.records import row, write_records


def answers(truth: np.ndarray, patients: np.ndarray) -> Answers:
    sizes = np.bincount(truth)
    return Answers(np.arange(len(truth)), truth, patients, int(patients.max()) + 1, {"no": int(sizes[0]), "yes": int(sizes[1])}, {})  # fmt: skip


def test_each_part_has_the_auc_of_its_own_photographs():
    rng = np.random.default_rng(0)
    truth, women = (rng.random(200) < 0.4).astype(int), rng.random(200) < 0.5
    score = 1 / (1 + np.exp(-(truth * np.where(women, 3.0, 0.3) + rng.normal(0, 1, 200))))
    table = pa.table({"sex": np.where(women, "F", "M").tolist()})
    told = subgroups.evaluate(
        ["sex"],
        table,
        answers(truth, np.arange(200) // 2),
        {"en": np.stack([1 - score, score], axis=1)},
        100,
        0,
    )
    assert [(each.attribute, each.name) for each in told] == [("sex", "F"), ("sex", "M")]
    for each, inside in zip(told, (women, ~women), strict=True):
        assert each.n == inside.sum() and sum(each.classes.values()) == each.n
        assert each.patients == len(np.unique((np.arange(200) // 2)[inside]))
        found = each.auc["en"]
        assert found.value == pytest.approx(roc_auc_score(truth[inside], score[inside]))
        assert found.low < found.value < found.high
    assert told[0].auc["en"].low > told[1].auc["en"].high


def test_a_part_with_nine_of_a_class_has_counts_and_no_number():
    truth = np.array([1] * 9 + [0] * 30 + [1] * 10 + [0] * 30)
    table = pa.table({"camera": ["a"] * 39 + [None] * 40})
    score = np.linspace(0.1, 0.9, 79)
    few, enough = subgroups.evaluate(
        ["camera"], table, answers(truth, np.arange(79)), {"en": np.stack([1 - score, score], axis=1)}, 20, 0
    )
    assert (few.name, few.classes, few.auc) == ("a", {"no": 30, "yes": 9}, {})
    assert enough.name == subgroups.UNKNOWN and enough.classes["yes"] == 10 and set(enough.auc) == {"en"}


@pytest.mark.parametrize(
    "age, band",
    [(39.9, "below 40"), (40, "40 to 49"), (59.9, "50 to 59"), (69.9, "60 to 69"), (70, "70 and above")],
)
def test_an_age_falls_into_one_band(age, band):
    assert subgroups.band(age) == band


def test_the_report_tells_parts_and_a_column_that_nobody_has_is_refused(tmp_path):
    rows = [
        row(id=f"{i}", subject_id=f"p{i}", is_gc=i % 2, sex="FM"[i // 30], age=35.0 + i % 40, modality="cfp",
            image={"bytes": encode(drawn(i, i % 2)), "path": None})
        for i in range(60)
    ]  # fmt: skip
    write_records(tmp_path / "records", iter(rows), {"kind": "test"})
    model = build(MODEL, 0)
    checkpoint.save(tmp_path / "m.pt", checkpoints.header(model) | {"weights": model.state_dict()})
    base = ("eval", "--model", tmp_path / "m.pt", "--data", tmp_path / "records", "--split", "all", "--prompts", "is_gc",
            "--set", "n_bootstrap=20")  # fmt: skip
    done = invoke(*base, "--by", "age,sex", "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    parts = json.loads(done.stdout)["results"][0]["subgroups"]
    assert [each["name"] for each in parts if each["attribute"] == "sex"] == ["F", "M"]
    assert all(set(each["auc"]) == {"zh", "en", "both"} for each in parts if each["attribute"] == "sex")
    assert [each["auc"] for each in parts if each["name"] == "below 40"] == [{}]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "By subgroup" in page and "too few" in page
    languages.whole(tmp_path / "out" / "report.html")
    for by, line in (
        ("race", "no record tells race; leave it out of --by: records tell age, sex\n"),
        ("sex,shoe", "--by shoe: no such column; choose of age, sex, race, camera, eye_side\n"),
    ):
        refused = invoke(*base, "--by", by, "--out", tmp_path / "no")
        assert refused.exit_code == 2 and refused.stderr.count("\n") == 1 and line in refused.stderr
    other = invoke(*base, "--task", "linear", "--by", "sex", "--out", tmp_path / "no")
    assert other.exit_code == 2 and "--by: --task linear has no such choice" in other.stderr
