"""The tabs of the page that draw: what they give, what they keep, and what they do not tell."""

import json
import os
import stat
from pathlib import Path

import chromium
import numpy as np
import pytest
from test_clip_page import _choose, call, model  # noqa: F401

from clip import loading
from clip.apps import page, synthesis
from clip.apps.predict import Classifier
from synth.data.captions import parse


@pytest.fixture(scope="module")
def address(model):  # noqa: F811
    with page.running(Classifier(loading.load_model(model))) as found:
        yield found


def told(address: str, name: str, *data) -> list:
    """What a function of the page answers, as data."""
    answer = call(address, name, *data).rstrip()
    assert "event: complete" in answer, answer
    return json.loads(answer.rpartition("data: ")[2])


def test_labels_become_one_photograph_and_a_seed_another(address):
    kept, found = Path(os.environ["GRADIO_TEMP_DIR"]), []
    for seed in (1, 1, 2):
        picture, caption = told(address, "draw", "is_gc=1", "left", seed)
        path = Path(picture["path"])
        assert path.is_relative_to(kept) and stat.S_IMODE(path.stat().st_mode) == 0o600
        assert "青光眼" in caption and "laucoma" in caption
        found.append(path.read_bytes())
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("data", [("is_gc=2", "left", 1), ("__class__", "left", 1), ("normal", "up", 1)])
def test_what_is_no_label_is_not_drawn(data, address):
    assert "event: error" in call(address, "draw", *data)


def test_a_question_shows_two_pictures_and_does_not_tell_which_is_synthetic(address):
    answer = call(address, "question")
    assert answer.count(".webp") >= 2 and '"left"' not in answer and '"right"' not in answer


def test_one_picture_of_a_question_is_the_generators_and_the_other_a_phantom_of_its_labels(monkeypatch):
    drawn = []
    draw = synthesis.draw
    monkeypatch.setattr(synthesis, "draw", lambda *words: drawn.append(words) or draw(*words))
    asked = synthesis.question()
    sides = {"left": asked.left, "right": asked.right}
    synthetic = sides.pop(asked.synthetic)
    [other] = sides.values()
    key, side, seed = drawn[0]
    assert np.array_equal(synthetic, draw(key, side, seed).picture)
    assert np.array_equal(other, synthesis.phantom.draw(synthesis.labels(key, side), seed, size=256).image)


def test_every_choice_states_its_label_and_nothing_else():
    for _, key in synthesis.choices():
        stated = {
            name: value
            for name, value in synthesis.labels(key, "left").items()
            if value == 1 or name == "dr_grade"
        }
        present = {name for name, value in stated.items() if value and name.startswith(("is_", "dr_"))}
        readable = {name for name in present if "readable" in name or name == "is_fundus"}
        assert present - readable == (set() if key == "normal" else {key.partition("=")[0]})
        drawn = synthesis.captions.write(synthesis.labels(key, "left"), "en", 0)
        assert parse(drawn)


@pytest.mark.slow
@pytest.mark.skipif(not chromium.PROGRAM, reason="needs Chromium")
def test_a_photograph_is_drawn_and_a_question_answered_in_a_browser_and_nothing_leaves(address, tmp_path):
    with chromium.Browser(tmp_path / "profile") as browser:
        browser.open(address)
        _choose(browser, "synthesise")
        browser.wait("!!document.querySelector('#draw')")
        browser.run("document.querySelector('#draw').click()")
        browser.wait("!!document.querySelector('#drawn img')")
        _choose(browser, "quiz")
        browser.wait("!!document.querySelector('#next')")
        browser.run("document.querySelector('#next').click()")
        browser.wait("!!document.querySelector('#left img') && !!document.querySelector('#right img')")
        browser.run("document.querySelector('#choice input').click()")
        browser.wait("/[01] \\/ 1/.test(document.querySelector('#told').innerText)")
        elsewhere = [
            each for each in browser.requests if not each.startswith((address, "data:", "blob:", "about:"))
        ]
        assert elsewhere == []
