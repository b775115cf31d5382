"""A library of an extra that is absent ends in one line, before the work begins, and that line names the extra."""

import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from generators import untrained
from typer.testing import CliRunner

from clip.commands.app import app as clip_app
from synth.base import extras
from synth.base.errors import UserError
from synth.commands.app import app as synth_app
from synth.publishing import hub
from synth.publishing.publish import republish
from synth.release import GenerateConfig, generate

ROOT = Path(__file__).parent.parent


def refusal(app, *arguments: object) -> str:
    """What a command says when it ends with status 2: one line."""
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 2, result.output + repr(result.exception)
    (line,) = result.stderr.splitlines()
    return line


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory) -> Path:
    base = tmp_path_factory.mktemp("extras")
    config = GenerateConfig(n=6, model=untrained(base / "generator"), steps=2, batch=8)
    return generate(config, base / "set", workers=1).folder


@pytest.fixture
def hide(monkeypatch):
    """Makes a library look as if it were not installed."""
    return lambda library: monkeypatch.setitem(sys.modules, library, None)


def test_every_extra_is_one_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(extras.EXTRAS.values()) <= set(project["optional-dependencies"])


@pytest.mark.parametrize("library", extras.EXTRAS)
def test_the_line_names_library_and_extra(library, hide):
    hide(library)
    with pytest.raises(UserError) as raised:
        extras.require("--flag value", library)
    assert str(raised.value).startswith(f"--flag value: needs {library}, which is not installed; pip install")
    assert f"'visionclip[{extras.EXTRAS[library]}]'" in str(raised.value)


def test_a_library_that_is_there_and_broken_is_not_called_absent(tmp_path, monkeypatch):
    """cn_clip dies of flash-attn 2, whose name the line gives."""
    (tmp_path / "jieba.py").write_text("import flash_attn.flash_attention\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "jieba", raising=False)
    with pytest.raises(
        UserError, match=r"^x: jieba is installed, but does not import \(No module named 'flash_attn'\)"
    ):
        extras.require("x", "jieba")


@pytest.mark.parametrize("library, to", [("onnx", "onnx"), ("onnxruntime", "onnx"), ("onnxscript", "onnx"), ("open_clip", "open_clip")])  # fmt: skip
def test_an_export_asks_first(library, to, hide, tmp_path):
    hide(library)
    (tmp_path / "ckpt.pt").touch()
    line = refusal(clip_app, "export", tmp_path / "ckpt.pt", "--to", to, "--out", tmp_path / "out")
    assert line.startswith(f"clip: --to {to}: needs {library}, ") and not (tmp_path / "out").exists()


@pytest.mark.parametrize("library, model", [("open_clip", "open_clip:RN50"), ("open_clip", "eyeclip:{}"), ("cn_clip", "cn_clip:{}"),
                                            ("gradio", "{}")])  # fmt: skip
def test_an_encoder_of_others_and_the_page_ask_first(library, model, hide, tmp_path):
    hide(library)
    path = tmp_path / "weights.pt"
    lacking = ("visual.conv1.weight", "text_projection", "bert.embeddings.word_embeddings.weight")
    torch.save({"state_dict": {f"module.{name}": torch.zeros(2, 2) for name in lacking}}, path)
    line = refusal(clip_app, "demo", "--model", model.format(path), "--no-browser")
    assert re.search(rf": needs {library}, which is not installed; pip install", line), line


def test_pairs_in_an_lmdb_ask_for_it(hide, tmp_path):
    hide("lmdb")
    for name in ("imgs", "pairs"):
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "train" / name / "data.mdb").touch()
    line = refusal(clip_app, "train", "--data", tmp_path, "--out", tmp_path / "run", "--config", "tiny")
    assert line == f"clip: {tmp_path}: needs lmdb, which is not installed; pip install 'visionclip[lmdb]'"


@pytest.mark.parametrize("app, config", [(synth_app, "odir64"), (clip_app, "tiny")])
def test_a_tracker_that_is_absent_is_named(app, config, hide, synthetic, tmp_path):
    hide("tensorboard")
    line = refusal(app, "train", "--data", synthetic, "--out", tmp_path / "run", "--config", config, "--set", "trackers=[tensorboard]")  # fmt: skip
    assert line.endswith(
        "trackers: needs tensorboard, which is not installed; pip install 'visionclip[track]'"
    )


def test_privacy_asks_for_opacus(hide, synthetic, tmp_path):
    hide("opacus")
    line = refusal(synth_app, "train", "--data", synthetic, "--out", tmp_path / "run", "--config", "private64")  # fmt: skip
    assert line == "synth: dp: needs opacus, which is not installed; pip install 'visionclip[dp]'"


def test_an_evaluation_asks_for_its_words_before_it_trains(hide, synthetic, tmp_path):
    hide("jieba")
    line = refusal(synth_app, "evaluate", "--data", synthetic, "--real", synthetic, "--out", tmp_path / "out")
    assert (
        line
        == "synth: synth evaluate: needs jieba, which is not installed; pip install 'visionclip[evaluate]'"
    )


def test_the_published_fid_asks_for_clean_fid(hide, tmp_path):
    from synth.quality import features

    hide("cleanfid")
    (tmp_path / "inception-2015-12-05.pt").touch()
    with pytest.raises(
        UserError, match=r"needs cleanfid, which is not installed; pip install 'visionclip\[evaluate\]'"
    ):
        features.parse(f"inception:{tmp_path / 'inception-2015-12-05.pt'}", 64)


def test_lora_and_ray_ask_first(hide):
    from clip.evaluation import lora
    from clip.model.encoders import CLIP
    from synth.sampling.engines import cluster

    hide("peft")
    hide("ray")
    with pytest.raises(UserError, match=r"LoRA: needs peft"):
        lora.added(CLIP.__new__(CLIP), 4)
    with pytest.raises(UserError, match=r"--engine ray: needs ray"):
        cluster._connect(None)


def test_records_without_croissant_say_so_and_do_not_keep_an_old_one(hide, synthetic, tmp_path, caplog):
    folder = shutil.copytree(synthetic, tmp_path / "set")
    assert (folder / "croissant.json").exists()
    hide("mlcroissant")
    with caplog.at_level("WARNING", "synth"):
        republish(folder)
    assert "no croissant.json is written; for one, pip install 'visionclip[croissant]'" in caplog.text
    assert not (folder / "croissant.json").exists()
    assert "croissant" not in (folder / "README.md").read_text(encoding="utf-8").partition("\n---")[0]
    with pytest.raises(UserError, match=r"synth push: needs mlcroissant"):
        hub.push(folder, "me/set", licence="cc-by-4.0", dry_run=True)


def test_a_library_without_a_version_is_left_out_of_what_made_a_result(monkeypatch):
    from importlib import metadata

    from synth.base.checkpoint import versions

    every, real = versions(), metadata.version

    def version(name: str) -> str:
        if name in ("cn-clip", "torch"):
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    assert versions() == {name: each for name, each in every.items() if name not in ("cn-clip", "torch")}
