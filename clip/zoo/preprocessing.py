"""How other people's models want a photograph: each project's own steps, named and versioned.

The squares are uint8, as ours are; what the original keeps in floats between resizing and scaling differs by at
most half a grey level.
"""

from typing import Literal

import numpy as np
from pydantic import PositiveFloat, PositiveInt

from clip.model.encoders import MEAN, STD
from synth.base.config import Config
from synth.data.images import decode

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
VISIONFM_MEAN = (0.423737496137619, 0.2609460651874542, 0.128403902053833)
VISIONFM_STD = (0.29482534527778625, 0.20167365670204163, 0.13668020069599152)
"""Of VisionFM's fundus photographs (ABILab-CUHK/VisionFM commit 06974c3, `utils.get_stats`)."""

_STRIP = 16
"""How much longer than wide no photograph of an eye is."""

Three = tuple[float, float, float]
Deviations = tuple[PositiveFloat, PositiveFloat, PositiveFloat]


class ForeignPreprocessing(Config):
    """How an encoded picture becomes the square that somebody else's image tower sees."""

    name: Literal["squash", "shortest-side", "flair-canvas"]
    """`squash`: both sides to `size`; `shortest-side`: the shorter side to `resize`, then the central square;
    `flair-canvas`: the foreground alone, its longer side to `size`, black at the right and below."""
    version: Literal[1] = 1
    """Raised whenever the same bytes would give another array."""
    size: PositiveInt
    """Pixels a side of the result."""
    resize: PositiveInt | None = None
    """Of `shortest-side`: pixels of the shorter side before the crop; without it, `size`."""
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    """Of the resizing; shrinking is antialiased."""
    mean: Three = MEAN
    """Subtracted from channels in [0, 1]."""
    std: Deviations = STD
    """What the difference is divided by."""

    def __call__(self, data: bytes, where: str = "image") -> np.ndarray:
        """(size, size, 3) uint8 RGB from an encoded picture; `where` names it in errors."""
        picture = decode(data, where)
        return (
            canvas(foreground(picture), self.size) if self.name == "flair-canvas" else self._resized(picture)
        )

    def _resized(self, picture: np.ndarray) -> np.ndarray:
        from PIL import Image
        from torchvision import transforms

        how = transforms.InterpolationMode(self.interpolation)
        picture = _middle(picture) if self.name == "shortest-side" else picture
        steps: list = [transforms.Resize((self.size, self.size), how)]
        if self.name == "shortest-side":
            steps = [transforms.Resize(self.resize or self.size, how), transforms.CenterCrop(self.size)]
        return np.asarray(transforms.Compose(steps)(Image.fromarray(picture)))


def _middle(picture: np.ndarray) -> np.ndarray:
    """Of a strip, the part about its middle, with more than its central square: resized whole, it would need gigabytes."""
    short, long = sorted(picture.shape[:2])
    if long <= _STRIP * short:
        return picture
    part = slice(long // 2 - 2 * short, long // 2 + 2 * short)
    return picture[part] if picture.shape[0] == long else picture[:, part]


def foreground(picture: np.ndarray) -> np.ndarray:
    """The rectangle about the largest bright part of (H, W, 3): FLAIR's crop, its default since April 2025.

    Bright is what exceeds Li's threshold in the red channel (jusiro/FLAIR, `crop_im`, commit 8cd878a).
    """
    from scipy import ndimage

    red = picture[..., 0]
    labelled, count = ndimage.label(red > li_threshold(red), np.ones((3, 3)))  # type: ignore[misc]
    if not count:
        return picture
    largest = int(np.bincount(labelled.ravel())[1:].argmax())
    return picture[ndimage.find_objects(labelled)[largest]]


def li_threshold(channel: np.ndarray) -> float:
    """The threshold of least cross-entropy between a uint8 channel and its two-level version.

        t = (b - f) / (log b - log f)     Li & Tam 1998, doi:10.1016/S0167-8655(98)00057-9

    with b and f the means below and above t, of values counted from the smallest.
    """
    count = np.bincount(channel.ravel(), minlength=256).astype(float)
    values = np.flatnonzero(count)
    if len(values) == 1:
        return float(values[0])
    count, grey = count[values], (values - values[0]).astype(float)
    tolerance = np.diff(values).min() / 2
    threshold, before = float(grey @ count / count.sum()), -np.inf
    while abs(threshold - before) > tolerance:
        before, above = threshold, grey > threshold
        bright = grey[above] @ count[above] / count[above].sum()
        dark = grey[~above] @ count[~above] / count[~above].sum()
        if dark == 0:
            break
        threshold = float((dark - bright) / (np.log(dark) - np.log(bright)))
    return threshold + float(values[0])


def canvas(picture: np.ndarray, size: int) -> np.ndarray:
    """(size, size, 3) uint8: the longer side becomes `size`; black fills the rest at the right and below."""
    import torch
    from torchvision.transforms.functional import resize

    height, width = picture.shape[:2]
    scale = max(height, width) / size
    target = [size, size] if height == width else [max(1, int(height / scale)), max(1, int(width / scale))]
    small = resize(torch.from_numpy(picture.copy()).permute(2, 0, 1).float(), target, antialias=True)
    square = np.zeros((size, size, 3), np.uint8)
    square[: target[0], : target[1]] = small.round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    return square
