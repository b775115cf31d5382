"""Pictures: the field of view of any camera, damaged files, one array for the same bytes."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from synth.base.errors import UserError
from synth.data.images import Preprocessing, _opened, crop, decode, encode, field_of_view, resize

RETINA = np.array([176, 92, 44])


def eye(size=(256, 256), centre=(128, 128), radius=100, cut=0, surround=0):
    """A drawn photograph and its true field of view; `cut` pixels are missing at top and bottom of the circle."""
    y, x = np.mgrid[: size[0], : size[1]]
    rng = np.random.default_rng(0)
    distance = np.hypot(y - centre[0], x - centre[1])
    inside = (distance < radius) & (np.abs(y - centre[0]) < radius - cut)
    light = 1 - 0.5 * (distance / radius) ** 2  # vignetting
    picture = np.where(inside[..., None], RETINA * light[..., None], surround)
    return np.clip(picture + rng.normal(0, 2, picture.shape), 0, 255).astype(np.uint8), inside


def overlap(found, true):
    return (found & true).sum() / (found | true).sum()


@pytest.mark.parametrize("surround", [0, 128, 255], ids=["black", "grey", "white"])
@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"cut": 25},
        {"centre": (110, 150), "radius": 80},
        {"size": (200, 300), "centre": (100, 150), "radius": 120, "cut": 20},
        {"size": (700, 900), "centre": (350, 430), "radius": 300},
        {"size": (60, 64), "centre": (30, 32), "radius": 28},
    ],
    ids=["round", "cut", "off-centre", "wide", "large", "small"],
)
def test_the_field_of_view_of_any_camera_is_found(shape, surround):
    picture, true = eye(surround=surround, **shape)
    assert overlap(field_of_view(picture), true) > 0.95


def test_a_dark_patch_at_the_rim_still_belongs_to_the_eye():
    picture, true = eye(radius=110)
    y, x = np.mgrid[:256, :256]
    picture[np.hypot(y - 128, x - 225) < 40] = 2
    assert overlap(field_of_view(picture), true) > 0.9


def test_letters_in_a_corner_do_not_move_the_field():
    picture, true = eye(radius=90)
    picture[4:10, 4:40:6] = 255
    assert overlap(field_of_view(picture), true) > 0.95


def test_a_picture_without_a_surround_is_all_field():
    y, x = np.mgrid[:128, :128]
    light = 1 - 0.3 * np.hypot(y - 64, x - 64) / 90
    assert field_of_view((RETINA * light[..., None]).astype(np.uint8)).all()


@pytest.mark.parametrize("value", [0, 90, 255])
def test_an_empty_picture_is_all_field(value):
    assert field_of_view(np.full((50, 70, 3), value, np.uint8)).all()


def test_the_layers_of_an_oct_are_no_field_of_view():
    picture = np.full((100, 256, 3), 12, np.uint8)
    picture[45:65] = 150
    assert field_of_view(picture).all()


def test_a_crop_is_square_centred_and_black_outside():
    picture, _ = eye(size=(200, 300), centre=(100, 150), radius=120, cut=30, surround=255)
    square = crop(picture)
    assert square.shape[0] == square.shape[1] == pytest.approx(240, abs=6)
    assert square[:20].max() == 0 and square[-20:].max() == 0
    assert square[120, 120].astype(int) == pytest.approx(RETINA, abs=10)


def test_cameras_of_different_surrounds_give_the_same_array():
    """What a network sees must not tell the camera by its surround."""
    views = [Preprocessing(size=64)(encode(eye(surround=grey)[0], 100)) for grey in (0, 255)]
    difference = np.abs(views[0].astype(int) - views[1].astype(int)).mean()
    assert difference < 4


def test_preprocessing_gives_its_size_and_repeats_itself():
    data = encode(eye()[0])
    for name in ("fov-square", "squash"):
        once = Preprocessing(name=name, size=48)(data)
        assert once.shape == (48, 48, 3) and once.dtype == np.uint8
        assert np.array_equal(once, Preprocessing(name=name, size=48)(data))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_every_kind_of_picture_becomes_rgb(mode):
    buffer = io.BytesIO()
    Image.fromarray(eye()[0]).convert(mode).save(buffer, "TIFF")
    assert decode(buffer.getvalue()).shape == (256, 256, 3)


def test_encoding_keeps_the_picture_and_its_bytes():
    picture = resize(eye()[0], 96)
    assert encode(picture) == encode(picture)
    assert np.abs(decode(encode(picture)).astype(int) - picture).mean() < 4


@pytest.mark.parametrize(
    "damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"GIF?"]
)
def test_a_damaged_picture_is_named(damage):
    with pytest.raises(UserError, match=r"^eye\.jpg: (damaged|not a) picture.*replace or remove it$"):
        decode(damage(encode(eye()[0])), "eye.jpg")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_that_lies_on_its_side_is_put_upright(orientation):
    """Phones write the picture as the sensor has it, and in EXIF how to turn it."""
    picture, _ = eye(size=(80, 120), centre=(30, 40), radius=25)
    upright = decode(encode(picture, 100))
    back = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90",
            7: "TRANSVERSE", 8: "ROTATE_270"}  # fmt: skip
    stored = Image.fromarray(upright)
    if orientation > 1:
        stored = stored.transpose(Image.Transpose[back[orientation]])
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    stored.save(buffer, "PNG", exif=exif)
    assert np.array_equal(decode(buffer.getvalue()), upright)
    straight = Preprocessing(size=32)(buffer.getvalue())
    assert np.array_equal(straight, Preprocessing(size=32)(encode_exactly(upright)))


def encode_exactly(picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def test_damaged_exif_data_do_not_cost_the_picture():
    buffer = io.BytesIO()
    Image.fromarray(eye()[0]).save(buffer, "JPEG", exif=b"Exif\0\0" + b"\xff" * 20)
    assert decode(buffer.getvalue()).shape == (256, 256, 3)


def test_preprocessing_of_a_picture_is_its_crop_resized():
    """The short way through Pillow gives what the steps by themselves give, byte for byte."""
    data = encode(eye(size=(200, 300), centre=(100, 150), radius=120, cut=20, surround=255)[0])
    assert np.array_equal(Preprocessing(size=96)(data), resize(crop(decode(data)), 96))
    assert np.array_equal(Preprocessing(name="squash", size=96)(data), resize(decode(data), 96))


def test_the_field_is_opened_as_scipy_opens_it():
    """A mask of any size and density, noise or blots, to the pixel."""
    rng = np.random.default_rng(0)
    for number in range(300):
        mask = rng.random(rng.integers(1, 80, 2)) < rng.random()
        blots = ndimage.binary_dilation(mask, iterations=2) if number % 2 else mask
        assert np.array_equal(_opened(blots), ndimage.binary_opening(blots))
