"""Light changes to a batch of photographs that leave what it shows as it was."""

from math import gcd, log
from typing import NamedTuple

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

from clip.augmentation import camera
from clip.augmentation.camera import Camera
from synth.base.config import Config
from synth.base.device import constant, moved

LUMA = (0.299, 0.587, 0.114)
_PART = 4
"""Pictures that are changed at a time on a CPU, so that they stay in its cache: three times as fast as 64."""
_BLOCK = 16
"""Pixels whose colours are changed by one row of a product of matrices; by rows of one it takes four times as long."""


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


class _Colours(NamedTuple):
    """One affine map of colours per picture, for rows of P pixels with their channels side by side."""

    linear: Tensor
    """(B, 3 P, 3 P)."""
    grey: Tensor
    """(B, 3 P, 1): what is added to all channels is the product of this with the sum of the picture's rows."""


class _Changes(NamedTuple):
    """What is to become of a batch of pictures of side S."""

    window: Tensor | None
    """(B, 4) left, top, right, bottom in whole pixels of what a crop keeps."""
    mirror: Tensor
    """(B,) bool."""
    colours: _Colours | None
    camera: camera.Draws | None

    def part(self, which: slice) -> "_Changes":
        return _Changes(
            None if self.window is None else self.window[which],
            self.mirror[which],
            self.colours and _Colours(*(each[which] for each in self.colours)),
            self.camera and self.camera.part(which),
        )


def augment(images: Tensor, settings: Augment, generator: torch.Generator) -> Tensor:
    """Change a batch picture by picture.

    Everything drawn comes from `generator`, on the CPU, whatever device the pictures are on.

    Args:
        images: (B, 3, S, S) float in [0, 1], or (B, S, S, 3) uint8.

    Returns:
        (B, 3, S, S) float in [0, 1]; the channels of a pixel lie side by side (`torch.channels_last`).
    """
    count, side, device = len(images), images.shape[2], images.device
    light = moved(torch.rand(count, 8, generator=generator), device)
    lens = camera.draw(count, side, settings.camera, generator, device)
    first = camera.colours(settings.camera, lens) if lens else None
    scale = 1 / 255 if images.dtype == torch.uint8 and lens is None else 1.0  # a camera wants [0, 1]
    window, mirror = _windows(settings, light, side)
    changes = _Changes(window, mirror, _colours(settings, light, first, side, scale), lens)
    size = _PART if device.type == "cpu" else max(1, count)
    changed = torch.empty((count, 3, side, side), device=device, memory_format=torch.channels_last)
    for start in range(0, count, size):
        part = slice(start, start + size)
        _change(images[part], settings.camera, changes.part(part), changed[part])
    return changed


def _change(images: Tensor, settings: Camera, changes: _Changes, changed: Tensor) -> None:
    """Write to `changed`, (B, 3, S, S) with channels last, what becomes of some pictures."""
    whole = images.dtype == torch.uint8
    if whole:
        images = images.permute(0, 3, 1, 2)
    if changes.window is not None:
        images = _crop(images, changes.window, changes.mirror)
    if changes.camera is None:
        if changes.colours is None:
            changed.copy_(images).div_(255 if whole else 1)
        else:
            _colour(images, changes.colours, changed)
        return
    images = images.to(torch.float32, memory_format=torch.contiguous_format)
    images = images / 255 if whole else images
    aperture = camera.aperture(images)
    images = camera.lens(images, settings, changes.camera)
    if changes.colours is not None:
        images = _colour(images, changes.colours, changed).contiguous()
    torch.mul(camera.sensor(images, settings, changes.camera), aperture, out=changed)


def _windows(settings: Augment, draws: Tensor, side: int) -> tuple[Tensor | None, Tensor]:
    """What each crop keeps, None where all keep all as it is, and which pictures are mirrored."""
    mirror = (draws[:, 4] < 0.5) & settings.flip
    if settings.crop == 1 and not settings.flip:
        return None, mirror
    area = settings.crop + (1 - settings.crop) * draws[:, 0]
    stretch = settings.stretch if settings.crop < 1 else 1.0  # nothing is cropped, so nothing is stretched
    ratio = torch.exp((2 * draws[:, 1] - 1) * log(stretch) / 2)
    shape = torch.stack([(area.sqrt() * factor).clamp(max=1) * side for factor in (ratio, 1 / ratio)], dim=1)
    shape = shape.round()
    start = ((side - shape) * draws[:, 2:4]).round()
    return torch.cat([start, start + shape], dim=1), mirror


def _crop(images: Tensor, windows: Tensor, mirror: Tensor) -> Tensor:
    """(B, 3, S, S): a window from each picture, at the size of the picture, in the range that it came in."""
    if images.dtype == torch.uint8:
        if images.device.type == "cpu":  # a fifth of the time of what follows
            return _cut(images, windows, mirror)
        images = images.float()
    side = images.shape[2]
    shape = windows[:, 2:] - windows[:, :2]
    theta = torch.zeros(len(images), 2, 3, device=images.device)
    theta[:, 0, 0], theta[:, 1, 1] = shape[:, 0] / side * torch.where(mirror, -1.0, 1.0), shape[:, 1] / side
    theta[:, :, 2] = (windows[:, :2] + windows[:, 2:]) / side - 1
    grid = affine_grid(theta, list(images.shape), align_corners=False)
    return grid_sample(images, grid, padding_mode="border", align_corners=False)


def _cut(pixels: Tensor, windows: Tensor, mirror: Tensor) -> Tensor:
    """(B, 3, S, S) uint8, as `_crop` makes it."""
    cut = []
    for source, (left, top, right, bottom), flip in zip(
        pixels, windows.int().tolist(), mirror.tolist(), strict=True
    ):
        window = source[None, :, top:bottom, left:right]
        whole = interpolate(window, size=pixels.shape[2:], mode="bilinear", antialias=True)
        cut.append(whole.flip(3) if flip else whole)
    return torch.cat(cut)


def _colours(
    settings: Augment, draws: Tensor, first: Tensor | None, side: int, scale: float
) -> _Colours | None:
    """Values times `scale`, colours through `first`, (B, 3, 3), then brightness, contrast and saturation."""
    if first is None and not (settings.brightness or settings.contrast or settings.saturation):
        return None

    def factor(strength: float, draw: Tensor) -> Tensor:
        return (1 + strength * (2 * draw - 1)).view(-1, 1, 1)

    one, block = torch.eye(3, device=draws.device), gcd(_BLOCK, side * side)
    matrix = one.expand(len(draws), 3, 3) if first is None else first
    matrix = scale * factor(settings.brightness, draws[:, 5]) * matrix
    contrast, saturation = factor(settings.contrast, draws[:, 6]), factor(settings.saturation, draws[:, 7])
    grey = constant(LUMA, draws.device).expand(3, 3)
    mix = grey + saturation * (one - grey)
    linear = (contrast * (mix @ matrix)).mT.contiguous()
    # What contrast adds is a grey, which saturation leaves as it is.
    mean = (1 - contrast) / side**2 * matrix.mean(dim=1).unsqueeze(2)
    return _Colours(torch.kron(torch.eye(block, device=draws.device), linear), mean.repeat(1, block, 1))


def _colour(images: Tensor, colours: _Colours, changed: Tensor) -> Tensor:
    """Write (B, 3, S, S) through their maps to `changed`, which has channels last, bounded to [0, 1]."""
    rows = images.permute(0, 2, 3, 1).float().reshape(len(images), -1, colours.linear.shape[1])
    mapped = changed.permute(0, 2, 3, 1).view(rows.shape)
    grey = rows.sum(dim=1, keepdim=True) @ colours.grey
    torch.bmm(rows, colours.linear, out=mapped).add_(grey).clamp_(0, 1)
    return changed
