"""Light changes to a batch of photographs that leave what it shows as it was."""

from math import log

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor

from synth.base.config import Config

_LUMA = (0.299, 0.587, 0.114)


class Augment(Config):
    """What may be changed, and how far; all zero (`crop` 1) changes nothing."""

    crop: float = Field(default=0.8, gt=0, le=1)
    """Least share of the picture's area that a random crop keeps."""
    stretch: float = Field(default=1.1, ge=1, lt=2)
    """A crop's sides differ at most by this factor."""
    flip: bool = False
    """Mirror every other picture; it makes a left eye of a right one, so keep it off if captions tell the side."""
    brightness: NonNegativeFloat = 0.1
    """Brightness is multiplied by 1 +- this."""
    contrast: NonNegativeFloat = 0.1
    """Contrast about the picture's mean is multiplied by 1 +- this."""
    saturation: NonNegativeFloat = 0.1
    """Distance from grey is multiplied by 1 +- this."""


def augment(images: Tensor, settings: Augment, generator: torch.Generator) -> Tensor:
    """(B, 3, S, S) in [0, 1], changed picture by picture.

    Everything drawn comes from `generator`, on the CPU, whatever device the pictures are on.
    """
    draws = torch.rand(len(images), 8, generator=generator).to(images.device)
    return _colour(_crop(images, settings, draws), settings, draws)


def _crop(images: Tensor, settings: Augment, draws: Tensor) -> Tensor:
    if settings.crop == 1 and not settings.flip:
        return images
    area = settings.crop + (1 - settings.crop) * draws[:, 0]
    stretch = settings.stretch if settings.crop < 1 else 1.0  # nothing is cropped, so nothing is stretched
    ratio = torch.exp((2 * draws[:, 1] - 1) * log(stretch) / 2)
    width, height = ((area.sqrt() * factor).clamp(max=1) for factor in (ratio, 1 / ratio))
    theta = torch.zeros(len(images), 2, 3, device=images.device)
    mirror = torch.where(draws[:, 4] < 0.5, -1.0, 1.0) if settings.flip else 1.0
    theta[:, 0, 0], theta[:, 1, 1] = width * mirror, height
    theta[:, 0, 2] = (1 - width) * (2 * draws[:, 2] - 1)
    theta[:, 1, 2] = (1 - height) * (2 * draws[:, 3] - 1)
    grid = torch.nn.functional.affine_grid(theta, list(images.shape), align_corners=False)
    return torch.nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _colour(images: Tensor, settings: Augment, draws: Tensor) -> Tensor:
    def factor(strength: float, draw: Tensor) -> Tensor:
        return (1 + strength * (2 * draw - 1)).view(-1, 1, 1, 1)

    if settings.brightness:
        images = images * factor(settings.brightness, draws[:, 5])
    if settings.contrast:
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        images = mean + (images - mean) * factor(settings.contrast, draws[:, 6])
    if settings.saturation:
        grey = (images * images.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
        images = grey + (images - grey) * factor(settings.saturation, draws[:, 7])
    return images.clamp(0, 1)
