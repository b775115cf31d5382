"""Photographs compared whoever coloured, mirrored, turned or cropped them: the first of the two spaces of copies."""

import numpy as np

from synth.base.runs import progress

_BATCH = 512


def nearest(
    pictures: np.ndarray, among: np.ndarray, patient_ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How near each picture comes to its nearest photograph, and which that is (`synth.sampling.filters.copies`).

    Args:
        pictures: (G, S, S, 3) uint8, cropped to the field of view.
        among:    (R, S, S, 3) uint8; `patient_ids` (R,) int tells the patient.

    Returns:
        (G,) closeness in [0, 1], the distance to the nearest photograph over that to the tenth-nearest of other
        patients: 0 is the photograph itself; (G,) int rows of `among`.
    """
    from synth.sampling.filters import copies

    search = copies.Search(copies.descriptor(among), patient_ids)
    closeness, index = [], []
    with progress("looking for copies", len(pictures)) as bar:
        for first in range(0, len(pictures), _BATCH):
            near, rows = search.closeness(copies.descriptor(pictures[first : first + _BATCH]))
            closeness.append(near)
            index.append(rows)
            bar.update(len(near))
    return np.concatenate(closeness), np.concatenate(index)


def descriptors(pictures: np.ndarray) -> np.ndarray:
    """(N, 1024) float32 of (N, S, S, 3) uint8, of length 1: what is compared, 32 pixels a side."""
    from synth.sampling.filters import copies

    return copies.descriptor(pictures)
