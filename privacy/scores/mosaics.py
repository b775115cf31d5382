"""Halves of pictures that are halves of photographs: a mosaic of two patients is like neither as a whole.

Illumination and contrast are taken off within the half alone, so that the seam does not show.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from privacy.scores import aligned, identity
from synth.base.runs import progress

if TYPE_CHECKING:
    from torch import Tensor

_SEAM = 1  # pixels beside the middle that are left out
_SHIFT = 1  # pixels of 32 a side, of a half: another field of view moves it
_EACH = 2  # candidates of each half
_BATCH, _PAIRS = 256, 2**25
"""Pictures at a time, and pairs of these with photographs: a gigabyte or so, however many there are."""
COMPARED = 4 * 2 * (2 * _SHIFT + 1) ** 2 * 512
"""Multiplications for a picture and a photograph: four halves of 512 pixels, mirrored too, in nine shifts."""


class NearestHalf(NamedTuple):
    """Of each picture the photograph that its best half is nearest to."""

    closeness: np.ndarray
    """(G,) as in `privacy.targets.registered`: the distance of that half over that to the tenth-nearest of other patients."""
    row: np.ndarray
    """(G,) int."""
    candidates: np.ndarray
    """(G, 8) int rows of the photographs that come nearest to each half, where there are so many."""


def nearest(pictures: np.ndarray, among: np.ndarray, patient_ids: np.ndarray) -> NearestHalf:
    """Compare the left, right, upper and lower half of each picture, mirrored too, with the same halves of photographs.

    Args:
        pictures: (G, 64, 64, 3) uint8, cropped to the field of view.
        among:    (R, 64, 64, 3) uint8; `patient_ids` (R,) int tells the patient.
    """
    import torch

    each, batch = min(_EACH, len(among)), min(_BATCH, max(_PAIRS // len(among), 1))
    found, rows = np.empty((4, len(pictures))), np.empty((4, len(pictures)), int)
    candidates = np.empty((4, len(pictures), each), int)
    with progress("comparing halves", 4 * len(pictures)) as bar, torch.inference_mode():
        for place, half in enumerate(_halves()):
            theirs = _unit(_small(among, half), half)
            for first in range(0, len(pictures), batch):
                here = slice(first, first + batch)
                part = pictures[here]
                squares = 2 - 2 * _likeness(part, half, theirs).double().numpy()
                rows[place, here], beside = identity.ranked(squares, patient_ids)
                found[place, here] = np.sqrt(squares.min(axis=1).clip(0)) / beside
                candidates[place, here] = np.argpartition(squares, each - 1, axis=1)[:, :each]
                bar.update(len(part))
    best, everyone = found.argmin(axis=0), np.arange(len(pictures))
    return NearestHalf(found[best, everyone], rows[best, everyone], np.concatenate(candidates, axis=1))


def _likeness(pictures: np.ndarray, half: np.ndarray, theirs: "Tensor") -> "Tensor":
    """(G, R) cosine of a half of pictures, mirrored or not, with that of photographs, (R, 512), in the shift that suits them best."""
    import torch

    steps = range(-_SHIFT, _SHIFT + 1)
    best = torch.full((len(pictures), len(theirs)), -1.0)
    for view in (pictures, pictures[:, :, ::-1]):
        mine = _small(view, half)
        for y in steps:
            for x in steps:
                best = torch.maximum(best, _unit(torch.roll(mine, (y, x), (1, 2)), half) @ theirs.T)
    return best


def _small(pictures: np.ndarray, half: np.ndarray) -> "Tensor":
    """(N, 32, 32): the detail of half of each picture."""
    import torch
    from torch.nn.functional import avg_pool2d

    starts = range(0, len(pictures), _BATCH)
    parts = (aligned.detail(pictures[first : first + _BATCH], half) for first in starts)
    return torch.cat([avg_pool2d(part[:, None], 2)[:, 0] for part in parts])


def _unit(details: "Tensor", half: np.ndarray) -> "Tensor":
    """(N, 512) of (N, 32, 32): of length 1 as a whole, the pixels of the half."""
    import torch
    from torch.nn.functional import normalize

    seen = half[::2, ::2] | half[1::2, 1::2]
    return normalize(details.flatten(1), dim=1, eps=1e-3)[:, torch.from_numpy(seen.ravel())]


def _halves() -> list[np.ndarray]:
    """(64, 64) bool each."""
    place = np.broadcast_to(np.arange(aligned.SIDE), (aligned.SIDE, aligned.SIDE))
    first, second = place < aligned.SIDE // 2 - _SEAM, place > aligned.SIDE // 2 - 1 + _SEAM
    return [first, second, first.T, second.T]
