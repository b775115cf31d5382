"""Training a CLIP: losses, captions, batches, and a run that no kill changes."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from killing import Work, kill_often
from pictures import folder, rows
from typer.testing import CliRunner

from clip.augmentation.augment import Augment, augment
from clip.commands.app import app
from clip.evaluation import diagnostics
from clip.model import checkpoints
from clip.model.encoders import ClipConfig, ImageTower, TextTower
from clip.training import batches, losses
from clip.training.config import TrainConfig
from clip.training.initial import Initial
from clip.training.trainer import rate, train
from synth.base.errors import UserError
from synth.base.runs import read_metrics, sha256
from synth.data import captions
from synth.data.images import Preprocessing
from synth.data.records import data_fingerprint, write_records

MODEL = ClipConfig(
    image=ImageTower(layers=(1, 1, 1, 1), width=8),
    text=TextTower(layers=1, width=32, heads=2, feedforward=64, positions=64),
    embedding=32,
    preprocessing=Preprocessing(size=32),
)
TINY = TrainConfig(model=MODEL, caption="both", images=480, batch=8, warmup=80, save_every=48, lr=2e-3)
SHORT = TINY.model_copy(update={"loss": "multi-positive", "images": 96})
LANGUAGES: tuple[Literal["zh", "en"], ...] = ("zh", "en")


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> Path:
    """Discs that are wide in glaucoma, and captions that say so and nothing else."""
    path = tmp_path_factory.mktemp("clip") / "records"
    said = [made | {f"caption_{lang}": captions.write({"is_gc": made["is_gc"]}, lang, i) for lang in LANGUAGES}
            for i, made in enumerate(rows(160, side=32))]  # fmt: skip
    write_records(path, said, {"kind": "wide or not"})
    return path


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "ckpt.pt", weights_only=True)["weights"]


def metrics(run: Path) -> list[dict[str, Any]]:
    lines = read_metrics(run / "metrics.jsonl")
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


@pytest.mark.slow
def test_five_kills_at_random_moments_change_no_bit(records, tmp_path):
    def work(out: Path) -> Work:
        return Work(train, (TINY, records, out), out / "config.json")

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    kill_often(work(killed), work(whole).finish())
    assert sha256(killed / "ckpt.pt") == sha256(whole / "ckpt.pt")
    assert metrics(whole) == metrics(killed)
    assert sorted(path.name for path in killed.iterdir()) == ["ckpt.pt", "config.json", "metrics.jsonl"]


@pytest.fixture(scope="module")
def run(records, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("clip") / "run"
    train(SHORT, records, run)
    return run


def test_a_finished_run_is_left_alone(run, records):
    before = {path: path.stat().st_mtime_ns for path in run.iterdir()}
    train(SHORT, records, run)
    assert {path: path.stat().st_mtime_ns for path in run.iterdir()} == before


def test_every_checkpoint_leaves_a_line(run):
    lines = metrics(run)
    assert [line["images"] for line in lines] == [48, 96]
    told = {"images", "loss", "lr", "scale", "validation_loss", "validation_accuracy"}
    assert set(lines[0]) == told | {"texts_cosine", "pictures_cosine"}


def test_a_checkpoint_says_what_it_is(run, records):
    model, head = checkpoints.load(run / "ckpt.pt")
    assert model.config == MODEL
    assert head.format == "visionclip-clip"
    assert head.version == 1
    assert head.images == 96
    assert head.data == data_fingerprint(records)
    assert head.model["preprocessing"] == {"name": "fov-square", "version": 1, "size": 32}
    assert head.config and head.config["loss"] == "multi-positive"
    assert {"torch", "timm", "transformers"} <= set(head.libraries)


def test_a_run_of_another_config_is_refused(run, records):
    other = SHORT.model_copy(update={"lr": 1.0})
    with pytest.raises(
        UserError, match=r"holds another run \(config\.lr is 0.002 there, 1.0 here\); choose another --out"
    ):
        train(other, records, run)


def test_a_run_on_other_records_is_refused(run, tmp_path):
    other = folder(tmp_path / "other", 40, seed=1)
    with pytest.raises(UserError, match=r"holds another run \(data is"):
        train(SHORT, other, run)


def test_a_folder_of_something_else_is_refused(records, tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match="not empty, and without a config"):
        train(TINY, records, tmp_path)


def test_records_without_captions_are_refused(tmp_path):
    bare = [made | {"caption_zh": None} for made in rows(20)]
    write_records(tmp_path / "bare", bare, {"kind": "bare"})
    with pytest.raises(UserError, match="no caption_zh in split train"):
        batches.load(tmp_path / "bare", "train", MODEL, "zh", tmp_path)
    pairs = batches.load(tmp_path / "bare", "train", MODEL, "both", tmp_path)
    assert np.array_equal(pairs.caption[:, 0], pairs.caption[:, 1])


def test_the_language_of_captions_is_what_was_asked_for(records, tmp_path):
    pairs = {lang: batches.load(records, "train", MODEL, lang, tmp_path) for lang in ("zh", "en", "both")}
    zh, en, both = (
        {tuple(tokens) for tokens in batches.batch(each, 0, 0, 300).tokens.tolist()}
        for each in pairs.values()
    )
    assert not zh & en
    assert both & zh and both & en
    assert both <= zh | en | {tuple(tokens) for tokens in pairs["both"].tokens.tolist()}


def test_a_batch_is_a_function_of_its_position(records, tmp_path):
    pairs = batches.load(records, "train", MODEL, "both", tmp_path)
    whole = batches.batch(pairs, 7, 100, 16)
    halves = [batches.batch(pairs, 7, start, 8) for start in (100, 108)]
    for name in ("pixels", "tokens", "meaning"):
        parts = [getattr(half, name) for half in halves]
        assert torch.equal(getattr(whole, name), torch.cat(parts))
    assert not torch.equal(whole.tokens, batches.batch(pairs, 8, 100, 16).tokens)


def test_captions_that_say_the_same_share_a_meaning():
    """In other words, and in the other language."""
    labels = {"is_gc": 1}
    texts = [text for lang in LANGUAGES for text in captions.variants(labels, lang)]
    meaning = batches.meanings([*texts, "not ours", "疑似黄斑前膜。"])
    assert len(set(meaning[:-2])) == 1
    assert len(set(meaning)) == 3


def test_multi_positive_is_infonce_where_all_captions_differ():
    generator = torch.Generator().manual_seed(0)
    seen, read = (
        torch.nn.functional.normalize(torch.randn(6, 4, generator=generator), dim=1) for _ in range(2)
    )
    plain = losses.infonce(seen, read, torch.tensor(10.0))
    assert losses.multi_positive(
        seen, read, torch.tensor(10.0), losses.same(torch.arange(6))
    ).item() == pytest.approx(plain.item())


def test_multi_positive_matches_its_formula():
    generator = torch.Generator().manual_seed(0)
    seen, read = (
        torch.nn.functional.normalize(torch.randn(5, 4, generator=generator), dim=1) for _ in range(2)
    )
    meaning = [0, 1, 0, 0, 1]
    logits = (10 * seen @ read.T).double().numpy()
    total = 0.0
    for table in (logits, logits.T):
        for i in range(5):
            shares = table[i] - np.log(np.exp(table[i]).sum())
            total -= np.mean([shares[j] for j in range(5) if meaning[j] == meaning[i]]) / 10
    found = losses.multi_positive(seen, read, torch.tensor(10.0), losses.same(torch.tensor(meaning)))
    assert found.item() == pytest.approx(total, rel=1e-5)


def test_the_rate_rises_then_falls_to_nothing():
    config = TrainConfig(images=1000, warmup=100, lr=1.0)
    assert [rate(config, images) for images in (50, 100, 550, 1000)] == pytest.approx([0.5, 1.0, 0.5, 0.0])


def test_augmentation_is_off_at_zero_and_bounded_otherwise():
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    still = Augment(crop=1, brightness=0, contrast=0, saturation=0)
    assert torch.equal(augment(images, still, torch.Generator().manual_seed(1)), images)
    changed = augment(images, Augment(), torch.Generator().manual_seed(1))
    assert not torch.allclose(changed, images)
    assert changed.min() >= 0 and changed.max() <= 1
    assert torch.equal(changed, augment(images, Augment(), torch.Generator().manual_seed(1)))


def test_a_flip_mirrors_some_pictures_and_nothing_else():
    images = torch.rand(16, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    settings = Augment(crop=1, flip=True, brightness=0, contrast=0, saturation=0)
    changed = augment(images, settings, torch.Generator().manual_seed(1))
    same = (changed - images).abs().amax(dim=(1, 2, 3)) < 1e-5
    mirrored = (changed - images.flip(3)).abs().amax(dim=(1, 2, 3)) < 1e-5
    assert same.any() and mirrored.any() and (same ^ mirrored).all()


@pytest.mark.parametrize(
    "values, message",
    [
        ({"image": {"name": "resnet10t", "layers": [1, 1, 1, 1]}}, "reshapes '\\*_clip' networks"),
        ({"text": {"width": 100}}, "width=100 must be a multiple of heads=12"),
        ({"context": 600}, "context=600 is more than text.positions=512"),
    ],
)  # fmt: skip
def test_towers_that_cannot_be_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        ClipConfig.model_validate(values)


def test_each_validation_judges_zero_shot_with_intervals_and_n(records, tmp_path):
    """Beside the spread of the embeddings; metrics go to a tracker too, and recomputed activations change no weight."""
    config = SHORT.model_copy(update={"zero_shot": ("is_gc",), "images": 48, "gradient_checkpointing": True})
    train(config.model_copy(update={"trackers": ("tensorboard",)}), records, tmp_path / "run")
    [line] = metrics(tmp_path / "run")
    found = line["zero_shot"]["is_gc"]
    assert found["n"] == 2 * found["patients"] > 0
    assert found["macro_auc"]["low"] <= found["macro_auc"]["value"] <= found["macro_auc"]["high"]
    assert -1 <= line["pictures_cosine"] <= 1
    assert list((tmp_path / "run" / "trackers").rglob("events.*"))
    plain = config.model_copy(update={"gradient_checkpointing": False, "zero_shot": ()})
    train(plain, records, tmp_path / "plain")
    ends = [weights(tmp_path / name) for name in ("run", "plain")]
    for name, parameter in ends[0].items():
        if (
            "running_" not in name and "num_batches" not in name
        ):  # a batch norm counts a batch that it sees twice
            torch.testing.assert_close(parameter, ends[1][name], atol=2e-5, rtol=1e-3, msg=name)


def test_positives_by_labels_need_labels(records, tmp_path):
    blind = [made | {"dr_grade": None, "is_gc": None} for made in rows(20, side=32)]
    write_records(tmp_path / "blind", blind, {"kind": "blind"})
    config = SHORT.model_copy(update={"positives": "labels"})
    with pytest.raises(
        UserError, match=r"positives=labels: .* tells no disease and no finding of any picture"
    ):
        train(config, tmp_path / "blind", tmp_path / "run")
    with pytest.raises(UserError, match=r"ordinal=0\.5: .* tells no dr_grade"):
        train(SHORT.model_copy(update={"ordinal": 0.5}), tmp_path / "blind", tmp_path / "other")


def test_a_locked_tower_stays_as_it_was(run, records, tmp_path):
    """Its batch norms too; the checkpoint names the file that it came from."""
    start = Initial(image=run / "ckpt.pt", freeze=("image",))
    train(SHORT.model_copy(update={"initial": start, "images": 48}), records, tmp_path / "locked")
    before, after = weights(run), weights(tmp_path / "locked")
    assert all(torch.equal(after[name], before[name]) for name in before if name.startswith("visual."))
    assert not torch.equal(after["text_projection"], before["text_projection"])
    head = checkpoints.load(tmp_path / "locked" / "ckpt.pt")[1]
    assert head.model_extra and head.model_extra["initial"] == {"image": sha256(run / "ckpt.pt")}


def test_the_doctor_tells_a_collapsed_tower_from_one_that_is_not():
    drawn = torch.nn.functional.normalize(
        torch.randn(9, 8, generator=torch.Generator().manual_seed(0)), dim=1
    )
    apart, same = drawn.numpy(), drawn[:1].repeat(9, 1).numpy()
    texts, pictures, temperature = diagnostics.examine(same, apart, 14.0)
    assert not texts.healthy and "cosine 1.000 on average" in texts.line and "collapsed" in texts.line
    assert pictures.healthy and temperature.healthy
    mean = np.mean([apart[i] @ apart[j] for i in range(9) for j in range(i)])
    assert pictures.measured["mean"] == pytest.approx(mean, abs=1e-6)
    assert [diagnostics.examine(apart, apart, scale)[2].healthy for scale in (1.0, 14.0, 100.0, 500.0)] == [
        False,
        True,
        True,
        False,
    ]


def test_clip_doctor_says_what_is_wrong_with_a_checkpoint(run, tmp_path):
    """A text tower that says the same of everything, and weights that are no numbers."""
    found = {each.name: each for each in diagnostics.checkup(run / "ckpt.pt")}
    assert set(found) == {"weights", "texts", "pictures", "temperature"} and found["weights"].healthy
    content = torch.load(run / "ckpt.pt", weights_only=True)
    content["weights"]["text_projection"] *= 0
    content["weights"]["text_projection"][:, 0] = (
        content["weights"]["bert.embeddings.LayerNorm.bias"] * 0 + 1e-3
    )
    content["weights"]["bert.encoder.layer.0.output.LayerNorm.weight"] *= 0
    content["weights"]["bert.encoder.layer.0.output.LayerNorm.bias"] += 1
    torch.save(content, tmp_path / "mute.pt")
    result = CliRunner().invoke(app, ["doctor", str(tmp_path / "mute.pt")])
    assert result.exit_code == 3
    assert "SICK texts: cosine 1.000" in result.stdout
    content["weights"]["logit_scale"] *= float("nan")
    torch.save(content, tmp_path / "nan.pt")
    result = CliRunner().invoke(app, ["doctor", str(tmp_path / "nan.pt")])
    assert result.exit_code == 3
    assert (
        result.stdout
        == "SICK weights: not a number in logit_scale; take an earlier checkpoint, train with less lr\n"
    )
