"""Randomness by name: what is drawn under one key never moves what is drawn under another."""

import hashlib

import numpy as np
from PIL import Image


def chance(*key: object) -> np.random.Generator:
    """The generator of one key; equal keys give equal draws, on every machine."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))


def blend(own: float, attribute: float, strength: float) -> float:
    """`own` at strength 0 (exactly, whatever `attribute` is), `attribute` at strength 1."""
    return own if strength == 0 else (1 - strength) * own + strength * attribute


def texture(rng: np.random.Generator, cells: int, pixels: int = 192) -> np.ndarray:
    """(pixels, pixels) float32 smooth noise, mean about 0, deviation about 1, `cells` bumps a side."""
    grid = rng.standard_normal((cells + 2, cells + 2)).astype(np.float32)
    return enlarge(grid, pixels) * 1.4


def enlarge(grid: np.ndarray, pixels: int) -> np.ndarray:
    """(pixels, pixels) float32: `grid` without its outermost half cells, smoothly interpolated."""
    cells = grid.shape[0]
    box = (0.5, 0.5, cells - 0.5, cells - 0.5)
    image = Image.fromarray(grid.astype(np.float32))
    return np.asarray(image.resize((pixels, pixels), Image.Resampling.BICUBIC, box=box))


def ridges(rng: np.random.Generator, cells: int, width: float = 0.3) -> np.ndarray:
    """(192, 192) float32 in [0, 1]: a net of winding bands, such as vessels of the choroid."""
    noise = texture(rng, cells) + 0.35 * texture(rng, 2 * cells)
    return np.exp(-((noise / width) ** 2))
