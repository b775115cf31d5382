"""The camera: its colour, its field of view, its optics; differs between visits, never between diseases."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from synth.phantom.anatomy import Person
from synth.phantom.canvas import View
from synth.phantom.chance import chance, enlarge

SHAPES = ("round", "cut", "overflow", "off_centre", "grey", "notch")
"""Field of view: round; cut at top and bottom; wider than the picture; off-centre; on grey; with a notch."""


class Device(NamedTuple):
    """One model of camera."""

    shape: str
    gain: tuple[float, float, float]
    """Red, green, blue."""
    gamma: float
    vignette: float
    """Share of the light that is missing at the rim."""
    zoom: float
    """Radius of the field of view in eye units; 1 is 45 degrees."""
    blur: float
    """Eye units."""


DEVICES = (
    Device("round", (1.00, 1.00, 1.00), 1.00, 0.30, 1.02, 0.003),
    Device("cut", (1.02, 1.10, 0.80), 0.95, 0.22, 1.00, 0.002),
    Device("overflow", (1.05, 0.95, 0.75), 1.05, 0.35, 0.98, 0.003),
    Device("off_centre", (0.95, 1.05, 1.25), 0.90, 0.30, 1.08, 0.004),
    Device("grey", (0.98, 1.02, 1.10), 0.95, 0.25, 1.05, 0.003),
    Device("notch", (1.06, 0.92, 0.62), 1.00, 0.35, 1.00, 0.003),
    Device("cut", (0.96, 1.08, 1.42), 0.85, 0.20, 1.05, 0.003),
    Device("round", (1.00, 1.10, 0.95), 0.90, 0.45, 1.10, 0.004),
)


@dataclass(frozen=True)
class Exposure:
    """One press of the shutter."""

    device: Device
    view: View
    key: tuple


def expose(key: object, side: str, visit: int, size: int, shape: str | None = None,
           off: tuple[float, float] = (0.0, 0.0)) -> Exposure:  # fmt: skip
    """Point a camera at an eye: one device per visit, a slightly different aim per picture.

    `shape` insists on a field of view; `off` moves the aim by that much, in eye units.
    """
    fits = [d for d in DEVICES if shape in (None, d.shape)]
    device = fits[int(chance(key, visit, "device").integers(len(fits)))]
    rng = chance(key, side, visit, "aim")
    radius = {"overflow": 0.555, "off_centre": 0.43}.get(device.shape, 0.48) * size
    shift = rng.uniform(-0.055, 0.055, 2) * size * (device.shape == "off_centre")
    middle = (size / 2 + shift[0], size / 2 + shift[1])
    centre = (rng.uniform(0.08, 0.36) + off[0], rng.uniform(-0.07, 0.07) + off[1])
    zoom = device.zoom * rng.uniform(0.96, 1.05)
    view = View(size, middle, radius, centre, zoom, rng.uniform(-0.1, 0.1), side == "left")
    return Exposure(device, view, (key, side, visit))


def _polar(view: View) -> tuple[np.ndarray, np.ndarray]:
    """Field coordinates of every pixel, each (S, S) float32; radius 1 is the rim."""
    place = np.arange(view.size, dtype=np.float32) + 0.5
    u = (place - np.float32(view.middle[0])) / np.float32(view.radius)
    v = (place - np.float32(view.middle[1])) / np.float32(view.radius)
    return np.broadcast_arrays(u[None, :], v[:, None])  # type: ignore[return-value]


def field(exposure: Exposure) -> np.ndarray:
    """(S, S) float32 in [0, 1]: where this camera sees the eye."""
    view = exposure.view
    u, v = _polar(view)
    edge = np.float32(view.radius)
    field_mask = np.clip((1 - np.sqrt(u * u + v * v)) * edge + 0.5, 0, 1)
    if exposure.device.shape == "cut":
        limit = chance(*exposure.key, "cut").uniform(0.74, 0.88)
        field_mask = field_mask * np.clip((np.float32(limit) - np.abs(v)) * edge + 0.5, 0, 1)
    if exposure.device.shape == "notch":
        tooth = (np.abs(v + np.float32(0.45)) < 0.05) & (u > 0)
        field_mask = np.maximum(field_mask, tooth * np.clip((1.06 - np.hypot(u, v)) * edge + 0.5, 0, 1))
    return field_mask.astype(np.float32)


def develop(exposure: Exposure, reflectance: np.ndarray, person: Person) -> np.ndarray:
    """(3, S, S) float32 picture in [0, 1], inside the field and out, from what the eye reflects."""
    device, view = exposure.device, exposure.view
    rng = chance(*exposure.key, "light")
    sigma = device.blur * rng.uniform(0.8, 1.6) / view.pixel
    if sigma > 0.35:
        reflectance = ndimage.gaussian_filter(reflectance, (0, sigma, sigma), truncate=2.5)
    u, v = _polar(view)
    lean = rng.uniform(-0.14, 0.14, 2).astype(np.float32)
    far = u * u + v * v
    light = 1 - np.float32(device.vignette) * far * (0.7 + 0.3 * far) + lean[0] * u + lean[1] * v
    uneven = enlarge(rng.standard_normal((4, 4)), view.size) * np.float32(0.05)
    light = np.maximum(light + uneven, 0.3)
    yellow = np.array([1.0, 1 - 0.08 * person.years, 1 - 0.38 * person.years])
    # Automatic exposure makes good for only a part of a dark fundus.
    bright = rng.uniform(0.92, 1.08) * (1 + 0.28 * person.melanin)
    gain = (np.array(device.gain) * yellow * bright * rng.uniform(0.96, 1.04, 3)).astype(np.float32)
    picture = reflectance * light * gain[:, None, None]
    bright_part = picture > 0.75
    picture[bright_part] = 0.75 + 0.25 * np.tanh((picture[bright_part] - 0.75) / 0.25)  # as film does
    return np.exp(np.log(np.clip(picture, 1e-4, 1)) * np.float32(device.gamma))


def finish(exposure: Exposure, picture: np.ndarray, field_mask: np.ndarray) -> np.ndarray:
    """(S, S, 3) uint8: the surround put around the picture, and the noise of the sensor."""
    rng = chance(*exposure.key, "sensor")
    surround = np.array([0.008, 0.006, 0.006], np.float32) * rng.uniform(0, 2)
    if exposure.device.shape == "grey":
        surround = np.full(3, rng.uniform(0.35, 0.6) if rng.uniform() < 0.85 else 0.97, np.float32)
    noise = rng.standard_normal((*field_mask.shape, 3), dtype=np.float32) * np.float32(
        rng.uniform(0.004, 0.012)
    )
    picture = np.maximum(np.moveaxis(picture, 0, -1) + noise, np.array([0.11, 0.06, 0.04], np.float32))
    picture = surround + field_mask[..., None] * (picture - surround)
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
