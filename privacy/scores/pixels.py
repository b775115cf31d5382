"""The trivial attacker: colour and a thumbnail, without any network.

What such features give away is a property of the photograph, not of a model or of what it was trained on.
"""

from typing import NamedTuple

import numpy as np

from privacy.statistics import components
from synth.base import ties
from synth.data.images import resize

THUMBNAIL = 32
_BINS = 8
_COMPONENTS = 64


class Axes(NamedTuple):
    """What some photographs vary in, by which these or others are described."""

    middle: np.ndarray
    """(3072,) mean thumbnail."""
    components: np.ndarray
    """(3072, c) principal axes of thumbnails."""
    level: np.ndarray
    """(k,) mean of each feature."""
    spread: np.ndarray
    """(k,) its deviation; infinite where it does not vary."""

    def features(self, photographs: np.ndarray) -> np.ndarray:
        """(N, k) of (N, H, W, 3) uint8."""
        return self._standardised(_colours(photographs), _thumbnails(photographs))

    def _standardised(self, colours: np.ndarray, thumbnails: np.ndarray) -> np.ndarray:
        values = np.concatenate([colours, (thumbnails - self.middle) @ self.components], axis=1)
        return (values - self.level) / self.spread


def features(photographs: np.ndarray, patient: np.ndarray) -> np.ndarray:
    """(N, k) from (N, S, S, 3) uint8 photographs as the encoder sees them; `patient` (N,) never falls.

    Mean colour (3), a histogram of each channel (3 x 8), and the principal components of 32 x 32 thumbnails
    (at most 64); each has mean 0 and variance 1 over patients.
    """
    colours, thumbnails = _colours(photographs), _thumbnails(photographs)
    return _axes(colours, thumbnails, patient)._standardised(colours, thumbnails)


def axes(photographs: np.ndarray, patient: np.ndarray) -> Axes:
    """Those of (N, H, W, 3) uint8 photographs, to describe others by; every patient weighs the same."""
    return _axes(_colours(photographs), _thumbnails(photographs), patient)


def _axes(colours: np.ndarray, thumbnails: np.ndarray, patient: np.ndarray) -> Axes:
    weights = 1.0 / np.bincount(patient)[patient]
    weights = weights / weights.sum()
    middle, deviation = ties.moments(thumbnails, weights)
    centred = np.where(np.isfinite(deviation), thumbnails - middle, 0.0)
    count = min(_COMPONENTS, max(1, int(patient[-1])), thumbnails.shape[1])
    leading = components.principal(centred, weights, count)
    values = np.concatenate([colours, centred @ leading], axis=1)
    return Axes(middle, leading, *ties.moments(values, weights))


def _thumbnails(photographs: np.ndarray) -> np.ndarray:
    """(N, 3072) in [0, 1]."""
    small = np.stack([resize(photograph, THUMBNAIL).reshape(-1) for photograph in photographs])
    return small.astype(np.float64) / 255


def _colours(photographs: np.ndarray) -> np.ndarray:
    """(N, 27) mean colour and a histogram of each channel."""
    return np.stack([_colour(photograph) for photograph in photographs])


def _colour(photograph: np.ndarray) -> np.ndarray:
    pixels = photograph.reshape(-1, 3)
    bins = [np.bincount(channel >> 5, minlength=_BINS) / len(pixels) for channel in pixels.T]
    return np.concatenate([pixels.mean(axis=0) / 255, *bins])
