"""Pictures laid over the photographs that they may be copies of: as a whole, then each window by a little more.

A copy that was turned, enlarged, shifted or warped shows everywhere what its photograph shows, once it lies on it.  The pose is
found by correlation (phase correlation without whitening, over turns and zooms), the rest by matching small windows.
"""

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from synth.base.runs import progress

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 64  # of a picture
_TURNS = (-18, -12, -6, 0, 6, 12, 18)  # degrees
_ZOOMS = (0.8, 0.89, 1.0, 1.12, 1.25)
_SHIFT = 5  # pixels of 32 a side, of the pose
_WARP = 3  # pixels of 64 a side, of each part beside the pose
_LAID = 4  # candidates on which a picture is laid in detail: those that the pose suits best
_DETAIL, _ILLUMINATION, _WINDOW = 0.8, 5.0, 4.0  # pixels: standard deviations
_LUMA = (0.3, 0.6, 0.1)
_DARK = 0.08, 5.0, 14.0
_RIM = 0.88, 0.96  # of the half width: up to where parts are compared, and where detail has faded out


def nearest(
    pictures: np.ndarray, among: np.ndarray, patient_ids: np.ndarray, candidates: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Lay each picture over its candidates, and find the one that it lies best on.

    Args:
        pictures:   (G, 64, 64, 3) uint8, cropped to the field of view.
        among:      (R, 64, 64, 3) uint8; `patient_ids` (R,) int tells the patient.
        candidates: (G, K) int rows of `among`; a row may stand there twice.

    Returns:
        (G,) closeness: how far each picture is from agreeing with that photograph, over the same of the other candidates;
        0 is the photograph itself; (G,) int row of that photograph.
    """
    import torch

    closeness, index = np.empty(len(pictures)), np.empty(len(pictures), int)
    with progress("laying pictures over photographs", len(pictures)) as bar, torch.inference_mode():
        for place, picture in enumerate(pictures):
            rows = np.unique(candidates[place])
            kept, agreement = _laid(detail(picture[None])[0], detail(among[rows]))
            closeness[place], index[place] = _nearest(
                np.sqrt((1 - agreement).clip(min=0)), rows[kept], patient_ids
            )
            bar.update()
    return closeness, index


def _nearest(distances: np.ndarray, rows: np.ndarray, patient_ids: np.ndarray) -> tuple[float, int]:
    """Closeness and row of the nearest, of (K,) distances to candidates."""
    first = int(distances.argmin())
    others = distances[patient_ids[rows] != patient_ids[rows[first]]]
    beside = float(np.sqrt(np.mean(others**2))) if len(others) else 1.0
    return min(1.0, distances[first] / max(beside, 1e-6)), int(rows[first])


def _laid(picture: "Tensor", photographs: "Tensor") -> tuple[np.ndarray, np.ndarray]:
    """Which (k,) of (K, S, S) photographs a picture lies best on, and (k,) how well it agrees."""
    import torch

    posed = _warped(picture, _poses())
    one, other = (torch.fft.rfft2(_padded(each)) for each in (posed, photographs))
    size = SIDE // 2 + 16
    matched = torch.fft.irfft2(one[:, None].conj() * other[None], s=(size, size))
    shifts = torch.arange(-_SHIFT, _SHIFT + 1)
    matched = matched[:, :, shifts % size][..., shifts % size].transpose(0, 1).flatten(1)
    value, place = matched.max(dim=1)
    kept = value.argsort(descending=True, stable=True)[:_LAID]
    pose, shift = place[kept] // len(shifts) ** 2, place[kept] % len(shifts) ** 2
    down, across = shifts[shift // len(shifts)], shifts[shift % len(shifts)]
    laid = torch.stack(
        [
            torch.roll(posed[p], (2 * int(y), 2 * int(x)), (0, 1))
            for p, y, x in zip(pose, down, across, strict=True)
        ]
    )
    field = (_radius() < _RIM[0]).float()
    agreement = _agreement(laid, photographs[kept]) * field / field.sum()
    return kept.numpy(), agreement.sum(dim=(1, 2)).numpy()


def _agreement(pictures: "Tensor", photographs: "Tensor") -> "Tensor":
    """(K, S, S) correlation of a window about each pixel with the window of the photograph that it fits best, near by."""
    import torch

    window = _gauss(_WINDOW)
    own = window @ pictures**2 @ window.T
    best = torch.full_like(pictures, -1.0)
    for y in range(-_WARP, _WARP + 1):
        for x in range(-_WARP, _WARP + 1):
            moved = torch.roll(photographs, (y, x), (1, 2))
            size = (own * (window @ moved**2 @ window.T)).clamp(min=1e-4).sqrt()
            best = torch.maximum(best, window @ (pictures * moved) @ window.T / size)
    return best


def detail(pictures: np.ndarray, part: np.ndarray | None = None) -> "Tensor":
    """(N, S, S) of (N, S, S, 3) uint8: luminance freed of illumination and contrast, 0 outside of the field.

    Args:
        part: (S, S) bool, what alone is looked at: nothing beside it changes what is found, its edge does not show.
    """
    import torch
    from torch.nn.functional import max_pool2d

    shown = torch.from_numpy(np.array(pictures)).float()
    bright, (share, least, most) = shown.amax(dim=-1), _DARK
    field = (bright > (share * bright.amax(dim=(1, 2), keepdim=True)).clamp(least, most)).float()
    field = -max_pool2d(-field[:, None], 3, 1, 1)[:, 0]  # without its outermost pixel
    if part is not None:
        field = field * torch.from_numpy(part)
    light, coarse, fine = shown @ torch.tensor(_LUMA), _gauss(_ILLUMINATION), _gauss(_DETAIL)
    weight = coarse @ field @ coarse.T + 1e-3
    found = fine @ ((light - coarse @ (light * field) @ coarse.T / weight) * field) @ fine.T
    contrast = (coarse @ (found**2 * field) @ coarse.T / weight).sqrt() + 1
    fade = ((_RIM[1] - _radius()) / (_RIM[1] - _RIM[0])).clamp(0, 1)
    return found / contrast * field * fade


def _padded(details: "Tensor") -> "Tensor":
    """(N, 48, 48): half as large, of length 1, with room for shifts."""
    from torch.nn.functional import avg_pool2d, normalize, pad

    small = avg_pool2d(details[:, None], 2)[:, 0]
    return pad(normalize(small.flatten(1), dim=1, eps=1e-3).view_as(small), (0, 16, 0, 16))


def _warped(detail: "Tensor", poses: "Tensor") -> "Tensor":
    """(V, S, S): one picture in every pose."""
    from torch.nn.functional import affine_grid, grid_sample

    repeated = detail.expand(len(poses), 1, SIDE, SIDE)
    return grid_sample(
        repeated, affine_grid(poses, list(repeated.shape), align_corners=False), align_corners=False
    )[:, 0]


@cache
def _poses() -> "Tensor":
    """(V, 2, 3): every turn in every zoom, and mirrored."""
    import torch

    found = []
    for mirror in (1, -1):
        for turn in np.deg2rad(_TURNS):
            for zoom in _ZOOMS:
                cos, sin = zoom * np.cos(turn), zoom * np.sin(turn)
                found.append([[mirror * cos, -sin, 0], [mirror * sin, cos, 0]])
    return torch.tensor(found, dtype=torch.float32)


@cache
def _gauss(width: float) -> "Tensor":
    """(S, S) that blurs columns by so many pixels; what lies beyond the edge counts as 0."""
    import torch

    place = torch.arange(SIDE, dtype=torch.float32)
    weights = torch.exp(-((place[:, None] - place[None]) ** 2) / (2 * width**2))
    return weights / weights[SIDE // 2].sum()


def _radius() -> "Tensor":
    import torch

    across = torch.linspace(-1, 1, SIDE)
    return torch.hypot(across[:, None], across[None])
