"""Light changes to photographs of the eye that leave what they show as it was."""

from math import pi

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from synth.base.config import Config

_LUMA = (0.299, 0.587, 0.114)


class Augmentation(Config):
    """What may be changed, and how far; all zero and no `flip` changes nothing."""

    flip: bool = True
    """Mirror half of the pictures; not where a label tells the eye's side."""
    turn: NonNegativeFloat = 15
    """Degrees by which a picture is turned at most."""
    zoom: float = Field(default=0.1, ge=0, lt=1)
    """Share by which a picture is made larger or smaller at most."""
    colour: float = Field(default=0.15, ge=0, lt=1)
    """Brightness, contrast and saturation are multiplied by 1 +- this at most."""


def augment(images: Tensor, settings: Augmentation) -> Tensor:
    """(B, 3, S, S) in [-1, 1], each mirrored, turned, zoomed and coloured at random, from torch's global seed."""
    draw = torch.rand(len(images), 6).to(images.device)
    angle = (2 * draw[:, 0] - 1) * settings.turn * pi / 180
    scale = 1 + (2 * draw[:, 1] - 1) * settings.zoom
    mirror = torch.where((draw[:, 2] < 0.5) & settings.flip, -1.0, 1.0)
    theta = torch.zeros(len(images), 2, 3, device=images.device)
    theta[:, 0, 0], theta[:, 0, 1] = mirror * scale * angle.cos(), -scale * angle.sin()
    theta[:, 1, 0], theta[:, 1, 1] = mirror * scale * angle.sin(), scale * angle.cos()
    grid = affine_grid(theta, list(images.shape), align_corners=False)
    light = grid_sample(images + 1, grid, align_corners=False)  # what comes in from outside is black
    gain = 1 + (2 * draw[:, 3:] - 1)[:, :, None, None, None] * settings.colour
    light = light * gain[:, 0]
    middle = light.mean(dim=(1, 2, 3), keepdim=True)
    light = middle + (light - middle) * gain[:, 1]
    grey = (light * torch.tensor(_LUMA, device=light.device).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    light = grey + (light - grey) * gain[:, 2]
    return (light.clamp(0, 2) - 1).contiguous(memory_format=torch.channels_last)
