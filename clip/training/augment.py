"""Light changes to a batch of photographs that leave what it shows as it was."""

from math import log
from typing import NamedTuple

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from clip.training import camera
from clip.training.camera import Camera
from synth.base.config import Config

LUMA = (0.299, 0.587, 0.114)
_PART = 4
"""Pictures that are changed at a time on a CPU, so that they stay in its cache: three times as fast as 64."""


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
    camera: Camera = Camera()
    """What another camera would have made of the same eye."""


class _Draws(NamedTuple):
    """Everything drawn for a batch."""

    light: Tensor
    """(B, 8) in [0, 1)."""
    camera: camera.Draws | None

    def part(self, which: slice) -> "_Draws":
        return _Draws(self.light[which], self.camera and self.camera.part(which))


def augment(images: Tensor, settings: Augment, generator: torch.Generator) -> Tensor:
    """Change a batch picture by picture.

    Everything drawn comes from `generator`, on the CPU, whatever device the pictures are on.

    Args:
        images: (B, 3, S, S) float in [0, 1], or (B, S, S, 3) uint8.

    Returns:
        (B, 3, S, S) float in [0, 1].
    """
    count, side = len(images), images.shape[2]
    drawn = _Draws(
        torch.rand(count, 8, generator=generator).to(images.device),
        camera.draw(count, side, settings.camera, generator, images.device),
    )
    size = _PART if images.device.type == "cpu" else max(1, count)
    changed = torch.empty(count, 3, side, side, device=images.device)
    for start in range(0, count, size):
        part = slice(start, start + size)
        changed[part] = _change(_floats(images[part]), settings, drawn.part(part))
    return changed


def _floats(images: Tensor) -> Tensor:
    if images.dtype == torch.uint8:
        return images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format).div_(255)
    return images


def _change(images: Tensor, settings: Augment, draws: _Draws) -> Tensor:
    images = _crop(images, settings, draws.light)
    if draws.camera is None:
        return _colour(images, settings, draws.light, None)
    aperture = camera.aperture(images)
    images = camera.lens(images, settings.camera, draws.camera)
    images = _colour(images, settings, draws.light, camera.colours(settings.camera, draws.camera))
    return camera.sensor(images, settings.camera, draws.camera) * aperture


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
    grid = affine_grid(theta, list(images.shape), align_corners=False)
    return grid_sample(images, grid, padding_mode="border", align_corners=False)


def _colour(images: Tensor, settings: Augment, draws: Tensor, first: Tensor | None) -> Tensor:
    """Colours through `first`, (B, 3, 3), then brightness, contrast and saturation: all one affine map per picture."""
    if first is None and not (settings.brightness or settings.contrast or settings.saturation):
        return images

    def factor(strength: float, draw: Tensor) -> Tensor:
        return (1 + strength * (2 * draw - 1)).view(-1, 1, 1)

    matrix = torch.eye(3, device=images.device).expand(len(images), 3, 3) if first is None else first
    matrix = factor(settings.brightness, draws[:, 5]) * matrix
    contrast, saturation = factor(settings.contrast, draws[:, 6]), factor(settings.saturation, draws[:, 7])
    mean = (matrix @ images.mean(dim=(2, 3)).unsqueeze(2)).mean(dim=1, keepdim=True)
    grey = images.new_tensor(LUMA).expand(3, 3)
    mix = grey + saturation * (torch.eye(3, device=images.device) - grey)
    shift = ((1 - contrast) * mean).expand(-1, 3, 1)  # a grey, which saturation leaves as it is
    mapped = torch.baddbmm(shift, contrast * (mix @ matrix), images.flatten(2))
    return mapped.clamp_(0, 1).view_as(images)
