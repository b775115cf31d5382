"""Light changes to a batch of photographs that leave what it shows as it was."""

from math import log
from typing import NamedTuple

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

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
        changed[part] = _change(images[part], settings, drawn.part(part))
    return changed


def _change(images: Tensor, settings: Augment, draws: _Draws) -> Tensor:
    if settings.crop < 1 or settings.flip:
        images = _crop(images, settings, draws.light)
    images = _floats(images)
    if draws.camera is None:
        return _colour(images, settings, draws.light, None)
    aperture = camera.aperture(images)
    images = camera.lens(images, settings.camera, draws.camera)
    images = _colour(images, settings, draws.light, camera.colours(settings.camera, draws.camera))
    return camera.sensor(images, settings.camera, draws.camera) * aperture


def _floats(images: Tensor) -> Tensor:
    if images.dtype == torch.uint8:
        return images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format).div_(255)
    return images


def _crop(images: Tensor, settings: Augment, draws: Tensor) -> Tensor:
    """A window of whole pixels from each picture, at the size of the picture, in the form that it came in."""
    side = images.shape[2]
    area = settings.crop + (1 - settings.crop) * draws[:, 0]
    stretch = settings.stretch if settings.crop < 1 else 1.0  # nothing is cropped, so nothing is stretched
    ratio = torch.exp((2 * draws[:, 1] - 1) * log(stretch) / 2)
    shape = torch.stack([(area.sqrt() * factor).clamp(max=1) * side for factor in (ratio, 1 / ratio)], dim=1)
    shape = shape.round()
    start = ((side - shape) * draws[:, 2:4]).round()
    mirror = (draws[:, 4] < 0.5) & settings.flip
    if images.dtype == torch.uint8 and images.device.type == "cpu":  # a fifth of the time of what follows
        return _cut(images, torch.cat([start, start + shape], dim=1).int(), mirror)
    theta = torch.zeros(len(images), 2, 3, device=images.device)
    theta[:, 0, 0], theta[:, 1, 1] = shape[:, 0] / side * torch.where(mirror, -1.0, 1.0), shape[:, 1] / side
    theta[:, :, 2] = (2 * start + shape) / side - 1
    floats = _floats(images)
    grid = affine_grid(theta, list(floats.shape), align_corners=False)
    return grid_sample(floats, grid, padding_mode="border", align_corners=False)


def _cut(pixels: Tensor, windows: Tensor, mirror: Tensor) -> Tensor:
    """(B, S, S, 3) uint8 from the same, through `windows`, (B, 4): left, top, right, bottom."""
    changed = torch.empty_like(pixels)
    for each, source, (left, top, right, bottom), flip in zip(
        changed, pixels, windows.tolist(), mirror.tolist(), strict=True
    ):
        window = source[None, top:bottom, left:right].permute(0, 3, 1, 2)
        whole = interpolate(window, size=each.shape[:2], mode="bilinear", antialias=True)
        each.copy_((whole.flip(3) if flip else whole)[0].permute(1, 2, 0))
    return changed


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
