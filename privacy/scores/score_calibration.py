"""Some photographs are hard for any model: what a score would be if membership made no difference is taken off first.

A ridge of scores on features that no membership can have shaped is fitted on strangers only (Watson et al. 2022,
2111.08440, calibrate by another model; here pixels do, and another model where there is one).  Every patient, member
or stranger, is judged by a fit that never saw him or her: both arms are dealt to the same folds, and those of a fold are
judged by the fit on the strangers of the other folds.  So without an effect the two arms are treated alike.
"""

from typing import NamedTuple, Self

import numpy as np

from privacy.statistics import probes
from privacy.statistics.inference import Tested, separation
from synth.base import ties

_FOLDS = 5
_PENALTY = 1.0  # per feature: scores of photographs are well explained by what they show
MEMBERS, STRANGERS = 5, 6  # what the draws of their folds are seeded with
FEWEST = 20
"""Patients that each arm needs."""


class Scores(NamedTuple):
    """Scores of patients of both arms, higher where an attacker would say "member", and how difficult each is."""

    members: np.ndarray
    """(P,)"""
    strangers: np.ndarray
    """(Q,)"""
    members_features: np.ndarray
    """(P, k) of mean 0 and variance about 1 over both arms; k may be 0."""
    strangers_features: np.ndarray
    """(Q, k)"""

    def halves(self, first: np.ndarray, second: np.ndarray, of_members: bool) -> Self:
        """Some patients of one arm as if they were members, and others of it as if they were strangers."""
        scores = self.members if of_members else self.strangers
        features = self.members_features if of_members else self.strangers_features
        return type(self)(scores[first], scores[second], features[first], features[second])

    def judged(self, seed: int) -> Tested:
        """AUC of what is left of members' scores above what is left of strangers'."""
        return separation(*calibrated(self, seed))


def calibrated(scores: Scores, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(P,) and (Q,) scores less what features let expect of strangers."""
    # Of equal scores only rounding would be left, which orders patients: they are made equal before, and counted from 0.
    of_members, of_strangers = ties.together(scores.members, scores.strangers)
    if not scores.members_features.shape[1]:
        return of_members, of_strangers
    mine, theirs = folds(len(scores.members), seed, MEMBERS), folds(len(scores.strangers), seed, STRANGERS)
    members, strangers = np.empty(len(mine)), np.empty(len(theirs))
    for number in range(_FOLDS):
        others = theirs != number
        fit = probes.ridge(
            scores.strangers_features[others],
            of_strangers[others][:, None],
            np.ones(int(others.sum())),
            _PENALTY,
        )
        here, there = mine == number, ~others
        members[here] = of_members[here] - fit.predict(scores.members_features[here])[:, 0]
        strangers[there] = of_strangers[there] - fit.predict(scores.strangers_features[there])[:, 0]
    return members, strangers


def folds(patients: int, seed: int, arm: int) -> np.ndarray:
    """(P,) the fold of each patient, at random."""
    return np.random.default_rng([seed, arm]).permutation(patients) % _FOLDS
