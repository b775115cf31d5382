"""T3 of the most exposed: a few patients known by heart, beside each question about membership of all."""

import numpy as np

from privacy.attack_config import AttackConfig
from privacy.decisions import power_simulation
from privacy.decisions.results import Result, Scale
from privacy.scores.score_calibration import Scores, calibrated
from privacy.scores.validity import ValidityChecks
from privacy.statistics import tails
from privacy.statistics.inference import at_false_alarms
from synth.base.stats import Estimate

_FEW, _SHARE_OF_ALL = 10.0, 0.05
"""Patients known with certainty who are too many to pass, and their share of a group so small that these are many."""
_RATES = (0.01, 0.001)
"""False positives at which the share of members found stands beside an AUC."""
_DEALS = 1999
STANDING_OUT = Scale("members who stand out", 0.0, 0.0, _FEW, two_sided=False)


def question(of_all: Result) -> Result:
    """What is asked about a few patients, beside a question about all."""
    attack = of_all.attack.replace("membership", "the most exposed patients,", 1)
    return Result("T3", attack, "members", STANDING_OUT, by_nearness=of_all.by_nearness, access=of_all.access)


def evaluate(
    of_all: Result,
    scores: Scores,
    config: AttackConfig,
    checked: ValidityChecks = ValidityChecks((), ()),
    n_permutations: int = _DEALS,
) -> Result:
    """Do some members stand out above the non-members?  An AUC says little of a few patients who are known by heart.

    The margin is in patients, not a share: `of_all` is the question that is asked of all of them.
    """
    unanswered = question(of_all)._replace(checks=checked.checks)
    return with_scores(unanswered, *calibrated(scores, config.seed), config, n_permutations)


def with_scores(
    unanswered: Result,
    members: np.ndarray,
    nonmembers: np.ndarray,
    config: AttackConfig,
    n_permutations: int = _DEALS,
) -> Result:
    """The same of scores that difficulty was taken off, (P,) and (Q,), whatever their order."""
    members, nonmembers = np.sort(members), np.sort(nonmembers)
    rng = np.random.default_rng([config.seed, 7])
    found = tails.tail(members, nonmembers, n_permutations, rng, power_simulation.ASKED)
    scale = STANDING_OUT._replace(margin=min(_FEW, _SHARE_OF_ALL * len(members)))
    least = "no number of members" if found.smallest is None else f"{found.smallest} members or more"
    note = f"this attacker finds {least} who are known with certainty; another may find fewer"
    return unanswered._replace(
        scale=scale,
        tested=found.tested,
        also=tuple(rates(members, nonmembers, config.seed)),
        notes=(
            f"{found.standing_out} of {len(members):,} members are above all but one in a thousand non-members",
            note,
        ),
        details={
            "detection": {
                "least": found.smallest,
                "power": power_simulation.POWER,
                "attacks": power_simulation.ASKED,
            }
        },
    )


def rates(members: np.ndarray, nonmembers: np.ndarray, seed: int) -> list[tuple[str, Estimate]]:
    """Share of members above what 1 % and .1 % of half of the non-members exceed, where these are enough for such a rate."""
    found = []
    for rate in _RATES:
        counted = at_false_alarms(members, nonmembers, rate, np.random.default_rng([seed, 13]))
        if counted is not None:
            found.append((f"true-positive rate at {100 * rate:g} % false positives", counted[1]))
    return found
