"""Captions as a condition: one generator takes labels, sentences, or both."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import folder
from typer.testing import CliRunner

from synth import pipeline
from synth.base.errors import UserError
from synth.base.runs import read_json, sha256, write_json
from synth.commands.app import app
from synth.data.images import Preprocessing
from synth.data.records import read_table
from synth.model import text_encoder
from synth.model.conditioning import LabelConditioning
from synth.model.denoiser import NetworkConfig
from synth.model.labels import current
from synth.sampling import plan
from synth.training.config import TrainConfig
from synth.training.examples import Examples
from synth.training.trainer import train

WORDS = [
    "glaucoma",
    "healthy",
    "left",
    "right",
    "eye",
    "fundus",
    "photograph",
    "of",
    "the",
    "a",
    "with",
    "no",
    "signs",
    "diabetic",
    "retinopathy",
    "青",
    "光",
    "眼",
    "左",
    "右",
    "底",
]


def bert(path: Path, seed: int = 0) -> str:
    """A tiny BERT with random weights and a vocabulary of its own, saved as transformers does; returns its folder."""
    from transformers import BertConfig, BertModel, BertTokenizer

    path.mkdir(parents=True)
    (path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    BertTokenizer(str(path / "vocab.txt")).save_pretrained(path)
    torch.manual_seed(seed)
    shape = BertConfig(
        vocab_size=len(WORDS) + 5,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    BertModel(shape).save_pretrained(path)
    return str(path)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("records"), 40)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return bert(tmp_path_factory.mktemp("encoder") / "bert")


@pytest.fixture(scope="module")
def run(records, encoder, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "told"
    config = TrainConfig(
        images=96,
        batch=16,
        micro_batch=16,
        save_every=96,
        warmup=0,
        sheet=0,
        preprocessing=Preprocessing(size=16),
        network=NetworkConfig(channels=(16, 32), attention_from=1, captions=encoder),
    )
    train(config, [records], out)
    return out


def mix(path: Path, *entries: str) -> str:
    path.write_text("mix:\n" + "".join(f"  - {{weight: 1, {entry}}}\n" for entry in entries))
    return str(path)


def test_a_caption_counts_for_nothing_before_it_was_learnt():
    network = LabelConditioning(8, text=4)
    codes = torch.from_numpy(np.stack([current().code({"is_gc": 1})] * 2))
    both = torch.cat([codes.float(), torch.randn(2, 4)], dim=1)
    assert torch.equal(network(codes), network(both))
    torch.nn.init.normal_(network.projected.weight)  # type: ignore[union-attr]
    assert not torch.equal(network(codes), network(both))
    free = network.unconditional(both)
    assert (
        free[0, : len(current())].tolist() == current().unknown.tolist()
        and not free[:, len(current()) :].any()
    )


def test_a_sentence_has_its_vector_whatever_stands_beside_it(encoder):
    known = text_encoder.TextEncoder(encoder)
    alone, together = (
        known(["left eye"]),
        known(["left eye", "a fundus photograph of the right eye with glaucoma"]),
    )
    assert np.allclose(alone[0], together[0], atol=1e-5)
    assert not np.allclose(together[0], together[1], atol=1e-2)
    assert float((alone**2).mean()) == pytest.approx(1, rel=1e-4)


def test_pictures_are_shown_with_captions_labels_both_or_neither(records, encoder, tmp_path):
    captions = text_encoder.captions(encoder, [records], tmp_path)
    assert captions is not None
    examples = Examples([records], Preprocessing(size=16), tmp_path, 0, 0, current(), captions)
    told = examples.step(np.arange(400), (12, 8, 8), True, 0.15).codes
    labels = (told[:, : len(current())] != torch.from_numpy(current().unknown)).any(dim=1)
    text = told[:, len(current()) :].any(dim=1)
    shares = {(a, b): float((labels.eq(a) & text.eq(b)).float().mean()) for a in (0, 1) for b in (0, 1)}
    # 15 % forgotten; of the rest, the half that is not mirrored has a caption in two of three, alone in half of these
    assert shares[0, 0] == pytest.approx(0.15, abs=0.06)
    for caption_with in (0, 1):
        assert shares[caption_with, 1] == pytest.approx(0.85 * 0.5 * 2 / 3 / 2, abs=0.06)
    plain = Examples([records], Preprocessing(size=16), tmp_path, 0, 0, current())
    assert torch.equal(
        plain.step(np.arange(8), (12, 8, 8), True, 0.15).noise,
        examples.step(np.arange(8), (12, 8, 8), True, 0.15).noise,
    )


def test_captions_are_read_once(records, encoder, tmp_path):
    first = text_encoder.captions(encoder, [records], tmp_path)
    assert first is not None and len(list(tmp_path.glob("captions-*.npy"))) == 1
    rows = read_table(records, ["train"], ["caption_zh", "caption_en"]).to_pylist()
    assert len(first.vectors) == len({row[c] for row in rows for c in row}) + 1
    kept = next(tmp_path.glob("captions-*.npy")).stat().st_mtime_ns
    text_encoder.captions(encoder, [records], tmp_path)
    assert next(tmp_path.glob("captions-*.npy")).stat().st_mtime_ns == kept


def test_a_prompt_moves_the_picture_and_stands_in_the_record(run, tmp_path):
    asked = mix(
        tmp_path / "mix.yaml", "labels: {is_gc: 1}, prompt: the right eye with glaucoma", "labels: {is_gc: 1}"
    )
    out = tmp_path / "set"
    flags = ("--n", 24, "--steps", 2, "--batch", 4, "--workers", 1, "--labels", asked)
    result = CliRunner().invoke(app, [str(a) for a in ("generate", "--model", run, "--out", out, *flags)])
    assert result.exit_code == 0, result.output
    said = read_table(out)["caption_en"].to_pylist()
    assert 0 < sum(text == "the right eye with glaucoma" for text in said) < 24

    loaded, known = pipeline.load(run)
    assert "captions" not in {p.name for p in (run / "model").iterdir()}
    assert known.captions and known.captions.width == 16
    vectors = torch.from_numpy(
        text_encoder.embedded(["the right eye with glaucoma", None], known.captions.to_json())
    )
    codes = torch.from_numpy(np.stack([current().code({"is_gc": 1})] * 2)).float()
    noise = torch.randn(1, *loaded.shape, generator=torch.Generator().manual_seed(0)).repeat(2, 1, 1, 1)
    pictures = loaded(torch.cat([codes, vectors], dim=1), noise, steps=2)
    assert not torch.equal(pictures[0], pictures[1])
    assert torch.equal(pictures[1], loaded(codes.long(), noise, steps=2)[1])


def test_a_generator_without_captions_takes_no_prompt(run, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(pipeline.locate(run), bare)
    known = read_json(bare / "visionclip.json")
    write_json(bare / "visionclip.json", {k: v for k, v in known.items() if k != "captions"})
    with pytest.raises(
        UserError, match=r"trained without captions \('network\.captions'\) and takes no prompt"
    ):
        plan.make(bare, 4, labels=mix(tmp_path / "mix.yaml", "labels: {}, prompt: an eye"))


def test_another_text_encoder_is_refused(encoder, tmp_path):
    other = bert(tmp_path / "other", seed=1)
    said = {"encoder": other, "sha256": text_encoder.TextEncoder(encoder).sha256, "width": 16}
    with pytest.raises(UserError, match="not the text encoder that the generator was trained with"):
        text_encoder.embedded(["an eye"], said)
    with pytest.raises(UserError, match=r"network\.captions: no text encoder '.*nowhere'"):
        text_encoder.TextEncoder(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("entry", ["labels: {}, prompt: ''", "labels: {}, prompts: an eye", "prompt: an eye"])
def test_a_prompt_that_is_none_is_refused(run, tmp_path, entry):
    with pytest.raises(UserError, match=r"mix\[0\]: (must have|prompt='' must be a sentence)"):
        plan.read_mix(Path(mix(tmp_path / "mix.yaml", entry)))


def test_training_with_captions_repeats_itself(run, records, tmp_path):
    config = TrainConfig.model_validate(pipeline.read_card(run / "model").config)
    train(config, [records], tmp_path / "again")
    name = "model/conditioning/diffusion_pytorch_model.safetensors"
    assert sha256(tmp_path / "again" / name) == sha256(run / name)
