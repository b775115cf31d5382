"""Files and folders of strangers: whatever verb opens them, nothing is fetched, written or run, and one line says why."""

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from fence import watching
from generators import untrained
from hubstub import environment, serving
from pictures import drawn, folder
from PIL import Image
from typer.testing import CliRunner

import clip.commands.app
import privacy.commands.app
import synth.commands.app
from clip import loading
from clip.model import checkpoints
from clip.model.encoders import ClipConfig, ImageTower, TextTower, build
from synth.base import arguments, checkpoint
from synth.base.errors import UserError
from synth.classifier import classifier
from synth.data.images import Preprocessing
from synth.model import text_encoder

APPS = {"clip": clip.commands.app.app, "privacy": privacy.commands.app.app, "synth": synth.commands.app.app}
MODEL = ClipConfig(
    image=ImageTower(name="test_vit", kwargs={"img_size": 32, "embed_dim": 32, "depth": 1, "num_heads": 2}),
    text=TextTower(layers=1, width=32, heads=2, feedforward=64, positions=64),
    embedding=32,
    preprocessing=Preprocessing(size=32),
)
URL = "http://127.0.0.1:9/usercustomize.py"

TOWERS: dict[str, tuple[dict[str, Any], str]] = {
    "url": ({"kwargs": {"pretrained_cfg": {"url": URL}, "pretrained": True}}, "pretrained_cfg="),
    "pretrained": ({"kwargs": {"pretrained": True}}, "pretrained=True"),
    "cache_dir": ({"kwargs": {"cache_dir": "/tmp/site-packages"}}, "cache_dir='/tmp/site-packages'"),
    "checkpoint_path": ({"kwargs": {"checkpoint_path": "/etc/passwd"}}, "checkpoint_path='/etc/passwd'"),
    "overlay": ({"kwargs": {"pretrained_cfg_overlay": {"url": URL}}}, "pretrained_cfg_overlay="),
    "file": ({"kwargs": {"pretrained_cfg": {"file": "/etc/passwd"}}}, "pretrained_cfg="),
    "hf_hub_id": ({"kwargs": {"pretrained_cfg": {"hf_hub_id": "x/y"}}}, "pretrained_cfg="),
    "pretrained_cfg": ({"kwargs": {"pretrained_cfg": "x"}}, "pretrained_cfg='x'"),
    "model_args": ({"kwargs": {"pretrained_model_args": {}}}, "pretrained_model_args={}"),
    "scriptable": ({"kwargs": {"scriptable": True}}, "scriptable=True"),
    "exportable": ({"kwargs": {"exportable": True}}, "exportable=True"),
    "features_only": ({"kwargs": {"features_only": True}}, "features_only=True"),
    "pruned": ({"kwargs": {"pruned": True}}, "pruned=True"),
    "misspelt": ({"kwargs": {"embed_dims_": 32}}, "did you mean 'embed_dims'?"),
    "address for a number": ({"kwargs": {"embed_dim": [URL]}}, f"embed_dim='{URL}'"),
    "path for a name": ({"kwargs": {"norm_layer": "../evil"}}, "norm_layer='../evil'"),
    "object for a number": ({"kwargs": {"depth": {"url": URL}}}, f"depth.url='{URL}'"),
    "hub": ({"name": "hf-hub:x/y"}, "'hf-hub:x/y' names a place"),
    "old hub": ({"name": "hf_hub:x/y"}, "'hf_hub:x/y' names a place"),
    "local folder": ({"name": "local-dir:/tmp/x"}, "'local-dir:/tmp/x' names a place"),
    "path": ({"name": "../resnet18"}, "'../resnet18' names a place"),
}
"""What the header of a checkpoint, a config or an exported folder may say of its image tower -> what the line names."""


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A checkpoint as `clip train` writes it."""
    path = tmp_path_factory.mktemp("untrusted") / "ckpt.pt"
    made = build(MODEL)
    checkpoint.save(path, checkpoints.header(made, images=0, data=None) | {"weights": made.state_dict()})
    return path


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> Path:
    return folder(tmp_path_factory.mktemp("untrusted") / "records", 8)


@pytest.fixture
def online(monkeypatch):
    """Nothing but the fence keeps a library from the network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


def refused(stranger: Path, allowed: Path, *line: Any) -> str:
    """The one line with which a command refuses; nothing was fetched, written or run."""
    import gradio  # noqa: F401  # writes a seed beside itself when it is first imported

    command, *rest = (str(word) for word in line)
    with watching(stranger, allowed) as fence:
        result = CliRunner().invoke(APPS[command], rest)
    assert fence.events == []
    assert result.exit_code == 2, result.output
    *before, error = result.stderr.splitlines(keepends=True)  # a training says first what it will cost
    assert error.startswith(f"{command}: ") and " ()" not in error, result.stderr
    assert not any(line.startswith((f"{command}: ", "Traceback")) for line in before), result.stderr
    return error


def opening(path: Path, records: Path, out: Path) -> dict[str, tuple[Any, ...]]:
    """Every verb that opens an encoder."""
    picture = out / "photograph.png"
    Image.fromarray(drawn(1, 0)).save(picture)
    return {
        "predict": ("clip", "predict", picture, "--model", path),
        "embed": ("clip", "embed", "--model", path, "--data", records, "--out", out / "e.parquet"),
        "search": ("clip", "search", "eye", "--model", path, "--embeddings", out / "e.parquet"),
        "eval": ("clip", "eval", "--model", path, "--data", records, "--out", out / "report"),
        "doctor": ("clip", "doctor", path),
        "demo": ("clip", "demo", "--model", path, "--no-browser"),
    }


@pytest.mark.parametrize("case", TOWERS)
def test_what_a_checkpoint_says_reaches_no_library(case, model, records, online, tmp_path):
    tower, words = TOWERS[case]
    stranger, out = tmp_path / "stranger", tmp_path / "out"
    stranger.mkdir()
    out.mkdir()
    content = checkpoint.load(model)
    content["model"]["image"] = {"name": "resnet10t", "kwargs": {}} | tower
    checkpoint.save(path := stranger / "evil.pt", content)
    verbs = opening(path, records, out) | {
        "audit": ("privacy", "audit", "--model", path, "--attackers", records, "--out", out / "audit"),
        **{to: ("clip", "export", path, "--to", to, "--out", out / to) for to in ("hf", "onnx", "open_clip", "cn_clip")},
    }  # fmt: skip
    for line in verbs.values():
        said = refused(stranger, tmp_path, *line)
        assert str(path) in said and words in said, said


@pytest.mark.parametrize("case", TOWERS)
def test_what_a_config_or_an_exported_folder_says_reaches_no_library(case, records, online, tmp_path):
    tower, words = TOWERS[case]
    stranger, out = tmp_path / "stranger", tmp_path / "out"
    for part in ("text", "image"):
        (stranger / part).mkdir(parents=True)
        (stranger / part / "model.safetensors").write_bytes(b"")
    (stranger / "projection.safetensors").write_bytes(b"")
    said = MODEL.model_dump(mode="json") | {"image": {"name": "resnet10t"} | tower}
    (stranger / "visionclip.json").write_text(json.dumps({"model": said}))
    (stranger / "config.yaml").write_text(json.dumps({"model": {"image": said["image"]}}))
    train = ("clip", "train", "--data", records, "--out", out, "--config", stranger / "config.yaml")
    export = ("clip", "export", stranger, "--to", "visionclip", "--out", out / "ckpt.pt")
    for line in (train, export):
        assert words in refused(stranger, tmp_path, *line)


def test_what_shapes_a_network_is_taken_as_before():
    """Settings that the shipped configs, the docs and the tests give their towers."""
    shapes: dict[str, dict[str, Any]] = {
        "vit_tiny_patch16_224": {"img_size": 64, "patch_size": 8, "embed_dim": 128, "depth": 4, "num_heads": 4,
                                 "weight_init": "moco", "global_pool": "avg"},
        "vit_base_patch32_clip_224": {"reg_tokens": 2, "class_token": False, "drop_path_rate": 0.1},
        "resnet10t": {"drop_rate": 0.1, "act_layer": "gelu"},
        "convnext_atto": {"depths": [1, 1, 1, 1], "dims": [8, 16, 24, 32]},
    }  # fmt: skip
    for name, kwargs in shapes.items():
        assert ImageTower(name=name, kwargs=kwargs).kwargs == kwargs
    assert ImageTower(name="resnet18.a1_in1k").name == "resnet18.a1_in1k"


def test_no_argument_that_a_file_may_give_is_one_of_timm_that_fetches():
    import inspect

    from timm.models._builder import build_model_with_cfg

    fetching = {
        *inspect.signature(timm.create_model).parameters,
        *inspect.signature(build_model_with_cfg).parameters,
    }
    assert fetching & arguments.TIMM == set()


def test_a_number_that_no_network_has_is_one_line(model, records, tmp_path):
    content = checkpoint.load(model)
    for kwargs in (
        {"embed_dim": -1},
        {"num_heads": 0},
        {"embed_dim": 33},
        {"depths": "x"},
        {"patch_size": 0},
    ):
        content["model"]["image"]["kwargs"] = kwargs
        checkpoint.save(tmp_path / "odd.pt", content)
        assert "does not take them" in refused(
            tmp_path / "none", tmp_path, "clip", "doctor", tmp_path / "odd.pt"
        )


# Objects in files


class Code:
    """Runs when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.slow
def test_pickles_in_checkpoints_and_arrays_are_refused(records, online, tmp_path):
    stranger, out = tmp_path / "stranger", tmp_path / "out"
    stranger.mkdir()
    out.mkdir()
    torch.save({"format": "visionclip-clip", "weights": Code(out / "ran")}, stranger / "zip.pt")
    (stranger / "plain.pt").write_bytes(pickle.dumps(Code(out / "ran")))
    for name in ("zip.pt", "plain.pt"):
        for line in opening(stranger / name, records, out).values():
            assert str(stranger / name) in refused(stranger, tmp_path, *line)
        initial = f"initial.image={stranger / name}"
        train = ("clip", "train", "--data", records, "--out", out / name.replace(".", "-"), "--set", initial)
        assert str(stranger / name) in refused(stranger, tmp_path, *train)
    np.save(stranger / "objects.npy", np.array([Code(out / "ran")], dtype=object), allow_pickle=True)
    (stranger / "objects.ids.txt").write_text("a\n")
    audit = (
        "privacy",
        "audit",
        "--model",
        stranger / "objects.npy",
        "--attackers",
        records,
        "--out",
        out / "audit",
    )
    assert "not a plain .npy of numbers" in refused(stranger, tmp_path, *audit)
    assert not (out / "ran").exists()


@pytest.mark.parametrize("verb", ["clip", "synth", "privacy"])
def test_a_tag_of_yaml_names_no_code(verb, records, tmp_path):
    (tmp_path / "evil.yaml").write_text(
        f"seed: !!python/object/apply:pathlib.Path.touch [{tmp_path / 'ran'}]\n"
    )
    lines = {
        "clip": ("train", "--data", records, "--out", tmp_path / "out"),
        "synth": ("train", "--data", records, "--out", tmp_path / "out"),
        "privacy": ("audit", "--synthetic", records, "--out", tmp_path / "out"),
    }
    said = refused(tmp_path / "none", tmp_path, verb, *lines[verb], "--config", tmp_path / "evil.yaml")
    assert "evil.yaml: not YAML" in said and not (tmp_path / "ran").exists()


# Generators


@pytest.fixture(scope="module")
def generator(tmp_path_factory) -> Path:
    return untrained(tmp_path_factory.mktemp("untrusted") / "generator")


GENERATORS: dict[str, tuple[str, dict[str, Any], str]] = {
    "a function": ("model_index.json", {"unet": ["os", "system"]}, "'unet' is ['os', 'system']"),
    "a foreign library": (
        "model_index.json",
        {"unet": ["evil", "UNet2DModel"]},
        "'unet' is ['evil', 'UNet2DModel']",
    ),
    "another class": ("model_index.json", {"scheduler": ["diffusers", "LCMScheduler"]}, "'scheduler' is"),
    "a part more": ("model_index.json", {"safety_checker": ["evil", "Checker"]}, "'safety_checker' is"),
    "a pipeline of its own": ("model_index.json", {"_class_name": ["evil", "Pipeline"]}, "'_class_name' is"),
    "a text for a class": ("model_index.json", {"space": "evil"}, "'space' is evil"),
    "remote code": ("unet/config.json", {"trust_remote_code": True}, "trust_remote_code=True"),
    "auto_map": ("unet/config.json", {"auto_map": {"AutoModel": "evil.Evil"}}, "auto_map="),
    "quantised": (
        "unet/config.json",
        {"quantization_config": {"quant_method": "quanto"}},
        "quantization_config=",
    ),
    "an address": ("unet/config.json", {"act_fn": URL}, f"act_fn='{URL}'"),
    "a scheduler's": ("scheduler/scheduler_config.json", {"cache_dir": "/tmp/x"}, "cache_dir='/tmp/x'"),
    "a space's": ("space/config.json", {"levels": "../x"}, "levels='../x'"),
}
"""A file of a generator's folder, what it says besides, and what the line names."""


@pytest.mark.parametrize("case", GENERATORS)
def test_what_a_generators_folder_names_is_not_imported(case, generator, online, tmp_path):
    file, more, words = GENERATORS[case]
    stranger = tmp_path / "stranger"
    shutil.copytree(generator, stranger)
    (stranger / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    path = stranger / file
    path.write_text(json.dumps(json.loads(path.read_text()) | more))
    draw = ("synth", "generate", "--model", stranger, "--n", 2, "--workers", 1, "--out", tmp_path / "out")
    audit = ("privacy", "audit", "--generator", stranger, "--out", tmp_path / "audit")
    for line in (draw, audit):
        said = refused(stranger, tmp_path, *line)
        assert str(path) in said and words in said, said
    assert not (tmp_path / "ran").exists()


def test_a_part_that_is_missing_is_not_asked_of_the_hub(generator, online, tmp_path, monkeypatch):
    """`stranger/unet`, relative, has the form of a repository's name."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(generator, "stranger")
    shutil.rmtree("stranger/unet")
    line = ("synth", "generate", "--model", "stranger", "--n", 2, "--workers", 1, "--out", "out")
    assert "stranger/unet/config.json: no such file" in refused(tmp_path / "stranger", tmp_path, *line)


# Text encoders


def bert(path: Path, **more: Any) -> Path:
    """A folder of transformers with a small BERT."""
    from transformers import BertConfig, BertModel

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "an", "eye"]
    path.mkdir(parents=True)
    (path / "vocab.txt").write_text("\n".join(words))
    (path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    config = BertConfig(
        vocab_size=7, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    BertModel(config).save_pretrained(path)
    return path


def say(path: Path, more: dict[str, Any]) -> None:
    found = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(found | more))


EVIL = {
    "auto_map": {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil", "AutoTokenizer": ["evil.Evil", None]}
}
ENCODERS: dict[str, tuple[str, dict[str, Any], str]] = {
    "model": ("config.json", EVIL | {"model_type": "evil"}, "config.json: auto_map="),
    "tokenizer": (
        "tokenizer_config.json",
        EVIL | {"tokenizer_class": "Evil"},
        "tokenizer_config.json: auto_map=",
    ),
    "trust": ("tokenizer_config.json", {"trust_remote_code": True}, "trust_remote_code=True"),
    "deep": ("config.json", {"text_config": EVIL}, "text_config.auto_map="),
    "adapter": ("adapter_config.json", {"base_model_name_or_path": "x/y"}, "adapter_config.json: sends"),
    "kernel": ("config.json", {"_attn_implementation": "x/kernel"}, "_attn_implementation='x/kernel'"),
    "quantised": ("config.json", {"quantization_config": {"quant_method": "awq"}}, "quantization_config="),
}


@pytest.mark.parametrize("case", ENCODERS)
def test_a_text_encoder_brings_no_code(case, records, online, tmp_path):
    file, more, words = ENCODERS[case]
    stranger = bert(tmp_path / "stranger")
    assert text_encoder.TextEncoder(str(stranger))(["an eye"]).shape == (1, 16)
    say(stranger / file, more)
    (stranger / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    captions = f"network.captions={stranger}"
    said = refused(
        stranger, tmp_path, "synth", "train", "--data", records, "--out", tmp_path / "run", "--set", captions
    )
    assert words in said and not (tmp_path / "ran").exists()


def test_no_file_sends_us_to_a_hub(records, online, tmp_path):
    captions = (
        "synth",
        "train",
        "--data",
        records,
        "--out",
        tmp_path / "run",
        "--set",
        "network.captions=x/y",
    )
    assert "fetch it with 'hf download x/y'" in refused(tmp_path / "none", tmp_path, *captions)
    for teacher in ("hub:x/y", "hf-hub:x/y", "flair:x/y=x/y", "cn_clip:x/y", "open_clip:ViT-B-32=openai"):
        sets = ("--set", f"teacher={teacher}", "--set", "weights.distillation=1")
        line = ("clip", "train", "--data", records, "--out", tmp_path / "run", *sets)
        said = refused(tmp_path / "none", tmp_path, *line)
        assert teacher in said and "'hf download'" in said


# Folders of open_clip


def openclip(path: Path) -> dict[str, Any]:
    """Write a small folder of open_clip; what its configuration says."""
    open_clip = pytest.importorskip("open_clip")
    from safetensors.torch import save_file

    vision = {"image_size": 32, "layers": 1, "width": 64, "head_width": 32, "patch_size": 16}
    text = {"context_length": 8, "vocab_size": 49408, "width": 32, "heads": 1, "layers": 1}
    said = {"model_cfg": {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text},
            "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}  # fmt: skip
    path.mkdir()
    (path / "open_clip_config.json").write_text(json.dumps(said))
    made = open_clip.create_model(f"local-dir:{path}", load_weights=False)
    weights = {name: value.contiguous().clone() for name, value in made.state_dict().items()}
    save_file(weights, path / "open_clip_model.safetensors")
    return said


FOLDERS: dict[str, tuple[str, dict[str, Any], str]] = {
    "trust": ("text_cfg", {"hf_tokenizer_name": "x", "tokenizer_kwargs": {"trust_remote_code": True}},
              "tokenizer_kwargs.trust_remote_code=True"),
    "cache": ("text_cfg", {"tokenizer_kwargs": {"cache_dir": "/tmp/x"}}, "cache_dir='/tmp/x'"),
    "text tower": ("text_cfg", {"hf_model_name": "x/y"}, "text_cfg.hf_model_name='x/y'"),
    "unknown": ("vision_cfg", {"weights": URL}, f"weights='{URL}'"),
    "image tower": ("vision_cfg", {"timm_model_name": "hf-hub:x/y"}, "hf-hub:x/y"),
    "image folder": ("vision_cfg", {"timm_model_name": "local-dir:/tmp/x"}, "local-dir:/tmp/x"),
    "class": ("text_cfg", {"norm_kwargs": {"path": "/tmp/x"}}, "norm_kwargs.path='/tmp/x'"),
    "model": (".", {"pretrained_hf": True}, "pretrained_hf=True"),
}  # fmt: skip


@pytest.mark.parametrize("case", FOLDERS)
def test_what_a_folder_of_open_clip_says_reaches_no_library(case, records, online, tmp_path):
    section, more, words = FOLDERS[case]
    stranger, out = tmp_path / "stranger", tmp_path / "out"
    out.mkdir()
    said = openclip(stranger)
    model_cfg = said["model_cfg"]
    (model_cfg if section == "." else model_cfg[section]).update(more)
    (stranger / "open_clip_config.json").write_text(json.dumps(said))
    for line in opening(Path(f"open_clip:{stranger}"), records, out).values():
        found = refused(stranger, tmp_path, *line)
        assert f"{stranger}/open_clip_config.json" in found and words in found, found


def test_code_beside_a_folder_of_open_clip_is_not_run(records, online, tmp_path):
    """The tokenizer's own configuration sends transformers to evil.py."""
    stranger, out = tmp_path / "stranger", tmp_path / "out"
    out.mkdir()
    said = openclip(stranger)
    assert loading.load_model(f"open_clip:{stranger}").config.embedding == 16
    said["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "x"
    (stranger / "open_clip_config.json").write_text(json.dumps(said))
    (stranger / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    say(stranger / "tokenizer_config.json", EVIL | {"tokenizer_class": "Evil"})
    for line in opening(Path(f"open_clip:{stranger}"), records, out).values():
        assert "tokenizer_config.json: auto_map=" in refused(stranger, tmp_path, *line)
    assert not (tmp_path / "ran").exists()


_FETCHED = """
import sys
from clip import embed, loading
from clip.model import checkpoints
from synth.base.errors import UserError
try:
    print(embed.texts(loading.load_model(sys.argv[1]), ["an eye"]).shape)
except UserError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("evil", [False, True])
def test_a_repository_that_a_person_names_is_fetched_and_checked(evil, tmp_path):
    """As BiomedCLIP's: its text tower's configuration stands in another repository, its tokenizer in its own."""
    from open_clip.model import CustomTextCLIP

    said = openclip(tmp_path / "open_clip")["model_cfg"]
    text = {"hf_model_name": "some/bert", "hf_tokenizer_name": "some/bert", "context_length": 8}
    tower: Any = text | {"hf_model_name": str(bert(tmp_path / "bert")), "hf_model_pretrained": False}
    made = CustomTextCLIP(16, said["vision_cfg"], tower)
    (tmp_path / "bert/tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    if evil:
        say(tmp_path / "bert/tokenizer_config.json", EVIL)
        (tmp_path / "bert/evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    torch.save(made.state_dict(), tmp_path / "open_clip_pytorch_model.bin")
    config = {"model_cfg": said | {"text_cfg": text}, "preprocess_cfg": {}}
    files = {
        name: (tmp_path / "bert" / name).read_bytes() for name in ("vocab.txt", "tokenizer_config.json")
    } | {
        "open_clip_config.json": json.dumps(config).encode(),
        "open_clip_pytorch_model.bin": (tmp_path / "open_clip_pytorch_model.bin").read_bytes(),
    }
    with serving() as hub:
        hub.repos["models/me/clip"] = {"private": False, "files": files}
        named = {"config.json": (tmp_path / "bert/config.json").read_bytes()}
        hub.repos["models/some/bert"] = {"private": False, "files": named}
        line = [sys.executable, "-c", _FETCHED, "hf-hub:me/clip"]
        run = subprocess.run(
            line, env=environment(hub.url, tmp_path / "home"), capture_output=True, text=True
        )
    assert run.returncode == 0, run.stderr
    if evil:
        assert "tokenizer_config.json: auto_map=" in run.stdout
    else:
        assert run.stdout == "(1, 16)\n"
    assert not (tmp_path / "ran").exists()


# Classifiers


def test_a_classifier_names_a_network_and_no_place(tmp_path):
    for name in ("hf-hub:x/y", "local-dir:/tmp/x"):
        head = {"config": {"architecture": name}, "labels": ["is_gc"], "weights": {}}
        path = tmp_path / "classifier.pt"
        checkpoint.save(path, checkpoint.header(classifier.FORMAT, classifier.VERSION, **head))
        with (
            watching(tmp_path / "none", tmp_path) as fence,
            pytest.raises(UserError, match=f"'{name}' names a place"),
        ):
            classifier.load(path)
        assert fence.events == []
