"""Pictures that are no fundus photographs, drawn: by them the readability check is fitted, and with other seeds tested."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage


def black(rng: np.random.Generator, side: int) -> np.ndarray:
    """A frame before the flash: black with a sensor's noise."""
    return _noisy(np.full((side, side, 3), rng.uniform(0, 12)), rng, rng.uniform(0, 6))


def blank(rng: np.random.Generator, side: int) -> np.ndarray:
    """One colour, of any kind, evenly or fading across."""
    first, last = rng.uniform(0, 255, (2, 3))
    ramp = np.linspace(0, 1, side)[:, None, None] * (rng.random() < 0.5)
    picture = np.broadcast_to(first + (last - first) * ramp, (side, side, 3))
    return _noisy(picture if rng.random() < 0.5 else picture.swapaxes(0, 1), rng, rng.uniform(0, 6))


def round_blank(rng: np.random.Generator, side: int) -> np.ndarray:
    """A retina's colour in a round field, and nothing in it: a lens cap, an eye that was missed."""
    red = rng.uniform(60, 255)
    colour = np.array([red, red * rng.uniform(0.2, 0.8), red * rng.uniform(0.05, 0.5)])
    y, x = (np.mgrid[:side, :side] + 0.5) / side * 2 - 1
    light = 1 - rng.uniform(0, 0.5) * ((x - rng.normal(0, 0.3)) ** 2 + (y - rng.normal(0, 0.3)) ** 2)
    return _noisy((x**2 + y**2 < 0.95)[..., None] * light[..., None] * colour, rng, rng.uniform(0, 5))


def noise(rng: np.random.Generator, side: int) -> np.ndarray:
    """Coloured noise with the spectrum of scenes, 1 / f to a power; sometimes seen through a round field."""
    f = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :])
    f[0, 0] = 1 / side
    waves = np.fft.fft2(rng.standard_normal((3, side, side))) / f ** rng.uniform(0, 2)
    bands = np.fft.ifft2(waves).real
    bands /= bands.std(axis=(1, 2), keepdims=True)
    if rng.random() < 0.5:  # colours go together, as in a retina
        bands = bands[:1] * rng.uniform(0.5, 1, (3, 1, 1)) + 0.2 * bands
    picture = rng.uniform(20, 220, 3) + rng.uniform(15, 60) * bands.transpose(1, 2, 0)
    y, x = (np.mgrid[:side, :side] + 0.5) / side * 2 - 1
    seen = (x**2 + y**2 < 0.95) | (rng.random() < 0.5)
    return _noisy(np.clip(picture, 0, 255) * seen[..., None], rng, 0)


def scan(rng: np.random.Generator, side: int) -> np.ndarray:
    """An OCT: grey layers on black, with speckle."""
    x = np.linspace(-1, 1, side)
    bend = side * (rng.uniform(0.3, 0.6) + rng.uniform(-0.1, 0.1) * x + rng.uniform(-0.2, 0.2) * x**2)
    bend -= side * rng.uniform(0, 0.12) * np.exp(-(((x - rng.normal(0, 0.2)) / 0.15) ** 2))
    y, light = np.arange(side)[:, None], np.full((side, side), rng.uniform(5, 40))
    depth = 0.0
    for _ in range(int(rng.integers(3, 9))):
        thick = side * rng.uniform(0.01, 0.06)
        light = np.where((y >= bend + depth) & (y < bend + depth + thick), rng.uniform(50, 230), light)
        depth += thick
    light = ndimage.gaussian_filter(light, rng.uniform(0.4, 1.5)) * rng.gamma(6, 1 / 6, (side, side))
    return _noisy(np.repeat(light[..., None], 3, axis=2), rng, 2)


def shapes(rng: np.random.Generator, side: int) -> np.ndarray:
    """Discs, boxes and lines in many colours on a ground: a toy, a logo, a face, a plate."""
    picture = Image.new("RGB", (side, side), _colour(rng))
    pen = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(2, 14))):
        x, y, w, h = rng.uniform(0, side, 4)
        box = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        draw = (pen.ellipse, pen.rectangle)[int(rng.integers(2))]
        if rng.random() < 0.75:
            draw(box, fill=_colour(rng))
        else:
            pen.line([(x, y), (w, h)], fill=_colour(rng), width=int(rng.integers(1, 8)))
    return _noisy(
        ndimage.gaussian_filter(np.asarray(picture, float), (rng.uniform(0, 2),) * 2 + (0,)), rng, 4
    )


def page(rng: np.random.Generator, side: int) -> np.ndarray:
    """A page of writing, or a screen with the colours turned round."""
    ink, paper = (rng.uniform(0, 70, 3), rng.uniform(200, 255, 3))
    dark = np.zeros((side, side), bool)
    line = int(rng.integers(3, 9))
    for top in range(line, side - line, 2 * line):
        words = rng.random(side) < 0.75
        ink_at = rng.random((line, side)) < 0.6
        dark[top : top + line, :] = ink_at & np.asarray(ndimage.binary_opening(words, iterations=2), bool)
    dark ^= rng.random() < 0.3
    return _noisy(np.where(dark[..., None], ink, paper), rng, 4)


def scene(rng: np.random.Generator, side: int) -> np.ndarray:
    """A sky over a ground with things in it, lit from one side."""
    horizon, y = rng.uniform(0.2, 0.8), np.linspace(0, 1, side)[:, None, None]
    picture = np.where(
        y < horizon, rng.uniform(80, 255, 3) * (1 - 0.4 * y), rng.uniform(20, 200, 3) * (0.5 + 0.5 * y)
    )
    picture = np.broadcast_to(picture, (side, side, 3)).copy()
    for _ in range(int(rng.integers(1, 8))):
        x, width, top = rng.uniform(0, side), rng.uniform(0.03, 0.3) * side, rng.uniform(0, horizon) * side
        left, right = int(max(0, x - width)), int(min(side, x + width))
        picture[int(top) : int(side * rng.uniform(horizon, 1)), left:right] = rng.uniform(0, 255, 3)
    return _noisy(picture + 0.3 * (noise(rng, side).astype(float) - 128), rng, 4)


def leaf(rng: np.random.Generator, side: int) -> np.ndarray:
    """Bright branches on a ground of any colour: leaves, rivers, cracks; vessels are dark, and part from a disc."""
    picture = Image.new("RGB", (side, side), _colour(rng))
    pen, colour = ImageDraw.Draw(picture), _colour(rng)

    def grow(x: float, y: float, angle: float, length: float, width: float) -> None:
        if length < side * 0.04:
            return
        x2, y2 = x + length * np.cos(angle), y + length * np.sin(angle)
        pen.line([(x, y), (x2, y2)], fill=colour, width=max(1, round(width)))
        for turn in rng.uniform(0.2, 0.9, 2) * (1, -1):
            grow(float(x2), float(y2), angle + float(turn), length * rng.uniform(0.55, 0.8), width * 0.7)

    grow(side / 2, side, -np.pi / 2 + rng.normal(0, 0.2), side * rng.uniform(0.2, 0.4), rng.uniform(2, 7))
    return _noisy(np.asarray(picture, float), rng, 5)


KINDS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    each.__name__: each for each in (black, blank, round_blank, noise, scan, shapes, page, scene, leaf)
}
"""Name -> what draws one (side, side, 3) uint8 picture of the kind."""


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = (int(each) for each in rng.integers(0, 256, 3))
    return red, green, blue


def _noisy(picture: np.ndarray, rng: np.random.Generator, spread: float) -> np.ndarray:
    """(side, side, 3) uint8 with a sensor's noise."""
    return np.clip(picture + rng.normal(0, spread, picture.shape), 0, 255).astype(np.uint8)
