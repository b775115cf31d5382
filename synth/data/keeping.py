"""The bytes of a picture that records keep: its own wherever that can be, and nothing but pixels."""

from typing import NamedTuple

import numpy as np
from PIL import Image

from synth.data import formats, metadata, writing
from synth.data.images import as_png, encode
from synth.data.refusal import Refused

_LARGEST = 4 * 2**20  # bytes; a larger lossless picture is kept as JPEG


class Kept(NamedTuple):
    """An encoded picture for a record."""

    data: bytes
    picture: Image.Image
    """What `data` shows, but for what JPEG takes."""
    notes: tuple[str, ...]
    """What a report should count of it."""


def kept(data: bytes, picture: Image.Image, size: int | None = None) -> Kept:
    """What to keep of `data`, which `synth.data.formats.read` reads as `picture`.

    A picture stays as it is, byte for byte, but for metadata, unless it is larger than `size` pixels on its longest side or
    is a lossless file above 4 MiB; those become JPEG q95.  Other formats than JPEG, PNG, TIFF, BMP and PPM become PNG, and so
    does what is transparent somewhere.
    """
    bare = metadata.stripped(data)
    notes = ("pictures with metadata or text, which was left out",) if bare.had_metadata else ()
    if writing.is_beside_field(picture):
        notes = (*notes, "pictures with what looks like writing beside the field of view: review")
    longest = max(picture.size)
    if size is not None and longest > size:
        width, height = (max(1, round(side * size / longest)) for side in picture.size)
        small = picture.resize((width, height), Image.Resampling.BICUBIC)
        return Kept(
            encode(np.asarray(small)), small, (*notes, f"pictures resized to {size} pixels, JPEG q95")
        )
    found = bare.data if bare.data is not None and _shows(bare, picture) else as_png(picture)
    if len(found) > _LARGEST and not found.startswith(b"\xff\xd8"):
        return Kept(encode(np.asarray(picture)), picture, (*notes, "pictures above 4 MiB kept as JPEG q95"))
    return Kept(found, picture, notes)


def _shows(bare: metadata.Stripped, picture: Image.Image) -> bool:
    """Whether these bytes hold `picture`, and nothing below it."""
    if bare.data is None or not formats.is_opaque(bare.data):
        return False
    try:
        return not bare.had_metadata or formats.read(bare.data).tobytes() == picture.tobytes()
    except Refused:  # what seemed beside the pixels of a file that breaks the rules was not
        return False
