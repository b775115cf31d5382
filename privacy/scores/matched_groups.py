"""Groups of equal size that have no photograph in common: who is compared by how near released pictures come."""

from typing import NamedTuple

import numpy as np

SAME = 0.3
"""Closeness of registered photographs below which two are one.  Of 1,000 photographs of ODIR-5K the nearest to those of
1,345 other patients is at .42; of copies that were mirrored, re-coloured and compressed 85 % are below .3."""


class MatchedGroups(NamedTuple):
    """As many members as non-members, without patients who are in both groups."""

    members: np.ndarray
    """Rows of `Inputs.members`."""
    nonmembers: np.ndarray
    """Rows of `Inputs.nonmembers`."""
    patient_ids: np.ndarray
    """(R,) int of both, members first: patients in [0, 2 P)."""
    patients: int
    """P of each group."""
    duplicates: float
    """Share of a group's patients left out because a patient of the other has the same picture; of the group with more."""


def separate(
    members: np.ndarray,
    nonmembers: np.ndarray,
    between: tuple[np.ndarray, np.ndarray],
    seed: int,
    max_patients: int,
) -> MatchedGroups:
    """As many patients of either group, drawn at random, none of whom has a picture that the other group has too.

    Args:
        members:   (M,) int patients, never falling; nonmembers: (N,).
        between:   (N,) row of the member's photograph nearest to each non-member's, and (N,) their closeness.
        max_patients:      patients of a group at most.
    """
    rng = np.random.default_rng([seed, 42])
    same = between[1] < SAME
    kept, rows = list[np.ndarray](), list[np.ndarray]()
    for patient, odd in ((members, members[between[0][same]]), (nonmembers, nonmembers[same])):
        kept.append(rng.permutation(np.setdiff1d(patient, odd)))
    count = min(max_patients, *map(len, kept))
    patient_ids = list[np.ndarray]()
    for place, (patient, who) in enumerate(zip((members, nonmembers), kept, strict=True)):
        rows.append(np.flatnonzero(np.isin(patient, who[:count])))
        patient_ids.append(np.unique(patient[rows[-1]], return_inverse=True)[1] + place * count)
    sizes = (len(np.unique(patient)) for patient in (members, nonmembers))
    duplicates = max(1 - len(who) / size for who, size in zip(kept, sizes, strict=True))
    return MatchedGroups(rows[0], rows[1], np.concatenate(patient_ids), count, duplicates)


def per_patient(
    chosen: np.ndarray, index: np.ndarray, groups: MatchedGroups
) -> tuple[np.ndarray, np.ndarray]:
    """(P,) and (P,) how many of the (G,) chosen pictures have their nearest photograph from each patient."""
    counts = np.bincount(groups.patient_ids[index[chosen]], minlength=2 * groups.patients)
    return counts[: groups.patients], counts[groups.patients :]
