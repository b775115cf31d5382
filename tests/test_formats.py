"""One reader for the pictures of cameras, programs and archives: each format's pixels, by one rule, or a refusal by name."""

import io
import pickle
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from synth.base.errors import UserError
from synth.data import formats
from synth.data.images import Preprocessing, decode
from synth.data.refusal import Refused

Y, X = np.mgrid[0:60, 0:80]
PIXELS = np.stack([X * 3, Y * 4, X + Y], -1).astype(np.uint8)
PICTURE = Image.fromarray(PIXELS)


def saved(picture: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def png16(values: np.ndarray) -> bytes:
    """A PNG file of 16 bits per channel, which Pillow does not write in colour."""
    height, width, channels = values.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def tiff16(values: np.ndarray, order: str, bits: int = 16) -> bytes:
    """An RGB TIFF file, uncompressed, which Pillow does not write with 16 bits."""
    height, width, _ = values.shape
    data = values.astype(f"{order}u{bits // 8}").tobytes()
    shorts, places = 8 + len(data), {258: 3, 259: 1, 262: 2, 277: 3}
    tags = {256: width, 257: height, 258: shorts, 259: 1, 262: 2, 273: 8, 277: 3, 278: height, 279: len(data)}
    out = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", shorts + 6)
    out += data + struct.pack(f"{order}HHHH", bits, bits, bits, len(tags))
    for tag, value in tags.items():
        if tag in places and tag != 258:
            out += struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0)
        else:
            out += struct.pack(f"{order}HHII", tag, 3 if tag == 258 else 4, places.get(tag, 1), value)
    return out + bytes(4)


@pytest.mark.parametrize(
    "data, most",
    [
        (saved(PICTURE, "PNG"), 0),
        (saved(PICTURE, "BMP"), 0),
        (saved(PICTURE, "PPM"), 0),
        (saved(PICTURE, "TIFF", compression="tiff_lzw"), 0),
        (saved(PICTURE, "TIFF", compression="tiff_adobe_deflate"), 0),
        (saved(PICTURE, "WEBP", lossless=True), 0),
        (saved(PICTURE, "JPEG2000"), 0),
        (saved(PICTURE, "JPEG", quality=95, subsampling=0), 6),
        (saved(PICTURE, "JPEG", quality=95, subsampling=0, progressive=True), 6),
        (saved(PICTURE.convert("CMYK"), "JPEG", quality=95), 20),
        (saved(PICTURE.convert("CMYK"), "TIFF"), 0),
        (saved(PICTURE.quantize(256), "PNG"), 40),
        (saved(PICTURE.quantize(256), "GIF"), 40),
        (saved(PICTURE.convert("RGBA"), "PNG"), 0),
        (saved(PICTURE, "MPO", save_all=True, append_images=[PICTURE.rotate(180)], quality=95), 20),
    ],
    ids=["png", "bmp", "ppm", "lzw", "deflate", "webp", "jp2", "jpeg", "progressive", "cmyk", "cmyk-tiff",
         "palette", "gif", "opaque", "with-preview"],
)  # fmt: skip
def test_the_pixels_of_each_format_are_read(data, most):
    difference = np.abs(decode(data).astype(int) - PIXELS)
    assert difference.max() <= most and difference.mean() <= most / 4


@pytest.mark.parametrize(
    "layer",
    [
        saved(Image.merge("RGBA", (*PICTURE.split(), Image.fromarray(255 * (X >= 40).astype(np.uint8)))), "PNG"),
        saved(Image.merge("RGBA", (*PICTURE.split(), Image.fromarray(255 * (X >= 40).astype(np.uint8)))), "TIFF"),
        saved(Image.merge("RGBA", (*PICTURE.split(), Image.fromarray(255 * (X >= 40).astype(np.uint8)))), "WEBP", lossless=True,
              exact=True),
        png16(np.dstack([PIXELS.astype(np.uint16) * 257, np.uint16(65535 * (X >= 40))])),
    ],
    ids=["png", "tiff", "webp", "png16"],
)  # fmt: skip
def test_what_is_transparent_is_black_and_the_rest_as_it_was(layer):
    found = decode(layer)
    assert found[:, :40].max() == 0
    assert np.array_equal(found[:, 40:], PIXELS[:, 40:])


def test_a_colour_that_stands_for_nothing_is_black():
    grey = Image.fromarray(PIXELS[..., 0])
    found = decode(saved(grey, "PNG", transparency=30))
    assert found[:, 10].max() == 0 and np.array_equal(found[:, 11:, 0], PIXELS[:, 11:, 0])


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("write", ["png", "tiff", "lzw", "pgm", "colour", "little", "big"])
def test_sixteen_bits_are_read_by_the_range_that_is_used(bits, write):
    """A camera's 12 bits in 16 are not almost black, and no 16 bits are white."""
    deep = np.round(PIXELS[..., :1] * ((2**bits - 1) / PIXELS[..., 0].max())).astype(np.uint16)
    grey, colour = deep[..., 0], np.repeat(deep, 3, axis=2)
    data = {
        "png": lambda: saved(Image.fromarray(grey), "PNG"),
        "tiff": lambda: saved(Image.fromarray(grey), "TIFF"),
        "lzw": lambda: saved(Image.fromarray(grey), "TIFF", compression="tiff_lzw"),
        "pgm": lambda: saved(Image.fromarray(grey), "PPM"),
        "colour": lambda: png16(colour),
        "little": lambda: tiff16(colour, "<"),
        "big": lambda: tiff16(colour, ">"),
    }[write]()
    expected = np.round(grey / (2**bits - 1) * 255)
    assert np.abs(decode(data)[..., 0] - expected).max() <= 0.5
    assert np.array_equal(decode(data)[..., 0], decode(data)[..., 2])


def test_the_lower_byte_of_a_colour_counts():
    """Pillow keeps the upper one alone."""
    rng = np.random.default_rng(0)
    deep = rng.integers(0, 4096, (60, 80, 3)).astype(np.uint16)
    expected = np.round(deep / (4095 / 255))
    for data in (png16(deep), tiff16(deep, "<"), tiff16(deep, ">")):
        assert np.abs(decode(data) - expected).max() <= 0.5


@pytest.mark.parametrize(
    "data, reason",
    [
        (saved(Image.fromarray(X.astype(np.float32)), "TIFF"), "32 bits per pixel, or a sign or point, of unknown range"),
        (saved(Image.fromarray(X.astype(np.int32)), "TIFF"), "32 bits per pixel, or a sign or point, of unknown range"),
        (tiff16(PIXELS, "<", bits=32), "TIFF that is not read: damaged, or 32 bits per pixel, or a sign or point"),
        (saved(PICTURE, "TIFF", save_all=True, append_images=[PICTURE]), "several pictures in one file (2 of TIFF)"),
        (saved(PICTURE, "GIF", save_all=True, append_images=[PICTURE.rotate(90)]), "several pictures in one file (2 of GIF)"),
        (saved(PICTURE, "WEBP", save_all=True, append_images=[PICTURE.rotate(90)]), "several pictures in one file"),
        (saved(Image.new("1", (12_000, 12_000)), "PNG"), "12000x12000, 144 megapixels; at most 89 are read"),
        (saved(Image.new("1", (20_000, 20_000)), "PNG"), "too many pixels"),
        (saved(PICTURE, "AVIF"), "not a picture (HEIC, AVIF or video)"),
        (b"%PDF-1.7 ...", "not a picture (PDF)"),
        (b"\n<!DOCTYPE html><html>504</html>", "not a picture (HTML page or XML)"),
        (b"version https://git-lfs.github.com/spec/v1\n", "not a picture (pointer of Git LFS, not fetched)"),
        (b"", "not a picture (empty)"),
        (saved(PICTURE, "JPEG")[:900], "damaged picture"),
        (saved(PICTURE, "PNG")[:100], "damaged picture"),
    ],
)  # fmt: skip
def test_what_is_not_read_is_refused_in_one_line_by_what_it_is(data, reason):
    with pytest.raises(Refused) as error:
        decode(data, "p1.tif")
    assert str(error.value).startswith(f"p1.tif: {reason}") and "\n" not in str(error.value)
    again = pickle.loads(pickle.dumps(error.value))  # it comes from other processes too
    assert (str(again), again.reason) == (str(error.value), error.value.reason)
    assert error.value.reason.startswith(reason.split(" (")[0]) or error.value.reason == "too many pixels"


def test_a_smaller_copy_within_a_tiff_file_is_no_second_picture():
    from PIL import TiffImagePlugin

    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[254] = 1
    preview = PICTURE.resize((8, 6))
    preview.encoderinfo = {"tiffinfo": tags}
    data = saved(PICTURE, "TIFF", save_all=True, append_images=[preview])
    assert np.array_equal(decode(data), PIXELS)


def test_a_large_photograph_is_averaged_before_a_network_sees_it(monkeypatch):
    monkeypatch.setattr(formats, "PLENTY", 1300)
    for data in (saved(PICTURE, "JPEG", quality=95, subsampling=0), saved(PICTURE, "PNG")):
        assert formats.read(data).size == (80, 60)
        small = formats.read(data, reduced=True)
        assert small.size == (40, 30)
        assert np.abs(np.asarray(small).astype(int) - PICTURE.reduce(2)).mean() < 4
        assert Preprocessing(name="squash", size=16)(data).shape == (16, 16, 3)


def test_a_turned_jpeg_stands_upright_however_it_is_kept():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(PICTURE, "JPEG", quality=95, subsampling=0, exif=exif)
    assert np.abs(decode(data).astype(int) - np.rot90(PIXELS, -1)).mean() < 2


def test_the_kinds_of_files_are_told_by_their_content():
    assert formats.kind(saved(PICTURE, "JPEG2000")) == "JPEG 2000"
    assert formats.kind(saved(PICTURE, "WEBP")) == "WebP"
    assert formats.kind(bytes(128) + b"DICM") == "DICOM"
    assert formats.kind(b"patient,eye\n") == "text" and formats.kind(b"\x00\x01") == "unknown"
    assert not formats.is_picture(b"PK\x03\x04....") and formats.is_picture(saved(PICTURE, "GIF"))


def test_a_missing_picture_is_no_error_of_ours(tmp_path):
    from clip.apps import image_io

    with pytest.raises(UserError, match="no such picture"):
        image_io.read(tmp_path / "absent.jpg")
