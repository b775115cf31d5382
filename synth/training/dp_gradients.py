"""Gradients of single patients and the noise that hides them: what Opacus does, made right for this denoiser.

Randomness is a function of (secret, step, patient), so that one patient's absence changes nobody else's, and a
resumed run repeats itself.  Whoever knew the secret could take the noise off again.
"""

import warnings

import numpy as np
import torch
from opacus import GradSampleModule
from opacus.grad_sample import register_grad_sampler
from opacus.optimizers import DPOptimizer
from torch import Tensor, nn
from torch.nn import functional

warnings.filterwarnings("ignore", "Full backward hook is firing")  # Opacus means it so
warnings.filterwarnings("ignore", "Optimal order is the")  # of a first guess that the accountant refines


def randomness(secret: int, step: int, patient: int | None = None, draw: int = 0) -> np.random.Generator:
    """What is drawn for one patient at one step, or (without one) for the step itself.

    A counter-based generator of 128 secret bits; torch's takes only 32 bits of its seed on the CPU.
    """
    place = 0 if patient is None else patient + 1
    return np.random.Generator(np.random.Philox(key=secret, counter=[0, draw, place, step]))


class NoisyOptimizer(DPOptimizer):
    """Opacus' optimizer, with noise from `chance`, a generator that is replaced at every step."""

    chance: np.random.Generator

    def add_noise(self) -> None:
        """Add to each summed gradient the half of four normal draws: one alone can be told from its last bits
        (Holohan & Braghin 2021, 2107.10138)."""
        deviation = self.noise_multiplier * self.max_grad_norm
        for p in self.params:
            draws = self.chance.standard_normal((4, *p.shape)).sum(axis=0) / 2
            noise = torch.from_numpy(np.asarray(deviation * draws)).to(p)
            p.grad = (p.summed_grad + noise).view_as(p)  # type: ignore[attr-defined]


@register_grad_sampler([nn.Conv2d])
def _convolution(layer: nn.Conv2d, activations: list[Tensor], backprops: Tensor) -> dict[Tensor, Tensor]:
    """Per-sample gradients of a convolution.

    Opacus 1.6 unfolds by strides that tensors in channels_last do not have, and gives wrong gradients, zeros among
    them, without an error (docs/log.md).
    """
    assert layer.groups == 1
    (inputs,) = activations
    assert isinstance(layer.padding, tuple)
    patches = functional.unfold(inputs, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
    backprops = backprops.flatten(2)
    found: dict[Tensor, Tensor] = {
        layer.weight: torch.einsum("boq,bpq->bop", backprops, patches).view(-1, *layer.weight.shape)
    }
    return found if layer.bias is None else found | {layer.bias: backprops.sum(dim=2)}


def per_sample(network: nn.Module) -> GradSampleModule:
    """The network with a gradient of its own for every sample: `grad_sample`, (B, *shape), in each parameter."""
    return GradSampleModule(network.train())
