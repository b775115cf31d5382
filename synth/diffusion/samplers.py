"""How pictures are drawn: samplers as functions of a process and what the network predicts, and single steps.

Another sampler is one function, given to `FundusPipeline` or put into `SAMPLERS`.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from synth.diffusion.process import Process
from synth.diffusion.schedulers import STEPS

Predict = Callable[[Tensor, Tensor], Tensor]
"""(noisy pictures, timestep) -> (B, C, H, W) the network's output, guided; the timestep is one number, as a tensor."""
Sampler = Callable[[Process, Predict, Tensor, int | Sequence[int]], Tensor]
"""(process, predict, (B, C, H, W) noise, number of steps or the timesteps themselves) -> (B, C, H, W) clean."""
Network = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(noisy pictures, timestep, (B, L) codes) -> (B, C, H, W) output."""


def scheduler_steps(process: Process, predict: Predict, noise: Tensor, steps: int | Sequence[int]) -> Tensor:
    """The steps of diffusers' scheduler that was saved with the generator, evenly spaced: DPM-Solver++ or DDIM."""
    scheduler, sample = process.scheduler, noise
    assert isinstance(steps, int), "a scheduler of diffusers knows even steps alone"
    scheduler.set_timesteps(steps)  # on the CPU, where asking for one stops no GPU
    for timestep in scheduler.timesteps:
        prediction = predict(sample, timestep)
        sample = scheduler.step(prediction, timestep, sample, return_dict=False)[0]  # type: ignore[arg-type]
    return sample


def ddim_steps(process: Process, predict: Predict, noise: Tensor, steps: int | Sequence[int]) -> Tensor:
    """Deterministic steps (2010.02502) at any timesteps; of rectified flow they are Euler's."""
    timesteps = process.timesteps(steps).tolist() if isinstance(steps, int) else list(steps)
    sample = noise
    for start, end in zip(timesteps, [*timesteps[1:], -1], strict=True):
        sample = process.ddim_step(sample, predict(sample, torch.tensor(start)), start, end)
    return sample


SAMPLERS: dict[str, Sampler] = {"scheduler": scheduler_steps, "ddim": ddim_steps}
"""Every sampler by its name."""


def guided(
    network: Network,
    noisy: Tensor,
    timestep: Tensor,
    codes: Tensor,
    unconditional: Tensor,
    guidance: float,
    interval: tuple[float, float],
) -> Tensor:
    """The network's output with classifier-free guidance (2207.12598) within an interval of time (2404.07724).

    Args:
        timestep:      one for all, or (B,).
        codes:         what `network` is conditioned on; unconditional: the same where nothing is known.
        guidance:      scale; 1 is none.
        interval:      guidance acts while the share of diffusion time left lies within.
    """
    output = network(noisy, timestep, codes).float()
    share = timestep / STEPS if timestep.ndim else torch.tensor(int(timestep) / STEPS, dtype=torch.float64)
    rows = (share >= interval[0]) & (share <= interval[1])
    if guidance == 1 or not rows.any():
        return output
    if not timestep.ndim:
        free = network(noisy, timestep, unconditional).float()
        return free + guidance * (output - free)
    free = network(noisy[rows], timestep[rows], unconditional[rows]).float()
    output[rows] = free + guidance * (output[rows] - free)
    return output


def ancestral_step(
    process: Process, image: Tensor, noise: Tensor, start: int, end: int, fresh: Tensor
) -> Tensor:
    """A random step from `start` to the cleaner `end` (2010.02502, eq. 12 and 16, with eta = 1).

    Args:
        image, noise: as predicted at `start`.
        fresh:        (B, C, H, W) standard normal.
    """
    (signal, spread), (kept, left) = process.coefficients(start), process.coefficients(end)
    variance = (left / spread) ** 2 * (spread**2 - (signal / kept * left) ** 2)
    return kept * image + max(left**2 - variance, 0.0) ** 0.5 * noise + variance**0.5 * fresh


def add_more_noise(process: Process, noisy: Tensor, start: int, end: int, fresh: Tensor) -> Tensor:
    """What is noisy at `start`, as noisy as `end` is."""
    (signal, spread), (kept, left) = process.coefficients(start), process.coefficients(end)
    share = kept / signal
    return share * noisy + (left**2 - (share * spread) ** 2) ** 0.5 * fresh
