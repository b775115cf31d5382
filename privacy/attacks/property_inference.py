"""T9: is the case mix of a release nearer to that of its patients than to that of equal non-members?

What is told here is the composition of a hospital's cohort, not any one patient: a property of the many.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from privacy.attack_config import AttackConfig
from privacy.data.attributes import ATTRIBUTES
from privacy.data.inputs import Inputs, People
from privacy.decisions import power_simulation
from privacy.decisions.results import Result, Scale
from privacy.scores import validity
from privacy.statistics.inference import CONFIDENCE, Tested
from synth.base import ties
from synth.base.stats import Estimate
from synth.data.records import LABELS

NEEDS = ("synthetic", "members", "nonmembers")
CONFIG = AttackConfig
NEARER = Scale("distance to non-members minus distance to members", 0.0, 0.0, 0.05)
NOTE = "tells of the hospital's cohort as a whole, such as its share of a disease; it protects the hospital, not a patient"
QUESTIONS = [
    Result(
        "T9", "property inference: composition of the cohort", "anyone", NEARER, notes=(NOTE,), access="data"
    )
]
_DECADE = 10.0


class Mix(NamedTuple):
    """Shares of the K values of all labels together."""

    released: np.ndarray
    """(K,) of the released records."""
    patients: np.ndarray
    """(P, K) of each patient's photographs."""
    label: np.ndarray
    """(K,) int: the label that each value is of."""


def attack(inputs: Inputs, config: AttackConfig) -> list[Result]:
    """The one question, of all labels that vary."""
    assert inputs.synthetic and inputs.members and inputs.nonmembers
    mix_of_labels = mix(inputs.synthetic, [inputs.members, inputs.nonmembers])
    is_member = np.arange(len(mix_of_labels.patients)) < inputs.members.cohort.patients
    result = evaluate(mix_of_labels, is_member, config.permutations, config.seed)
    return [power_simulation.state_by_width(result._replace(checks=validity.groups(inputs, config).checks))]


def mix(released: People, groups: Sequence[People]) -> Mix:
    """The shares of every label that is not the same everywhere; age, sex and race where the release states them."""
    everybody = [released, *groups]
    names = [
        *LABELS,
        *(name for name in ATTRIBUTES if released.table[name].null_count < released.table.num_rows),
    ]
    columns, label = [], []
    for number, (value, found) in enumerate(_values(everybody, names)):
        shares = [people.per_patient(each) for people, each in zip(everybody, found, strict=True)]
        columns.append(np.concatenate([[shares[0].mean()], *shares[1:]]))
        label.append(names.index(value[0]) if value[0] != "findings" else len(names) + number)
    if not columns:
        return Mix(
            np.zeros(0), np.zeros((sum(group.cohort.patients for group in groups), 0)), np.zeros(0, int)
        )
    table = np.stack(columns, axis=1)
    return Mix(table[0], table[1:], np.unique(label, return_inverse=True)[1])


def distances(mix_of_labels: Mix, shares: np.ndarray) -> np.ndarray:
    """(...,) mean over labels of the total variation between the release and (..., K) shares of a group."""
    labels = int(mix_of_labels.label.max()) + 1 if len(mix_of_labels.label) else 1
    apart = np.abs(shares - mix_of_labels.released)
    # A finding is one column, there or not, so its distance is the difference itself.
    alone = np.bincount(mix_of_labels.label, minlength=labels)[mix_of_labels.label] == 1
    return (apart * np.where(alone, 1.0, 0.5)).sum(axis=-1) / labels


def evaluate(mix_of_labels: Mix, is_member: np.ndarray, permutations: int, seed: int) -> Result:
    """How much nearer the release is to the members among (P,) patients than chance would have it.

    Membership is dealt anew over the patients; groups of unequal size lie unequally far by that alone, so what deals give
    on average is taken off, and what they spread is the interval.
    """
    rng = np.random.default_rng([seed, 9])
    deals = np.stack([is_member, *(rng.permutation(is_member) for _ in range(permutations))])

    def nearer(members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        own = members @ mix_of_labels.patients / members.sum(axis=1, keepdims=True)
        others = ~members @ mix_of_labels.patients / (~members).sum(axis=1, keepdims=True)
        return distances(mix_of_labels, own), distances(mix_of_labels, others)

    own, others = nearer(deals)
    values = others - own
    excess, dealt = values[0] - values[1:].mean(), values[1:] - values[1:].mean()
    low, high = np.quantile(dealt, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    p = (1 + int(ties.at_or_above(dealt, excess, 1.0).sum())) / (1 + permutations)
    patients, value = len(is_member), float(excess)
    return QUESTIONS[0]._replace(
        tested=Tested(Estimate(value, float(value - high), float(value - low), patients), p),
        also=(
            ("distance to members", _plain(own[0], int(is_member.sum()))),
            ("distance to non-members", _plain(others[0], int((~is_member).sum()))),
        ),
        details={"labels": int(mix_of_labels.label.max()) + 1 if len(mix_of_labels.label) else 0},
    )


def _plain(value: float, patients: int) -> Estimate:
    return Estimate(float(value), float("nan"), float("nan"), patients)


def _values(
    everybody: Sequence[People], names: Sequence[str]
) -> list[tuple[tuple[str, object], list[np.ndarray]]]:
    """((label, value), (N,) float 0 or 1 for the photographs of each) of every value that somebody has and somebody not."""
    found = []
    for name in names:
        columns = [people.table[name].to_pylist() for people in everybody]
        if name == "findings":
            keys = sorted({key for column in columns for listed in column for key in listed or ()})
            each = [
                (key, [np.array([key in (listed or ()) for listed in column]) for column in columns])
                for key in keys
            ]
        else:
            plain = [[_binned(name, value) for value in column] for column in columns]
            keys = sorted({value for column in plain for value in column}, key=str)
            each = [(key, [np.array([value == key for value in column]) for column in plain]) for key in keys]
        found += [
            ((name, key), [column.astype(float) for column in columns])
            for key, columns in each
            if 0 < sum(column.sum() for column in columns) < sum(len(column) for column in columns)
        ]
    return found


def _binned(name: str, value: object) -> object:
    """A value as it is counted: ages in decades."""
    return float(value) // _DECADE if name == "age" and isinstance(value, float) else value
