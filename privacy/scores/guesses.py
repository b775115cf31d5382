"""What an attacker guessed of patients' age, sex or race, and how much more often he is right about members."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from privacy.data import attributes
from privacy.data.attributes import Kind, Task
from privacy.data.inputs import People
from privacy.decisions import power, power_simulation
from privacy.decisions.results import DIFFERENCE, Result
from privacy.statistics import probes, strata
from privacy.statistics.inference import Tested
from synth.base import ties
from synth.base.errors import UserError
from synth.base.stats import Estimate

YEARS = 5.0
"""An age guessed no further off than this is guessed right."""
_DECADE = 10


class Guesses(NamedTuple):
    """Of the p patients of one group."""

    right: np.ndarray
    """(p,) bool."""
    stratum: np.ndarray
    """(p,) str: what patients of both groups must have in common to be compared, such as their sex or decade of life."""
    off: np.ndarray
    """(p,) years by which an age was missed; 0 where it is no age."""

    def some(self, rows: np.ndarray) -> "Guesses":
        """These patients of them."""
        return Guesses(self.right[rows], self.stratum[rows], self.off[rows])


class GroupGuesses(NamedTuple):
    """One attack on both groups."""

    members: Guesses
    nonmembers: Guesses

    def gap(self) -> Tested:
        """By how much more often members are guessed right, with both groups weighted to the same marginals."""
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

    def trial(self) -> power_simulation.Trial:
        """This comparison of groups drawn from the non-members, to say what it could have found."""
        names, number = np.unique(self.nonmembers.stratum.astype(str), return_inverse=True)

        def compare(members: np.ndarray, nonmembers: np.ndarray) -> Tested:
            groups = [
                Guesses(group[:, 0] > 0.5, names[group[:, 1].astype(int)], np.zeros(len(group)))
                for group in (members, nonmembers)
            ]
            return GroupGuesses(*groups).gap()

        rows = np.column_stack([self.nonmembers.right, number])
        return power_simulation.rates(rows, len(self.members.right), compare, DIFFERENCE)


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
        return Guesses(~ties.above(off, YEARS, YEARS), np.array(decades, object), off)
    names = np.array([classes[int(number)] for number in truth], object)
    return Guesses(truth == guess, names, np.zeros(len(truth)))


def guesses_of(task: Task, values: np.ndarray, decisions: np.ndarray) -> Guesses:
    """Of the patients whose attribute is known, and is among the classes that the attackers know.

    Args:
        values: (P,) object, what the records say of the attribute.
        decisions:   (P, C) decisions of a probe (`privacy.statistics.probes.Prediction`), mean over photographs.
    """
    if task.kind == "years":
        known = np.array([value is not None for value in values])
        return of("years", values[known].astype(float), decisions[known, 0])
    known = np.array([value in task.classes for value in values])
    guess = probes.called(decisions)
    truth = np.array([task.classes.index(value) for value in values[known]], int)
    return of("classes", truth, guess[known], task.classes)


def learnable(question: Result, people: People, name: str, of: str = "attackers") -> Task | Result:
    """What an attribute is learnt from, patients of --`of`, or the result that says why it cannot be."""
    task = attributes.task(people.cohort, name)
    if isinstance(task, str):
        return question._replace(missing=f"{task}; add the column '{name}' to --{of}")
    if len(task.labels) < attributes.FEWEST_YEARS or len(task.classes) == 1:
        why = f"the {name} of too few {of} is known to learn from"
        return question._replace(missing=why, needed=attributes.FEWEST_YEARS)
    return task


def incomparable(question: Result, members: Guesses, nonmembers: Guesses, name: str) -> Result | None:
    """The result that says why groups cannot be compared; None where they can."""
    for option, each in (("members", members), ("nonmembers", nonmembers)):
        if not len(each.right):
            return question._replace(missing=f"no record states it; add the column '{name}' to --{option}")
    common = np.intersect1d(members.stratum.astype(str), nonmembers.stratum.astype(str))
    fewest = min(int(np.isin(each.stratum.astype(str), common).sum()) for each in (members, nonmembers))
    if fewest < strata.FEWEST:
        why = f"too few patients of the same {name} in both groups"
        return question._replace(missing=why, needed=2 * power.for_difference(0.1))
    return None


def drawn(people: People) -> bool:
    """Whether they are phantoms, who teach nobody to read real eyes."""
    return set(people.table["source"].to_pylist()) == {"phantom"}


def nobody_twice(attackers: People, members: People, nonmembers: People) -> None:
    """An attacker who trained on a member would prove nothing but that he can remember.

    Raises:
        UserError: a patient of the attackers is in another group.
    """
    for option, each in (("members", members), ("nonmembers", nonmembers)):
        if shared := set(attackers.subjects) & set(each.subjects):
            raise UserError(
                f"{attackers.folder}: {len(shared)} of the attackers' patients are in --{option} too; "
                "give the attackers patients of their own, such as another split"
            )
