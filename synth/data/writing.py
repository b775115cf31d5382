"""Writing that a camera or a program burnt into a picture, beside the field of view.

What is found is a line of three marks or more, alike in height, on the flat surround.  It is not read, and writing within the field
is not found: vessels, laser scars and reflections are lines and marks too.
"""

import numpy as np
from PIL import Image
from scipy import ndimage

from synth.data.images import field_of_view

_SIDE = 1024  # pixels of the longest side on which writing is sought
_SMALLEST = 200  # pixels of the longest side of a picture in which writing can be read
_FIELD = 128  # pixels a side on which the field is widened
_CONTRAST = 80  # of 255, between a mark and the surround


def is_beside_field(picture: Image.Image) -> bool:
    """Whether an RGB picture shows what looks like a line of writing beside its field of view."""
    if max(picture.size) < _SMALLEST:
        return False
    small = picture.copy()
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    pixels = np.asarray(small)
    inside = field_of_view(pixels)
    if inside.all():
        return False
    coarse = Image.fromarray(inside.astype(np.uint8) * 255).resize((_FIELD, _FIELD), Image.Resampling.BOX)
    wide = ndimage.binary_dilation(np.asarray(coarse) > 0, iterations=3)
    surround = ~np.asarray(Image.fromarray(wide).resize(small.size, Image.Resampling.NEAREST))
    if surround.mean() < 0.01:
        return False
    ground = np.median(pixels[surround], axis=0)
    marks = surround & (np.abs(pixels - ground).max(axis=-1) > _CONTRAST)
    labelled = np.asarray(ndimage.label(marks, np.ones((3, 3)))[0])  # type: ignore[index]
    return _is_line(_letters(ndimage.find_objects(labelled)))


def _letters(found: list[tuple[slice, slice]]) -> np.ndarray:
    """(N, 4) top, bottom, left, right of the marks that are as large as letters are."""
    places = np.array([(y.start, y.stop, x.start, x.stop) for y, x in found], float).reshape(-1, 4)
    high, wide = places[:, 1] - places[:, 0], places[:, 3] - places[:, 2]
    return places[(high >= 4) & (high <= _SIDE / 12) & (wide <= 3 * high)]


def _is_line(letters: np.ndarray) -> bool:
    """Whether three of them stand side by side."""
    for top, bottom, left, right in letters:
        high = bottom - top
        middle = (letters[:, 0] + letters[:, 1]) / 2
        alike = np.abs(letters[:, 1] - letters[:, 0] - high) < high / 2
        level = np.abs(middle - (top + bottom) / 2) < high / 2
        near = (letters[:, 2] < right + 5 * high) & (letters[:, 3] > left - 5 * high)
        if (alike & level & near).sum() >= 3:
            return True
    return False
