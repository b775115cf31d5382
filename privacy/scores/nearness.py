"""How near photographs are to released pictures, and how near they would be to pictures of no release.

A released set that was learnt from a photograph is denser around it than others of its kind are: a ratio of densities
(van Breugel et al. 2023, 2302.12580), here of distances to the nearest.
"""

from typing import NamedTuple

import numpy as np

from privacy.data.inputs import Inputs, People
from privacy.scores import score_calibration, validity
from privacy.scores.membership_scores import MembershipConfig
from synth.base.runs import progress
from synth.data.images import Preprocessing, resize

_PREPROCESSING = Preprocessing(size=64)
_SIDE = 16  # pixels of the thumbnails that are compared
_BATCH = 512


class Nearness(NamedTuple):
    """Of the patients of one group."""

    score: np.ndarray
    """(P,) minus the logarithm of the distance to the nearest released picture."""
    typical: np.ndarray
    """(P,) the same of the nearest photograph of non-members of other folds."""


def nearness(inputs: Inputs, synthetic: People, config: MembershipConfig) -> tuple[Nearness, Nearness]:
    """Of members and of non-members; each fold looks at the same non-members, whichever group it belongs to."""
    members, nonmembers = validity.both(inputs)
    drawn = np.random.default_rng([config.seed, 8]).permutation(len(synthetic.ids))[
        : config.membership_released
    ]
    gallery = _thumbnails(synthetic, np.sort(drawn))
    others = _thumbnails(nonmembers)
    fold = score_calibration.folds(nonmembers.cohort.patients, config.seed, score_calibration.NONMEMBERS)[
        nonmembers.patient
    ]
    found = []
    for people, group in ((members, score_calibration.MEMBERS), (nonmembers, score_calibration.NONMEMBERS)):
        photographs = _thumbnails(people)
        key = [people.fingerprint, synthetic.fingerprint, "nearest", config.membership_released, config.seed]
        score = inputs.once(key, lambda photographs=photographs: _nearest(photographs, gallery))
        mine = score_calibration.folds(people.cohort.patients, config.seed, group)[people.patient]
        typical = np.empty(len(photographs))
        for number in np.unique(mine):
            typical[mine == number] = _nearest(photographs[mine == number], others[fold != number])
        found.append(Nearness(*(people.per_patient(-np.log(each + 1e-3)) for each in (score, typical))))
    return found[0], found[1]


def _thumbnails(people: People, rows: np.ndarray | None = None) -> np.ndarray:
    """(N, D) float32 in [-1, 1], each without its mean colour: a camera is no patient."""
    photographs = people.photographs(_PREPROCESSING)
    small = np.stack(
        [
            resize(np.asarray(photographs[row]), _SIDE)
            for row in (range(len(photographs)) if rows is None else rows)
        ]
    )
    found = small.astype(np.float32) / 127.5 - 1
    return (found - found.mean(axis=(1, 2), keepdims=True)).reshape(len(found), -1)


def _nearest(photographs: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """(N,) root mean square distance of (N, D) to the nearest of (G, D), the mirrored ones among them."""
    photographs, gallery = photographs.astype(float), gallery.astype(float)  # squares of near pictures cancel
    mirrored = gallery.reshape(-1, _SIDE, _SIDE, 3)[:, :, ::-1].reshape(len(gallery), -1)
    least = np.full(len(photographs), np.inf)
    own = np.square(photographs).sum(axis=1)
    with progress("comparing", 2 * len(gallery)) as bar:
        for pictures in (gallery, mirrored):
            for first in range(0, len(pictures), _BATCH):
                part = pictures[first : first + _BATCH]
                squares = own[:, None] + np.square(part).sum(axis=1) - 2 * photographs @ part.T
                least = np.minimum(least, squares.min(axis=1))
                bar.update(len(part))
    return np.sqrt(np.maximum(least, 0) / photographs.shape[1])
