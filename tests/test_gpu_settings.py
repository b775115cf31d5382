"""How images are drawn and steps are fed where nobody says it: by device, and by what is begun."""

import json

import numpy as np
import pytest
import torch

from synth.base.config import load
from synth.sampling.settings import chosen, fitting
from synth.training.ahead import Ahead
from synth.training.config import TrainConfig
from synth.training.examples import Step


def test_on_a_cpu_nothing_changes(tmp_path):
    assert chosen(tmp_path, 64, None, None) == (16, "fp32", "philox")
    assert chosen(tmp_path, 64, 8, "bf16") == (8, "bf16", "philox")


def test_a_begun_set_goes_on_as_it_was_begun_on_whichever_machine(tmp_path):
    (tmp_path / "plan.json").write_text(json.dumps({"batch": 128, "precision": "bf16", "noise": "philox"}))
    assert chosen(tmp_path, 64, None, None) == (128, "bf16", "philox")
    (tmp_path / "plan.json").write_text(json.dumps({"batch": 4}))
    assert chosen(tmp_path, 64, None, None) == (4, "fp32", "numpy")


@pytest.mark.parametrize(
    "free, size, batch", [(80e9, 256, 256), (80e9, 512, 64), (12e9, 512, 8), (1e6, 512, 1)]
)
def test_the_batch_is_chosen_by_free_memory(free, size, batch):
    assert fitting(int(free), size) == batch


def test_a_step_that_was_made_ahead_is_the_one_that_is_asked_for(monkeypatch):
    """In order, after a jump, and where the making of it fails."""

    def make(positions: np.ndarray) -> Step:
        if positions[0] == 40:
            raise ValueError("damaged")
        pictures = torch.from_numpy(positions.astype(np.uint8)).view(-1, 1, 1, 1).expand(-1, 2, 2, 3)
        return Step(pictures, *(torch.from_numpy(positions) for _ in range(3)))

    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(Step, "on", lambda self, device: self)
    steps = Ahead(make, 4, torch.device("cuda", 0))
    for first in (0, 4, 8, 100, 104, 36):
        positions = np.arange(first, first + 4)
        assert steps(positions).time.tolist() == positions.tolist()
    with pytest.raises(ValueError, match="damaged"):
        steps(np.arange(40, 44))


def test_what_repeats_bits_on_a_gpu_is_no_other_run(tmp_path):
    """A run that was begun before there was the setting is resumed with it and without."""
    assert "deterministic" not in load(TrainConfig, None, []).model_dump()
    assert load(TrainConfig, None, ["deterministic=true"]).model_dump()["deterministic"] is True
