"""What an encoded picture says beside its pixels: EXIF, IPTC, XMP, comments, text, previews.  None of it goes into records.

JPEG and PNG lose it without a loss of pixels; the turn that EXIF tells, and ICC profiles, stay, since they say how the picture looks.
A TIFF, BMP or PPM file stays byte for byte if it holds nothing but its pixels.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from synth.data import formats
from synth.data.dicom import is_dicom

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_MARKER = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")  # in the scans of a JPEG, where the others are data
_ORIENTATION = 0x0112
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = {
    b"IHDR",
    b"PLTE",
    b"IDAT",
    b"IEND",
    b"tRNS",
    b"gAMA",
    b"cHRM",
    b"sRGB",
    b"iCCP",
    b"sBIT",
    b"bKGD",
    b"pHYs",
    b"cICP",
}
_TIFF_KEPT = {
    254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281, 282, 283, 284, 292, 293, 296,
    297, 317, 318, 319, 320, 322, 323, 324, 325, 332, 334, 338, 339, 340, 341, 347, 512, 513, 514, 529, 530, 531, 532, 34675,
}  # fmt: skip
_TIFF_SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
}  # bytes per value of a type
_OTHERS = {
    "exif",
    "xmp",
    "comment",
    "XML:com.adobe.xmp",
}  # Pillow's names of what WebP, GIF and JPEG 2000 carry
_SPARE = 64  # bytes of a file that may belong to nothing: padding


class Stripped(NamedTuple):
    """A picture without metadata."""

    data: bytes | None
    """None where only pixels decoded and encoded anew are free of it."""
    had_metadata: bool


def stripped(data: bytes) -> Stripped:
    """The same pixels without what is beside them; the same bytes where there is nothing.

    Of a JPEG or PNG file that breaks its format's rules, and of any other format than TIFF, BMP and PPM, `data` is None.
    """
    kept: bytes | None = None
    if data.startswith(_SOI):
        kept = _join(_jpeg(data))
    elif data.startswith(_PNG):
        kept = _join(_png(data))
    elif data[:4] in (b"II*\0", b"MM\0*"):
        return _as_it_is(data, _is_plain_tiff(data))
    elif data.startswith(b"BM"):
        return _as_it_is(data, _is_plain_bmp(data))
    elif data[:2] in (b"P5", b"P6"):
        return _as_it_is(data, _is_plain_ppm(data))
    else:
        return Stripped(None, _has_metadata(data))
    return Stripped(kept, kept != data)


def _join(parts: Iterator[bytes]) -> bytes | None:
    try:
        return b"".join(parts)
    except (ValueError, struct.error, IndexError):
        return None


def _as_it_is(data: bytes, plain: bool) -> Stripped:
    return Stripped(data if plain else None, not plain)


def _jpeg(data: bytes) -> Iterator[bytes]:
    """The segments that stay, up to the end of the first picture."""
    yield _SOI
    at = 2
    while True:
        while data[at : at + 2] == b"\xff\xff":  # fill
            at += 1
        if data[at] != 0xFF:
            raise ValueError(f"no marker at byte {at}")
        marker = data[at + 1]
        if marker == 0xD9:
            yield _EOI
            return
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        if end > len(data):
            raise ValueError("cut short")
        segment = data[at:end]
        yield _jpeg_segment(marker, segment)
        at = end
        if marker == 0xDA:
            found = _MARKER.search(data, end)
            if found is None:
                raise ValueError("no end")
            at = found.start()
            yield data[end:at]


def _jpeg_segment(marker: int, segment: bytes) -> bytes:
    """A segment, or what of it says how the picture looks."""
    content = segment[4:]
    if marker == 0xE0:
        if not content.startswith(b"JFIF\0"):
            return b""
        return b"\xff\xe0\0\x10" + content[:12] + b"\0\0" if len(content) > 14 else segment
    if marker == 0xE1 and content.startswith(b"Exif\0\0"):
        return _turn(content[6:])
    if marker == 0xE2 and content.startswith(b"ICC_PROFILE\0"):
        return segment
    if marker == 0xEE and content.startswith(b"Adobe"):
        return b"\xff\xee\0\x0e" + content[:12]
    return b"" if 0xE0 <= marker <= 0xEF or marker == 0xFE else segment


def _turn(exif: bytes) -> bytes:
    """EXIF data that tell nothing but how the picture is turned; none where it stands upright."""
    orientation = _orientation(exif)
    if orientation == 1:
        return b""
    tags = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, _ORIENTATION, 3, 1, orientation, 0, 0)
    return b"\xff\xe1" + struct.pack(">H", len(tags) + 8) + b"Exif\0\0" + tags


def _orientation(exif: bytes) -> int:
    try:
        order = {b"II": "<", b"MM": ">"}[exif[:2]]
        start = struct.unpack_from(f"{order}I", exif, 4)[0]
        for entry in range(struct.unpack_from(f"{order}H", exif, start)[0]):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, start + 2 + 12 * entry)
            if tag == _ORIENTATION and kind == 3 and 1 <= value <= 8:
                return value
    except (KeyError, struct.error):  # damaged EXIF data of a sound picture
        pass
    return 1


def _png(data: bytes) -> Iterator[bytes]:
    yield _PNG
    at = len(_PNG)
    while True:
        length, name = struct.unpack_from(">I4s", data, at)
        chunk = data[at : at + length + 12]
        if len(chunk) < length + 12:
            raise ValueError("cut short")
        if name == b"eXIf" and _orientation(chunk[8:-4]) != 1:
            yield _png_turn(chunk[8:-4])
        elif name in _PNG_KEPT:
            yield chunk
        if name == b"IEND":
            return
        at += len(chunk)


def _png_turn(exif: bytes) -> bytes:
    content = b"eXIf" + _turn(exif)[10:]
    return struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))


def _has_metadata(data: bytes) -> bool:
    if is_dicom(data):
        return True
    with formats.opened(data) as image:
        return not _OTHERS.isdisjoint(image.info)


def _is_plain_ppm(data: bytes) -> bool:
    found = re.match(rb"P([56])\s+(\d+)\s+(\d+)\s+(\d+)\s", data)
    if found is None:  # a comment, among others
        return False
    kind, width, height, most = map(int, found.groups())
    return len(data) <= found.end() + width * height * (3 if kind == 6 else 1) * (2 if most > 255 else 1)


def _is_plain_bmp(data: bytes) -> bool:
    """Whether a BMP file ends where its pixels do."""
    if len(data) < 38:
        return False
    start, size = struct.unpack_from("<I", data, 10)[0], struct.unpack_from("<I", data, 34)[0]
    return start <= 14 + 124 + 1024 and size > 0 and len(data) <= start + size + _SPARE


def _is_plain_tiff(data: bytes) -> bool:
    """Whether a TIFF file of one page has no tag but those that decoding needs, and no bytes that belong to none."""
    try:
        order = "<" if data[:2] == b"II" else ">"
        start = struct.unpack_from(f"{order}I", data, 4)[0]
        count = struct.unpack_from(f"{order}H", data, start)[0]
        used = 8 + 2 + 12 * count + 4
        for entry in range(count):
            at = start + 2 + 12 * entry
            tag, kind, values = struct.unpack_from(f"{order}HHI", data, at)
            if tag not in _TIFF_KEPT:
                return False
            size = _TIFF_SIZES[kind] * values
            used += size if size > 4 else 0
            if tag in (279, 325, 514):  # bytes of strips and tiles, and of a JPEG's tables
                place = at + 8 if size <= 4 else struct.unpack_from(f"{order}I", data, at + 8)[0]
                used += sum(struct.unpack_from(f"{order}{values}{'H' if kind == 3 else 'I'}", data, place))
        more = struct.unpack_from(f"{order}I", data, start + 2 + 12 * count)[0]
        return more == 0 and len(data) <= used + _SPARE
    except (KeyError, struct.error):
        return False
