"""False alarms of every decision rule of the audit, where membership makes no difference.

Patients of both groups are drawn alike, photographed once or several times, with scores that hang together within a
patient or do not; then each attack judges them as it would judge an audit.  Among many such audits, no more than one in
twenty may say p < 5 %, and even fewer may FAIL, for which the interval must clear the bar as well.
"""

from typing import NamedTuple

import numpy as np

from privacy.decisions import power_simulation, verdict
from privacy.decisions.results import ValidityCheck
from privacy.validation.decision_rules import DECISION_RULES
from privacy.validation.settings import Setting

N_AUDITS = 300


class Rejections(NamedTuple):
    """What became of audits without a leak."""

    rule: str
    setting: str
    significant: float
    """Share with p < 5 %; of a validity check, share in which it fired."""
    failed: float
    """Share that a report would have called FAIL, or INVALID by the check."""
    n_audits: int
    """In which the attack had something to ask."""

    @property
    def max_share(self) -> float:
        """What chance lets a true 5 % come to."""
        return max_share(self.n_audits)


def max_share(n_audits: int) -> float:
    """Share of so many rounds that is three standard errors above a true 5 %."""
    return verdict.ALPHA + 3 * (verdict.ALPHA * (1 - verdict.ALPHA) / max(n_audits, 1)) ** 0.5


def rejections(name: str, setting: Setting, n_audits: int = N_AUDITS, seed: int = 0) -> Rejections:
    """Judge so many audits without a leak."""
    rule, scale = DECISION_RULES[name]
    significant = failed = audits = 0
    for number in range(n_audits):
        found = rule(setting, np.random.default_rng([seed, number]))
        if isinstance(found, ValidityCheck):
            audits, significant, failed = audits + 1, significant + found.fired, failed + found.fired
        elif found is not None:
            audits += 1
            significant += found.p < verdict.ALPHA
            failed += power_simulation.fails(found, scale)
    return Rejections(name, setting.name, significant / max(audits, 1), failed / max(audits, 1), audits)
