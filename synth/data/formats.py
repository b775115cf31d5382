"""Encoded pictures of the formats that cameras, programs and archives write -> upright RGB of 8 bits, by one rule.

JPEG (of print, progressive), PNG, TIFF, WebP, JPEG 2000, BMP, GIF, PPM and DICOM (`synth.data.dicom`).  What EXIF data say is
turned is turned; what is transparent lies on black; 16 bits become 8 by `eight_bits`.  Refused by name: values of 32 bits or
with a point, several pictures in one file, more than `LARGEST` pixels.
"""

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil

import numpy as np
from PIL import Image, Jpeg2KImagePlugin, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin

from synth.data import dicom
from synth.data.refusal import Refused, refused, too_large

LARGEST = 89_000_000
"""Pixels of the largest picture that is read: at most 1 GB while it is."""
PLENTY = 25_000_000
"""Pixels above which a network needs no more: such a picture is first halved, or thirded; cameras of the eye stay below."""
ORIENTATION = 0x0112
"""EXIF tag: how a picture must be turned to stand upright; 1 as it is."""
_TURNS: dict[object, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
"""Value of that tag -> what stands it upright."""

_SCANS = 100
"""Passes over all pixels of a JPEG: one, or some ten where it is progressive; a few bytes can stand for each."""
_PAGES = 100
"""Of a TIFF that are looked at."""

_SMALLER = f"at most {LARGEST / 1e6:.0f} megapixels are read, make it smaller"
_UNKNOWN_RANGE = "32 bits per pixel, or a sign or point, of unknown range"
_SAVE = "save it with 8 or 16 bits"
_DEPTHS = (8, 10, 12, 14, 16)  # bits that cameras have
_PLUGINS = (Jpeg2KImagePlugin, TiffImagePlugin, WebPImagePlugin)  # Pillow knows the others without asking
_FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "JPEG2000", "BMP", "GIF", "PPM")
ERRORS = (
    OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, struct.error,
    Image.DecompressionBombError,
)  # fmt: skip
"""What Pillow raises on a file that is no picture, damaged, or would become too many pixels."""
_REDUCED = 0x00FE  # TIFF tag; an odd value is that of a page that shows another one smaller
_KINDS = (
    (b"\xff\xd8\xff", "JPEG"), (b"\x89PNG\r\n\x1a\n", "PNG"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"), (b"\xff\x4f\xff\x51", "JPEG 2000"), (b"BM", "BMP"), (b"GIF8", "GIF"),
    (b"P5", "PPM"), (b"P6", "PPM"), (b"II+\0", "BigTIFF"), (b"%PDF", "PDF"), (b"PK\3\4", "ZIP archive, or Office file"),
    (b"\xd0\xcf\x11\xe0", "Office file, or thumbnails of Windows"), (b"\x1f\x8b", "gzip archive"), (b"Rar!", "RAR archive"),
    (b"7z\xbc\xaf", "7z archive"), (b"8BPS", "Photoshop file"), (b"%!PS", "PostScript"), (b"\x93NUMPY", "numpy array"),
    (b"\x89HDF", "HDF5 file"), (b"version https://git-lfs", "pointer of Git LFS, not fetched"),
)  # fmt: skip
_PICTURES = ("JPEG", "PNG", "TIFF", "WebP", "JPEG 2000", "BMP", "GIF", "PPM", "DICOM")


def kind(head: bytes) -> str:
    """What a file is by its first 132 bytes or more: 'JPEG', 'DICOM', 'PDF', 'HTML page', ..., or 'unknown'."""
    if dicom.is_dicom(head):
        return "DICOM"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp":
        return "HEIC, AVIF or video"
    found = next((name for magic, name in _KINDS if head.startswith(magic)), None)
    if found:
        return found
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        return "HTML page or XML"
    return "text" if head and all(byte in b"\t\r\n" or byte >= 32 for byte in head) else "unknown"


def is_picture(head: bytes) -> bool:
    """Whether a file whose first bytes are `head` is of a format that is read."""
    return kind(head) in _PICTURES


def read(data: bytes, where: str = "image", reduced: bool = False) -> Image.Image:
    """An upright RGB picture of 8 bits.

    Args:
        where:   names the picture in errors.
        reduced: average more than `PLENTY` pixels in squares of 2 x 2 or more.

    Raises:
        Refused: no picture, a damaged one, or one that is refused by name; DICOM, and pydicom is not installed.
    """
    try:
        if dicom.is_dicom(data):
            pixels, inverted = dicom.read(data, where, LARGEST)
            shown = Image.fromarray(255 - eight_bits(pixels) if inverted else eight_bits(pixels)).convert(
                "RGB"
            )
        else:
            shown = _read(data, where, reduced)
    except UnidentifiedImageError:
        raise _unknown(data, where) from None
    except Image.DecompressionBombError as error:  # Pillow's limit is twice ours
        raise refused(where, "too many pixels", _SMALLER, str(error)) from None
    except ERRORS as error:
        raise refused(where, "damaged picture", "replace or remove it", str(error)) from None
    return shown.reduce(_factor(shown)) if reduced and _factor(shown) > 1 else shown


def _read(data: bytes, where: str, reduced: bool) -> Image.Image:
    with opened(data) as image:
        _check(image, where)
        if data.count(b"\xff\xda") > _SCANS and kind(data[:256]) == "JPEG":
            raise refused(where, f"a JPEG of more than {_SCANS} scans", "save it again")
        return _upright(image, _plain(image, data, reduced))


@contextmanager
def opened(data: bytes) -> Iterator[Image.Image]:
    """A picture as Pillow opens it, which is not DICOM, without a word of small damages.

    Raises:
        OSError: it is no picture; or another error, if it is damaged.
    """
    with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        yield image


def eight_bits(pixels: np.ndarray) -> np.ndarray:
    """uint8 of the same shape from whole numbers below 65,536: their range is the smallest of 8, 10, 12, 14 and 16 bits that
    holds the largest of them.  Cameras store 12 bits in 16; by the full range such a picture would be almost black."""
    if pixels.dtype == np.uint8:
        return pixels
    top = int(pixels.max(initial=0))
    depth = next(depth for depth in _DEPTHS if top < 2**depth)
    if depth == 8:
        return pixels.astype(np.uint8)
    table = np.round(np.arange(2**depth) * (255 / (2**depth - 1))).astype(np.uint8)
    return table[pixels]


def is_deep(image: Image.Image) -> bool:
    """Whether an open picture holds 16 bits per channel."""
    return (
        image.mode.startswith("I;16")
        or (image.mode == "I" and image.format == "PPM")
        or _is_deep_colour(image)
    )


def is_opaque(data: bytes) -> bool:
    """Whether no pixel of an encoded picture, which is not DICOM, is transparent and holds what is not shown."""
    if kind(data[:256]) == "JPEG":
        return True
    with opened(data) as image:
        return not image.has_transparency_data


def is_turned(image: Image.Image) -> bool:
    """Whether EXIF data say that an open picture is turned."""
    return _orientation(image) != 1


def _orientation(image: Image.Image) -> object:
    """What EXIF data say of how an open picture is turned; 1, as it is, where they are damaged."""
    try:
        return image.getexif().get(ORIENTATION, 1)
    except ERRORS:
        return 1


def _check(image: Image.Image, where: str) -> None:
    if image.width * image.height > LARGEST:
        raise too_large(where, image.width, image.height, LARGEST)
    if image.mode in ("I", "F") and not is_deep(image):
        raise refused(where, _UNKNOWN_RANGE, _SAVE)
    pages = _pages(image)
    if pages > 1:
        detail = f"{pages} of {image.format}"
        raise refused(
            where, "several pictures in one file", "save each photograph as a file of its own", detail
        )


def _pages(image: Image.Image) -> int:
    """How many pictures a file shows; what is the same smaller, or a camera's preview, does not count."""
    if image.format == "MPO":
        return 1
    if image.format != "TIFF":
        return getattr(image, "n_frames", 1)
    whole = 0
    for frame in range(_PAGES):
        try:
            image.seek(frame)
        except EOFError:
            break
        whole += not int(image.tag_v2.get(_REDUCED, 0)) & 1  # type: ignore[attr-defined]
    image.seek(0)
    return whole


def _plain(image: Image.Image, data: bytes, reduced: bool) -> Image.Image:
    """RGB of 8 bits, on black where it is transparent."""
    if _is_deep_colour(image):
        return _deep_colour(image, data)
    if is_deep(image):
        return Image.fromarray(eight_bits(np.asarray(image).astype(np.uint16))).convert("RGB")
    if reduced and image.format in ("JPEG", "MPO") and (factor := _factor(image)) in (2, 4, 8):
        image.draft("RGB", (image.width // factor, image.height // factor))  # decodes no more than these
    image.load()
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, (0, 0, 0, 255))
        return Image.alpha_composite(ground, layer).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _rawmode(image: Image.Image) -> str:
    """How the file stores its pixels, in Pillow's words, such as `RGB;16B`."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else ""
    found = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return found if isinstance(found, str) else ""


def _is_deep_colour(image: Image.Image) -> bool:
    return (
        image.format in ("PNG", "TIFF") and image.mode in ("RGB", "RGBA", "RGBX") and ";16" in _rawmode(image)
    )


def _deep_colour(image: Image.Image, data: bytes) -> Image.Image:
    """Pillow keeps the upper byte of each value; read in the other order, the lower one."""
    mode, order = _rawmode(image).split(";16")
    little = order == "L" or (order == "N" and np.little_endian)
    upper = _in_order(data, _rawmode(image))
    lower = _in_order(data, f"{mode};16{'B' if little else 'L'}") if mode in ("RGB", "RGBA") else upper
    values = np.asarray(upper).astype(np.uint16) << 8 | np.asarray(lower)
    if values.shape[-1] == 4 and mode == "RGBA":
        values = np.round(values[..., :3] * (values[..., 3:] / 65535)).astype(np.uint16)
    return Image.fromarray(eight_bits(values[..., :3]))


def _in_order(data: bytes, rawmode: str) -> Image.Image:
    with Image.open(io.BytesIO(data), formats=("PNG", "TIFF")) as image:
        image.tile = [
            tile._replace(args=(rawmode, *tile.args[1:]) if isinstance(tile.args, tuple) else rawmode)
            for tile in image.tile
        ]
        image.load()
        return image.copy()


def _upright(image: Image.Image, shown: Image.Image) -> Image.Image:
    """`shown`, turned as the EXIF data of `image` say."""
    turn = _TURNS.get(_orientation(image))
    return shown if turn is None else shown.transpose(turn)


def _factor(image: Image.Image) -> int:
    return ceil((image.width * image.height / PLENTY) ** 0.5)


def _unknown(data: bytes, where: str) -> Refused:
    found = kind(data[:256]) if data else "empty"
    if found in _PICTURES:
        return refused(where, f"{found} that is not read: damaged, or {_UNKNOWN_RANGE}", _SAVE)
    return refused(where, "not a picture", "replace or remove it", found)
