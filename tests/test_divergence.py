"""A loss that is no number ends a training at its step, whichever training it is."""

import math

import pytest
import torch
from generators import tiny
from pictures import folder

from clip.training import step, trainer
from clip.training.config import TrainConfig
from synth.base import returns
from synth.base.divergence import LossWatch
from synth.base.errors import UserError
from synth.base.returns import Diverged
from synth.base.runs import read_json
from synth.training import loop
from synth.training import trainer as generators


def test_the_line_names_the_step_the_rate_and_what_was_kept(tmp_path):
    watch = LossWatch(tmp_path, "ckpt.pt", 64)
    watch.step(torch.tensor(1.0), 96, 1e-3)
    with pytest.raises(
        UserError, match=r"the loss is nan at 128 images, with lr=0.002, .* \(ckpt.pt is of 64 images\)"
    ):
        watch.step(torch.tensor(math.nan), 128, 2e-3)


def test_a_clip_ends_at_the_step_that_diverges_and_keeps_its_last_checkpoint(tmp_path, monkeypatch):
    """Eight steps would be between two checkpoints; the third has the loss."""
    plain, calls = step._loss, []

    def diverges(*arguments):
        value, named = plain(*arguments)
        calls.append(1)
        return value, {name: loss * (math.inf if len(calls) == 11 else 1) for name, loss in named.items()}

    monkeypatch.setattr(step, "_loss", diverges)
    model = {
        "image": {"layers": [1, 1, 1, 1], "width": 8},
        "text": {"layers": 1, "width": 32, "heads": 2, "feedforward": 64, "positions": 64},
        "embedding": 32,
        "preprocessing": {"size": 32},
    }
    config = TrainConfig.model_validate(
        {"model": model, "images": 128, "batch": 8, "save_every": 64, "warmup": 8}
    )
    records = folder(tmp_path / "records", 20)
    with pytest.raises(UserError, match=r"the loss is inf at 88 images.*ckpt.pt is of 64 images"):
        trainer.train(config, records, tmp_path / "run")
    assert (tmp_path / "run" / "ckpt.pt").exists() and len(calls) == 11


def test_a_generator_ends_at_the_step_that_diverges(tmp_path, monkeypatch):
    plain, calls = loop._step, []

    def diverges(*arguments):
        calls.append(1)
        return plain(*arguments) * (math.nan if len(calls) == 2 else 1)

    monkeypatch.setattr(loop, "_step", diverges)
    config = tiny(images=64, save_every=64)
    with pytest.raises(UserError, match=r"the loss is nan at 32 images.*nothing was kept before"):
        generators.train(config, [folder(tmp_path / "records", 20)], tmp_path / "run")
    assert len(calls) == 2


def test_a_run_returns_to_its_checkpoint_with_half_the_rate_and_a_killed_one_too(tmp_path, monkeypatch):
    """It diverges at any rate above a quarter of its own, from the third step on."""
    plain, rates = loop._step, list[float]()

    def diverges(accelerator, model, optimizer, error):
        rates.append(optimizer.param_groups[0]["lr"])
        loss = plain(accelerator, model, optimizer, error)
        return loss * (math.nan if len(rates) >= 3 and rates[-1] > 2.5e-5 else 1)

    monkeypatch.setattr(loop, "_step", diverges)
    config = tiny(images=64, save_every=32, lr=1e-4, warmup=0, on_nan="return")
    data, run, told = [folder(tmp_path / "records", 20)], tmp_path / "run", list[str]()
    again = lambda: generators.train(config, data, run)  # noqa: E731
    assert returns.returning(run, "return", again, told.extend) == run / "model"
    assert rates == pytest.approx([1e-4, 1e-4, 1e-4, 5e-5, 2.5e-5, 2.5e-5])
    assert read_json(run / returns.RETURNS) == {"state.pt": [32, 32]}
    assert any("back to 32 images, with half the rate" in line for line in told)
    assert LossWatch(run, "state.pt", 32).slowed(1.0, 48) == 0.25
    assert LossWatch(run, "state.pt", 0).slowed(1.0, 16) == 1.0


def test_a_run_that_always_diverges_stops_in_one_line(tmp_path):
    def train():
        raise Diverged("the loss is nan", "state.pt", 32)

    with pytest.raises(UserError, match="the loss is nan; it has returned 5 times"):
        returns.returning(tmp_path, "return", train, list[str]().extend)
    with pytest.raises(Diverged):
        returns.returning(tmp_path, "stop", train, list[str]().extend)
