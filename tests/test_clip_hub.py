"""An encoder on a hub: that it arrives whole, is loaded from there, and what is refused before anything is sent."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hubstub import environment, serving
from test_clip_evaluation import MODEL, invoke, refusal

from clip import embed, loading
from clip.export import hub, huggingface
from clip.model import checkpoints
from clip.model.encoders import build
from synth.base import checkpoint
from synth.base.runs import sha256


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    path, model = tmp_path_factory.mktemp("run") / "ckpt.pt", build(MODEL, seed=0)
    checkpoint.save(path, checkpoints.header(model, images=1600) | {"weights": model.state_dict()})
    return path


_REACHED = """
import sys
from clip import embed, loading
from clip.model import checkpoints
from clip.commands.app import app
from synth.base.errors import UserError
from typer.testing import CliRunner
for _ in range(2):
    sent = CliRunner().invoke(app, ["push", sys.argv[1], "--repo", "me/encoder", "--licence", "cc-by-nc-4.0"])
    assert sent.exit_code == 0, sent.output
model, head = loading.load("hub:me/encoder")
print(embed.texts(model, ["疑似青光眼。"]).tobytes().hex(), head.sha256)
try:
    loading.load("hub:me/nothing")
except UserError as error:
    print(error)
"""


@pytest.mark.slow
def test_an_encoder_arrives_whole_and_is_loaded_from_the_hub(encoder, tmp_path):
    """In a process of its own: `huggingface_hub` reads its environment once.  The second push sends nothing."""
    with serving() as hub:
        command = [sys.executable, "-c", _REACHED, str(encoder)]
        made = subprocess.run(
            command, env=environment(hub.url, tmp_path / "home"), capture_output=True, text=True
        )
        assert made.returncode == 0 and hub.commits == 1, made.stderr
        files = hub.repos["models/me/encoder"]["files"]
    [said, absent] = made.stdout.splitlines()
    model, _ = loading.load(encoder)
    assert said.split() == [embed.texts(model, ["疑似青光眼。"]).tobytes().hex(), sha256(encoder)]
    assert absent.startswith("me/nothing: neither a file nor to be had from the hub")
    assert files["ckpt.pt"] == encoder.read_bytes()
    for name, content in files.items():
        (tmp_path / "down" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "down" / name).write_bytes(content)
    assert (embed.texts(huggingface.load(tmp_path / "down"), ["x"]) == embed.texts(model, ["x"])).all()
    card = files["README.md"].decode()
    assert yaml.safe_load(card.split("---")[1])["license"] == "cc-by-nc-4.0"
    assert "--model hub:me/encoder" in card and "1,600 pairs" in card


def test_what_cannot_be_published_is_refused_before_anything_is_sent(encoder, tmp_path):
    named = ("push", encoder, "--repo")
    assert "write it as NAME/REPO" in refusal(*named, "encoder", "--licence", "mit")
    assert "must be one line" in refusal(*named, "me/encoder", "--licence", "a\nb")
    assert "HF_HUB_OFFLINE=1" in refusal(*named, "me/encoder", "--licence", "mit")
    (tmp_path / "not.pt").write_bytes(b"x")
    assert "not.pt" in refusal("push", tmp_path / "not.pt", "--repo", "me/encoder", "--licence", "mit")
    assert "--licence" in invoke(*named, "me/encoder").output


def test_a_dry_run_lists_what_would_go(encoder):
    listed = hub.push(encoder, "me/encoder", "our own terms, https://example.org/terms", dry_run=True)
    assert {"ckpt.pt", "README.md", "visionclip.json", "projection.safetensors"} <= set(listed["files"])
    assert listed["largest_difference"] < 1e-4 and listed["bytes"] > encoder.stat().st_size
    assert hub.terms(listed["licence"]) == {
        "license": "other",
        "license_name": "our-own-terms",
        "license_link": "https://example.org/terms",
    }
