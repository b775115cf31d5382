"""What runs on a GPU, without one: no tensor of the host meets one of the card, and no step waits for the card."""

from pathlib import Path

import numpy as np
import pytest
import torch
from gpus import CUDA, entered, host, on_gpu
from pictures import folder

from clip.model.encoders import ClipConfig, ImageTower, TextTower
from clip.training import data_order, objective, step
from clip.training.config import TrainConfig as ClipTrainConfig
from synth.base import device, order
from synth.base.checkpoint import versions
from synth.data.images import Preprocessing
from synth.diffusion.losses import loss
from synth.diffusion.process import VPrediction
from synth.model.denoiser import Denoiser, NetworkConfig
from synth.model.labels import current
from synth.pipeline import load
from synth.sampling import noise
from synth.sampling.engines import cluster
from synth.training.averages import PowerAverages

GOLDEN = Path(__file__).parent / "golden"
CAMERA = {"zoom": 0.2, "rotate": 8, "vignette": 0.4, "blur": 0.01, "gain": 0.1, "hue": 6, "gamma": 0.2, "noise": 0.02, "jpeg": 50}  # fmt: skip


@pytest.mark.parametrize("sampler", ["scheduler", "ddim"])
def test_sampling_waits_for_no_step_and_draws_what_the_cpu_draws(monkeypatch, sampler):
    """Guided, of three steps; noise, labels and pictures are on the card."""
    from synth.diffusion.samplers import SAMPLERS

    generator, _ = load(GOLDEN / "generator")
    places, codes = [(0, 0), (1, 0)], torch.from_numpy(current().unknown).repeat(2, 1)
    codes = codes[:, : len(generator.conditioning.labels)]
    drawn = noise.draw("philox", 1, places, generator.shape, "cpu")
    expected = generator(codes, drawn, 3, 2.0, sampler=SAMPLERS[sampler])
    with entered(monkeypatch) as gpu:
        for part in (generator.unet, generator.conditioning, generator.space):
            on_gpu(part)
        own = noise.draw("philox", 1, places, generator.shape, CUDA)
        assert torch.equal(host(own), drawn)
        told = codes.to(CUDA)
        gpu.waits.clear()
        few = generator(told, own, 3, 2.0, sampler=SAMPLERS[sampler])
        waits = len(gpu.waits)
        gpu.waits.clear()
        generator(told, own, 6, 2.0, sampler=SAMPLERS[sampler])
        assert len(gpu.waits) == waits, gpu.waits  # none of them is a step's
    assert (host(few).int() - expected.int()).abs().max() <= 1


def test_a_training_step_of_a_generator_waits_for_nothing(monkeypatch):
    network = Denoiser(NetworkConfig(channels=(16, 32), attention_from=1), 16)
    process, labels = VPrediction(), torch.from_numpy(current().unknown).repeat(2, 1)
    clean, fresh, time = torch.randn(2, 12, 8, 8), torch.randn(2, 12, 8, 8), torch.tensor([3, 900])
    with torch.no_grad():
        expected = loss(network, process, clean, fresh, time, labels)
    with entered(monkeypatch) as gpu, torch.no_grad():
        on_gpu(network)
        parts = [each.to(CUDA) for each in (clean, fresh, time, labels)]
        loss(network, process, *parts)  # the schedule is copied once
        averages, optimizer = PowerAverages(network, [0.1]), device.adamw(network.parameters(), lr=1e-3)
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        gpu.waits.clear()
        found = loss(network, process, *parts)
        optimizer.step()
        averages.step(32, 16)
        assert gpu.waits == []
    assert host(found).item() == pytest.approx(expected.item(), rel=1e-5)


def test_an_optimizer_that_resumes_on_a_gpu_waits_for_no_counter_of_steps(monkeypatch):
    """145 of a step had been waited for; what a CPU has written is taken up, and what a GPU has, on a CPU."""
    weights = [torch.nn.Parameter(torch.ones(3)) for _ in range(4)]
    before = device.adamw(weights, lr=1e-3)
    for weight in weights:
        weight.grad = torch.ones(3)
    before.step()
    with entered(monkeypatch) as gpu, torch.no_grad():
        there = [torch.nn.Parameter(weight.detach().to(CUDA)) for weight in weights]
        resumed = device.adamw(there, lr=1e-3)
        device.load_optimizer(resumed, before.state_dict())
        for weight in there:
            weight.grad = torch.ones_like(weight)
        gpu.waits.clear()
        resumed.step()
        assert gpu.waits == []
        kept = resumed.state_dict()
    assert kept["param_groups"][0]["fused"] is True
    device.load_optimizer(before, before.state_dict() | {"param_groups": kept["param_groups"]})
    assert before.param_groups[0]["fused"] is None
    before.step()
    assert before.state[weights[0]]["step"].device.type == "cpu" and before.state[weights[0]]["step"] == 2


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> Path:
    return folder(tmp_path_factory.mktemp("records"), 40)


def test_a_training_step_of_a_clip_waits_for_nothing(monkeypatch, records, tmp_path):
    """With cameras, several right texts and grades; loss and features are those of the CPU."""
    model = ClipConfig(
        image=ImageTower(layers=(1, 1, 1, 1), width=8),
        text=TextTower(layers=1, width=32, heads=2, feedforward=64, positions=64, dropout=0),
        embedding=32,
        preprocessing=Preprocessing(size=32),
    )
    settings = {
        "loss": "multi-positive",
        "positives": "labels",
        "ordinal": 0.5,
        "augment": {"crop": 1, "camera": CAMERA},
    }
    config = ClipTrainConfig.model_validate({"model": model, "batch": 8, **settings})
    pairs = data_order.pairs(config, records, tmp_path)
    start, part = next(data_order.steps(config, pairs, range(0, 8, 8), 8))[0]
    learner = objective.Learner(config)

    def computed(place: torch.device) -> torch.Tensor:
        features = step._forward(config, learner, part, start)
        known = {name: device.moved(getattr(part, name), place) for name in ("meaning", "labels")}
        return objective.total(config, objective.named_losses(config, features, objective.Targets(**known)))

    with torch.no_grad():
        expected = computed(torch.device("cpu"))
    with entered(monkeypatch) as gpu, torch.no_grad():
        on_gpu(learner)
        computed(CUDA)  # constants are copied once
        gpu.waits.clear()
        found = computed(CUDA)
        assert gpu.waits == []
    assert host(found).item() == pytest.approx(expected.item(), rel=1e-3)


def test_mixed_devices_would_be_noticed(monkeypatch):
    with entered(monkeypatch) as gpu:
        there = torch.zeros(3, device=CUDA)
        with pytest.raises(RuntimeError, match="cuda:0 and cpu"):
            there.add(torch.ones(3))
        assert there.sum().item() == 0 and gpu.waits == ["_local_scalar_dense"]


@pytest.mark.parametrize("emulates, expected", [(True, False), (False, True)])
def test_bf16_is_not_chosen_on_a_card_that_imitates_it(monkeypatch, emulates, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or not emulates)  # fmt: skip
    assert device.has_bf16() is expected


@pytest.mark.parametrize(
    "gpus, count, share", [(0, 4, 0), (4, 4, 1), (4, 3, 1), (1, 4, 0.25), (2, 5, 0.3333)]
)
def test_ray_actors_share_a_gpu_by_parts(gpus, count, share):
    assert cluster._share(gpus, count) == share


def test_a_package_that_is_no_distribution_is_left_out_of_the_versions(monkeypatch):
    """As where the code is copied to a node that has torch."""
    from importlib import metadata

    def version(name: str) -> str:
        if name == "visionclip":
            raise metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(metadata, "version", version)
    assert "visionclip" not in versions() and versions()["torch"] == "1"


def test_equal_rows_are_found_without_looking_them_up():
    from clip.training.losses import _equal

    rows = torch.from_numpy(order.randomness(0, 0).integers(-1, 3, (40, 2)))
    assert np.array_equal(_equal(rows).numpy(), (rows[:, None] == rows[None]).all(2).numpy())
