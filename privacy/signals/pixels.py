"""The trivial attacker: colour and a thumbnail, without any network.

What such features give away is a property of the photograph, not of a model or of what it was trained on.
"""

import numpy as np

from privacy.statistics import components
from synth.fundus.images import resize

THUMBNAIL = 32
_BINS = 8
_COMPONENTS = 64


def features(photographs: np.ndarray, patient: np.ndarray) -> np.ndarray:
    """(N, k) from (N, S, S, 3) uint8 photographs as the encoder sees them; `patient` (N,) never falls.

    Mean colour (3), a histogram of each channel (3 x 8), and the principal components of 32 x 32 thumbnails
    (at most 64); each has mean 0 and variance 1 over patients.
    """
    weights = 1.0 / np.bincount(patient)[patient]
    weights = weights / weights.sum()
    colours = np.stack([_colours(photograph) for photograph in photographs])
    thumbnails = np.stack([resize(photograph, THUMBNAIL).reshape(-1) for photograph in photographs])
    thumbnails = thumbnails.astype(np.float64) / 255
    thumbnails -= weights @ thumbnails
    count = min(_COMPONENTS, max(1, int(patient[-1])), thumbnails.shape[1])
    thumbnails = thumbnails @ components.principal(thumbnails, weights, count)
    return _standardise(np.concatenate([colours, thumbnails], axis=1), weights)


def _colours(photograph: np.ndarray) -> np.ndarray:
    pixels = photograph.reshape(-1, 3)
    bins = [np.bincount(channel >> 5, minlength=_BINS) / len(pixels) for channel in pixels.T]
    return np.concatenate([pixels.mean(axis=0) / 255, *bins])


def _standardise(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    values = values - weights @ values
    deviation = np.sqrt(weights @ values**2)
    return values / np.where(deviation > 1e-7, deviation, np.inf)
