"""What an attack found, before it is put into words."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np

from privacy.data.access import Access, refusal
from privacy.data.attributes import Task
from privacy.statistics.attribute_numbers import AttributeNumbers
from privacy.statistics.inference import Tested
from synth.base.stats import Estimate

Panel = Literal["anyone", "members", "copies"]


class ValidityCheck(NamedTuple):
    """A check that makes a result INVALID where it fires."""

    name: str
    fired: bool
    why: str


class Scale(NamedTuple):
    """How a statistic is read, fixed in advance."""

    name: str
    """Such as "AUC" or "risk difference"."""
    chance: float
    """Its value without an effect."""
    bar: float
    """A lower bound above this is a leak."""
    margin: float | None
    """An upper bound below this is too little to matter; None of an alarm, whose silence says nothing."""
    two_sided: bool = True
    """Whether a value below chance tells of a difference too, as that of two groups does."""


AUC = Scale("AUC", 0.5, 0.52, 0.55)
DIFFERENCE = Scale("difference of rates", 0.0, 0.0, 0.05)


class Attribute(NamedTuple):
    """What was learnt of one attribute of anyone (T1), whose verdicts rest on more than one statistic."""

    name: str
    task: Task | None = None
    """None where it could not be asked."""
    numbers: AttributeNumbers | None = None
    """None where it could not be tested."""
    duplicates: float = 0.0
    """Share of the attackers' patients one of whose pictures is also filed under another patient."""
    untrained: bool = False
    """Whether an untrained encoder was among the controls."""


class Result(NamedTuple):
    """One attack on one release."""

    threat: str
    """Such as "T3"."""
    attack: str
    """What was done, such as "membership by denoising loss"."""
    panel: Panel
    scale: Scale
    tested: Tested | None = None
    """The one statistic that the verdict rests on; None where it could not be tested."""
    checks: tuple[ValidityCheck, ...] = ()
    compared: tuple[tuple[str, Estimate], ...] = ()
    """Baselines and controls on the same scale."""
    also: tuple[tuple[str, Estimate], ...] = ()
    """Further numbers, which decide nothing."""
    missing: str = ""
    """Why it could not be tested, and what to provide."""
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = MappingProxyType({})
    """Plain values for plots and tables; nothing that tells of a single patient."""
    certain: str = ""
    """Evidence that no interval is needed for, such as a verified copy; it fails the release by itself."""
    suspected: str = ""
    """What a person has to look at before anything can be said: INCONCLUSIVE by itself."""
    silent: str = ""
    """What a PASS says first, where an interval alone would say too much."""
    needed: int | None = None
    """Patients with whom it could be tested, where there are too few."""
    by_nearness: bool = False
    """Whether patients are looked for by how near released pictures come to them, which overlooks single copies."""
    doubt: str = ""
    """Why members may be none, where a model's own account says otherwise; then no silence is a PASS."""
    attribute: Attribute | None = None
    """Of T1 alone."""
    access: Access = "weights"
    """What an attacker must have at least to ask it; a question that does not say needs everything."""
    left_out: bool = False
    """Whether it was not asked because the attacker who is assumed has less than that."""
    named: tuple[str, ...] = ()
    """Members whom the attack names, for `privacy.decisions.at_risk` alone: no report may hold them."""
    scored: "Scored | None" = None
    """What it was judged from, for a sealed audit alone: no report may hold it."""


class Scored(NamedTuple):
    """Numbers of patients from which a question is judged without any model or photograph; their order says nothing."""

    unanswered: Result
    """The question, with what was checked and what stands beside it, before it is judged."""
    members: np.ndarray
    """(P, k)"""
    nonmembers: np.ndarray
    """(Q, k)"""
    members_ids: np.ndarray
    """(P,) str, whose they are."""
    nonmembers_ids: np.ndarray
    """(Q,) str"""


def left_out(question: Result, given: Access) -> Result:
    """A question that an attacker who was given so little cannot ask, with nothing of what was found."""
    attribute = question.attribute and Attribute(question.attribute.name)
    return Result(
        question.threat,
        question.attack,
        question.panel,
        question.scale,
        missing=refusal(given, question.access),
        by_nearness=question.by_nearness,
        attribute=attribute,
        access=question.access,
        left_out=True,
    )
