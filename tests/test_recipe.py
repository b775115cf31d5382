"""What a training step sees, and the averages of the weights that it leaves."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from generators import tiny
from pictures import folder
from torch import nn
from typer.testing import CliRunner

from synth import pipeline
from synth.base.errors import UserError
from synth.commands.app import app
from synth.data.images import Preprocessing
from synth.data.pictures import Pictures
from synth.model.labels import current
from synth.training.averages import PowerAverages, combine, exponent
from synth.training.examples import Examples, mix_of, read_training, repeats
from synth.training.trainer import train

TINY = tiny(images=64, snapshot_every=32, sheet=4)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("records"), 40)


@pytest.fixture(scope="module")
def examples(records, tmp_path_factory):
    return Examples(
        [records],
        Preprocessing(size=16),
        tmp_path_factory.mktemp("cache"),
        seed=3,
        balance=0,
        labels=current(),
    )


@pytest.mark.parametrize("length, gamma", [(0.05, 16.97), (0.10, 6.94)])
def test_lengths_have_the_exponents_of_the_paper(length, gamma):
    assert exponent(length) == pytest.approx(gamma, abs=0.005)


def walk(lengths, folder=None, steps=400, every=25):
    """Averages of one weight that takes the values of a fixed random walk; returns them and its values."""
    values = torch.from_numpy(np.random.default_rng(0).normal(size=steps).cumsum())
    network = nn.Linear(1, 1, bias=False)
    averages = PowerAverages(network, lengths)
    for step, value in enumerate(values, 1):
        network.weight.data.fill_(float(value))
        averages.step(n_images=step * 10, batch=10)
        if folder and step % every == 0:
            averages.snapshot(folder, step * 10)
    return averages, values.numpy()


def test_a_running_average_is_the_sum_over_its_profile():
    averages, values = walk([0.1])
    places = np.arange(len(values) + 1) / len(values)
    shares = np.diff(places ** (exponent(0.1) + 1))
    assert float(averages.mean(0.1)["weight"]) == pytest.approx(float(shares @ values), rel=1e-4)


@pytest.mark.parametrize("length", [0.05, 0.07, 0.10, 0.15])
def test_an_average_chosen_afterwards_is_the_one_followed_during_training(length, tmp_path):
    _, values = walk([0.05, 0.10], tmp_path)
    followed, _ = walk([length])
    chosen, seen = combine(tmp_path, length)
    assert seen == 4000
    assert float(chosen["weight"]) == pytest.approx(
        float(followed.mean(length)["weight"]), abs=0.02 * values.std()
    )


def test_an_average_where_no_snapshot_is_names_those_that_are(tmp_path):
    walk([0.1], tmp_path, steps=50)
    with pytest.raises(UserError, match="--at 300: no snapshot there; there are 250, 500"):
        combine(tmp_path, 0.1, 300)


def test_a_picture_is_augmented_alike_whatever_comes_with_it(examples):
    whole = examples.step(np.arange(100, 108), (12, 8, 8), flip=True, label_dropout=0.5)
    halves = [examples.step(np.arange(*p), (12, 8, 8), True, 0.5) for p in ((100, 103), (103, 108))]
    for part, pieces in zip(whole, zip(*halves, strict=True), strict=True):
        assert torch.equal(part, torch.cat(pieces))


def test_every_epoch_shows_every_picture_once(examples):
    for epoch in range(3):
        rows = examples.visited(np.arange(len(examples)) + epoch * len(examples))
        assert sorted(rows) == list(range(len(examples)))


def labelled(*flags, subjects=None):
    """Rows that show glaucoma or not."""
    rows = {"dr_grade": None, "findings": None, "is_gc": 0}
    table = [
        rows | {"is_gc": flag, "subject_id": str((subjects or range(len(flags)))[i])}
        for i, flag in enumerate(flags)
    ]
    from synth.data.records import LABELS

    return pa.Table.from_pylist([dict.fromkeys(LABELS) | row for row in table])


def test_a_rare_label_repeats_its_pictures_and_a_single_person_does_not():
    rare = repeats(labelled(*[1] * 5, *[0] * 95), balance=0.2)
    assert rare[:5] == pytest.approx(2.0) and (rare[5:] == 1).all()  # sqrt(0.2 / 0.05)
    one = repeats(labelled(*[1] * 5, *[0] * 95, subjects=[0] * 5 + list(range(1, 96))), balance=0.2)
    assert (one == 1).all()


def test_a_balanced_walk_comes_within_one_of_the_wanted_repeats(records, tmp_path):
    balanced = Examples([records], Preprocessing(size=16), tmp_path, seed=0, balance=1.0, labels=current())
    wanted = repeats(read_training([records]), 1.0)
    wanted = wanted / wanted.sum() * len(balanced)
    seen = np.bincount(balanced.visited(np.arange(len(balanced))), minlength=len(balanced))
    assert wanted.max() > 1.1
    assert (np.abs(seen - wanted) < 1).all()


def test_several_folders_are_learnt_from_together(records, tmp_path):
    other = folder(tmp_path / "other", 30)
    both = Examples(
        [records, other], Preprocessing(size=16), tmp_path / "cache", seed=0, balance=0, labels=current()
    )
    alone = Examples([other], Preprocessing(size=16), tmp_path / "cache", seed=0, balance=0, labels=current())
    first = len(both) - len(alone)
    rows = np.array([first, 0, first + 1])
    assert (both[rows][[0, 2]] == alone[np.array([0, 1])]).all()
    assert (both.codes[first:] == alone.codes).all()
    ones, twos = mix_of([records]), mix_of([records, records])  # the same people twice are two groups
    assert sum(e["weight"] for e in twos) >= 2 * sum(e["weight"] for e in ones)


def test_a_run_keeps_snapshots_samples_and_a_tensorboard(records, tmp_path):
    pytest.importorskip("tensorboard")
    run = tmp_path / "run"
    train(TINY.model_copy(update={"trackers": ("tensorboard",)}), [records], run)
    assert {p.name for p in (run / "samples").iterdir()} == {"000000000032.png", "000000000064.png"}
    assert len(list((run / "averages").glob("*.safetensors"))) == 4
    assert list((run / "trackers").rglob("events*"))
    chosen = tmp_path / "chosen"
    command = ["average", str(run), "--length", "0.07", "--half", "--out", str(chosen)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    old, new = pipeline.load(run)[0], pipeline.load(chosen)[0]
    assert not torch.equal(old.unet.conv_in.weight, new.unet.conv_in.weight)
    assert new.unet.dtype == new.conditioning.dtype == torch.float32
    files = [f / "unet" / "diffusion_pytorch_model.safetensors" for f in (chosen, run / "model")]
    assert files[0].stat().st_size < 0.6 * files[1].stat().st_size
    assert pipeline.read_card(chosen).average == 0.07


def test_sixteen_bits_draw_the_same_pictures_but_for_rounding(records, tmp_path):
    train(TINY.model_copy(update={"sheet": 0}), [records], tmp_path / "run")
    drawn = {}
    for precision in ("fp32", "bf16"):
        out = tmp_path / precision
        result = CliRunner().invoke(
            app,
            ["generate", "--model", str(tmp_path / "run"), "--n", "20", "--steps", "4", "--workers", "1",
             "--precision", precision, "--out", str(out)],
        )  # fmt: skip
        assert result.exit_code == 0, result.stderr
        drawn[precision] = np.stack([Preprocessing(size=16)(p) for p in Pictures(out)]).astype(float)
    off = np.abs(drawn["fp32"] - drawn["bf16"]).mean()
    others = np.abs(drawn["fp32"] - np.roll(drawn["fp32"], 1, 0)).mean()
    assert 0 < off < 0.1 * others
