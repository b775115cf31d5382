"""What speaks for a released picture being a photograph of somebody, and how much of it chance would bring.

Thresholds are those of non-members, whose photographs are nobody's copies: a whole photograph that is near in one space; a
photograph that both spaces name, which is rare by chance and need not be as near, so that turned, shifted and warped copies
are found; or half of one.
"""

from typing import NamedTuple

import numpy as np

from privacy.scores.matched_groups import SAME
from synth.base import ties

BOTH, HALF = 0.0065, 0.0025
"""Of pictures of nobody that may be taken for copies by both spaces, and by half: with `_NONMEMBER`, 1 % together."""
_NONMEMBER = 0.001  # of non-members may come nearer to a member than the threshold of copies in one space
_MARGIN = 0.9  # of the nearest non-member's closeness, where there are too few for a rate
_MANY = 100  # non-members from whom on their nearest tells how near chance comes
_FAR = 0.75  # of that closeness: what is nearer is proof


class Evidence(NamedTuple):
    """What else speaks for copies: the other space, and halves of pictures."""

    agreed: np.ndarray
    """(G,) bool: the embedding of identity names the same photograph as the nearest."""
    half: np.ndarray
    """(G,) closeness of half of each picture to half of a photograph (`privacy.scores.mosaics`)."""
    half_row: np.ndarray
    """(G,) int row of that photograph."""


class Nearest(NamedTuple):
    """The nearest photographs of one space."""

    closeness: np.ndarray
    """(G,) of each released picture, 0 for a photograph itself (`privacy.targets.registered`)."""
    row: np.ndarray
    """(G,) row of the nearest photograph among both groups."""
    nonmembers: np.ndarray
    """Closeness of the non-members' photographs to those of members."""
    evidence: Evidence | None = None
    """Of registered photographs alone."""
    nonmembers_evidence: Evidence | None = None
    """The same of the non-members' photographs among those of members."""

    def copies(self) -> np.ndarray:
        """(G,) bool: nearer than non-members come to members, as a whole in one space, in both spaces, or by half."""
        return self._whole() | self._by_half()

    def origin(self) -> np.ndarray:
        """(G,) row of the photograph that each picture is a copy of, if it is one."""
        if self.evidence is None:
            return self.row
        by_half_alone = self._by_half() & ~self._whole() & ~self.verified()
        return np.where(by_half_alone, self.evidence.half_row, self.row)

    def verified(self) -> np.ndarray:
        """(G,) bool: both spaces name the same photograph, nearer than `SAME` or far nearer than any non-member comes to a member."""
        if self.evidence is None:
            return np.zeros(len(self.row), bool)
        bar, beside = SAME, self.nonmembers_evidence
        if beside is not None and len(beside.agreed) >= _MANY:
            bar = max(SAME, _FAR * float(_where(beside.agreed, self.nonmembers).min()))
        return self.evidence.agreed & ties.above(bar, self.closeness, 1.0)

    def _whole(self) -> np.ndarray:
        if not len(self.nonmembers):
            return self.closeness < SAME
        alone = _nearer(self.closeness, self.nonmembers, _NONMEMBER)
        if self.evidence is None or self.nonmembers_evidence is None:
            return alone
        both = _nearer(self.closeness, _where(self.nonmembers_evidence.agreed, self.nonmembers), BOTH)
        return alone | (self.evidence.agreed & both)

    def _by_half(self) -> np.ndarray:
        if self.evidence is None or self.nonmembers_evidence is None or not len(self.nonmembers):
            return np.zeros(len(self.row), bool)
        return _nearer(self.evidence.half, self.nonmembers_evidence.half, HALF)


def _where(agreed: np.ndarray, closeness: np.ndarray) -> np.ndarray:
    """Closeness where both spaces agree, else the farthest."""
    return np.where(agreed, closeness, 1.0)


def _nearer(closeness: np.ndarray, nonmembers: np.ndarray, rate: float) -> np.ndarray:
    """(G,) bool: nearer than all but a share of non-members come to a member; than any, by a margin, where they are few."""
    below = int(rate * (len(nonmembers) + 1))
    bar = np.sort(nonmembers)[max(below - 1, 0)] * (1.0 if below else _MARGIN)
    return ties.above(bar, closeness, 1.0)
