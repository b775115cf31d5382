"""What stands between eye and picture: cataract, haze, and what makes a photograph unreadable."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import ndimage

from synth.phantom.canvas import Canvas
from synth.phantom.chance import chance, enlarge

_VEIL = (0.74, 0.62, 0.44)


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of (3, S, S) by `sigma` pixels; wide blurs are computed on a smaller picture."""
    size, step = picture.shape[1], max(1, int(sigma / 2))
    if step == 1:
        return ndimage.gaussian_filter(picture, (0, sigma, sigma), truncate=2.5)
    small: np.ndarray = ndimage.gaussian_filter(
        picture[:, ::step, ::step], (0, sigma / step, sigma / step), truncate=2.5
    )
    zoom = np.minimum(np.arange(size) / step, small.shape[1] - 1)
    low = zoom.astype(int)
    part = (zoom - low).astype(np.float32)
    high = np.minimum(low + 1, small.shape[1] - 1)
    rows = small[:, low] * (1 - part)[:, None] + small[:, high] * part[:, None]
    return rows[:, :, low] * (1 - part) + rows[:, :, high] * part


def fog(
    colour: np.ndarray, key: tuple, strength: float, veil: tuple[float, float, float] = _VEIL
) -> np.ndarray:
    """A clouded lens before the whole fundus: blur, and a veil that takes the contrast; `strength` 0..1."""
    rng, size = chance(*key, "fog"), colour.shape[1]
    soft = blurred(colour, max(0.5, size * (0.006 + 0.022 * strength)))
    thickness = 0.30 + 0.48 * strength + 0.10 * enlarge(rng.standard_normal((5, 5)), size)
    alpha = np.clip(thickness, 0, 0.93).astype(np.float32)
    light = soft.mean() * np.float32(0.55) + np.float32(0.33)
    return soft + alpha * (np.array(veil, np.float32)[:, None, None] * (light / 0.62) - soft)


def media(canvas: Canvas, key: tuple, findings: tuple[str, ...]) -> None:
    """Cataract and haze of the vitreous, in place."""
    rng = chance(*key, "media")
    strength = rng.uniform(0.25, 0.95)
    if "cataract" in findings:
        canvas.colour = fog(canvas.colour, key, strength)
    if "media_haze" in findings:
        clouds = 0.42 + 0.16 * enlarge(rng.standard_normal((6, 6)), canvas.view.size)
        canvas.colour = blurred(canvas.colour, max(0.5, canvas.view.size * 0.008))
        canvas.paint(np.clip(clouds, 0.05, 0.8).astype(np.float32), (0.64, 0.58, 0.51), lesion=False)


_MISSED = 3  # the fourth way to lose a structure: the camera was aimed elsewhere


def _way(key: tuple, part: str) -> int:
    return int(chance(*key, part, "hide").integers(_MISSED + 1))


def aim(labels: Mapping[str, Any], key: tuple) -> tuple[float, float]:
    """How far the camera is aimed past the posterior pole, in eye units, so that a structure is out of the frame."""
    bad = [labels.get(f"is_{part}_readable") == 0 for part in ("optic_disc", "macular", "retinal_region")]
    if bad == [True, False, False] and _way(key, "disc") == _MISSED:
        return (-0.95, 0.0)
    if bad == [False, True, False] and _way(key, "macula") == _MISSED:
        return (1.05, 0.0)
    return (0.0, 0.0)


def hide(canvas: Canvas, way: int, place: tuple[float, float], radius: float) -> None:
    """Make one structure unreadable: a reflection, a shadow, or local haze over it."""
    layer = np.clip(1.7 * canvas.halo(place, radius), 0, 1)
    soft = blurred(canvas.colour, canvas.view.size * 0.035)
    canvas.paint(np.clip(2 * layer, 0, 1), soft, lesion=False)
    if way == 0:
        canvas.paint(layer, (1.15, 1.08, 0.95), 0.97, lesion=False)
    elif way == 1:
        canvas.absorb(layer, (0.10, 0.09, 0.11), 0.97, lesion=False)
    else:
        canvas.paint(layer, (0.66, 0.62, 0.60), 0.93, lesion=False)


def shade(canvas: Canvas, key: tuple) -> None:
    """Make most of the retina unreadable: a lid, lashes or a bad angle leave a crescent of glare or dark."""
    rng = chance(*key, "shade")
    angle = rng.choice([-1.57, 1.57, 3.14]) + rng.normal(0, 0.35)
    depth = np.cos(angle) * (canvas.x - canvas.view.centre[0]) + np.sin(angle) * (
        canvas.y - canvas.view.centre[1]
    )
    size = canvas.view.size
    edge = depth + 0.25 * enlarge(rng.standard_normal((5, 5)), size) * 0.5
    layer = np.clip((edge + 0.1) * 2.6, 0, 1).astype(np.float32)
    soft = blurred(canvas.colour, size * 0.03)
    canvas.paint(np.ones_like(layer), soft, 0.75, lesion=False)
    if rng.uniform() < 0.5:
        canvas.absorb(layer, (0.16, 0.14, 0.15), 0.97, lesion=False)
    else:
        canvas.paint(layer, (1.1, 1.02, 0.86), 0.93, lesion=False)


def degrade(canvas: Canvas, labels: Mapping[str, Any], key: tuple, disc: tuple[float, float]) -> None:
    """Whatever makes the readability labels that are 0 true, in place."""
    bad = [labels.get(f"is_{part}_readable") == 0 for part in ("optic_disc", "macular", "retinal_region")]
    if all(bad):
        canvas.colour = blurred(canvas.colour, canvas.view.size * 0.05)
        canvas.colour = fog(canvas.colour, (*key, "all"), 1.0, (0.62, 0.54, 0.46))
        return
    missed = aim(labels, key) != (0.0, 0.0)
    if bad[0] and not missed:
        hide(canvas, _way(key, "disc"), disc, 0.27)
    if bad[1] and not missed:
        hide(canvas, _way(key, "macula"), (0.0, 0.0), 0.34)
    if bad[2]:
        shade(canvas, key)


def not_a_fundus(key: tuple, size: int) -> np.ndarray:
    """(S, S, 3) uint8 of something else: an eye from outside, a lid too bright, a dark or a grey frame."""
    rng = chance(*key, "other")
    place = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    x, y = np.broadcast_arrays(place[None, :], place[:, None])
    uneven = enlarge(rng.standard_normal((5, 5)), size)
    kind = int(rng.integers(4))
    if kind <= 1:
        picture = _outer_eye(rng, x, y)
    elif kind == 2:  # a lid: too bright
        base = np.array([1.0, rng.uniform(0.75, 0.95), rng.uniform(0.45, 0.85)], np.float32)
        picture = base * (0.95 + 0.12 * uneven)[..., None]
    else:  # no light, or a capped lens
        base = rng.uniform(0.04, 0.5) * np.array([1, 0.95, 0.95], np.float32)
        picture = base * (1 + 0.3 * uneven)[..., None]
    picture = np.moveaxis(
        blurred(np.moveaxis(picture.astype(np.float32), -1, 0), size * rng.uniform(0.008, 0.03)), 0, -1
    )
    picture = picture + rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(0.01)
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def _outer_eye(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """An eye from outside: skin, the white between the lids, iris, pupil and the flash."""
    skin = np.array([0.85, 0.62, 0.50], np.float32) * np.float32(rng.uniform(0.5, 1.05))
    picture = np.broadcast_to(skin, (*x.shape, 3)) * (1 - 0.25 * np.abs(y))[..., None]
    cx, cy = rng.uniform(-0.2, 0.2, 2)
    far = np.hypot(x - np.float32(cx), y - np.float32(cy))
    lids = np.clip((1 - ((x - cx) / 0.85) ** 2 - np.abs(y - cy) / rng.uniform(0.38, 0.6)) * 12, 0, 1)[
        ..., None
    ]
    inner = np.broadcast_to(np.array([0.88, 0.84, 0.82], np.float32), picture.shape)
    iris = np.array(
        [(0.35, 0.22, 0.12), (0.35, 0.42, 0.5), (0.22, 0.14, 0.08)][int(rng.integers(3))], np.float32
    )
    for radius, colour in ((0.36, iris), (rng.uniform(0.1, 0.2), np.array([0.05, 0.04, 0.05], np.float32))):
        alpha = np.clip((radius - far) * 25, 0, 1)[..., None]
        inner = inner + alpha * (colour - inner)
    flash = np.clip((0.05 - np.hypot(x - np.float32(cx + 0.08), y - np.float32(cy - 0.08))) * 40, 0, 1)[
        ..., None
    ]
    inner = inner + flash * (1 - inner)
    return picture + lids * (inner - picture)
