"""Train the autoencoder of a latent generator: before its denoiser, in the same run, resumable to the bit on the CPU.

No weights are downloaded, so there is no perceptual loss: absolute differences of pixels and of Haar details at
three scales, which keep vessels and small lesions sharp.  Noise on the bounded latents limits what they can carry,
as the KL term of a variational autoencoder does, and teaches the decoder to bear a denoiser's small errors.
"""

from collections.abc import Iterator, Sequence
from math import cos, pi
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from accelerate import Accelerator
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from synth.base import checkpoint, device, stats
from synth.base.config import Config
from synth.base.divergence import LossWatch
from synth.base.errors import UserError
from synth.base.order import permutation
from synth.base.runs import append_metrics, progress, rewind_metrics
from synth.data.images import Preprocessing
from synth.data.pictures import Pictures, pixels
from synth.data.records import read_table
from synth.data.tensors import as_tensor
from synth.model.latent import LatentSpace
from synth.model.wavelet import haar
from synth.training.ahead import Ahead
from synth.training.examples import Examples

FORMAT, VERSION = "visionclip-autoencoder-state", 1
_FITTED_ON = 256  # pictures from which the deviations of bands and latents are measured
_MEASURED_ON = 512  # held-out pictures on which reconstruction is measured
_CHUNK = 16  # pictures at a time where nothing is learnt
_SCALES = 3  # of Haar details in the loss


class AutoencoderConfig(Config):
    """How the autoencoder is trained.  Durations count images; its rate falls to 0 at the end, by a cosine."""

    images: PositiveInt = 2_000_000
    """Stop after this many."""
    batch: PositiveInt = 32
    """Images per optimiser step, over all processes; lower it when memory runs out."""
    lr: PositiveFloat = 1e-3
    """AdamW's, after warm-up."""
    warmup: NonNegativeInt = 3_200
    """Images over which the rate rises from 0."""
    sharpness: NonNegativeFloat = 1.0
    """Weight of the Haar details in the loss, beside the pixels; 0 blurs."""
    noise: NonNegativeFloat = 0.02
    """Deviation of what is added to the latents, which lie within +-3, while it learns."""
    save_every: PositiveInt = 51_200
    """Images between checkpoints; a killed run loses at most this many."""

    @model_validator(mode="after")
    def durations_divide(self) -> Self:
        for name in ("images", "save_every"):
            if getattr(self, name) % self.batch:
                raise ValueError(f"{name}={getattr(self, name)} must be a multiple of batch={self.batch}")
        return self


class HeldOut(NamedTuple):
    """Photographs of people whom nothing was learnt from."""

    pictures: np.ndarray
    """(N, S, S, 3) uint8."""
    patients: np.ndarray
    """(N,) int64: whose they are."""


def held_out(folders: Sequence[Path], preprocessing: Preprocessing, cache: Path) -> HeldOut | None:
    """Up to 512 pictures of the split `validation` of some folders; None where no folder has one."""
    pictures: list[np.ndarray] = []
    subjects: list[str] = []
    for folder in folders:
        if len(Pictures(folder, ["validation"])):
            pictures.append(pixels(folder, ["validation"], preprocessing, cache))
            names = read_table(folder, ["validation"], ["subject_id"])["subject_id"].to_pylist()
            subjects += [f"{folder}/{name}" for name in names]
    if not pictures:
        return None
    chosen = np.sort(permutation(len(subjects), 0, 0)[:_MEASURED_ON])
    patients = np.unique(subjects, return_inverse=True)[1]
    return HeldOut(np.concatenate(pictures)[chosen], patients[chosen])


def loss(made: Tensor, images: Tensor, sharpness: float) -> Tensor:
    """Mean absolute difference of (B, 3, S, S) pictures, and of their Haar details at three scales."""
    difference = made.float() - images
    total = difference.abs().mean()
    for _ in range(_SCALES):
        bands = haar(difference)
        difference, details = bands[:, :3], bands[:, 3:]
        total = total + sharpness * details.abs().mean() / _SCALES
    return total


def train(
    config: AutoencoderConfig,
    space: LatentSpace,
    examples: Examples,
    photographs: HeldOut | None,
    accelerator: Accelerator,
    run: Path,
) -> dict[str, Any] | None:
    """Train `space` in place until `config.images` pictures were seen and fit it; the same call again resumes.

    Writes `run/autoencoder.pt` and one line of `run/autoencoder.jsonl` per checkpoint.

    Returns:
        How well it gives held-out pictures back, as `reconstruction` measures it.
    """
    rank, processes = accelerator.process_index, accelerator.num_processes
    if config.batch % processes:
        raise UserError(f"autoencoder.batch={config.batch} must be a multiple of the {processes} processes")
    optimizer = device.adamw(space.autoencoder.parameters(), lr=config.lr)
    first = np.unique(examples.visited(np.arange(min(len(examples), _FITTED_ON))))
    space.begin(torch.cat(list(_batches(examples[first]))))
    n_images, known = _resume(run, space, optimizer)
    if accelerator.is_main_process:
        rewind_metrics(run / "autoencoder.jsonl", n_images)
    size = examples[first[:1]].shape[1]
    shape = space.channels, size // space.factor, size // space.factor
    space.autoencoder.requires_grad_(True)
    model, optimizer = accelerator.prepare(space.to(memory_format=torch.channels_last), optimizer)  # type: ignore[call-arg]
    losses: list[Tensor] = []
    watch = LossWatch(run, "autoencoder.pt", n_images)
    steps = Ahead(lambda mine: examples.step(mine, shape, True, 0), config.batch, accelerator.device)

    with progress("training the autoencoder", config.images, n_images) as bar:
        while n_images < config.images:
            for group in optimizer.param_groups:
                group["lr"] = watch.slowed(rate(config, n_images), n_images)
            mine = np.arange(n_images + rank, n_images + config.batch, processes)
            step = steps(mine)
            images = step.images.contiguous(memory_format=torch.channels_last)
            error = loss(model(images, config.noise * step.noise), images, config.sharpness)
            error.backward()  # accelerator.backward would divide by the denoiser's accumulation
            accelerator.clip_grad_norm_(space.autoencoder.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(error.detach())
            n_images += config.batch
            watch.step(losses[-1], n_images, optimizer.param_groups[0]["lr"])
            bar.update(config.batch)
            if n_images % config.save_every == 0 or n_images == config.images:
                watch.settle()
                watch.kept = n_images
                mean = float(accelerator.reduce(torch.stack(losses).mean(), "mean"))  # type: ignore[arg-type]
                losses.clear()
                if accelerator.is_main_process:
                    if n_images == config.images:
                        space.fit(_batches(examples[first]))
                    known = reconstruction(space, photographs) if photographs else None
                    _save(run, n_images, mean, known, space, optimizer)
                accelerator.wait_for_everyone()

    _, known = _resume(run, space, optimizer)  # every process takes the same deviations
    accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    accelerator.free_memory()
    space.requires_grad_(False)
    return known


def rate(config: AutoencoderConfig, n_images: int) -> float:
    """The learning rate of the step that begins at `n_images` images: rises linearly, then falls by half a cosine."""
    rise = min(1.0, (n_images + config.batch) / max(config.warmup, 1))
    return config.lr * rise * (1 + cos(pi * n_images / config.images)) / 2


@torch.no_grad()
def reconstruction(space: LatentSpace, photographs: HeldOut) -> dict[str, Any]:
    """Mean peak signal-to-noise ratio, in dB, of held-out pictures after encoding and decoding.

        10 log10(2^2 / mean squared difference in [-1, 1]), one value per picture

    The black surround of the eye counts.  The interval resamples patients.
    """
    values = []
    for images in _batches(photographs.pictures):
        images = images.to(space.mean.device)
        error = (space.decode(space.encode(images)).clamp(-1, 1) - images).square().mean(dim=(1, 2, 3))
        values += (10 * torch.log10(4 / error.clamp_min(1e-10))).tolist()
    ratios, whose = np.array(values), np.unique(photographs.patients, return_inverse=True)[1]
    drawn = stats.draws(int(whose.max()) + 1, 1000, 0)
    means = stats.over(drawn, whose, lambda weights: weights @ ratios / weights.sum(axis=1))
    found = stats.estimate(means, drawn.shape[1])
    return {
        "psnr": round(found.value, 2),
        "low": round(found.low, 2),
        "high": round(found.high, 2),
        "pictures": len(ratios),
        "patients": found.patients,
        "split": "validation",
    }


def _batches(pictures: np.ndarray) -> Iterator[Tensor]:
    for start in range(0, len(pictures), _CHUNK):
        yield as_tensor(pictures[start : start + _CHUNK])


def _resume(run: Path, space: LatentSpace, optimizer: Any) -> tuple[int, dict[str, Any] | None]:
    """Restore the last checkpoint, if there is one; returns the images seen and the reconstruction there."""
    path = run / "autoencoder.pt"
    if not path.exists():
        return 0, None
    state = checkpoint.read(path, FORMAT, VERSION)
    with checkpoint.fitting(path):
        space.load_state_dict(state["weights"])
        device.load_optimizer(optimizer, state["optimizer"])
        return int(state["images"]), state["reconstruction"]


def _save(
    run: Path, n_images: int, error: float, known: dict[str, Any] | None, space: LatentSpace, optimizer: Any
) -> None:
    append_metrics(run / "autoencoder.jsonl", images=n_images, loss=round(error, 6), **(known or {}))
    state = {
        "images": n_images,
        "weights": {name: value.cpu() for name, value in space.state_dict().items()},
        "optimizer": optimizer.state_dict(),
        "reconstruction": known,
    }
    checkpoint.save(run / "autoencoder.pt", checkpoint.header(FORMAT, VERSION, **state))
