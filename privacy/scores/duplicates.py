"""Photographs that both groups have, under whatever name: the same file, or the same picture saved again.

A patient who is registered twice is a member and a non-member at once, and hides whatever there is to tell of members.
"""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter

from privacy.data.inputs import Inputs, People
from privacy.decisions.results import ValidityCheck
from privacy.scores.matched_groups import SAME
from privacy.targets import registered
from synth.data.images import Preprocessing

LOOK = Preprocessing(size=64)
"""How photographs are prepared that are looked for among others."""
PATIENTS = 1000
"""Non-members, drawn at random, whose photographs are looked for among those of all members."""
_SHARED = 0.01  # of the non-members: more of them with a member's picture hide a leak
_ALIKE = 0.5  # correlation of what is fine in two pictures that are one; of the nearest of other phantoms at most .18
_INNER = 0.8  # of the half width
_FLOOR = 0.25  # grey levels


class Between(NamedTuple):
    """Non-members' photographs and the nearest of all members."""

    rows: np.ndarray
    """(n,) rows of the non-members who were drawn."""
    closeness: np.ndarray
    """(n,) of each to its nearest photograph (`privacy.targets.registered`)."""
    nearest: np.ndarray
    """(n,) int row of that photograph among the members'."""


def between(inputs: Inputs, seed: int, patients: int = PATIENTS) -> Between:
    """How near the photographs of so many non-members come to those of all members."""
    assert inputs.members and inputs.nonmembers
    members, nonmembers = inputs.members, inputs.nonmembers
    drawn = np.random.default_rng([seed, 43, 1]).permutation(nonmembers.cohort.patients)
    rows = np.flatnonzero(np.isin(nonmembers.patient, drawn[:patients]))

    def search() -> np.ndarray:
        shown = nonmembers.photographs(LOOK)[rows]
        return np.stack(registered.nearest(shown, members.photographs(LOOK), members.patient))

    key = [members.fingerprint, nonmembers.fingerprint, "between groups", patients, seed]
    closeness, index = inputs.once(key, search)
    return Between(rows, closeness, index.astype(int))


def by_bytes(members: np.ndarray, nonmembers: np.ndarray, people: People) -> ValidityCheck:
    """Fires where too many non-members have a picture, byte for byte, that a member has.

    Args:
        members, nonmembers: (N, k) of the photographs of each group, hash first (`privacy.scores.metadata.files`);
            `people` are the non-members.
    """
    return _check(people, np.isin(nonmembers[:, 0], members[:, 0]), "")


def by_pixels(inputs: Inputs, seed: int) -> ValidityCheck:
    """The same of pictures that were saved again: in other settings, another size, under another name."""
    assert inputs.members and inputs.nonmembers
    found = between(inputs, seed)
    near = np.flatnonzero(found.closeness < SAME)
    same = np.zeros(len(found.rows), bool)
    if len(near):
        shown = inputs.nonmembers.photographs(LOOK)[found.rows[near]]
        same[near] = alike(shown, inputs.members.photographs(LOOK)[found.nearest[near]])
    drawn = np.unique(inputs.nonmembers.patient[found.rows])
    everywhere = np.zeros(len(inputs.nonmembers.ids), bool)
    everywhere[found.rows[same]] = True
    return _check(
        inputs.nonmembers.some(drawn), everywhere[np.isin(inputs.nonmembers.patient, drawn)], ", saved again"
    )


def alike(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(N,) bool: whether (N, S, S, 3) pictures are (N, S, S, 3) others, pixel by pixel but for how they were saved.

    What is compared is fine detail, away from the rim and without its extremes: two eyes may have the disc in one place.
    """
    first, second = (_fine(pictures) for pictures in (one, other))
    return (first * second).sum(axis=1) >= _ALIKE


def _fine(pictures: np.ndarray) -> np.ndarray:
    """(N, D) of length 1: luminance less its mean over 5 x 5 pixels, clipped at its median magnitude."""
    light = pictures.astype(float).mean(axis=-1)
    across = np.linspace(-1, 1, light.shape[-1])
    inner = np.hypot(across[:, None], across) < _INNER
    flat = np.stack([(each - uniform_filter(each, 5))[inner] for each in light])
    most = np.median(np.abs(flat), axis=1, keepdims=True) + _FLOOR
    flat = flat.clip(-most, most)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True).clip(1e-9)


def _check(people: People, same: np.ndarray, how: str) -> ValidityCheck:
    share = float(people.per_patient(same).astype(bool).mean())
    why = f"{share:.1%} of the non-members have a picture that a member has{how}; remove duplicates"
    return ValidityCheck("duplicates", share > _SHARED, why)
