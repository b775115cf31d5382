"""Some photographs are hard for any model: what a score would be if membership made no difference is taken off first.

A ridge of scores on features that no membership can have shaped is fitted on non-members only (Watson et al. 2022,
2111.08440, calibrate by another model; here pixels do, and another model where there is one).  Every patient, member
or non-member, is judged by a fit that never saw him or her: both groups are dealt to the same folds, and those of a fold are
judged by the fit on the non-members of the other folds.  So without an effect the two groups are treated alike.
"""

from typing import NamedTuple, Self

import numpy as np

from privacy.statistics import probes
from privacy.statistics.inference import Tested, separation
from synth.base import ties

_FOLDS = 5
_PENALTY = 1.0  # per feature: scores of photographs are well explained by what they show
MEMBERS, NONMEMBERS = 5, 6  # what the draws of their folds are seeded with
FEWEST = 20
"""Patients that each group needs."""


class Scores(NamedTuple):
    """Scores of patients of both groups, higher where an attacker would say "member", and the features by which difficulty is taken off."""

    members: np.ndarray
    """(P,)"""
    nonmembers: np.ndarray
    """(Q,)"""
    members_features: np.ndarray
    """(P, k) of mean 0 and variance about 1 over both groups; k may be 0."""
    nonmembers_features: np.ndarray
    """(Q, k)"""

    def split(self, first: np.ndarray, second: np.ndarray, of_members: bool) -> Self:
        """Some patients of one group as if they were members, and others of it as if they were non-members."""
        scores = self.members if of_members else self.nonmembers
        features = self.members_features if of_members else self.nonmembers_features
        return type(self)(scores[first], scores[second], features[first], features[second])

    def tested(self, seed: int) -> Tested:
        """AUC of what is left of members' scores above what is left of non-members'."""
        return separation(*calibrated(self, seed))


def calibrated(scores: Scores, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(P,) and (Q,) scores less what features let expect of non-members."""
    # Of equal scores only rounding would be left, which orders patients: they are made equal before, and counted from 0.
    of_members, of_nonmembers = ties.together(scores.members, scores.nonmembers)
    if not scores.members_features.shape[1]:
        return of_members, of_nonmembers
    mine, theirs = folds(len(scores.members), seed, MEMBERS), folds(len(scores.nonmembers), seed, NONMEMBERS)
    members, nonmembers = np.empty(len(mine)), np.empty(len(theirs))
    for number in range(_FOLDS):
        others = theirs != number
        fit = probes.ridge(
            scores.nonmembers_features[others],
            of_nonmembers[others][:, None],
            np.ones(int(others.sum())),
            _PENALTY,
        )
        here, there = mine == number, ~others
        members[here] = of_members[here] - fit.predict(scores.members_features[here])[:, 0]
        nonmembers[there] = of_nonmembers[there] - fit.predict(scores.nonmembers_features[there])[:, 0]
    return members, nonmembers


def folds(patients: int, seed: int, group: int) -> np.ndarray:
    """(P,) the fold of each patient, at random."""
    return np.random.default_rng([seed, group]).permutation(patients) % _FOLDS
