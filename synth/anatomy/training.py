"""Train the network that marks anatomy, on phantoms alone; `tools/anatomy.py` made the weights that ship with it."""

from math import cos, pi
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn.functional import affine_grid, binary_cross_entropy_with_logits, grid_sample, max_pool2d

from synth.anatomy.network import PARTS, SIDE, AnatomyNet
from synth.base import weights
from synth.base.config import Config
from synth.base.order import randomness, visited
from synth.base.runs import progress
from synth.data.tensors import as_tensor
from synth.phantom import Phantom, PhantomConfig, record

_READABLE = ("is_optic_disc_readable", "is_macular_readable", "is_retinal_region_readable")
"""The label that says whether each of `PARTS` can be seen."""


class AnatomyConfig(Config):
    """How the network that marks anatomy is trained."""

    phantoms: PositiveInt = 3_000
    """Pictures drawn to learn from."""
    images: PositiveInt = 8_000
    """Stop after this many were shown."""
    batch: PositiveInt = 16
    """Images per optimiser step."""
    lr: PositiveFloat = 3e-3
    """AdamW's, at its highest."""
    turn: NonNegativeFloat = 20
    """Degrees by which a picture is turned at most."""
    zoom: NonNegativeFloat = 0.35
    """Logarithm of the factor by which it is made larger or smaller at most."""
    shift: NonNegativeFloat = 0.4
    """Share of half the width by which it is shifted at most: cameras look at the macula, or at the disc."""
    second_disc: float = Field(default=0.2, ge=0, le=1)
    """Share of pictures that show a second disc."""
    no_disc: float = Field(default=0.15, ge=0, le=1)
    """Share of pictures of which the disc is painted over."""
    seed: NonNegativeInt = 11
    """Of the phantoms, the weights and the order: not that of phantoms which others learn from."""


class Marked(NamedTuple):
    """Phantoms and where their anatomy is."""

    pictures: np.ndarray
    """(N, 128, 128, 3) uint8."""
    parts: np.ndarray
    """(N, 128, 128, 3) float32: 1 where disc and vessels are, a bell around the fovea; NaN where nobody can see."""


def marked(config: PhantomConfig, n: int) -> Marked:
    """Draw `n` phantoms of 128 px with their anatomy."""
    pictures = np.empty((n, SIDE, SIDE, 3), np.uint8)
    parts = np.empty((n, SIDE, SIDE, len(PARTS)), np.float32)
    with progress("phantoms", n) as bar:
        for index in range(n):
            labels, phantom = record(config, index)
            pictures[index] = phantom.image
            parts[index] = _parts(phantom)
            for part, label in enumerate(_READABLE):
                if labels[label] == 0 and labels["is_fundus"] != 0:
                    parts[index, ..., part] = np.nan
            bar.update()
    return Marked(pictures, parts)


def _parts(phantom: Phantom) -> np.ndarray:
    fovea = np.zeros((SIDE, SIDE), np.float32)
    if np.isfinite(phantom.fovea_at).all():
        y, x = np.mgrid[:SIDE, :SIDE]
        away = (x - phantom.fovea_at[0]) ** 2 + (y - phantom.fovea_at[1]) ** 2
        fovea = np.exp(-away / (2 * (SIDE / 28) ** 2)) * phantom.field
    return np.stack([phantom.disc & phantom.field, fovea, phantom.vessels & phantom.field], axis=-1)


def train(config: AnatomyConfig, data: Marked) -> AnatomyNet:
    """Train until `config.images` were seen; a function of the config and the data on one machine."""
    torch.manual_seed(config.seed)
    network = AnatomyNet().to(memory_format=torch.channels_last)  # type: ignore[call-arg]
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.lr, weight_decay=1e-3)
    with progress("training", config.images) as bar:
        for n_images in range(0, config.images, config.batch):
            optimizer.param_groups[0]["lr"] = config.lr * (1 + cos(pi * n_images / config.images)) / 2
            rows = visited(len(data.pictures), config.seed, n_images, config.batch)
            images = as_tensor(data.pictures[rows])
            parts = torch.from_numpy(data.parts[rows]).permute(0, 3, 1, 2)
            images, parts = other_counts(images, parts, config, randomness(config.seed + 1, n_images))
            images, parts = altered(images, parts, config, randomness(config.seed, n_images))
            error(network(images), parts).backward()
            optimizer.step()
            optimizer.zero_grad()
            bar.update(config.batch)
    return network.eval()


def error(logits: Tensor, parts: Tensor) -> Tensor:
    """Cross-entropy and overlap (Dice) of (B, 3, S, S) logits and truth; NaN is unknown and teaches nothing."""
    known, truth = ~parts.isnan(), parts.nan_to_num()
    entropy = binary_cross_entropy_with_logits(logits, truth, reduction="none")[known].mean()
    found = logits.sigmoid() * known
    both, all_of = (found * truth).sum(dim=(0, 2, 3)), (found + truth).sum(dim=(0, 2, 3))
    return entropy + 1 - ((2 * both + 1) / (all_of + 1)).mean()


def other_counts(
    images: Tensor, parts: Tensor, config: AnatomyConfig, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """The same with a second disc in some (B, 3, S, S) pictures, and with none in others: an eye has one, a sample need not.

    What is pasted comes from the mirror image, with a soft edge.
    """
    draw = torch.from_numpy(rng.random((len(images), 1, 1, 1), dtype=np.float32))
    disc = _blurred(max_pool2d(parts[:, :1].nan_to_num(), 13, stride=1, padding=6), torch.tensor(1.0))
    where = torch.where(draw < config.second_disc, disc.flip(-1), torch.zeros_like(disc))
    where = torch.where(draw > 1 - config.no_disc, disc, where)
    return torch.lerp(images, images.flip(-1), where), torch.where(where > 0.5, parts.flip(-1), parts)


def altered(
    images: Tensor, parts: Tensor, config: AnatomyConfig, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """(B, 3, S, S) pictures turned, zoomed, mirrored, shifted, overexposed, hazy, blurred and grained, and the truth with them."""
    n = len(images)

    def draw(low: float, high: float, *shape: int) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, (n, *shape)).astype(np.float32))

    angle, scale = draw(-1, 1) * config.turn * pi / 180, (draw(-1, 1) * config.zoom).exp()
    mirror = torch.where(draw(0, 1) < 0.5, -1.0, 1.0)
    across, along = draw(-1, 1) * config.shift, draw(-1, 1) * config.shift
    rows = [
        torch.stack([mirror * scale * angle.cos(), -scale * angle.sin(), across], dim=1),
        torch.stack([mirror * scale * angle.sin(), scale * angle.cos(), along], dim=1),
    ]
    grid = affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    light = grid_sample((images + 1) / 2, grid, align_corners=False)
    parts = grid_sample(parts, grid, align_corners=False)
    black = (light.amax(dim=1, keepdim=True) < 0.1).float()
    light = light.clamp(0.001, 1) ** draw(-0.5, 0.5, 3, 1, 1).exp() * draw(0.6, 1.7, 3, 1, 1)
    haze = draw(0, 0.5, 1, 1, 1) * draw(0, 1, 1, 1, 1)
    light = (light * (1 - haze) + haze * draw(0, 1, 3, 1, 1)).clamp(0, 1)
    light = _blurred(light, draw(0, 1, 1, 1, 1))
    light = light + draw(0, 0.03, 1, 1, 1) * torch.from_numpy(
        rng.standard_normal(light.shape, dtype=np.float32)
    )
    return (light * (1 - black)).clamp(0, 1) * 2 - 1, parts


def _blurred(light: Tensor, share: Tensor) -> Tensor:
    soft = torch.nn.functional.avg_pool2d(light, 3, stride=1, padding=1, count_include_pad=False)
    return light + share * (soft - light)


def write(config: AnatomyConfig, path: Path) -> None:
    """Draw the phantoms, train, and write the weights, in sixteen bits."""
    data = marked(PhantomConfig(size=SIDE, seed=config.seed), config.phantoms)
    weights.write(path, train(config, data).half().state_dict())
