"""Which labels come together in whom: a combination that few patients have points at them."""

from collections.abc import Sequence

import numpy as np

from privacy.data.inputs import People
from synth.data.records import LABELS

RARE = 5
"""Patients; what fewer of them share is rare."""


def stated(people: People) -> list[tuple]:
    """The label combination of each photograph."""
    columns = people.table.select(list(LABELS)).to_pylist()
    return [tuple(_plain(row[key]) for key in LABELS) for row in columns]


def _plain(value: object) -> object:
    return tuple(sorted(value)) if isinstance(value, list) else value


def repeated(
    released: Sequence[tuple],
    own: Sequence[tuple],
    member: np.ndarray,
    others: Sequence[tuple],
    nonmember: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Of each member and each non-member: has he or she a rare combination that was released?

    A combination is rare where few of all of them share it: that does not depend on who is a member, so under no leak
    membership could as well be dealt anew.

    Returns:
        (m,) and (n,) bool.
    """
    everybody = np.concatenate([member, nonmember + member.max() + 1])
    who = holders([*own, *others], everybody)
    hits = np.zeros(int(everybody.max()) + 1, bool)
    for each in set(released) & who.keys():
        if len(who[each]) < RARE:
            hits[list(who[each])] = True
    return hits[: int(member.max()) + 1], hits[int(member.max()) + 1 :]


def holders(labels: Sequence[tuple], patient: np.ndarray) -> dict[tuple, set[int]]:
    """Combination -> the patients who have it."""
    who: dict[tuple, set[int]] = {}
    for each, number in zip(labels, patient.tolist(), strict=True):
        who.setdefault(each, set()).add(number)
    return who
