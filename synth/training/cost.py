"""What a generator costs: parameters and arithmetic, counted on the network itself, and projections from them.

One multiplication with its addition counts as two operations, as is usual; what is counted are the operations of
convolutions, matrix products and attention, by torch's FlopCounterMode, without any memory for weights.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from synth.base import speed
from synth.base.config import load
from synth.base.runs import read_metrics
from synth.diffusion.process import VPrediction
from synth.diffusion.schedulers import STEPS as TIMESTEPS
from synth.model.card import INTERVAL, STEPS
from synth.model.denoiser import Denoiser, NetworkConfig
from synth.model.latent import LatentSpace
from synth.training.config import TrainConfig

_H200 = 790e12  # dense bf16 operations per second that the data sheet promises, sparsity aside
_SHARE = 0.25  # of them that convolutional denoisers of this size are assumed to reach
_MILLION = 1_000_000
_LONG = 6  # hours from which on the smaller alternative is named
_KEPT = 24  # bytes per parameter that a run keeps: state.pt, and the generator
STATE = 24  # bytes per parameter: weight, gradient, two moments of Adam, two averages


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
            f"training keeps {self.parameters * STATE / 1e9:.1f} GB + {self.kept:.2f} GB per image of a forward pass "
            "in fp32, counted; about half per image in bf16",
            f"projected, not measured: a million images in {hours[0]:.2f} h, {hours[1]:.2f} h with guidance, "
            f"on one H200 at {_SHARE:.0%} of its {_H200 / 1e12:.0f} TFLOP/s",
        ]


def cost(config: NetworkConfig, size: int) -> Cost:
    """Count a network for pictures of `size` pixels a side."""
    with torch.device("meta"):
        denoiser, space = Denoiser(config, size), config.space()
        noisy, picture = torch.zeros(1, *denoiser.shape), torch.zeros(1, 3, size, size)
        time, codes = (
            torch.zeros(1, dtype=torch.int64),
            torch.zeros(1, len(denoiser.conditioning.labels), dtype=torch.int64),
        )
        forward = _gflop(denoiser, noisy, time, codes)
        decode, encode = _gflop(space.decode, noisy), _gflop(space.encode, picture)
        kept = _kept(denoiser, noisy, time, codes)
        if isinstance(space, LatentSpace):
            space.autoencoder.requires_grad_(True)
            kept = max(kept, _kept(space, picture, noisy))
    timesteps = VPrediction().timesteps(STEPS).tolist()
    twice = sum(INTERVAL[0] <= timestep / TIMESTEPS <= INTERVAL[1] for timestep in timesteps)
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


def lines(config: TrainConfig, run: Path) -> Iterator[str]:
    """What is said before a training begins, or goes on: where it writes, what it will take, and what takes less."""
    n_images = max((row["images"] for row in read_metrics(run / "metrics.jsonl")), default=0)
    if n_images >= config.images:
        yield f"{run}: finished, its {config.images:,} images are seen; nothing to do"
        return
    yield f"{run}: the generator is written there, every {config.save_every:,} images; the same command goes on from there"
    yield from _here(config, n_images)


def dry_lines(config: TrainConfig) -> Iterator[str]:
    """What a training will take here, and the network on a large GPU."""
    yield from cost(config.network, config.preprocessing.size).lines()
    yield from _here(config)


def _here(config: TrainConfig, n_images: int = 0) -> Iterator[str]:
    """The hours of a training on this machine, and what takes less."""
    estimate, left = training(config, n_images), config.images - n_images
    gone = f" more, after {n_images:,}" if n_images else ""
    yield f"{left:,} images{gone}, of {config.preprocessing.size} px: {estimate.words()} ({estimate.basis})"
    if estimate.hours > _LONG:
        small = load(TrainConfig, Path("fundus256-small"))
        shorter = training(small)
        if shorter.hours < estimate.hours / 2:
            yield (
                f"smaller: --config fundus256-small, {small.images:,} images of {small.preprocessing.size} px, "
                f"{shorter.words()}, with an --out of its own; or --set images=N"
            )


def training(config: TrainConfig, n_images: int = 0) -> speed.Cost:
    """What training takes on this machine after `n_images` images; an autoencoder's own training is not counted."""
    found, machine = cost(config.network, config.preprocessing.size), speed.measured(torch.get_num_threads())
    draws = config.dp.draws if config.dp else 1
    image = speed.BACKWARD * draws * found.forward + found.encode
    return speed.Cost(
        hours=machine.hours((config.images - n_images) * image * 1e9, speed.STEP),
        bytes=round(_KEPT * (found.parameters + found.autoencoder)),
        basis=f"{image:.2g} GFLOP an image, {machine.basis}",
    )


def _gflop(call, *arguments: Tensor) -> float:
    return speed.operations(call, *arguments) / 1e9


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
