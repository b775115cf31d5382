"""What a denoiser is trained with."""

from torch import Tensor, nn

from synth.diffusion.process import Process


def loss(
    denoiser: nn.Module,
    process: Process,
    clean: Tensor,
    noise: Tensor,
    timestep: Tensor,
    codes: Tensor,
    *,
    floor: float = 0.0,
    channels: Tensor | None = None,
) -> Tensor:
    """Mean squared error of the network's prediction, weighted as the process says, and by channel.

    Args:
        denoiser: called with noisy pictures, timesteps and codes.
        clean:    (B, C, H, W) standardised bands; noise: the same shape, standard normal.
        timestep: (B,) int64 in [0, 1000); 0 is the cleanest.
        codes:    (B, L) int64 label codes.
        floor:    of the weight, as `TrainConfig.snr_floor` has it.
        channels: (C,) weights of mean 1; None weighs channels alike.

    Returns:
        A scalar.
    """
    noisy = process.add_noise(clean, noise, timestep)
    target = process.target(clean, noise, timestep)
    error = (denoiser(noisy, timestep, codes).float() - target).square()
    if channels is not None:
        error = error * channels[:, None, None]
    return (process.weight(timestep, floor) * error.mean(dim=(1, 2, 3))).mean()


def channel_weights(scales: Tensor, power: float) -> Tensor | None:
    """(C,) of mean 1, by the power of how far each channel moves pixels; None where all weigh alike."""
    if not power:
        return None
    weights = scales**power
    return weights / weights.mean()
