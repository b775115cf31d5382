"""Pictures: decode, find the field of view, crop to it, resize, encode.

What is done to a picture before a network sees it is a `Preprocessing`, named and versioned: it alone has
moved a published MESSIDOR result by ten points, so every checkpoint and every report carries it.
"""

import io
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError
from scipy import ndimage

from synth.base.config import Config
from synth.base.errors import UserError

_WORK = 128  # the field of view is sought on a picture of this many pixels a side


class Preprocessing(Config):
    """How an encoded picture becomes the square array that a network sees."""

    name: Literal["fov-square", "squash"] = "fov-square"
    """`fov-square`: crop to the field of view, blacken the surround, pad to a square, resize; `squash`: resize only (Chinese-CLIP)."""
    version: Literal[1] = 1
    """Raised whenever the same bytes would give another array."""
    size: int = 64
    """Pixels a side of the result."""

    def __call__(self, data: bytes, where: str = "image") -> np.ndarray:
        """(size, size, 3) uint8 RGB from an encoded picture; `where` names it in errors."""
        picture = decode(data, where)
        if self.name == "fov-square":
            picture = crop(picture)
        return resize(picture, self.size)


def decode(data: bytes, where: str = "image") -> np.ndarray:
    """(H, W, 3) uint8 RGB from an encoded picture.

    Raises:
        UserError: not a picture, or cut short.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except UnidentifiedImageError:
        raise UserError(f"{where}: not a picture; replace or remove it") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{where}: damaged picture ({error}); replace or remove it") from None


def encode(picture: np.ndarray, quality: int = 95) -> bytes:
    """JPEG bytes of (H, W, 3) uint8 RGB; the same picture gives the same bytes."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def resize(picture: np.ndarray, size: int) -> np.ndarray:
    """(size, size, 3) uint8, area-averaged when it shrinks."""
    if picture.shape[:2] == (size, size):
        return picture
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC))


def field_of_view(picture: np.ndarray) -> np.ndarray:
    """(H, W) bool: where the camera saw the eye.

    Finds what differs from the surround, whatever its colour: black, grey or white, round or cut at top and
    bottom, off-centre.  A picture without a surround is all field of view.
    """
    height, width = picture.shape[:2]
    small = np.asarray(Image.fromarray(picture).resize((_WORK, _WORK), Image.Resampling.BOX)).astype(
        np.float32
    )
    corner = _WORK // 16
    patches = [small[y, x].reshape(-1, 3) for y in (slice(corner), slice(-corner, None))
               for x in (slice(corner), slice(-corner, None))]  # fmt: skip
    flat = [patch for patch in patches if patch.std(axis=0).max() < 8]
    everything = np.ones((height, width), bool)
    if len(flat) < 2:
        return everything
    surround = np.median(np.concatenate(flat), axis=0)
    inside = np.abs(small - surround).max(axis=2) > 14
    inside = ndimage.binary_opening(inside, iterations=1)
    labelled, count = ndimage.label(inside)
    if not count:
        return everything
    largest = np.argmax(np.bincount(labelled.ravel())[1:]) + 1
    inside = ndimage.binary_fill_holes(labelled == largest)
    if inside.mean() < 0.1:
        return everything
    return np.asarray(Image.fromarray(inside).resize((width, height), Image.Resampling.NEAREST))


def crop(picture: np.ndarray) -> np.ndarray:
    """The field of view alone, on black, padded to a square about its centre: (S, S, 3) uint8."""
    inside = field_of_view(picture)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    part = np.where(inside[..., None], picture, 0)[top:bottom, left:right].astype(np.uint8)
    side = max(part.shape[:2])
    square = np.zeros((side, side, 3), np.uint8)
    y, x = (side - part.shape[0]) // 2, (side - part.shape[1]) // 2
    square[y : y + part.shape[0], x : x + part.shape[1]] = part
    return square
