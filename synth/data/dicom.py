"""DICOM photographs of the eye: the one picture of a file, whatever its transfer syntax, and its header."""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from synth.data.dicom_header import TAGS, Header, header_of
from synth.data.refusal import refused, too_large

MISSING = "DICOM is read by pydicom"
"""The reason of a refusal where it is not installed."""

_DEFLATED = "1.2.840.10008.1.2.1.99"
_JPEG = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
_JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
_MOST_INFLATED = 1 << 30  # bytes of a deflated file


class Picture(NamedTuple):
    """Pixels as a file holds them."""

    pixels: np.ndarray
    """(H, W) or (H, W, 3) RGB, uint8 or uint16."""
    inverted: bool
    """Whether 0 is white."""


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins with these 132 bytes or more is DICOM."""
    return head[128:132] == b"DICM"


def read(data: bytes, where: str, largest: int) -> Picture:
    """The picture of a file.

    Args:
        largest: pixels that it may have.

    Raises:
        Refused: no picture, several, too large, of unknown values, or without a decoder here; pydicom is not installed.
        ValueError: damaged.
    """
    with _opened(io.BytesIO(data), where) as content:
        header = header_of(content)
        if header.refused:
            raise refused(where, header.refused, "save each photograph as a file of its own", header.frames)
        width, height = int(content.Columns), int(content.Rows)
        if width * height > largest:
            raise too_large(where, width, height, largest)
        if content.get("BitsAllocated", 0) not in (8, 16) or content.get("PixelRepresentation", 0):
            raise refused(
                where, "values of 32 bits or with a sign, of unknown range", "save it with 8 or 16 bits"
            )
        pixels = _pixels(content, where)
        if pixels.shape not in ((height, width), (height, width, 3)):
            raise ValueError(f"pixels of shape {pixels.shape}, header says {height} x {width}")
        return Picture(pixels, str(content.PhotometricInterpretation) == "MONOCHROME1")


def header(path: Path) -> Header:
    """The header of a file; of a large one no more is read.

    Raises:
        Refused: it is damaged, or pydicom is not installed.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        try:
            with _opened(file, str(path), pixels=False) as content:
                return header_of(content)
        except ValueError as error:
            raise refused(str(path), "damaged picture", "replace or remove it", str(error)) from None


@contextmanager
def _opened(file: BinaryIO, where: str, pixels: bool = True) -> Iterator[Any]:
    if find_spec("pydicom") is None:
        raise refused(where, MISSING, "pip install 'visionclip[dicom]'")
    import pydicom
    from pydicom.errors import BytesLengthException, InvalidDicomError

    try:
        with warnings.catch_warnings(action="ignore"):  # of values that break a rule of the standard
            _refuse_bomb(file)
            wanted = None if pixels else TAGS
            yield pydicom.dcmread(file, stop_before_pixels=not pixels, specific_tags=wanted)
    except (InvalidDicomError, BytesLengthException, AttributeError, LookupError, TypeError, NotImplementedError, RuntimeError, struct.error,
            zlib.error, EOFError, OverflowError) as error:  # fmt: skip
        raise ValueError(" ".join(str(error).split())[:200]) from None


def _refuse_bomb(file: BinaryIO) -> None:
    """A deflated file may be a thousand times larger than it looks."""
    from pydicom.filereader import _read_file_meta_info, read_preamble

    read_preamble(file, force=False)
    if _read_file_meta_info(file).get("TransferSyntaxUID") == _DEFLATED:
        inflate, rest, size = zlib.decompressobj(-zlib.MAX_WBITS), file.read(), 0
        while rest and size <= _MOST_INFLATED:
            size += len(inflate.decompress(rest, 1 << 20))
            rest = inflate.unconsumed_tail
        if size > _MOST_INFLATED:
            raise ValueError(f"inflates to more than {_MOST_INFLATED >> 20} MiB")
    file.seek(0)


def _pixels(content: Any, where: str) -> np.ndarray:
    """(H, W) or (H, W, 3) RGB, uint8 or uint16."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    syntax: Any = content.file_meta.TransferSyntaxUID
    if syntax in _JPEG and content.BitsStored == 8:
        return _jpeg(content)
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:  # video, and what the standard does not know
        available = False
    if not available or (syntax == _JPEG[1] and not find_spec("pylibjpeg")):
        remedy = "pip install 'visionclip[dicom]', or save it as JPEG or PNG"
        raise refused(
            where, "DICOM that no decoder here reads", remedy, str(content.file_meta.TransferSyntaxUID.name)
        )
    # The codestream of JPEG 2000 says itself whether its decoder made RGB of it.
    pixels = pixel_array(content, raw=syntax in _JPEG_2000 and _is_transformed(content))
    if content.PhotometricInterpretation == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, content)
    return pixels


def _frame(content: Any) -> bytes:
    from pydicom.encaps import get_frame

    return get_frame(content.PixelData, 0, number_of_frames=1)


def _is_transformed(content: Any) -> bool:
    """Whether a codestream of JPEG 2000 holds three colours under a transformation that its decoder undoes."""
    frame = _frame(content)
    at = frame.find(b"\xff\x52")  # the segment of coding style, whose ninth byte it is
    return 0 < at < len(frame) - 8 and frame[at + 8] == 1


def _jpeg(content: Any) -> np.ndarray:
    """JPEG of 8 bits says itself whether it is RGB or YCbCr, by its markers; only without them the header does."""
    with Image.open(io.BytesIO(_frame(content)), formats=("JPEG",)) as image:
        silent = "adobe_transform" not in image.info and "jfif" not in image.info
        whole = all(layer[1:3] == (1, 1) for layer in image.layer)  # type: ignore[attr-defined]
        if image.mode == "RGB" and silent and whole and content.PhotometricInterpretation == "RGB":
            image.draft("YCbCr", image.size)  # the values as they stand, under a wrong name
            return np.asarray(image)
        return np.asarray(image if image.mode == "L" else image.convert("RGB"))
