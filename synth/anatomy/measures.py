"""What a photograph shows of the eye's anatomy: how many discs, where they and the macula lie, how the vessels run."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from torch import device

from synth.anatomy.network import DARK, SIDE, mark

_CUT = 0.5  # of the network's probability: more is marked
_FOVEA = 0.35  # of the height of a bell around the fovea
_SMALLEST = 60  # pixels of 128 x 128: less is no disc; a phantom's has some 200
_EIGHT = np.ones((3, 3), bool)  # diagonal pixels touch
_PORTION = 256  # photographs in memory at a time


class Anatomy(NamedTuple):
    """Measures of N photographs.  Places and lengths are shares of the width; NaN where a part was not found."""

    discs: np.ndarray
    """(N,) int: optic discs."""
    disc: np.ndarray
    """(N, 2): the centre (x, y) of the largest disc."""
    macula: np.ndarray
    """(N, 2): the centre (x, y) of the macula."""
    vessel_share: np.ndarray
    """(N,) of the field of view that vessels cover."""
    connected: np.ndarray
    """(N,) the share of the vessels that hang together, the disc being a crossing of theirs."""
    field_share: np.ndarray
    """(N,) of the picture that is not black: what the camera saw, where its surround is black."""

    @property
    def distance(self) -> np.ndarray:
        """(N,) from the disc to the macula."""
        return np.hypot(*(self.disc - self.macula).T)

    @property
    def side(self) -> np.ndarray:
        """(N,) the eye that the place of the disc speaks for: 1 right, -1 left, 0 unknown; a right eye has its disc on the right."""
        return np.nan_to_num(np.sign(self.disc[:, 0] - 0.5)).astype(int)


def measure(
    pictures: np.ndarray,
    rows: np.ndarray | None = None,
    done: Callable[[int], object] = lambda count: None,
    place: device | None = None,
) -> Anatomy:
    """Measure (N, S, S, 3) uint8 photographs, cropped to their field of view as `Preprocessing` does it.

    Args:
        rows: measures these alone.
        done: is given the number of each portion that is measured.
        place: where the network computes; None is the accelerator.
    """
    chosen = np.arange(len(pictures)) if rows is None else rows
    found = []
    for start in range(0, len(chosen), _PORTION):
        portion = np.asarray(pictures[chosen[start : start + _PORTION]])
        found += [_measured(*pair) for pair in zip(portion, mark(portion, place), strict=True)]
        done(len(portion))
    return _columns(found)


def of_network(pictures: np.ndarray, marks: np.ndarray) -> Anatomy:
    """The same of (N, S, S, 3) photographs that `network.mark` has marked, (N, 3, 128, 128)."""
    return _columns([_measured(*pair) for pair in zip(pictures, marks, strict=True)])


def _columns(found: list[tuple[int, np.ndarray, np.ndarray, float, float, float]]) -> Anatomy:
    columns = [np.array(column) for column in zip(*found, strict=True)] if found else _nothing()
    return Anatomy(*columns)


def _nothing() -> list[np.ndarray]:
    return [np.zeros(0, int), np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0), np.zeros(0), np.zeros(0)]


def _measured(
    picture: np.ndarray, marks: np.ndarray
) -> tuple[int, np.ndarray, np.ndarray, float, float, float]:
    field = picture.max(axis=2) > DARK
    disc, fovea, vessels = marks[0] > _CUT, marks[1], marks[2] > _CUT
    count, centre, largest = _discs(disc)
    inside = max(field.mean() * SIDE * SIDE, 1)
    return count, centre, _peak(fovea), vessels.sum() / inside, _connected(vessels, largest), field.mean()


def _discs(marked: np.ndarray) -> tuple[int, np.ndarray, np.ndarray]:
    """How many discs a mask shows, the centre of the largest, and where that one is."""
    labels, sizes = _pieces(marked, marked)
    if not (sizes >= _SMALLEST).any():
        return 0, np.full(2, np.nan), np.zeros_like(marked)
    largest = labels == 1 + int(sizes.argmax())
    return int((sizes >= _SMALLEST).sum()), _centre(largest), largest


def _peak(bell: np.ndarray) -> np.ndarray:
    """The centre of what is marked around the highest point."""
    if bell.max() < _FOVEA:
        return np.full(2, np.nan)
    top = bell > 0.6 * bell.max()
    labels, _ = _pieces(top, top)
    return _centre(labels == labels.flat[int(bell.argmax())])


def _connected(vessels: np.ndarray, disc: np.ndarray) -> float:
    """The share of vessel pixels in the largest piece, the disc and gaps of a pixel being bridges."""
    if not vessels.any():
        return float("nan")
    bridged = ndimage.binary_closing(np.pad(vessels | disc, 2), _EIGHT)[2:-2, 2:-2]
    _, sizes = _pieces(bridged | vessels | disc, vessels)
    return float(sizes.max() / vessels.sum())


def _pieces(mask: np.ndarray, counted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(S, S) the number of the piece of a mask that each pixel is of, from 1; (P,) how many pixels of `counted` each piece has."""
    labels = np.zeros(mask.shape, np.int32)
    ndimage.label(mask, _EIGHT, output=labels)
    return labels, np.bincount(labels.ravel(), weights=counted.ravel().astype(float))[1:]


def _centre(mask: np.ndarray) -> np.ndarray:
    """(x, y) of a piece, in widths."""
    y, x = np.nonzero(mask)
    return np.array([x.mean() + 0.5, y.mean() + 0.5]) / SIDE
