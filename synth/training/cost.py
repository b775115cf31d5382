"""What a generator costs: parameters and arithmetic, counted on the network itself, and projections from them.

One multiplication with its addition counts as two operations, as is usual; what is counted are the operations of
convolutions, matrix products and attention, by torch's FlopCounterMode, without any memory for weights.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from synth import diffusion
from synth.conditioning import CONDITIONS
from synth.latent import LatentSpace
from synth.location import STEPS
from synth.network import Denoiser, NetworkConfig
from synth.pipeline import INTERVAL

_H200 = 790e12  # dense bf16 operations per second that the data sheet promises, sparsity aside
_SHARE = 0.25  # of them that convolutional denoisers of this size are assumed to reach
_MILLION = 1_000_000
_STATE = 24  # bytes per parameter: weight, gradient, two moments of Adam, two averages


class Cost(NamedTuple):
    """The cost of one generator; arithmetic is in GFLOP for one picture."""

    parameters: int
    """Of the denoiser, the labels' table included."""
    autoencoder: int
    """Parameters of the autoencoder; 0 without one."""
    forward: float
    """One evaluation of the denoiser."""
    encode: float
    """Picture to latent, which each training step does once; 0 without an autoencoder."""
    decode: float
    """Latent to picture; 0 without an autoencoder."""
    steps: int
    """Solver steps of the two lines below: the default of `synth generate`."""
    picture: float
    """All steps and the decoder, without guidance."""
    guided: float
    """The same with guidance in its default interval, where the denoiser is evaluated twice."""
    kept: float
    """Gigabytes that a training step keeps, in fp32, for the gradients of one picture, autoencoder or denoiser."""

    def lines(self) -> list[str]:
        """What a config file states, and `synth train --dry-run` says."""
        latent = f" + {self.autoencoder / 1e6:.2f} M of the autoencoder" if self.autoencoder else ""
        decoder = f", {self.decode:.1f} of them the decoder's" if self.autoencoder else ""
        hours = [_MILLION * each * 1e9 / (_H200 * _SHARE) / 3600 for each in (self.picture, self.guided)]
        return [
            f"{self.parameters / 1e6:.1f} M parameters{latent}; {self.forward:.1f} GFLOP per forward pass",
            f"{self.picture:.0f} GFLOP per image at {self.steps} steps, {self.guided:.0f} with guidance{decoder}",
            f"training keeps {self.parameters * _STATE / 1e9:.1f} GB + {self.kept:.2f} GB per image of a forward pass "
            "in fp32, counted; about half per image in bf16",
            f"projected, not measured: a million images in {hours[0]:.2f} h, {hours[1]:.2f} h with guidance, "
            f"on one H200 at {_SHARE:.0%} of its {_H200 / 1e12:.0f} TFLOP/s",
        ]


def cost(config: NetworkConfig, size: int) -> Cost:
    """Count a network for pictures of `size` pixels a side."""
    with torch.device("meta"):
        denoiser, space = Denoiser(config, size), config.space()
        noisy, picture = torch.zeros(1, *denoiser.shape), torch.zeros(1, 3, size, size)
        time, codes = torch.zeros(1, dtype=torch.int64), torch.zeros(1, len(CONDITIONS), dtype=torch.int64)
        forward = _gflop(denoiser, noisy, time, codes)
        decode, encode = _gflop(space.decode, noisy), _gflop(space.encode, picture)
        kept = _kept(denoiser, noisy, time, codes)
        if isinstance(space, LatentSpace):
            space.autoencoder.requires_grad_(True)
            kept = max(kept, _kept(space, picture, noisy))
    solver = diffusion.solver()
    solver.set_timesteps(STEPS)
    twice = sum(INTERVAL[0] <= float(t) / diffusion.STEPS <= INTERVAL[1] for t in solver.timesteps)
    return Cost(
        parameters=_parameters(denoiser),
        autoencoder=_parameters(space.autoencoder) if config.latent else 0,
        forward=forward,
        encode=encode,
        decode=decode,
        steps=STEPS,
        picture=STEPS * forward + decode,
        guided=(STEPS + twice) * forward + decode,
        kept=kept,
    )


def _gflop(call, *arguments: Tensor) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call(*arguments)
    return counter.get_total_flops() / 1e9


def _kept(module: nn.Module, *arguments: Tensor) -> float:
    """Gigabytes that autograd keeps of one forward pass, weights not counted."""
    own = {p.untyped_storage()._cdata for p in module.parameters()}
    storages: dict[int, Tensor] = {}  # holding them keeps their addresses from being given to others

    def keep(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage()._cdata not in own:
            storages[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        module(*arguments)
    return sum(tensor.untyped_storage().nbytes() for tensor in storages.values()) / 1e9


def _parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
