"""The diffusion itself: noise schedule, training loss, solver.

Velocity prediction (Salimans & Ho 2022, 2202.00512), cosine schedule (2102.09672) rescaled to zero terminal
SNR (Lin et al. 2023, 2305.08891), min-SNR weighting (Hang et al. 2023, 2303.09556), DPM-Solver++ (2211.01095).
"""

import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler  # type: ignore[attr-defined]
from diffusers.training_utils import compute_snr
from torch import Tensor, nn

STEPS = 1000
MIN_SNR = 5.0

_SCHEDULE = {
    "num_train_timesteps": STEPS,
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
}


def noising() -> DDPMScheduler:
    """The schedule by which training pictures are noised."""
    return DDPMScheduler(clip_sample=False, **_SCHEDULE)


def solver() -> DPMSolverMultistepScheduler:
    """The solver that samples by the same schedule, at second order."""
    return DPMSolverMultistepScheduler(
        algorithm_type="dpmsolver++", solver_order=2, final_sigmas_type="zero", **_SCHEDULE
    )


def jumps() -> DDIMScheduler:
    """The sampler of a student of few steps: one DDIM jump (2010.02502) per step, by the same schedule."""
    return DDIMScheduler(clip_sample=False, **_SCHEDULE)


def angles() -> Tensor:
    """(1001,) the angle of each step, a_t = cos^2(angle_t); the last, at -1, is the clean picture's."""
    steps = noising().alphas_cumprod.sqrt().clamp(0, 1).acos()
    return torch.cat([steps, torch.zeros(1)])


def jump(noisy: Tensor, velocity: Tensor, turn: Tensor) -> Tensor:
    """DDIM's jump (2010.02502) by an angle, against the velocity (2202.00512, appendix D).

    x_s = cos(angle_t - angle_s) x_t - sin(angle_t - angle_s) v
    """
    return turn.cos() * noisy - turn.sin() * velocity


def loss(
    denoiser: nn.Module, schedule: DDPMScheduler, clean: Tensor, noise: Tensor, step: Tensor, codes: Tensor
) -> Tensor:
    """Mean squared error of the predicted velocity, weighted by min(SNR, 5) / (SNR + 1).

        v = sqrt(a_t) e - sqrt(1 - a_t) x_0           2202.00512, appendix D
        w = min(SNR_t, 5) / (SNR_t + 1)               2303.09556, section 3.4, for v

    Args:
        clean: (B, C, H, W) standardised bands; noise: the same shape, standard normal.
        step:  (B,) int64 in [0, 1000); 0 is the cleanest.
        codes: (B, L) int64 label codes.

    Returns:
        A scalar.
    """
    noisy = schedule.add_noise(clean, noise, step)  # type: ignore[arg-type]
    velocity = schedule.get_velocity(clean, noise, step)  # type: ignore[arg-type]
    snr = compute_snr(schedule, step)
    weight = snr.clamp_max(MIN_SNR) / (snr + 1)
    error = (denoiser(noisy, step, codes).float() - velocity).square().mean(dim=(1, 2, 3))
    return (weight * error).mean()
