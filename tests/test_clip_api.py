"""The door of the package: what `from clip import` gives, and the example of docs/use.md."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pictures import drawn
from test_clip_evaluation import MODEL

import clip
from clip import Encoder, load
from clip.model import checkpoints
from clip.model.encoders import build
from synth.base import checkpoint
from synth.data.images import encode

PAGE = Path(__file__).parent.parent / "docs" / "use.md"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A checkpoint and a photograph where the example looks for them."""
    model = build(MODEL)
    (tmp_path / "runs" / "clip").mkdir(parents=True)
    weights = {"weights": model.state_dict()}
    checkpoint.save(tmp_path / "runs" / "clip" / "ckpt.pt", checkpoints.header(model, images=0) | weights)
    (tmp_path / "photo.jpg").write_bytes(encode(drawn(0, 1)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_example_of_the_page_runs(folder, capsys):
    [example] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(example, str(PAGE), "exec"), {})
    assert "glaucoma" in capsys.readouterr().out


def test_a_model_comes_with_what_feeds_it(folder):
    encoder = load("runs/clip/ckpt.pt")
    assert isinstance(encoder, Encoder)
    model, preprocess, tokenize = encoder
    assert preprocess.size == 32 and tokenize(["an eye"]).shape == (1, model.config.context)
    images, texts = (
        encoder.encode_images(["photo.jpg"]),
        encoder.encode_texts(["疑似青光眼。", "No abnormality."]),
    )
    assert images.shape == (1, 32) and texts.shape == (2, 32)
    assert np.linalg.norm(np.concatenate([images, texts]), axis=1) == pytest.approx(1, abs=1e-5)


def test_the_door_opens_only_when_something_is_asked_of_it():
    assert set(clip.__all__) <= set(dir(clip))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        clip.nothing  # type: ignore[attr-defined]  # noqa: B018
    code = "import sys, clip; assert 'torch' not in sys.modules; from clip import load; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
