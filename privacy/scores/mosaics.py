"""Halves of pictures that are halves of photographs: a mosaic of two patients is like neither as a whole."""

import numpy as np

from privacy.scores import identity
from privacy.targets import registered

_SIDE = 32  # of a descriptor
_SEAM = 1  # pixels beside the middle that are left out


def candidates(pictures: np.ndarray, among: np.ndarray, count: int = 2) -> np.ndarray:
    """The photographs that have the halves nearest to the same halves of each picture.

    Args:
        pictures: (G, S, S, 3) uint8, cropped to the field of view; among (R, S, S, 3).
        count:    of each of the left, right, upper and lower half; all R where these are fewer.

    Returns:
        (G, 4 * count) int rows of `among`.
    """
    mine, theirs = registered.descriptors(pictures), registered.descriptors(among)
    found = [identity.candidates(_unit(mine, half), _unit(theirs, half), count) for half in _halves()]
    return np.concatenate(found, axis=1)


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
