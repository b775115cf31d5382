"""How images are drawn and steps are fed where nobody says it: by device, and by what is begun."""

import json
import sys

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import Attention

from synth.base.config import load
from synth.base.errors import UserError
from synth.model import denoiser
from synth.model.denoiser import Denoiser, NetworkConfig
from synth.model.labels import current
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


def test_flash_attention_computes_what_torch_would_have_chosen():
    """From the same weights."""
    noisy, time, codes = (
        torch.randn(2, 12, 8, 8),
        torch.tensor([3, 900]),
        torch.from_numpy(current().unknown).repeat(2, 1),
    )
    networks = []
    for kind in ("auto", "flash"):
        torch.manual_seed(0)
        settings = {"channels": (16, 32), "attention_from": 1, "attention": kind}
        networks.append(Denoiser(NetworkConfig.model_validate(settings), 16).eval())
    with torch.no_grad():
        plain, flash = (network(noisy, time, codes) for network in networks)
    assert torch.allclose(plain, flash, atol=1e-5)
    chosen = {type(part.processor).__name__ for part in networks[1].modules() if isinstance(part, Attention)}
    assert chosen == {"FlashProcessor"}


def test_xformers_is_asked_for_alone_and_refused_in_one_line_where_it_is_not(monkeypatch):
    monkeypatch.setattr(denoiser, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="xformers is not installed; pip install xformers") as error:
        Denoiser(NetworkConfig(channels=(16, 32), attention_from=1, attention="xformers"), 16)
    assert "\n" not in str(error.value) and "xformers" not in sys.modules
    assert "attention" not in NetworkConfig().model_dump()  # runs of earlier versions go on
