"""Nothing beside the pixels goes into records, and the pixels stay as they are."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw, ImageFont, PngImagePlugin

from synth.data import formats, writing
from synth.data.images import decode
from synth.data.keeping import kept
from synth.data.metadata import stripped

Y, X = np.mgrid[0:40, 0:56]
PICTURE = Image.fromarray(np.stack([X * 4, Y * 6, X + Y], -1).astype(np.uint8))
SECRET = "Zhang Wei 310104197803123318"
BYTES = SECRET.encode()
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def saved(kind: str, picture: Image.Image = PICTURE, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(turned: int | None = None) -> Image.Exif:
    found = Image.Exif()
    found[0x010E] = found[0x0132] = found[0x9286] = SECRET  # description, date, comment
    if turned:
        found[0x0112] = turned
    return found


def with_segment(data: bytes, marker: int, content: bytes) -> bytes:
    return data[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content + data[2:]


def with_chunk(data: bytes, name: bytes, content: bytes) -> bytes:
    chunk = struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
    return data[:33] + chunk + data[33:]


def text_chunks() -> PngImagePlugin.PngInfo:
    found = PngImagePlugin.PngInfo()
    found.add_text("Patient", SECRET)
    found.add_text("Note", SECRET, zip=True)
    found.add_itxt("XML:com.adobe.xmp", f"<x>{SECRET}</x>")
    return found


def between_scans(data: bytes) -> bytes:
    """A comment between two scans of a progressive JPEG."""
    second = data.find(b"\xff\xda", data.find(b"\xff\xda") + 2)
    assert second > 0
    return data[:second] + with_segment(data[:2], 0xFE, BYTES)[2:] + data[second:]


JPEG, PNG = saved("JPEG", quality=90), saved("PNG")

PLAIN = {
    "jpeg": JPEG,
    "progressive": saved("JPEG", quality=90, progressive=True),
    "print": saved("JPEG", PICTURE.convert("CMYK")),
    "restarts": saved("JPEG", quality=90, restart_marker_rows=1),
    "profile": saved("JPEG", icc_profile=PROFILE),
    "png": PNG,
    "palette": saved("PNG", PICTURE.quantize(64)),
    "deep": saved("PNG", Image.fromarray((X * 900).astype(np.uint16))),
    "png profile": saved("PNG", icc_profile=PROFILE),
    "tiff": saved("TIFF"),
    "lzw": saved("TIFF", compression="tiff_lzw"),
    "deep tiff": saved("TIFF", Image.fromarray((X * 900).astype(np.uint16))),
    "bmp": saved("BMP"),
    "ppm": saved("PPM"),
}
"""Pictures with nothing beside their pixels."""

TOLD = {
    "exif": saved("JPEG", exif=exif()),
    "turned": saved("JPEG", exif=exif(6)),
    "comment": saved("JPEG", comment=BYTES),
    "xmp": saved("JPEG", xmp=b"<x>" + BYTES + b"</x>"),
    "iptc": with_segment(JPEG, 0xED, b"Photoshop 3.0\0" + BYTES),
    "maker": with_segment(JPEG, 0xE7, BYTES),
    "thumbnail": JPEG[:2] + b"\xff\xe0" + struct.pack(">H", 16 + 12 + len(BYTES)) + b"JFIF\0\1\1\0\0\1\0\1\2\2" + bytes(12) + BYTES
    + JPEG[20:],
    "after the end": JPEG + BYTES,
    "between scans": between_scans(PLAIN["progressive"]),
    "preview": saved("MPO", save_all=True, append_images=[PICTURE.rotate(180)], exif=exif()),
    "png text": saved("PNG", pnginfo=text_chunks()),
    "png exif": saved("PNG", exif=exif()),
    "png turned": saved("PNG", exif=exif(8)),
    "png private": with_chunk(PNG, b"ptIe", BYTES),
    "after the png": PNG + BYTES,
    "tiff description": saved("TIFF", description=SECRET),
    "tiff artist": saved("TIFF", artist=SECRET, compression="tiff_lzw"),
    "tiff exif": saved("TIFF", exif=exif()),
    "after the tiff": saved("TIFF") + BYTES * 9,
    "after the bmp": saved("BMP") + BYTES * 9,
    "ppm comment": saved("PPM").replace(b"P6\n", b"P6\n# " + BYTES + b"\n"),
    "webp": saved("WEBP", lossless=True, exif=exif(), xmp=BYTES),
    "gif": saved("GIF", comment=BYTES),
    "jp2": saved("JPEG2000", comment=BYTES),
}  # fmt: skip
"""Pictures that carry something."""


@pytest.mark.parametrize("name", PLAIN)
def test_a_picture_that_carries_nothing_keeps_every_byte(name):
    data = PLAIN[name]
    assert stripped(data) == (data, False)
    assert kept(data, formats.read(data))[::2] == (data, ())


@pytest.mark.parametrize("name", TOLD)
def test_what_a_picture_carries_is_left_out_and_its_pixels_stay(name):
    data = TOLD[name]
    assert stripped(data).had_metadata
    found = kept(data, formats.read(data))
    assert np.array_equal(decode(found.data), decode(data))
    assert found.notes == ("pictures with metadata or text, which was left out",)
    with Image.open(io.BytesIO(found.data)) as image:
        image.load()
        assert set(image.getexif()) <= {0x0112}
        assert not {"xmp", "comment", "photoshop", "Patient", "Note", "mp"} & set(image.info)
    for form in (BYTES, SECRET.encode("utf-16-le"), zlib.compress(BYTES)[2:12]):
        assert form not in found.data
    kind = formats.kind(data)
    if kind in ("JPEG", "PNG"):  # without a loss, and without an encoder
        assert formats.kind(found.data) == kind and len(found.data) <= len(data)


def test_a_turn_that_xmp_alone_tells_is_not_lost():
    """Pillow turns by XMP too, which is left out: such a picture is written anew, upright."""
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'
    data = saved("JPEG", xmp=xmp, quality=95)
    assert formats.read(data).size == (40, 56)
    found = kept(data, formats.read(data))
    assert np.array_equal(decode(found.data), decode(data)) and b"Orientation" not in found.data


def photograph(
    surround: int = 0, text: str = "", at: tuple[int, int] = (6, 8), size: int = 16
) -> Image.Image:
    """A round field of view, and writing."""
    y, x = np.mgrid[0:400, 0:520]
    pixels = np.full((400, 520, 3), surround, np.uint8)
    pixels[np.hypot(y - 200, x - 260) < 195] = (170, 90, 40)
    pixels[np.hypot(y - 190, x - 330) < 25] = (240, 210, 130)
    noise = np.random.default_rng(0).normal(0, 3, pixels.shape)
    drawn = Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))
    ImageDraw.Draw(drawn).text(
        at, text, fill="black" if surround > 200 else "white", font=ImageFont.load_default(size)
    )
    return formats.read(saved("JPEG", drawn, quality=85))


@pytest.mark.parametrize("surround", [0, 128, 255])
@pytest.mark.parametrize("at, size", [((6, 8), 16), ((6, 370), 22), ((400, 4), 18)])
def test_writing_beside_the_field_of_view_is_told_for_review(surround, at, size):
    picture = photograph(surround, "OD 2020-01-02", at, size)
    [note] = kept(saved("PNG", picture), picture).notes
    assert note == "pictures with what looks like writing beside the field of view: review"


@pytest.mark.parametrize("surround", [0, 128, 255])
def test_a_photograph_without_writing_is_not_told(surround):
    assert not writing.is_beside_field(photograph(surround))
    assert not writing.is_beside_field(photograph(surround, "I", (10, 10), 30))  # a camera's notch
    assert not writing.is_beside_field(
        photograph(surround, "OD 2020-01-02", (200, 200))
    )  # within: not looked for


def test_hidden_pixels_are_not_kept():
    """What is written below a transparent layer is not seen, and would go with the file."""
    alpha = Image.fromarray(255 * (X > 20).astype(np.uint8))
    data = saved("PNG", Image.merge("RGBA", (*PICTURE.split(), alpha)))
    found = kept(data, formats.read(data))
    with Image.open(io.BytesIO(found.data)) as image:
        assert image.mode == "RGB" and np.asarray(image)[:, :21].max() == 0
        assert np.array_equal(np.asarray(image)[:, 21:], np.asarray(PICTURE)[:, 21:])


@pytest.mark.parametrize("name", [*PLAIN, *TOLD])
def test_a_damaged_file_is_stripped_or_left_but_never_an_error_of_ours(name):
    data = {**PLAIN, **TOLD}[name]
    rng = np.random.default_rng(0)
    for _ in range(20):
        broken = bytearray(data)
        for at in rng.integers(4, len(data), 3):
            broken[at] = int(rng.integers(256))
        try:
            picture = formats.read(bytes(broken), "broken")
        except formats.Refused:
            continue
        assert (
            np.array_equal(decode(kept(bytes(broken), picture).data), np.asarray(picture))
            or formats.kind(data) == "JPEG"
        )
