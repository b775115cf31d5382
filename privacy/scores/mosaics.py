"""Halves of pictures that are halves of photographs: a mosaic of two patients is like neither as a whole."""

import numpy as np

from privacy.scores import identity
from privacy.targets import registered

_SIDE = 32  # of a descriptor
_SEAM = 1  # pixels beside the middle that are left out


def nearest(
    pictures: np.ndarray, among: np.ndarray, patient_ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How near the nearest half of each picture comes to the same half of a photograph, and of which one.

    Args:
        pictures: (G, S, S, 3) uint8, cropped to the field of view.
        among:    (R, S, S, 3) uint8; `patient_ids` (R,) int tells the patient.

    Returns:
        (G,) distance over that to the tenth-nearest of other patients, at most 1, of the left, right, upper or lower half that
        comes nearest; (G,) int rows of `among`.
    """
    mine, theirs = registered.descriptors(pictures), registered.descriptors(among)
    found = [identity.nearest(_unit(mine, half), _unit(theirs, half), patient_ids) for half in _halves()]
    closeness, rows = (np.stack(each) for each in zip(*found, strict=True))
    best = closeness.argmin(axis=0), np.arange(len(pictures))
    return closeness[best], rows[best]


def _halves() -> list[np.ndarray]:
    """(1024,) bool each."""
    place = np.broadcast_to(np.arange(_SIDE), (_SIDE, _SIDE))
    first, second = place < _SIDE // 2 - _SEAM, place >= _SIDE // 2 + _SEAM
    return [half.ravel() for half in (first, second, first.T, second.T)]


def _unit(descriptors: np.ndarray, half: np.ndarray) -> np.ndarray:
    """(N, D) of mean 0 and length 1: what half of (N, 1024) descriptors shows."""
    part = descriptors[:, half].astype(float)
    part = part - part.mean(axis=1, keepdims=True)
    return part / np.linalg.norm(part, axis=1, keepdims=True).clip(1e-6)
