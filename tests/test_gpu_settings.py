"""How images are drawn and steps are fed where nobody says it: by device, and by what is begun."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.models.attention_processor import Attention
from gpus import entered, host

from synth import pipeline
from synth.base import device
from synth.base.config import load
from synth.base.errors import UserError
from synth.base.runs import claim
from synth.data.images import Preprocessing
from synth.model import denoiser
from synth.model.denoiser import Denoiser, NetworkConfig
from synth.model.labels import current
from synth.sampling.settings import chosen, fitting
from synth.training import cost, micro_batch, trainer
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


@pytest.mark.parametrize(
    "free, fixed, each, batch",
    [(139e9, 2.3e9, 0.05e9, 256), (8e9, 2.3e9, 0.05e9, 32), (4e9, 2.3e9, 0.05e9, 1)],
)
def test_a_forward_pass_sees_as_much_of_a_batch_as_memory_holds(free, fixed, each, batch):
    assert micro_batch.fitting(int(free), fixed, each, 256) == batch


@pytest.mark.parametrize(
    "batch, processes, count", [(256, 1, 32), (256, 2, 32), (16, 1, 16), (24, 1, 24), (96, 2, 24)]
)
def test_on_a_cpu_a_forward_pass_sees_what_it_saw(batch, processes, count):
    config = TrainConfig(batch=batch, images=batch * 10, save_every=batch)
    assert micro_batch.size(config, processes, torch.device("cpu")) == count
    with pytest.raises(UserError, match=f"batch={batch} must be a multiple of the 5 processes"):
        micro_batch.size(config, 5, torch.device("cpu"))


def test_on_a_gpu_a_whole_batch_is_one_pass_where_it_fits(monkeypatch):
    """Of a network that is counted."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda place: (1e9, 2e9))
    monkeypatch.setattr(micro_batch, "has_bf16", lambda: False)
    config = TrainConfig(
        network=NetworkConfig(channels=(16, 32), attention_from=1), preprocessing=Preprocessing(size=16)
    )
    assert micro_batch.size(config, 1, torch.device("cuda")) == 256
    kept = cost.cost(config.network, 16).kept * 1e9
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda place: (80 * kept + 1e8, 2e9))
    assert 1 <= micro_batch.size(config, 1, torch.device("cuda")) < 256


def test_a_run_that_was_begun_with_32_goes_on_with_auto(tmp_path):
    for settings in (["micro_batch=32"], []):
        claim(
            tmp_path,
            "config.json",
            {"config": load(TrainConfig, None, settings).model_dump()},
            "run",
            free=trainer._FREE,
        )


def test_pictures_lie_channel_by_channel_on_a_gpu_alone(monkeypatch):
    """Whose kernels of GroupNorm know nothing else."""
    generator, _ = pipeline.load(Path(__file__).parent / "golden/generator")
    weight = generator.unet.conv_in.weight
    shown = denoiser.add_coordinates(torch.zeros(2, 12, 8, 8))
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in (weight, shown))
    with entered(monkeypatch):
        generator.to(device.accelerator())
        there = denoiser.add_coordinates(torch.zeros(2, 12, 8, 8, device="cuda"))
        assert there.is_contiguous() and host(generator.unet.conv_in.weight).is_contiguous()


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
