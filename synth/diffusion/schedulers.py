"""The noise schedule of today's generators, as diffusers' schedulers hold it: cosine (2102.09672), zero terminal SNR."""

from typing import Any

from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler  # type: ignore[attr-defined]

STEPS = 1000
"""Timesteps of training, of any process: 999 is noise, 0 the cleanest; -1 is the picture itself."""

Scheduler = DPMSolverMultistepScheduler | DDIMScheduler

SCHEDULE = {
    "num_train_timesteps": STEPS,
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
}


def noising(**schedule: Any) -> DDPMScheduler:
    """The schedule by which training pictures are noised; today's, but for what is given."""
    return DDPMScheduler(clip_sample=False, **SCHEDULE | schedule)


def solver() -> DPMSolverMultistepScheduler:
    """DPM-Solver++ (2211.01095) at second order, by the same schedule."""
    return DPMSolverMultistepScheduler(
        algorithm_type="dpmsolver++", solver_order=2, final_sigmas_type="zero", **SCHEDULE
    )


def ddim_scheduler() -> DDIMScheduler:
    """DDIM (2010.02502), by the same schedule: how a student of few steps is sampled."""
    return DDIMScheduler(clip_sample=False, **SCHEDULE)
