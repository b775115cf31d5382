"""One photograph under two names: copies that were compressed or resized again, found by what they show.

Every picture has a small descriptor of its brightness, freed of its illumination.  Random planes sort the descriptors into
cells (Charikar 2002, doi:10.1145/509907.509965); what meets in a cell and correlates is compared in more detail.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage

from synth.data import formats

_SIDE = 16  # pixels of a descriptor
_DETAIL = 64  # pixels on which two pictures are compared
_BLUR = 4.0  # of them in a descriptor, sigma: what is coarser is illumination
_CANDIDATE, _SAME = 0.98, 0.9  # correlation of descriptors, and of details
_FEW = 50  # pictures; what the mean of a set is worth beside so many
_TABLES, _PLANES = 12, 20
_BLOCK = 4096  # vectors that are computed at a time
_CROWD = 2000  # of one cell; what fills more is no photograph, and not compared
_LEVEL = 8  # grey values of one level
_EVEN = 0.92
"""Share of a picture in its two commonest of 32 grey levels, above which it is no photograph: of 840 photographs of seven
sets .89 at most, of placeholders .95 at least."""


class Described(NamedTuple):
    """A picture in a few numbers."""

    width: int
    height: int
    descriptor: bytes | None
    """(16, 16) uint8 brightness; None where the picture has no content."""


def describe(picture: Image.Image) -> Described:
    """Size and descriptor of an upright RGB picture."""
    grey = _grey(picture)
    if not _has_content(grey):
        return Described(*picture.size, None)
    return Described(*picture.size, grey.reduce(_DETAIL // _SIDE).tobytes())


def _has_content(grey: Image.Image) -> bool:
    """Whether a picture is more than an even ground, with text on it or without: a viewer's placeholder, an error page."""
    levels = np.asarray(grey.histogram()).reshape(-1, _LEVEL).sum(axis=1)
    return int(np.partition(levels, -2)[-2:].sum()) <= _EVEN * _DETAIL**2


def _grey(picture: Image.Image) -> Image.Image:
    """The brightness of an RGB picture on 64 x 64 pixels."""
    return picture.convert("L").resize((_DETAIL, _DETAIL), Image.Resampling.BOX)


def copies(
    descriptors: Sequence[bytes], groups: Sequence[str], image: Callable[[int], bytes]
) -> list[tuple[int, int]]:
    """Pairs of pictures of different groups that are one photograph, by their places.

    Args:
        descriptors: of `describe`.
        groups:      the subject of each picture; pairs within one are not sought.
        image:       the encoded picture of a place, asked for where descriptors agree.
    """
    if len(descriptors) < 2:
        return []
    vectors = _vectors(descriptors)
    names = np.unique(np.asarray(groups), return_inverse=True)[1]
    candidates = sorted({pair for pairs in _in_one_cell(vectors) for pair in _near(vectors, names, *pairs)})
    details: dict[int, np.ndarray] = {}
    for place in {place for pair in candidates for place in pair}:
        details[place] = _detail(image(place))
    return [(one, other) for one, other in candidates if float(details[one] @ details[other]) > _SAME]


def _vectors(descriptors: Sequence[bytes]) -> np.ndarray:
    """(N, 256) float16 of length 1: brightness without illumination, less what the pictures of the set have in common."""
    count = len(descriptors)
    vectors = np.empty((count, _SIDE**2), np.float16)
    mean = np.zeros(_SIDE**2, np.float32)
    for start in range(0, count, _BLOCK):
        raw = np.frombuffer(b"".join(descriptors[start : start + _BLOCK]), np.uint8)
        part = raw.reshape(-1, _SIDE, _SIDE).astype(np.float32)
        part -= ndimage.gaussian_filter(part, (0, _BLUR, _BLUR))
        part = _unit(part.reshape(len(part), -1))
        vectors[start : start + _BLOCK], mean = part, mean + part.sum(axis=0)
    common = mean / count * (count / (count + _FEW))
    for start in range(0, count, _BLOCK):
        vectors[start : start + _BLOCK] = _unit(vectors[start : start + _BLOCK].astype(np.float32) - common)
    return vectors


def _unit(rows: np.ndarray) -> np.ndarray:
    rows = rows - rows.mean(axis=-1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-6)


def _in_one_cell(vectors: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places of pairs that lie on one side of all planes of a table, some at a time."""
    rng = np.random.default_rng(0)
    bits = 1 << np.arange(_PLANES)
    for _ in range(_TABLES):
        planes = rng.standard_normal((vectors.shape[1], _PLANES), np.float32)
        blocks = range(0, len(vectors), _BLOCK)
        keys = np.concatenate(
            [(vectors[i : i + _BLOCK].astype(np.float32) @ planes > 0) @ bits for i in blocks]
        )
        order = np.argsort(keys, kind="stable")
        counts = np.bincount(keys)[keys[order]]
        order = order[(counts > 1) & (counts <= _CROWD)]
        keys, apart, first = keys[order], 1, np.arange(len(order) - 1)
        while len(first := first[first < len(keys) - apart]):
            first = first[keys[first] == keys[first + apart]]
            for start in range(0, len(first), _BLOCK):
                part = first[start : start + _BLOCK]
                yield order[part], order[part + apart]
            apart += 1


def _near(
    vectors: np.ndarray, names: np.ndarray, ones: np.ndarray, others: np.ndarray
) -> Iterator[tuple[int, int]]:
    """Those pairs of different groups whose descriptors agree, the lower place first."""
    apart = names[ones] != names[others]
    ones, others = ones[apart], others[apart]
    agreement = np.einsum("ij,ij->i", vectors[ones].astype(np.float32), vectors[others].astype(np.float32))
    for one, other in zip(ones[agreement > _CANDIDATE], others[agreement > _CANDIDATE], strict=True):
        yield min(int(one), int(other)), max(int(one), int(other))


def _detail(data: bytes) -> np.ndarray:
    """(4096,) of length 1: what is finer than a few pixels of 64."""
    grey = np.asarray(_grey(formats.read(data, reduced=True)), np.float32)
    return _unit((grey - ndimage.gaussian_filter(grey, 3.0)).reshape(-1))
