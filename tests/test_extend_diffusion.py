"""One more generative process and one more sampler, added in memory: no file of the package is touched."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler  # type: ignore[attr-defined]
from generators import tiny
from pictures import folder
from torch import Tensor

from synth import pipeline
from synth.base.errors import UserError
from synth.base.runs import read_json, read_metrics
from synth.diffusion import process, samplers
from synth.diffusion.process import Process
from synth.training.config import TrainConfig
from synth.training.trainer import train


class RectifiedFlow(Process):
    """Straight lines from noise to picture, and their direction as the target (Liu et al. 2022, 2209.03003)."""

    name = "rectified_flow"

    def new_scheduler(self):
        return DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True)

    def coefficients(self, timestep: int) -> tuple[float, float]:
        share = (timestep + 1) / 1000
        return 1 - share, share

    def target_coefficients(self, timestep: int) -> tuple[float, float]:
        return -1.0, 1.0


def heun(process: Process, predict: samplers.Predict, noise: Tensor, steps: int | Sequence[int]) -> Tensor:
    """Heun's method: each step again with the mean of the predictions at both of its ends."""
    assert isinstance(steps, int)
    timesteps, sample = process.timesteps(steps).tolist(), noise
    for start, end in zip(timesteps, [*timesteps[1:], -1], strict=True):
        first = predict(sample, torch.tensor(start))
        guess = process.ddim_step(sample, first, start, end)
        if end >= 0:
            first = (first + predict(guess, torch.tensor(end))) / 2
        sample = process.ddim_step(sample, first, start, end)
    return sample


@pytest.fixture
def flow(monkeypatch) -> Process:
    monkeypatch.setitem(process.PROCESSES, "rectified_flow", RectifiedFlow)
    return RectifiedFlow()


def test_a_process_follows_from_its_coefficients(flow):
    clean, noise = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    for each in (flow, process.VPrediction()):
        for times in (500, torch.tensor([10, 500, 990])):
            noisy, target = each.add_noise(clean, noise, times), each.target(clean, noise, times)
            assert torch.allclose(each.to_image(noisy, target, times), clean, atol=1e-3)
            assert torch.allclose(each.to_noise(noisy, target, times), noise, atol=1e-3)
        end = torch.tensor([-1, 100, 400])
        after = each.ddim_step(noisy, target, times, end)
        assert torch.allclose(after[0], clean[0], atol=1e-3)
        assert torch.allclose(each.prediction_between(noisy, after, times, end), target, atol=1e-3)
        assert each.timesteps(4).tolist() == [999, 749, 499, 249]


def test_the_steps_of_the_scheduler_and_ours_are_the_same_ddim():
    generator, _ = pipeline.load(Path("fundus256-4"))
    codes = torch.from_numpy(generator.conditioning.labels.unknown)[None]
    noise = torch.randn(1, *generator.shape, generator=torch.Generator().manual_seed(0))
    even = [999, 749, 499, 249]
    predict = lambda noisy, step: generator.predict(noisy, step, codes).output  # noqa: E731
    with torch.inference_mode():
        ours = samplers.ddim_steps(generator.process, predict, noise, even)
        theirs = samplers.scheduler_steps(generator.process, predict, noise, 4)
    assert torch.allclose(ours, theirs, atol=1e-3)


@pytest.mark.slow
def test_a_new_process_is_trained_saved_and_sampled_by_any_sampler(flow, tmp_path, monkeypatch):
    data = folder(tmp_path / "records", 40)
    config = tiny(images=640, save_every=160, sheet=2, objective="rectified_flow")
    made = train(config, [data], tmp_path / "run")
    losses = [row["loss"] for row in read_metrics(tmp_path / "run/metrics.jsonl")]
    assert losses[-1] < losses[0]
    assert read_json(made / "model_index.json")["process"] == {"name": "rectified_flow", "version": 1}

    generator, card = pipeline.load(made)
    assert isinstance(generator.process, RectifiedFlow) and card.config["objective"] == "rectified_flow"
    codes = torch.from_numpy(generator.conditioning.labels.unknown).repeat(2, 1)
    noise = torch.randn(2, *generator.shape, generator=torch.Generator().manual_seed(0))
    euler = generator(codes, noise, 50, 1.0)
    assert euler.shape == (2, 16, 16, 3) and euler.float().std() > 1
    fine = generator(codes, noise, 200, 1.0)
    second = generator(codes, noise, 50, 1.0, sampler=heun)  # a parameter, or a row of the table
    monkeypatch.setitem(samplers.SAMPLERS, "heun", heun)
    assert torch.equal(second, generator(codes, noise, 50, 1.0, sampler=samplers.SAMPLERS["heun"]))
    far = [(each.float() - fine.float()).square().mean() for each in (euler, second)]
    assert far[1] <= far[0]  # of second order


def test_a_generator_of_a_process_that_is_not_there_is_one_clear_line(flow, tmp_path, monkeypatch):
    data = folder(tmp_path / "records", 40)
    made = train(tiny(objective="rectified_flow"), [data], tmp_path / "run")
    monkeypatch.delitem(process.PROCESSES, "rectified_flow")
    with pytest.raises(UserError, match=r"process 'rectified_flow' is unknown; known: v_prediction"):
        pipeline.load(made)
    with pytest.raises(ValueError, match=r"'rectified_flow' is no process; known: v_prediction"):
        TrainConfig(objective="rectified_flow")


def test_what_is_learnt_by_default_is_named_nowhere(tmp_path):
    """Old runs resume, and a generator of today has the files that it always had."""
    assert "objective" not in TrainConfig().model_dump(mode="json")
    made = train(tiny(), [folder(tmp_path / "records", 40)], tmp_path / "run")
    assert "process" not in read_json(made / "model_index.json")
    assert "conditions" not in read_json(tmp_path / "run/config.json")
    assert read_json(made / "conditioning/config.json")["conditions"] is None
