"""What a denoiser is trained with."""

from torch import Tensor, nn

from synth.diffusion.process import Process


def loss(
    denoiser: nn.Module, process: Process, clean: Tensor, noise: Tensor, timestep: Tensor, codes: Tensor
) -> Tensor:
    """Mean squared error of the network's prediction, weighted as the process says.

    Args:
        denoiser: called with noisy pictures, timesteps and codes.
        clean:    (B, C, H, W) standardised bands; noise: the same shape, standard normal.
        timestep: (B,) int64 in [0, 1000); 0 is the cleanest.
        codes:    (B, L) int64 label codes.

    Returns:
        A scalar.
    """
    noisy = process.add_noise(clean, noise, timestep)
    target = process.target(clean, noise, timestep)
    error = (denoiser(noisy, timestep, codes).float() - target).square().mean(dim=(1, 2, 3))
    return (process.weight(timestep) * error).mean()
