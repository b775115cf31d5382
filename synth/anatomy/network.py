"""The network that marks disc, fovea and vessels: a U-Net (Ronneberger et al. 2015, 1505.04597) of .4 million weights.

It learnt from phantoms alone (`synth.anatomy.training`), whose anatomy is known, and sees photographs without their
overall colour and light, which is where phantoms and cameras differ most.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d, pixel_shuffle, pixel_unshuffle

from synth.base import weights
from synth.base.device import accelerator
from synth.data.tensors import as_tensor

SIDE = 128
"""Pixels a side at which it looks."""
PARTS = ("disc", "fovea", "vessels")
"""What its output marks, in this order."""
WEIGHTS = Path(__file__).parent.parent / "weights" / "anatomy.safetensors"
_WIDTHS = (24, 48, 64, 64)
_COARSE = 8  # pixels a side of the squares of which five a side are the surroundings
DARK = 25
"""Of 255: what is no brighter in any colour lies outside the field of view."""
_BATCH = 32


class AnatomyNet(nn.Module):
    """Photographs -> logits of `PARTS`."""

    def __init__(self) -> None:
        super().__init__()
        down = zip((16, *_WIDTHS), _WIDTHS, strict=False)
        up = zip(_WIDTHS[1:], _WIDTHS, strict=False)
        self.down = nn.ModuleList(_block(inside, outside) for inside, outside in down)
        self.up = nn.ModuleList(_block(deep + outside, outside) for deep, outside in up)
        self.last = nn.Conv2d(_WIDTHS[0], 4 * len(PARTS), 1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, 128, 128) in [-1, 1] -> (B, 3, 128, 128)."""
        hidden, kept = pixel_unshuffle(normalised(images), 2), []
        for place, block in enumerate(self.down):
            hidden = block(max_pool2d(hidden, 2) if place else hidden)
            kept.append(hidden)
        for block, skipped in zip(reversed(self.up), reversed(kept[:-1]), strict=True):
            hidden = block(torch.cat([interpolate(hidden, scale_factor=2.0), skipped], dim=1))
        return pixel_shuffle(self.last(hidden), 2)


def _block(inside: int, outside: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (inside, outside):
        layers += [
            nn.Conv2d(width, outside, 3, padding=1, bias=False),
            nn.GroupNorm(4, outside),
            nn.SiLU(inplace=True),
        ]
    return nn.Sequential(*layers)


def in_field(images: Tensor) -> Tensor:
    """(B, 1, S, S) 0 or 1: where (B, 3, S, S) images in [-1, 1] are not black."""
    return (images.amax(dim=1, keepdim=True) > DARK / 127.5 - 1).float()


def normalised(images: Tensor) -> Tensor:
    """(B, 4, S, S): how far each colour lies above its surroundings, in their deviations; and the field of view."""
    seen = in_field(images)
    share = _mean(seen).clamp_min(1e-3)
    away = (images - _mean(images * seen) / share) * seen
    spread = (_mean(away.square().mean(dim=1, keepdim=True)) / share).sqrt()
    return torch.cat([away / (spread + 0.05), seen], dim=1)


def _mean(values: Tensor) -> Tensor:
    """Over the surroundings of each place; they are some 40 pixels wide."""
    coarse = avg_pool2d(avg_pool2d(values, _COARSE), 5, stride=1, padding=2)
    return interpolate(coarse, scale_factor=float(_COARSE), mode="bilinear")


def resized(pictures: np.ndarray, place: torch.device | None = None) -> Tensor:
    """(B, 3, 128, 128) in [-1, 1] of (B, S, S, 3) uint8 photographs of any size; None is the CPU."""
    return interpolate(as_tensor(pictures, place), (SIDE, SIDE), mode="bilinear", antialias=True)


@torch.inference_mode()
def mark(pictures: np.ndarray, place: torch.device | None = None) -> np.ndarray:
    """(N, 3, 128, 128) float32: how probable disc, fovea and vessels are at each place of (N, S, S, 3) uint8 photographs.

    Photographs are cropped to their field of view, as `Preprocessing` does it.  `place` is where the network computes; None is
    the accelerator.
    """
    place = place or accelerator()
    network = shipped(place)
    parts = [
        network(resized(pictures[i : i + _BATCH], place)).sigmoid().cpu().numpy()
        for i in range(0, len(pictures), _BATCH)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, len(PARTS), SIDE, SIDE), np.float32)


@lru_cache(maxsize=2)
def shipped(place: torch.device) -> AnatomyNet:
    """The network with the weights that come with the package, on a device."""
    network = AnatomyNet()
    network.load_state_dict(weights.read(WEIGHTS))
    return network.eval().to(place)
