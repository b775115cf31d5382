"""False alarms of every judgement of the audit, where membership makes no difference.

Patients of both arms are drawn alike, photographed once or several times, with scores that hang together within a
patient or do not; then each attack judges them as it would judge an audit.  Among many such audits, no more than one in
twenty may say p < 5 %, and even fewer may FAIL, for which the interval must clear the bar as well.
"""

from typing import NamedTuple

import numpy as np

from privacy.decisions import power_simulation, verdict
from privacy.validation.decision_rules import JUDGEMENTS
from privacy.validation.settings import Setting

ROUNDS = 300


class Rejections(NamedTuple):
    """What became of audits without a leak."""

    judgement: str
    setting: str
    significant: float
    """Share with p < 5 %."""
    failed: float
    """Share that a report would have called FAIL."""
    rounds: int
    """In which the attack had something to ask."""

    @property
    def most(self) -> float:
        """What chance lets a true 5 % come to."""
        return most(self.rounds)


def most(rounds: int) -> float:
    """Share of so many rounds that is three standard errors above a true 5 %."""
    return verdict.ALPHA + 3 * (verdict.ALPHA * (1 - verdict.ALPHA) / max(rounds, 1)) ** 0.5


def rejections(name: str, setting: Setting, rounds: int = ROUNDS, seed: int = 0) -> Rejections:
    """Judge so many audits without a leak."""
    judgement, scale = JUDGEMENTS[name]
    significant = failed = asked = 0
    for number in range(rounds):
        tested = judgement(setting, np.random.default_rng([seed, number]))
        if tested is not None:
            asked += 1
            significant += tested.p < verdict.ALPHA
            failed += power_simulation.fails(tested, scale)
    return Rejections(name, setting.name, significant / max(asked, 1), failed / max(asked, 1), asked)
