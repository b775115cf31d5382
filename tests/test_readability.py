"""What is no readable fundus photograph is called so above every finding, and what is one is not."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_clip_evaluation import MODEL, invoke

from clip.apps import page, predict
from clip.model import checkpoints
from clip.model.encoders import build
from synth.anatomy import other_pictures
from synth.anatomy.readability import assess, shipped
from synth.anatomy.readability_fit import LIMITS, others, phantoms, shown
from synth.base import checkpoint, stats
from synth.phantom import PhantomConfig, record

SEED = 31
"""Neither that of the fit nor that of the published figures."""


@pytest.fixture(scope="module")
def eyes() -> tuple[np.ndarray, np.ndarray]:
    return phantoms(60, SEED)


def test_readable_phantoms_are_called_readable_but_for_the_share_that_is_said(eyes):
    pictures, seen = eyes
    alarms = [not each.readable for each in assess(pictures[seen])]
    low, _ = stats.wilson(sum(alarms), len(alarms))
    assert low <= shipped().false_alarms


def test_drawn_pictures_of_each_kind_are_called_unreadable():
    pictures, kinds = others(8, SEED)
    told = [not each.readable for each in assess(pictures)]
    assert np.mean(told) > 0.9
    for kind in other_pictures.KINDS:
        assert np.mean([said for said, each in zip(told, kinds, strict=True) if each == kind]) >= 0.6, kind


def test_scores_tell_eyes_from_other_things(eyes):
    pictures, seen = eyes
    foreign, _ = others(8, SEED)
    scores = np.array([each.score for each in assess(np.concatenate([pictures[seen], foreign]))])
    positive = np.arange(len(scores)) >= seen.sum()
    assert stats.auc(scores, positive, np.ones((1, len(scores))))[0] > 0.98


@pytest.mark.parametrize("kind, reason", [("black", "black"), ("scan", "grey")])
def test_the_reason_is_what_a_person_would_say(kind, reason):
    rng = np.random.default_rng(3)
    [found] = assess(shown(other_pictures.KINDS[kind](rng, 160))[None])
    assert (found.readable, found.reason) == (False, reason)


def test_a_phantom_without_colour_is_grey(eyes):
    pictures, seen = eyes
    grey = np.repeat(pictures[seen][:4].mean(axis=3, keepdims=True), 3, axis=3).astype(np.uint8)
    assert {each.reason for each in assess(grey)} == {"grey"}


def test_the_rule_that_ships_has_the_features_of_the_fit():
    assert shipped().weights.keys() == LIMITS.keys()
    for name, (low, high) in LIMITS.items():
        assert (shipped().weights[name].low, shipped().weights[name].high) == (low, high)


def test_predict_and_the_page_say_unreadable_above_every_finding(tmp_path):
    """A raw frame of 12 bits in grey is no glaucoma."""
    model = build(MODEL, 0)
    checkpoint.save(tmp_path / "m.pt", checkpoints.header(model) | {"weights": model.state_dict()})
    labels, phantom = next(each for i in range(20) if (each := record(PhantomConfig(size=160, seed=SEED), i))[0]["is_fundus"]
                           and all(each[0][key] for key in each[0] if key.endswith("_readable")))  # fmt: skip
    assert labels["is_macular_readable"]
    raw = (phantom.image.mean(axis=2) * 16).astype(np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(raw).save(buffer, "PNG")
    (tmp_path / "frame.png").write_bytes(buffer.getvalue())
    Image.fromarray(phantom.image).save(tmp_path / "eye.png")
    said = invoke("predict", tmp_path / "frame.png", "--model", tmp_path / "m.pt")
    assert said.exit_code == 0 and said.stdout.splitlines()[1].startswith("不可读：画面没有颜色")
    assert "UNREADABLE: it has no colour" in said.stdout.splitlines()[1]
    told = invoke(
        "predict", tmp_path / "frame.png", tmp_path / "eye.png", "--model", tmp_path / "m.pt", "--json"
    )
    frame, eye = (json.loads(line)["readability"] for line in told.stdout.splitlines())
    assert (frame["readable"], frame["reason"], eye["readable"]) == (False, "grey", True)
    assert eye["score"] < eye["threshold"] and eye["false_alarms"] == 0.02
    reader = predict.Classifier(model)
    photograph = reader.see(tmp_path / "frame.png")
    shown_ = page.table(reader.findings(photograph.square), photograph.readability)
    assert shown_.index("不可读") < shown_.index('class="finding')
    assert "unreadable" not in page.table(
        reader.findings(photograph.square), reader.see(tmp_path / "eye.png").readability
    )


def test_the_tool_that_measures_refuses_a_folder_without_pictures_in_one_line(tmp_path):
    tool = Path(__file__).parent.parent / "tools" / "readability.py"
    told = subprocess.run([sys.executable, tool, "--photographs", tmp_path], capture_output=True, text=True)
    assert (
        told.returncode == 2 and told.stderr.count("\n") == 1 and "no .jpg, .png or .tif in it" in told.stderr
    )
