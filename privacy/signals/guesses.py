"""What an attacker guessed of patients' age, sex or race, and how much more often he is right about members."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from privacy.attributes import Kind
from privacy.results import DIFFERENCE
from privacy.statistics import strata
from privacy.statistics.inference import Tested
from privacy.trust import detection
from synth.base.stats import Estimate

YEARS = 5.0
"""An age guessed no further off than this is guessed right."""
_DECADE = 10


class Guesses(NamedTuple):
    """Of the p patients of one arm."""

    right: np.ndarray
    """(p,) bool."""
    stratum: np.ndarray
    """(p,) str: what patients of both arms must have in common to be compared, such as their sex or decade of life."""
    off: np.ndarray
    """(p,) years by which an age was missed; 0 where it is no age."""

    def some(self, rows: np.ndarray) -> "Guesses":
        """These patients of them."""
        return Guesses(self.right[rows], self.stratum[rows], self.off[rows])


class Arms(NamedTuple):
    """One attack on both arms."""

    members: Guesses
    strangers: Guesses

    def gap(self) -> Tested:
        """By how much more often members are guessed right, with both arms weighted to the same marginals."""
        one, other = self
        return strata.rate_difference(one.right, other.right, one.stratum, other.stratum)

    def subgroups(self) -> list[dict]:
        """The same in each stratum that is large enough to be spoken of, the worst first."""
        one, other = self
        return strata.subgroups(one.right, other.right, one.stratum, other.stratum)

    def years(self) -> Estimate:
        """By how many years less the ages of members are missed."""
        one, other = self
        return strata.mean_difference(-one.off, -other.off, one.stratum, other.stratum).estimate

    def trial(self) -> detection.Trial:
        """This comparison of arms drawn from the strangers, to say what it could have found."""
        names, number = np.unique(self.strangers.stratum.astype(str), return_inverse=True)

        def compare(members: np.ndarray, strangers: np.ndarray) -> Tested:
            arms = [
                Guesses(arm[:, 0] > 0.5, names[arm[:, 1].astype(int)], np.zeros(len(arm)))
                for arm in (members, strangers)
            ]
            return Arms(*arms).gap()

        rows = np.column_stack([self.strangers.right, number])
        return detection.rates(rows, len(self.members.right), compare, DIFFERENCE)


def of(kind: Kind, truth: np.ndarray, guess: np.ndarray, classes: Sequence[str] = ()) -> Guesses:
    """What (p,) guesses come to.

    An age is right or wrong by years, not by a share of the age or of the guess: five years are as much at 20 as at 80.

    Args:
        truth: years, or class numbers; guess alike.
    """
    if kind == "years":
        off = np.abs(truth - guess)
        decades = [
            f"{int(age // _DECADE) * _DECADE} to {int(age // _DECADE) * _DECADE + 9} years" for age in truth
        ]
        return Guesses(off <= YEARS, np.array(decades, object), off)
    names = np.array([classes[int(number)] for number in truth], object)
    return Guesses(truth == guess, names, np.zeros(len(truth)))
