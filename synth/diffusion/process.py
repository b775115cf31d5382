"""The generative process between pictures and noise: what is noised how, what the network predicts, and what that means.

At every timestep t a noisy picture and the network's target are sums of the same two,

    x_t = s_t x_0 + n_t e        target_t = a_t x_0 + b_t e

so that a process is named by these four coefficients, and image and noise follow from noisy picture and prediction.
Today's is velocity prediction (Salimans & Ho 2022, 2202.00512) on a cosine schedule (2102.09672) rescaled to zero
terminal SNR (Lin et al. 2023, 2305.08891).  Another is one subclass and one row of `PROCESSES`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers.training_utils import compute_snr
from torch import Tensor

from synth.base.errors import UserError
from synth.diffusion.schedulers import SCHEDULE, STEPS, Scheduler, ddim_scheduler, noising, solver

MIN_SNR = 5.0

Timestep = int | Tensor
"""One for all pictures, or (B,) int64."""
Coefficient = float | Tensor


class Process(ABC):
    """One process: subclasses give the four coefficients, and may compute more exactly what follows from them.

    Args:
        scheduler: what diffusers' folder of a generator says of it; None is that of a new generator.
    """

    name: ClassVar[str]
    """Its key in `PROCESSES`, in `objective` of a training's config, and in a generator's folder."""
    version: ClassVar[int] = 1
    sampler: ClassVar[str] = "ddim"
    """The key in `samplers.SAMPLERS` by which it is sampled where no other is asked for."""

    def __init__(self, scheduler: Any = None) -> None:
        self.scheduler: Scheduler = scheduler or self.new_scheduler()

    @abstractmethod
    def new_scheduler(self) -> Scheduler:
        """What a new generator's folder holds for diffusers."""

    def student_scheduler(self) -> Scheduler:
        """What the folder of a distilled generator holds."""
        return self.new_scheduler()

    @abstractmethod
    def coefficients(self, timestep: int) -> tuple[float, float]:
        """s_t and n_t, the shares of picture and noise in what is noisy; of -1 they are 1 and 0."""

    @abstractmethod
    def target_coefficients(self, timestep: int) -> tuple[float, float]:
        """a_t and b_t, the shares of picture and noise in what the network predicts."""

    def weight(self, timestep: Tensor, floor: float = 0.0) -> Tensor:
        """(B,) of each picture's error in the loss; `floor` as `TrainConfig.snr_floor` has it."""
        return torch.ones(len(timestep), device=timestep.device)

    def timesteps(self, steps: int) -> Tensor:
        """(steps,) int64: where a sampler evaluates, "trailing", from 999 down (2305.08891, section 3.3)."""
        return torch.from_numpy(np.arange(STEPS, 0, -STEPS / steps).round().astype(np.int64)[:steps] - 1)

    def add_noise(self, clean: Tensor, noise: Tensor, timestep: Timestep) -> Tensor:
        """(B, C, H, W) noisy pictures."""
        signal, spread, _, _ = self._all(timestep, clean)
        return signal * clean + spread * noise

    def target(self, clean: Tensor, noise: Tensor, timestep: Timestep) -> Tensor:
        """(B, C, H, W) what the network is to predict."""
        _, _, picture, rest = self._all(timestep, clean)
        return picture * clean + rest * noise

    def to_image(self, noisy: Tensor, prediction: Tensor, timestep: Timestep) -> Tensor:
        """(B, C, H, W) the picture, as the network's `prediction` has it."""
        signal, spread, picture, rest = self._all(timestep, noisy)
        return (rest * noisy - spread * prediction) / (signal * rest - spread * picture)

    def to_noise(self, noisy: Tensor, prediction: Tensor, timestep: Timestep) -> Tensor:
        """(B, C, H, W) the noise, as the network's `prediction` has it."""
        signal, spread, picture, rest = self._all(timestep, noisy)
        return (signal * prediction - picture * noisy) / (signal * rest - spread * picture)

    def ddim_step(self, noisy: Tensor, prediction: Tensor, start: Timestep, end: Timestep) -> Tensor:
        """The deterministic step (2010.02502, eq. 12): the predicted picture with the predicted noise of `end`."""
        image, noise = self.to_image(noisy, prediction, start), self.to_noise(noisy, prediction, start)
        return self.add_noise(image, noise, end)

    def prediction_between(self, noisy: Tensor, goal: Tensor, start: Timestep, end: Timestep) -> Tensor:
        """The prediction at `start` by which `ddim_step` leads from `noisy` to `goal`."""
        (signal, spread, *_), (kept, left, *_) = self._all(start, noisy), self._all(end, noisy)
        determinant = signal * left - kept * spread
        image, noise = left * noisy - spread * goal, signal * goal - kept * noisy
        return self.target(image / determinant, noise / determinant, start)

    def _all(self, timestep: Timestep, like: Tensor) -> tuple[Coefficient, ...]:
        """s, n, a, b: numbers of one timestep, or (B, 1, 1, 1) of several."""
        if isinstance(timestep, int):
            return *self.coefficients(timestep), *self.target_coefficients(timestep)
        rows = [[*self.coefficients(t), *self.target_coefficients(t)] for t in timestep.tolist()]
        columns = torch.tensor(rows, dtype=torch.float32, device=like.device).T
        return tuple(columns[:, :, None, None, None])


class VPrediction(Process):
    """Velocity prediction: v = s_t e - n_t x_0 with s_t^2 + n_t^2 = 1 (2202.00512, appendix D)."""

    name = "v_prediction"
    sampler = "scheduler"

    def __init__(self, scheduler: Any = None) -> None:
        super().__init__(scheduler)
        self._schedule = noising(**{key: self.scheduler.config[key] for key in SCHEDULE})
        steps = self._schedule.alphas_cumprod.sqrt().clamp(0, 1).acos()
        self._angles = torch.cat(
            [steps, torch.zeros(1)]
        )  # (1001,) a_t = cos^2(angle_t); the last is the picture's

    def new_scheduler(self) -> Scheduler:
        return solver()

    def student_scheduler(self) -> Scheduler:
        return ddim_scheduler()

    def coefficients(self, timestep: int) -> tuple[float, float]:
        signal = float(self._schedule.alphas_cumprod[timestep]) if timestep >= 0 else 1.0
        return signal**0.5, (1 - signal) ** 0.5

    def target_coefficients(self, timestep: int) -> tuple[float, float]:
        signal, spread = self.coefficients(timestep)
        return -spread, signal

    def weight(self, timestep: Tensor, floor: float = 0.0) -> Tensor:
        """max(floor, min(SNR_t, 5)) / (SNR_t + 1)

        Hang et al. 2023 (2303.09556), section 3.4, for v; with a floor of 1 also truncated (2202.00512, section 4).
        """
        snr = compute_snr(self._schedule, timestep)
        return snr.clamp(floor, MIN_SNR) / (snr + 1)

    def add_noise(self, clean: Tensor, noise: Tensor, timestep: Timestep) -> Tensor:
        if isinstance(timestep, int):
            return super().add_noise(clean, noise, timestep)
        return self._schedule.add_noise(clean, noise, timestep)  # type: ignore[arg-type]

    def target(self, clean: Tensor, noise: Tensor, timestep: Timestep) -> Tensor:
        if isinstance(timestep, int):
            return super().target(clean, noise, timestep)
        return self._schedule.get_velocity(clean, noise, timestep)  # type: ignore[arg-type]

    def to_image(self, noisy: Tensor, prediction: Tensor, timestep: Timestep) -> Tensor:
        signal, spread, _, _ = self._all(timestep, noisy)
        return signal * noisy - spread * prediction

    def to_noise(self, noisy: Tensor, prediction: Tensor, timestep: Timestep) -> Tensor:
        signal, spread, _, _ = self._all(timestep, noisy)
        return signal * prediction + spread * noisy

    def ddim_step(self, noisy: Tensor, prediction: Tensor, start: Timestep, end: Timestep) -> Tensor:
        """x_s = cos(angle_t - angle_s) x_t - sin(angle_t - angle_s) v        2202.00512, appendix D"""
        turn = self._turn(start, end, noisy)
        return turn.cos() * noisy - turn.sin() * prediction

    def prediction_between(self, noisy: Tensor, goal: Tensor, start: Timestep, end: Timestep) -> Tensor:
        turn = self._turn(start, end, noisy)
        return (turn.cos() * noisy - goal) / turn.sin()

    def _turn(self, start: Timestep, end: Timestep, like: Tensor) -> Tensor:
        """The angle between two timesteps, for each picture."""
        angles = (
            self._angles if isinstance(start, int) and isinstance(end, int) else self._angles.to(like.device)
        )
        turn = angles[start] - angles[end]
        return turn[:, None, None, None] if turn.ndim else turn


@dataclass(frozen=True)
class Prediction:
    """What a network says of noisy pictures."""

    process: Process
    noisy: Tensor
    timestep: Timestep
    output: Tensor
    """(B, C, H, W) float32: the network's own, such as the velocity."""

    @property
    def noise(self) -> Tensor:
        """(B, C, H, W) the noise in them."""
        return self.process.to_noise(self.noisy, self.output, self.timestep)

    @property
    def image(self) -> Tensor:
        """(B, C, H, W) the pictures behind it, in the space of the denoiser."""
        return self.process.to_image(self.noisy, self.output, self.timestep)


PROCESSES: dict[str, Callable[..., Process]] = {VPrediction.name: VPrediction}
"""Every process that can be trained and opened, by its name."""


def create(name: str) -> Process:
    """The process of that name, for a new generator."""
    return PROCESSES[name]()


def saved_as(process: Process) -> dict[str, Any] | None:
    """What a generator's folder says of its process beside its scheduler; None where that says all."""
    if process.scheduler.config["prediction_type"] == process.name:
        return None
    return {"name": process.name, "version": process.version}


def opened(scheduler: Any, saved: dict[str, Any] | None) -> Process:
    """The process of a saved generator.

    Raises:
        UserError: it is unknown here, or of a later version.
    """
    name = saved["name"] if saved else scheduler.config["prediction_type"]
    if name not in PROCESSES:
        raise UserError(f"the generator's process '{name}' is unknown; known: {', '.join(PROCESSES)}")
    process = PROCESSES[name](scheduler)
    if saved and saved["version"] > process.version:
        raise UserError(
            f"the generator's process '{name}' is of version {saved['version']}, this visionclip knows "
            f"{process.version}; update visionclip"
        )
    return process
