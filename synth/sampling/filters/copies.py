"""Copies of photographs: what a photograph looks like whoever coloured it, and the training photograph nearest to it.

A descriptor is the luminance at 32 pixels a side, freed of illumination and of contrast: vessels, disc and lesions
remain; colour, JPEG and noise hardly matter, and mirroring is undone by reading it backwards.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, affine_grid, avg_pool2d, grid_sample, max_pool2d

from synth.base.device import accelerator, constant

VERSION = 1
"""Raised whenever the same photographs would give another descriptor, or another closeness."""

SIDE = 32
_LUMA = (0.299, 0.587, 0.114)
# What is no brighter than this share of the brightest is surround; of 255, at least and at most.
_DARK = 0.08, 5.0, 14.0
_ILLUMINATION, _NOISE = 5.0, 0.7  # descriptor pixels: standard deviations of the two blurs, coarse and fine
_RIM = 0.84, 0.92  # of the half width: from where to where the rim, which cropping changes, fades out
_ROWS = 1000  # photographs described at a time
_TURNS = (-4.0, 0.0, 4.0)  # degrees
_CROPS = {1.0: (0.0,), 1.05: (-0.045, 0.045), 1.1: (-0.08, 0.0, 0.08)}  # scale: shifts, of the half width
_SHORTLIST, _BACKGROUND = 64, 10
_ROUNDING = 1e-6  # of cosines of 1,024 numbers in single precision


def descriptor(images: np.ndarray, place: torch.device | None = None) -> np.ndarray:
    """What is compared: (N, S, S, 3) uint8, cropped to the field of view -> (N, 1024) float32 of length 1.

    A picture without any detail gives zeros, which are near to nothing.
    """
    parts = [_described(images[i : i + _ROWS], place or accelerator()) for i in range(0, len(images), _ROWS)]
    return torch.cat(parts).cpu().numpy() if parts else np.zeros((0, SIDE * SIDE), np.float32)


class Search:
    """Training photographs that are searched for the origin of a sample: turned, cropped or mirrored a little.

    Args:
        references: (R, 1024) descriptors.
        subjects:   (R,) int: whose they are.
    """

    def __init__(
        self, references: np.ndarray, subjects: np.ndarray, place: torch.device | None = None
    ) -> None:
        place = place or accelerator()
        self._fine = torch.from_numpy(references).to(place)
        self._coarse = _pooled(self._fine)
        self._subjects = torch.from_numpy(np.array(subjects)).to(place)

    def closeness(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How near each of (N, 1024) descriptors comes to its nearest photograph, and which that is.

        The distance to the nearest, divided by the distance to the tenth-nearest photograph of other people (near
        the ratio test of Lowe 2004, and of Carlini et al. 2023, 2301.13188, who divide by the mean of neighbours):
        a noisy or a blurred picture is as far from all, and a plain one as near to all.

        Returns:
            (N,) float32 in [0, 1]: 0 is the photograph itself; (N,) int64.
        """
        parts = [self._closeness(queries[i : i + 64]) for i in range(0, len(queries), 64)]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def _closeness(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        turned = views(torch.from_numpy(np.ascontiguousarray(queries)).to(self._fine.device))  # (V, N, D)
        rough = torch.full((len(queries), len(self._fine)), -1.0, device=self._fine.device)
        for view in turned:
            rough = torch.maximum(rough, _pooled(view) @ self._coarse.T)
        listed = rough.topk(min(_SHORTLIST, len(self._fine)), dim=1).indices  # (N, C)
        likeness = torch.einsum("vnd,ncd->vnc", turned, self._fine[listed]).amax(dim=0)
        distance = (2 - 2 * likeness).clamp(min=0).sqrt()
        first = distance.amin(dim=1)
        alike = (
            likeness >= likeness.amax(dim=1, keepdim=True) - _ROUNDING
        )  # of the same photograph twice, the first
        index = torch.where(alike, listed, len(self._fine)).amin(dim=1)
        others = self._subjects[listed] != self._subjects[index][:, None]
        ranked = torch.where(others, distance, torch.inf).sort(dim=1).values
        tenth = (others.sum(dim=1).clamp(max=_BACKGROUND) - 1).clamp(min=0)
        beside = ranked.gather(1, tenth[:, None])[:, 0]
        beside = torch.where(beside.isinf(), 2**0.5, beside).clamp(min=1e-6)  # nobody else: unlike pictures
        return (first / beside).clamp(max=1).cpu().numpy(), index.cpu().numpy()


def _described(images: np.ndarray, place: torch.device) -> Tensor:
    pictures = torch.from_numpy(np.array(images)).to(place).permute(0, 3, 1, 2).float()
    small = adaptive_avg_pool2d(pictures, SIDE)
    bright = small.amax(dim=1)
    share, least, most = _DARK
    field = (bright > (share * bright.amax(dim=(1, 2), keepdim=True)).clamp(least, most)).float()
    field = -max_pool2d(-field[:, None], 3, 1, 1)[:, 0]  # without its outermost pixel
    light = (small * constant(_LUMA, place).view(3, 1, 1)).sum(dim=1)
    weight = _blur(field, _ILLUMINATION) + 1e-3
    detail = (light - _blur(light * field, _ILLUMINATION) / weight) * field
    detail = _blur(detail, _NOISE)
    contrast = (_blur(detail**2 * field, _ILLUMINATION) / weight).sqrt() + 1
    across = torch.linspace(-1, 1, SIDE, device=place)
    radius = torch.hypot(across[:, None], across[None, :])
    fade = ((_RIM[1] - radius) / (_RIM[1] - _RIM[0])).clamp(0, 1)
    return _unit(detail / contrast * field * fade)


def _blur(maps: Tensor, width: float) -> Tensor:
    """Gaussian of `width` pixels over (N, SIDE, SIDE)."""
    place = torch.arange(SIDE, device=maps.device, dtype=torch.float32)
    weights = torch.exp(-((place[:, None] - place[None, :]) ** 2) / (2 * width**2))
    weights = weights / weights.sum(dim=1, keepdim=True)
    return weights @ maps @ weights.T


def _unit(maps: Tensor) -> Tensor:
    """(N, S, S) -> (N, S * S) of mean 0 and length 1; zeros where there is nothing."""
    flat = maps.flatten(1)
    flat = flat - flat.mean(dim=1, keepdim=True)
    return flat / flat.norm(dim=1, keepdim=True).clamp(min=1e-3)


def _pooled(descriptors: Tensor) -> Tensor:
    return _unit(avg_pool2d(descriptors.view(-1, 1, SIDE, SIDE), 2)[:, 0])


def views(descriptors: Tensor) -> Tensor:
    """(N, D) -> (V, N, D): each as it is, turned, drawn in and shifted (what undoes a crop), and all these mirrored."""
    maps = descriptors.view(-1, 1, SIDE, SIDE)
    found = []
    for turn in _TURNS:
        for zoom, x, y in ((zoom, x, y) for zoom, by in _CROPS.items() for x in by for y in by):
            cos, sin = (zoom * float(of(np.deg2rad(turn))) for of in (np.cos, np.sin))
            how = constant((((cos, -sin, x), (sin, cos, y)),), maps.device)
            grid = affine_grid(how.expand(len(maps), -1, -1), list(maps.shape), align_corners=False)
            view = grid_sample(maps, grid, align_corners=False)[:, 0]
            found += [_unit(view), _unit(view.flip(-1))]
    return torch.stack(found)
