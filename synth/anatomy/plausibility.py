"""What anatomy is plausible: ranges that nearly every readable phantom and photograph keeps."""

import numpy as np

from synth.anatomy.measures import Anatomy

RULE = 1
"""Raised whenever another photograph would be plausible."""
DISTANCE = (0.2, 0.5)
"""From the disc to the macula, in widths of the picture."""
CONNECTED = 0.4
"""The least share of the vessels that hangs together."""


def within(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """(N,) bool; what is NaN is not within."""
    return (values >= limits[0]) & (values <= limits[1])


def plausible(measured: Anatomy) -> np.ndarray:
    """(N,) bool: one disc, a macula at a distance that occurs, and vessels that hang together."""
    return (measured.discs == 1) & within(measured.distance, DISTANCE) & (measured.connected >= CONNECTED)
