"""What speaks for a released picture being a photograph of somebody, and how much of it chance would bring.

Thresholds are those of non-members, whose photographs are nobody's copies: a whole photograph that is near in one space; one that
a picture was laid on (`privacy.scores.aligned`) and a space names, so that turned, shifted, enlarged and warped copies are found; or
half of one.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from privacy.scores.matched_groups import SAME
from synth.base import ties

ALIGNED, HALF = 0.0065, 0.0025
"""Of pictures of nobody that may be taken for copies once they are laid on photographs, and by half: with `_NONMEMBER`, 1 % together."""
_NONMEMBER = 0.001  # of non-members may come nearer to a member than the threshold of copies in one space
_MARGIN = 0.9  # of the nearest non-member's closeness, where there are too few for a rate
_MANY = 100  # non-members from whom on their nearest tells how near chance comes
_FAR, _FAR_HALF = 0.85, 0.5  # of that closeness, as a whole and by half: what is nearer is proof


class Evidence(NamedTuple):
    """What else speaks for copies: the other space, and photographs on which a picture was laid (`privacy.scores.aligned`)."""

    agreed: np.ndarray
    """(G,) bool: the embedding of identity names the same photograph as the nearest."""
    named: np.ndarray
    """(G,) int, 0 to 2: how many of the two spaces name the photograph that each picture lies best on."""
    whole: np.ndarray
    """(G,) closeness of each picture to the photograph that it lies best on."""
    whole_row: np.ndarray
    """(G,) int row of that photograph."""
    half: np.ndarray
    """(G,) closeness of half of each picture to half of a photograph."""
    half_row: np.ndarray
    """(G,) int row of the photograph that this half is of."""


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
        """(G,) bool: nearer than non-members come to members, as it is, laid on a photograph, or by half."""
        return self._as_it_is() | self._laid() | self._by_half()

    def origin(self) -> np.ndarray:
        """(G,) row of the photograph that each picture is a copy of, if it is one."""
        if self.evidence is None:
            return self.row
        whole, half = self.evidence.whole_row, self.evidence.half_row
        what_speaks = [self._same(), self._lies(), self._shows_half(), self._as_it_is(), self._laid()]
        return np.select(what_speaks, [self.row, whole, half, self.row, whole], half)

    def verified(self) -> np.ndarray:
        """(G,) bool: both spaces name the same photograph, nearer than `SAME`, or it or half of it is far nearer than any non-member's."""
        return self._same() | self._lies() | self._shows_half()

    def _same(self) -> np.ndarray:
        if self.evidence is None:
            return np.zeros(len(self.row), bool)
        return self.evidence.agreed & ties.above(SAME, self.closeness, 1.0)

    def _lies(self) -> np.ndarray:
        return self._beside(lambda each: _where(each.named == 2, each.whole), _far_nearer, _FAR, _MANY)

    def _shows_half(self) -> np.ndarray:
        return self._beside(lambda each: each.half, _far_nearer, _FAR_HALF, _MANY)

    def _as_it_is(self) -> np.ndarray:
        if not len(self.nonmembers):
            return self.closeness < SAME
        return _nearer(self.closeness, self.nonmembers, _NONMEMBER)

    def _laid(self) -> np.ndarray:
        return self._beside(lambda each: _where(each.named > 0, each.whole), _nearer, ALIGNED)

    def _by_half(self) -> np.ndarray:
        return self._beside(lambda each: each.half, _nearer, HALF)

    def _beside(
        self,
        closeness: Callable[[Evidence], np.ndarray],
        rule: Callable[[np.ndarray, np.ndarray, float], np.ndarray],
        share: float,
        fewest: int = 1,
    ) -> np.ndarray:
        """(G,) bool: what a rule says of pictures beside so many non-members at least; nothing where they are fewer."""
        beside = self.nonmembers_evidence
        if self.evidence is None or beside is None or len(beside.whole) < fewest:
            return np.zeros(len(self.row), bool)
        return rule(closeness(self.evidence), closeness(beside), share)


def _where(named: np.ndarray, closeness: np.ndarray) -> np.ndarray:
    """Closeness where so many spaces name the photograph, else the farthest."""
    return np.where(named, closeness, 1.0)


def _far_nearer(closeness: np.ndarray, nonmembers: np.ndarray, share: float) -> np.ndarray:
    """(G,) bool: nearer than a share of what the nearest non-member is."""
    return ties.above(share * float(nonmembers.min()), closeness, 1.0)


def _nearer(closeness: np.ndarray, nonmembers: np.ndarray, rate: float) -> np.ndarray:
    """(G,) bool: nearer than all but a share of non-members come to a member; than any, by a margin, where they are few."""
    below = int(rate * (len(nonmembers) + 1))
    bar = np.sort(nonmembers)[max(below - 1, 0)] * (1.0 if below else _MARGIN)
    return ties.above(bar, closeness, 1.0)
