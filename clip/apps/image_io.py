"""Photographs as people have them: single files and folders, in the formats that cameras and programs write."""

import io
from collections.abc import Sequence
from contextlib import suppress
from math import ceil
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from synth.base.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".ppm", ".gif")
LARGEST = 89_000_000
"""Pixels of the largest photograph that is read."""
PLENTY = 25_000_000
"""Pixels above which a photograph is first halved, or thirded; cameras of the eye stay below."""
_ORIENTATION = 0x0112
"""EXIF tag: how a picture must be turned to stand upright; 1 as it is."""


def find(places: Sequence[Path]) -> list[Path]:
    """The files among `places`, and the pictures directly in the folders among them, in order of name.

    Raises:
        UserError: a place does not exist, or a folder holds no picture.
    """
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            inside = sorted(path for path in place.iterdir() if path.suffix.lower() in SUFFIXES)
            if not inside:
                raise UserError(f"{place}: no pictures in this folder; looked for {', '.join(SUFFIXES)}")
            found += inside
        elif place.is_file():
            found.append(place)
        else:
            raise UserError(f"{place}: no such picture")
    return found


def read(path: Path) -> bytes:
    """An encoded picture of 8 bits that stands upright, for `Preprocessing`.

    A photograph that its EXIF data say is turned is turned back; 16-bit grey becomes 8-bit by its full range, 0 to
    65535; more than `PLENTY` pixels are averaged in squares of 2 x 2 or more.  Every other file is returned as it is:
    `Preprocessing` decodes colour of 16 bits and CMYK, and refuses what is no picture, or cut short.

    Raises:
        UserError: no such file, more than `LARGEST` pixels, or values of 32 bits, whose range nobody states.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such picture")
    data = path.read_bytes()
    with suppress(OSError, SyntaxError, ValueError):  # Preprocessing names what is damaged
        return _plain(data, path)
    return data


def _plain(data: bytes, path: Path) -> bytes:
    ceiling, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # ours refuses in words
    try:
        image = Image.open(io.BytesIO(data))
    finally:
        Image.MAX_IMAGE_PIXELS = ceiling
    with image:
        if image.width * image.height > LARGEST:
            size = f"{image.width}x{image.height}, {image.width * image.height / 1e6:.0f} megapixels"
            raise UserError(f"{path}: {size}; at most {LARGEST / 1e6:.0f} are read, make it smaller")
        if image.mode in ("I", "F"):
            raise UserError(f"{path}: 32 bits per pixel, of unknown range; save it with 8 or 16")
        deep, turned = image.mode.startswith("I;16"), image.getexif().get(_ORIENTATION, 1) != 1
        factor = ceil((image.width * image.height / PLENTY) ** 0.5)
        if not deep and not turned and factor == 1:
            return data
        exif = image.info.get("exif", b"")
        plain = Image.fromarray((np.asarray(image) / 257).round().astype(np.uint8)) if deep else image
        plain = plain.convert("RGB").reduce(factor)
        if turned:
            plain.info["exif"] = exif
            plain = ImageOps.exif_transpose(plain)
        buffer = io.BytesIO()
        plain.save(buffer, "BMP")  # lossless, and quick for large ones
        return buffer.getvalue()
