"""What another camera would have made of the same eye: field, lens, colours, noise and file, batch by batch.

Photographs of one disease come from many cameras, synthetic ones from one generator; a network that has seen one look
takes the look for the finding.  The black surround, which preprocessing makes, stays black.
"""

from functools import lru_cache
from math import ceil, pi
from typing import NamedTuple

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, conv2d, grid_sample, interpolate, pad

from synth.base.config import Config
from synth.base.device import constant, moved

_DARK = 4 / 255
"""Nothing of the eye is darker than this in all channels where the field ends."""
_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_LUMINANCE = (16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
              14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
              49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99)  # fmt: skip
_CHROMINANCE = (17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
                47, 66, *[99] * 38)  # fmt: skip
"""Quantisation at quality 50: ITU-T T.81, Annex K, tables K.1 and K.2, row by row."""


class Camera(Config):
    """How far cameras may differ; 0 leaves a thing as it is, and is the default of each.  Uniform draws, per picture."""

    zoom: NonNegativeFloat = 0.0
    """A narrower field: what is seen is magnified by 1 to 1 + this, in the same aperture; 0.25 is 45 degrees for 55."""
    rotate: float = Field(default=0.0, ge=0, le=180)
    """Degrees by which the camera is turned, either way."""
    vignette: float = Field(default=0.0, ge=0, le=1)
    """Share of light lost at the rim of the field, up to this; it grows with the square of the distance from a centre that
    lies up to a fifth of the field's radius off."""
    blur: NonNegativeFloat = 0.0
    """Standard deviation of a Gaussian, up to this share of the picture's side; 0.01 is 2.2 pixels of 224."""
    gain: NonNegativeFloat = 0.0
    """Each channel by itself is multiplied by up to e to the power +-this."""
    hue: float = Field(default=0.0, ge=0, le=180)
    """Degrees by which colours are turned about grey, either way."""
    gamma: NonNegativeFloat = 0.0
    """Exponent of brightness, up to e to the power +-this."""
    noise: NonNegativeFloat = 0.0
    """Standard deviation of Gaussian noise, up to this share of the full scale."""
    jpeg: float = Field(default=0.0, ge=0, le=95)
    """Quality of a JPEG is drawn from 100 - this to 100; half the pictures are left uncompressed."""


class Draws(NamedTuple):
    """Everything drawn for a batch."""

    shares: Tensor
    """(B, 17) in [0, 1)."""
    host: Tensor
    """The same on the CPU, to decide by without waiting for a GPU."""
    grain: Tensor | None
    """(3, 2 S, 2 S) standard normal, of which every picture takes its own window."""

    def part(self, which: slice) -> "Draws":
        return Draws(self.shares[which], self.host[which], self.grain)


def draw(
    count: int, side: int, settings: Camera, generator: torch.Generator, place: torch.device
) -> Draws | None:
    """What `count` pictures need; nothing where no setting changes anything.

    All of it is drawn on the CPU.  Noise is drawn once per batch: a window of the same grain, somewhere else for each
    picture, costs a hundredth of grain of its own.
    """
    if not any(settings.model_dump().values()):
        return None
    host = torch.rand(count, 17, generator=generator)
    grain = torch.randn(3, 2 * side, 2 * side, generator=generator) if settings.noise else None
    return Draws(moved(host, place), host, None if grain is None else moved(grain, place))


def aperture(images: Tensor) -> Tensor:
    """(B, 1, S, S) bool: what lies between lit pixels, along its row and along its column."""
    lit = images.amax(dim=1, keepdim=True) > _DARK
    at = torch.arange(1, images.shape[2] + 1, device=images.device, dtype=images.dtype)
    inside = lit
    for axis, along in ((2, at.view(-1, 1)), (3, at)):
        last = (lit * along).amax(dim=axis, keepdim=True)
        first = len(at) + 1 - (lit * (len(at) + 1 - along)).amax(dim=axis, keepdim=True)
        inside = inside | ((along >= first) & (along <= last))
    return inside


def lens(images: Tensor, settings: Camera, draws: Draws) -> Tensor:
    """Field of view, turn, fall of light towards the rim, and focus."""
    share = draws.shares
    if settings.zoom or settings.rotate:
        images = _turned(images, settings, share[:, :4])
    if settings.vignette:
        centre = (share[:, 4:6] - 0.5) * 0.4
        at = torch.linspace(-1, 1, images.shape[2], device=images.device)
        x, y = ((at - centre[:, i : i + 1]).square() for i in (0, 1))
        loss = settings.vignette * share[:, 6].view(-1, 1, 1) * (y[:, :, None] + x[:, None, :])
        images = images * (1 - loss).clamp_(min=0).unsqueeze(1)
    return _blurred(images, settings.blur, share[:, 7]) if settings.blur else images


def colours(settings: Camera, draws: Draws) -> Tensor | None:
    """(B, 3, 3): gain of each channel, then a turn of hues."""
    if not (settings.gain or settings.hue):
        return None
    share = draws.shares
    gains = torch.diag_embed(torch.exp(settings.gain * (2 * share[:, 8:11] - 1)))
    angle = (2 * share[:, 11] - 1) * settings.hue * pi / 180
    turn = torch.eye(3, device=share.device).repeat(len(share), 1, 1)
    turn[:, 1, 1] = turn[:, 2, 2] = angle.cos()
    turn[:, 2, 1] = angle.sin()
    turn[:, 1, 2] = -angle.sin()
    basis, inverse = constant(_YIQ, share.device), torch.linalg.inv(torch.tensor(_YIQ))
    return moved(inverse, share.device) @ turn @ basis @ gains


def sensor(images: Tensor, settings: Camera, draws: Draws) -> Tensor:
    """Response, noise, and what a JPEG keeps of it; (B, 3, S, S) in [0, 1]."""
    share, side = draws.shares, images.shape[2]
    if settings.gamma:
        images = images.pow(torch.exp(settings.gamma * (2 * share[:, 12] - 1)).view(-1, 1, 1, 1))
    if draws.grain is not None:
        corners = (draws.host[:, 13:15] * side).long().tolist()
        grain = torch.stack([draws.grain[:, y : y + side, x : x + side] for y, x in corners])
        images = (images + grain * (settings.noise * share[:, 15]).view(-1, 1, 1, 1)).clamp_(0, 1)
    if settings.jpeg:
        quality = (100 - settings.jpeg * (2 * share[:, 16] - 1).clamp(min=0)).round()
        chosen = moved((draws.host[:, 16] >= 0.5).nonzero().squeeze(1), images.device)
        if len(chosen):
            images = images.index_put((chosen,), compressed(images[chosen], quality[chosen]))
    return images


def compressed(images: Tensor, quality: Tensor) -> Tensor:
    """What a JPEG of a quality, (B,) in [1, 100], keeps of (B, 3, S, S) in [0, 1]; the tables are libjpeg's.

    4:2:0 chroma, 8 x 8 cosine transform, quantisation; ITU-T T.81.  The entropy coding that follows loses nothing.
    """
    height, width = images.shape[2:]
    padded = pad(images, (0, -width % 16, 0, -height % 16), mode="replicate")
    ycc = torch.einsum("dc,bchw->bdhw", constant(_YCC, images.device), padded) * 255
    ycc[:, 0] -= 128
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality).view(-1, 1)
    tables = [
        ((constant(table, images.device) * scale + 50) / 100).floor().clamp(1, 255)
        for table in (_LUMINANCE, _CHROMINANCE)
    ]
    light = _quantised(ycc[:, :1], tables[0])
    hues = interpolate(_quantised(avg_pool2d(ycc[:, 1:], 2), tables[1]), scale_factor=2, mode="bilinear")
    light += 128
    back = moved(torch.linalg.inv(torch.tensor(_YCC).double()).float(), images.device)
    rgb = torch.einsum("dc,bchw->bdhw", back, torch.cat([light, hues], dim=1))
    return (rgb / 255).clamp_(0, 1)[:, :, :height, :width]


def _quantised(channels: Tensor, table: Tensor) -> Tensor:
    """(B, C, H, W) through the quantised cosine transform of its blocks; `table` is (B, 64)."""
    count, depth, height, width = channels.shape
    basis = _cosines(channels.device)
    blocks = channels.view(count, depth, height // 8, 8, width // 8, 8).transpose(3, 4).reshape(count, -1, 64)
    table = table.unsqueeze(1)
    blocks = ((blocks @ basis.T) / table).round_().mul_(table) @ basis
    return blocks.view(count, depth, height // 8, width // 8, 8, 8).transpose(3, 4).reshape(channels.shape)


@lru_cache(maxsize=8)
def _cosines(place: torch.device) -> Tensor:
    """(64, 64): the orthonormal cosine transform of an 8 x 8 block, rows and columns at once."""
    at = torch.arange(8, dtype=torch.float64)
    single = torch.cos((2 * at + 1) * at.unsqueeze(1) * pi / 16) / 2
    single[0] /= 2**0.5
    return torch.kron(single, single).float().to(place)


def _turned(images: Tensor, settings: Camera, share: Tensor) -> Tensor:
    """Magnified about a point of the field and turned about its centre."""
    width = 1 / (1 + settings.zoom * share[:, 0])
    angle = (2 * share[:, 3] - 1) * settings.rotate * pi / 180
    theta = torch.zeros(len(images), 2, 3, device=images.device)
    theta[:, 0, 0] = theta[:, 1, 1] = width * angle.cos()
    theta[:, 0, 1], theta[:, 1, 0] = -width * angle.sin(), width * angle.sin()
    # Half of what there is room for: the corners of the field are black.
    theta[:, :, 2] = (1 - width).unsqueeze(1) * (2 * share[:, 1:3] - 1) / 2
    grid = affine_grid(theta, list(images.shape), align_corners=False)
    return grid_sample(images, grid, padding_mode="zeros", align_corners=False)


def _blurred(images: Tensor, strength: float, share: Tensor) -> Tensor:
    """Each picture by a Gaussian of its own width."""
    count, _, side, _ = images.shape
    sigma = (strength * side * share).clamp(min=1e-3).view(-1, 1)
    reach = max(1, ceil(3 * strength * side))
    at = torch.arange(-reach, reach + 1, device=images.device)
    kernel = torch.exp(-(at.square() / (2 * sigma.square())))
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(3, dim=0)
    flat = images.reshape(1, count * 3, side, -1)
    for shape, edge in (((-1, 1, 1, 2 * reach + 1), (reach, reach, 0, 0)),
                        ((-1, 1, 2 * reach + 1, 1), (0, 0, reach, reach))):  # fmt: skip
        flat = conv2d(pad(flat, edge, mode="replicate"), kernel.view(shape), groups=count * 3)
    return flat.view_as(images)
