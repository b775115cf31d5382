"""The patients whom attacks name: a list for whoever is responsible for them, off by default, and no part of a report.

A list of this kind is itself personal data.  Every attack of membership names one non-member in a hundred by chance, so
who is on it once may be there by accident.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from privacy.decisions.results import Result
from synth.base import private_table, ties

NAME = "private-at-risk.csv"
_FALSE_ALARMS = 0.01


def beyond(members: np.ndarray, nonmembers: np.ndarray) -> np.ndarray:
    """(P,) bool: whose score is above what 1 % of (Q,) non-members exceed.

    Nobody's where the non-members are fewer than a hundred, who cannot show such a rate.
    """
    if len(nonmembers) < 1 / _FALSE_ALARMS:
        return np.zeros(len(members), bool)
    members, nonmembers = ties.together(members, nonmembers)
    return members > np.quantile(nonmembers, 1 - _FALSE_ALARMS, method="higher")


def write(folder: Path, results: Sequence[Result]) -> Path:
    """Write who is named by which attacks, those named most often first; only the owner may read the file."""
    found: dict[str, list[str]] = defaultdict(list)
    for result in results:
        for subject in result.named:
            found[subject].append(f"{result.threat} {result.attack}")
    rows = sorted(found.items(), key=lambda each: (-len(each[1]), each[0]))
    listed = ((subject, len(named), "; ".join(named)) for subject, named in rows)
    return private_table.write(folder / NAME, ["subject_id", "attacks", "named_by"], listed)
