"""A sheet of paper in the coordinates of the eye, and the few strokes that everything is drawn with.

Eye coordinates: a right eye as the camera shows it, the fovea at (0, 0), x to the nose, y down; the unit
is the radius of a 45 degree field of view.  A left eye is the same eye seen in a mirror.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

_EXTENT = 2.0  # textures cover [-2, 2] x [-2, 2]


@dataclass(frozen=True)
class View:
    """How the eye lies in the picture."""

    size: int
    """Pixels a side of the picture."""
    middle: tuple[float, float]
    """Pixel coordinates (x, y) of the middle of the field of view."""
    radius: float
    """Radius of the field of view in pixels."""
    centre: tuple[float, float]
    """Eye coordinates of the middle of the field of view."""
    zoom: float
    """Radius of the field of view in eye units."""
    angle: float
    """Rotation of the head, radians."""
    mirrored: bool
    """A left eye."""

    @cached_property
    def matrix(self) -> np.ndarray:
        """(2, 2): pixel offsets -> eye offsets."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        flip = np.diag([-1.0 if self.mirrored else 1.0, 1.0])
        return np.array([[cos, -sin], [sin, cos]]) @ flip * (self.zoom / self.radius)

    @cached_property
    def _inverse(self) -> np.ndarray:
        return np.linalg.inv(self.matrix).T

    @property
    def pixel(self) -> float:
        """Side of a pixel in eye units."""
        return self.zoom / self.radius

    def as_pictures(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) eye coordinates -> (..., 2) pixel coordinates (x, y)."""
        return (points - np.array(self.centre)) @ self._inverse + np.array(self.middle)

    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """Eye coordinates x and y of every pixel, each (S, S) float32."""
        place = np.arange(self.size, dtype=np.float32) + 0.5
        u, v = (place - self.middle[0])[None, :], (place - self.middle[1])[:, None]
        m = self.matrix.astype(np.float32)
        return (self.centre[0] + m[0, 0] * u + m[0, 1] * v, self.centre[1] + m[1, 0] * u + m[1, 1] * v)

    def sample(self, texture: np.ndarray) -> np.ndarray:
        """(S, S) float32: a texture that belongs to the eye, as this view sees it."""
        scale = texture.shape[0] / (2 * _EXTENT)
        m = self.matrix * scale
        start = (np.array(self.centre) + _EXTENT) * scale - m @ np.array(self.middle)
        coefficients = (m[0, 0], m[0, 1], start[0], m[1, 0], m[1, 1], start[1])
        image = Image.fromarray(texture.astype(np.float32))
        method = Image.Transform.AFFINE
        return np.asarray(
            image.transform((self.size, self.size), method, coefficients, Image.Resampling.BILINEAR)
        )


class Canvas:
    """What has been drawn so far: `colour` (3, S, S) float32 reflectance and `lesions` (S, S) in [0, 1]."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.x, self.y = view.grid()
        self.colour = np.zeros((3, view.size, view.size), np.float32)
        self.lesions = np.zeros((view.size, view.size), np.float32)

    def blank(self) -> np.ndarray:
        """An empty layer of opacity, (S, S) float32."""
        return np.zeros((self.view.size, self.view.size), np.float32)

    def paint(self, layer: np.ndarray, colour: tuple[float, ...] | np.ndarray, opacity: float = 1.0,
              lesion: bool = True) -> None:  # fmt: skip
        """Cover with `colour` where `layer` says."""
        if lesion:
            np.maximum(self.lesions, layer * min(1.0, opacity * 1.5), out=self.lesions)
        alpha = layer * np.float32(opacity)
        for plane, tone in zip(self.colour, np.asarray(colour, np.float32), strict=True):
            plane += alpha * (tone - plane)

    def absorb(
        self, layer: np.ndarray, factor: tuple[float, ...], opacity: float = 1.0, lesion: bool = True
    ) -> None:
        """Multiply by `factor` where `layer` says, as blood and pigment do."""
        if lesion:
            np.maximum(self.lesions, layer * min(1.0, opacity * 1.5), out=self.lesions)
        for plane, share in zip(self.colour, factor, strict=True):
            plane *= 1 - layer * np.float32(opacity * (1 - share))

    def stamp(self, layer: np.ndarray, place: tuple[float, float], radii: tuple[float, float], angle: float = 0.0,
              soft: float = 0.0, wobble: float = 0.0, rng: np.random.Generator | None = None) -> None:  # fmt: skip
        """Add one spot to `layer`: an ellipse at `place` with half axes `radii`, its edge `soft` wide (eye units).

        `wobble` bends the outline by about that share of the radius.  A spot below a pixel becomes fainter.
        """
        pixel, (a, b) = self.view.pixel, radii
        least = 0.7 * pixel
        strength = min(1.0, a / least) * min(1.0, b / least)
        a, b = max(a, least), max(b, least)
        soft = max(soft, pixel)
        reach = (max(a, b) * (1 + wobble) + soft) / pixel
        column, row = self.view.as_pictures(np.array(place))
        size = self.view.size
        left, right = max(0, int(column - reach)), min(size, int(column + reach) + 2)
        top, bottom = max(0, int(row - reach)), min(size, int(row + reach) + 2)
        if left >= right or top >= bottom:
            return
        window = (slice(top, bottom), slice(left, right))
        dx, dy = self.x[window] - np.float32(place[0]), self.y[window] - np.float32(place[1])
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        along, across = (dx * cos + dy * sin) / np.float32(a), (dy * cos - dx * sin) / np.float32(b)
        distance = np.sqrt(along * along + across * across)
        if wobble and rng is not None:
            distance = distance / outline(np.arctan2(across, along), wobble, rng)
        alpha = np.clip((1 - distance) * np.float32(min(a, b) / soft) + np.float32(0.5), 0, 1)
        np.maximum(layer[window], alpha * np.float32(strength), out=layer[window])

    def spots(self, points: np.ndarray, radii: np.ndarray, soft: float = 0.0, wobble: float = 0.0,
              rng: np.random.Generator | None = None) -> np.ndarray:  # fmt: skip
        """(S, S) layer of round spots: `points` (n, 2), `radii` (n,)."""
        layer = self.blank()
        for (x, y), radius in zip(points, radii, strict=True):
            self.stamp(layer, (x, y), (radius, radius), 0.0, soft, wobble, rng)
        return layer

    def halo(self, place: tuple[float, float], radius: float) -> np.ndarray:
        """(S, S): a soft round cloud, 1 in its middle, 0.37 at `radius`."""
        dx, dy = self.x - np.float32(place[0]), self.y - np.float32(place[1])
        return np.exp(-(dx * dx + dy * dy) / np.float32(radius * radius))


def outline(angle: np.ndarray, wobble: float, rng: np.random.Generator) -> np.ndarray:
    """Relative radius of an irregular outline at each `angle`."""
    total = np.ones_like(angle)
    for order in range(2, 7):
        height, phase = rng.uniform(0.3, 1), rng.uniform(0, 6.283)
        total += np.float32(wobble * height * 1.3 / order) * np.cos(order * angle + np.float32(phase))
    return np.maximum(total, 0.25)
