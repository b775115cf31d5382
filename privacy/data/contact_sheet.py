"""Released pictures beside the photographs that they are nearest to: for the controller's eyes, never for a report."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from synth.base.runs import atomic

NAME = "private-nearest.png"
_GAP = 4  # pixels between pairs
_ACROSS = 6  # pairs


def write(folder: Path, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> Path:
    """Write pairs of (S, S, 3) uint8, released at the left, into `folder`; only its owner may read the file."""
    from PIL import Image

    side = len(pairs[0][0])
    rows = -(-len(pairs) // _ACROSS)
    sheet = np.full((rows * (side + _GAP), min(len(pairs), _ACROSS) * (2 * side + _GAP), 3), 255, np.uint8)
    for place, pair in enumerate(pairs):
        y, x = place // _ACROSS * (side + _GAP), place % _ACROSS * (2 * side + _GAP)
        sheet[y : y + side, x : x + 2 * side] = np.concatenate(pair, axis=1)
    with atomic(folder / NAME) as temporary:
        temporary.touch(0o600)  # before anything is in it
        Image.fromarray(sheet).save(temporary, "PNG")
    return folder / NAME
