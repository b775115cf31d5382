"""A tower and a decoder learn to segment: settings, steps, and which epoch is kept."""

import re
from collections.abc import Iterator
from copy import deepcopy
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, field_validator
from torch import Tensor, nn

from clip.augmentation.augment import Augment, augment
from clip.evaluation import overlap
from clip.evaluation.coding import Coding
from clip.evaluation.core import EvaluationSettings
from clip.evaluation.masks import Masked
from clip.evaluation.pyramid import Segmenter, fit
from clip.model import encoders
from clip.model.encoders import CLIP, normalise, standardise
from synth.base import runs
from synth.base.device import accelerator, moved
from synth.base.errors import UserError
from synth.base.order import permutation, step_seed

Mode = Literal["full", "frozen", "untrained", "untrained-frozen"]
UNTRAINED: tuple[Mode, ...] = ("untrained", "untrained-frozen")


class SegmentationConfig(EvaluationSettings):
    """How an image tower is transferred to segmentation; `min_count` photographs of a class in train and in test."""

    modes: tuple[Mode, ...] = Field(default=("full", "frozen", "untrained", "untrained-frozen"), min_length=1)
    """`full`: tower and decoder learn; `frozen`: the decoder alone; `untrained`, `untrained-frozen`: the same, of a tower with fresh weights."""
    masks: Path | None = None
    """Folder of the masks, by the ids of records; without it, `masks` in --data."""
    classes: tuple[str, ...] | dict[str, NonNegativeInt] | None = None
    """Names of the numbers 1, 2, ... in masks, or name -> number; without it, those of `masks/classes.yaml`."""
    background: NonNegativeInt | None = None
    """The number of what is of no class; 0 if nobody says otherwise."""
    nested: bool | None = None
    """Each class holds those after it, as the disc holds the cup, and is measured with them."""
    subject: str | None = None
    """The patient in the name of a file in `images/`, as the group of a regular expression; without it, every photograph stands alone."""
    shares: tuple[PositiveInt, PositiveInt, PositiveInt] = (8, 1, 1)
    """Train, validation and test, over patients, where the photographs are in `images/`."""
    size: PositiveInt | None = None
    """Pixels a side that the tower sees; without it, what it was trained on.  Small lesions need more."""
    epochs: PositiveInt = 40
    """Passes over the photographs to learn from; the best of them by validation is judged."""
    batch: PositiveInt = 8
    """Photographs per step, or a little fewer: an epoch is cut into equal steps."""
    lr: PositiveFloat = 1e-4
    """AdamW's for a trained tower; falls to 0 by a cosine after a tenth of the steps."""
    decoder_lr: PositiveFloat = 1e-3
    """The same for what starts afresh: decoders, and untrained towers."""
    weight_decay: NonNegativeFloat = 0.01
    """Of all weights that learn."""
    width: PositiveInt = Field(default=64, multiple_of=8)
    """Channels of the decoder."""
    flip: bool = True
    """Mirror every other photograph, with its mask, while learning."""
    turn: NonNegativeFloat = 15.0
    """Degrees that it is turned by, at most."""
    zoom: float = Field(default=0.1, ge=0, lt=1)
    """It is made larger or smaller by a factor of 1 +- this, and moved by as much of its half side."""
    colour: NonNegativeFloat = 0.1
    """Brightness, contrast and saturation are multiplied by 1 +- this."""
    sheet: NonNegativeInt = 6
    """Photographs in the picture of outlines, from the worst to the best; 0 for no picture."""

    @field_validator("subject")
    @classmethod
    def has_a_group(cls, value: str | None) -> str | None:
        try:
            if value is not None and re.compile(value).groups < 1:
                raise ValueError(f"'{value}' has no group; put the patient in brackets, as in '^(\\d+)_'")
        except re.error as error:
            raise ValueError(f"'{value}' is no regular expression ({error})") from None
        return value


def learn(
    config: SegmentationConfig, mode: Mode, model: CLIP, train: Masked, held: Masked, names: Coding
) -> tuple[Segmenter, int]:
    """A network as it was after the epoch with the best mean Dice on `held`; and that epoch."""
    place, side = accelerator(), train.pixels.shape[1]
    fresh, frozen = mode in UNTRAINED, mode.endswith("frozen")
    tower = encoders.untrained(model, config.seed) if fresh else deepcopy(model)
    fit(tower, side, mode)
    torch.manual_seed(config.seed)
    network = Segmenter(tower, 1 + len(names.classes), config.width, frozen).to(place)
    groups: list[dict[str, Any]] = [{"params": [*network.decoder.parameters()], "lr": config.decoder_lr}]
    if not frozen:
        groups.append(
            {"params": [*network.model.visual.parameters()], "lr": config.decoder_lr if fresh else config.lr}
        )
    optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
    per_epoch = -(-len(train.pixels) // config.batch)
    steps = config.epochs * per_epoch
    warmup = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, (1 + np.cos(np.pi * step / steps)) / 2)
    )
    best, chosen_epoch, kept, found = -1.0, 0, {}, torch.zeros(())
    with runs.progress(f"segmentation ({mode})", config.epochs, unit="epochs") as bar:
        for epoch in range(1, config.epochs + 1):
            network.train()
            order = permutation(len(train.pixels), config.seed, epoch)
            for step, chosen in enumerate(np.array_split(order, per_epoch), (epoch - 1) * per_epoch):
                generator = torch.Generator().manual_seed(step_seed(config.seed, 0, step))
                shown = [moved(torch.from_numpy(each[chosen]), place) for each in (train.pixels, train.masks)]
                images, truth = varied(config, shown[0], shown[1], generator)
                found = loss(network(standardise(images)), truth)
                optimizer.zero_grad()
                found.backward()
                optimizer.step()
                schedule.step()
            if not isfinite(found.item()):
                raise UserError(
                    f"segmentation ({mode}) diverged in epoch {epoch}; --set a lower lr or decoder_lr"
                )
            score = _score(network, held, names)
            if score > best:
                best, chosen_epoch, kept = score, epoch, deepcopy(network.state_dict())
            bar.update()
    network.load_state_dict(kept)
    return network.eval(), chosen_epoch


def varied(
    config: SegmentationConfig, pixels: Tensor, truth: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(B, 3, S, S) photographs in [0, 1] and their (B, S, S) masks, moved alike; colours of the photographs alone.

    Args:
        pixels: (B, S, S, 3) uint8; truth: (B, S, S), on the device that computes.
        generator: of the host, whatever the device.
    """
    images = pixels.permute(0, 3, 1, 2).float() / 255
    drawn = moved(2 * torch.rand(len(images), 5, generator=generator) - 1, images.device)
    angle, scale = drawn[:, 0] * np.deg2rad(config.turn), 1 + config.zoom * drawn[:, 1]
    mirror = torch.where((drawn[:, 2] < 0) & config.flip, -1.0, 1.0)
    rows = [scale * angle.cos() * mirror, -scale * angle.sin(), config.zoom * drawn[:, 3]]
    rows += [scale * angle.sin() * mirror, scale * angle.cos(), config.zoom * drawn[:, 4]]
    grid = nn.functional.affine_grid(
        torch.stack(rows, dim=1).view(-1, 2, 3), list(images.shape), align_corners=False
    )
    images = nn.functional.grid_sample(images, grid, align_corners=False)
    places = truth[:, None].float()
    places = nn.functional.grid_sample(places, grid, mode="nearest", align_corners=False)
    light = Augment(crop=1, brightness=config.colour, contrast=config.colour, saturation=config.colour)
    return augment(images, light, generator), places[:, 0].long()


def loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy plus 1 - soft Dice, the mean over classes of a batch (nnU-Net: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z).

    Args:
        logits: (B, 1 + K, S, S), background first.
        truth:  (B, S, S) int64 in [0, K].
    """
    probability = logits.softmax(dim=1)[:, 1:]
    true = nn.functional.one_hot(truth, logits.shape[1])[..., 1:].permute(0, 3, 1, 2)
    both = (probability * true).sum(dim=(0, 2, 3))
    total = probability.sum(dim=(0, 2, 3)) + true.sum(dim=(0, 2, 3))
    return nn.functional.cross_entropy(logits, truth) + 1 - ((2 * both + 1) / (total + 1)).mean()


@torch.inference_mode()
def probabilities(network: Segmenter, pixels: np.ndarray, batch: int = 16) -> Iterator[Tensor]:
    """(1 + K, S, S) of each of (N, S, S, 3) uint8 photographs."""
    network.eval()
    place = next(network.parameters()).device
    for start in range(0, len(pixels), batch):
        yield from network(normalise(torch.from_numpy(pixels[start : start + batch]).to(place))).softmax(
            dim=1
        )


def _score(network: Segmenter, held: Masked, names: Coding) -> float:
    """Mean Dice on the squares of validation photographs: what chooses an epoch; 0 where they hold no class."""
    said = np.stack([each.argmax(dim=0).byte().cpu().numpy() for each in probabilities(network, held.pixels)])
    pairs = zip(held.masks, said, strict=True)
    each = np.stack([overlap.dice(overlap.counts(names.regions(a), names.regions(b))) for a, b in pairs])
    return float(each[np.isfinite(each)].mean()) if np.isfinite(each).any() else 0.0
