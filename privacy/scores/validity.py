"""Checks without which the number of an attack means nothing: are the two arms equals, and are equals called equal?

A gate that fires makes a result INVALID.  None of them looks at a release, so they cannot be blamed on it.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest

from privacy.config import AuditConfig
from privacy.data.inputs import Inputs, People
from privacy.decisions.results import AUC, Gate
from privacy.decisions.verdict import ALPHA
from privacy.scores import metadata, pixels
from privacy.statistics import measures, probes
from privacy.statistics.inference import Tested, separation
from synth.base import ties
from synth.base.errors import UserError
from synth.base.stats import Estimate
from synth.data.images import Preprocessing
from synth.data.records import LABELS

BLIND, EQUALS = "pixels alone, without a model", "halves of one arm"
RECORDS = "labels and files alone, without a model"
_SHARED = 0.01  # of the strangers: more of them with a member's picture hide a leak
_SURE = 1e-3  # a gate that fires by chance would hide a leak too
_BLIND, _DEALS = 0.005, 499  # pixels, records and captions are asked, and chance must not hide a leak
_PREPROCESSING = Preprocessing(size=64)
_PENALTY = 10.0  # per feature, as in the permutation test of probes
_ROUNDS = 100

Judge = Callable[[np.ndarray, np.ndarray], Tested]
"""Takes the row numbers of some patients of one arm, as if they were members, and of others, as if they were strangers."""


class Checked(NamedTuple):
    """What was checked, and the numbers by which."""

    gates: tuple[Gate, ...]
    compared: tuple[tuple[str, Estimate], ...]


def arms(inputs: Inputs, config: AuditConfig) -> Checked:
    """Both arms hold other patients and other pictures, and nothing but the release could tell them apart.

    Computed once for all attacks of an audit.

    Raises:
        UserError: a subject is in both.
    """
    members, strangers = both(inputs)
    shared = sorted(set(members.subjects) & set(strangers.subjects))
    if shared:
        raise UserError(
            f"{strangers.folder}: {len(shared)} of its subjects are in --members ({members.folder}) too, such as "
            f"'{shared[0]}'; name other splits or records, since a patient in both arms hides a leak"
        )
    files = [metadata.files(inputs, people) for people in (members, strangers)]
    drawn = pixel_features(inputs)
    tables = _standardised(
        [_stated(people, each) for people, each in zip((members, strangers), files, strict=True)]
    )
    found = [twins(files[0], files[1], strangers)]
    compared = []
    for name, (first, second) in ((BLIND, drawn), (RECORDS, tables)):
        gate, estimate = blind(name, first, second, config)
        found.append(gate)
        compared.append((name, estimate))
    return Checked(tuple(found), tuple(compared))


def both(inputs: Inputs) -> tuple[People, People]:
    """Members and strangers, which an attack that asks for them is sure to have."""
    assert inputs.members and inputs.nonmembers
    return inputs.members, inputs.nonmembers


def twins(members: np.ndarray, strangers: np.ndarray, people: People) -> Gate:
    """Fires where too many strangers have a picture, byte for byte, that a member has.

    Args:
        members, strangers: (N, 4) of the photographs of each arm, hash first; `people` are the strangers.
    """
    same = np.isin(strangers[:, 0], members[:, 0])
    share = float(people.per_patient(same).astype(bool).mean())
    return Gate(
        "twins",
        share > _SHARED,
        f"{share:.1%} of the strangers have a picture that a member has; remove duplicates",
    )


def blind(
    name: str, members: np.ndarray, strangers: np.ndarray, config: AuditConfig
) -> tuple[Gate, Estimate]:
    """Fires where a ridge probe tells members from strangers by features that no model had a part in.

    Folds are of patients, and each is scored by a probe that never saw it; p is that of membership dealt anew.

    Args:
        members: (P, k) features of patients; strangers: (Q, k).
    """
    features = np.concatenate([members, strangers])
    is_member = np.arange(len(features)) < len(members)
    rng = np.random.default_rng([config.seed, 3])
    fold = rng.permutation(len(features)) % config.folds
    dealt = np.stack([is_member, *(rng.permutation(is_member) for _ in range(_DEALS))], axis=1).astype(float)
    scores = np.zeros_like(dealt)
    for number in range(config.folds):  # one factorisation serves all deals
        test = fold == number
        probe = probes.ridge(features[~test], dealt[~test], np.ones(int((~test).sum())), _PENALTY)
        scores[test] = probe.rank(features[test])
    areas = measures.aucs(scores, dealt > 0.5, probes.SIZE)
    p = (1 + int(ties.at_or_above(areas[1:], areas[0], 1.0).sum())) / (1 + _DEALS)
    estimate = separation(scores[is_member, 0], scores[~is_member, 0], size=probes.SIZE).estimate
    fired = estimate.low > AUC.bar and p < _BLIND
    why = (
        f"{name}, the arms differ (AUC {estimate.value:.3f}, {estimate.low:.3f} to {estimate.high:.3f}); "
        "draw both from the same source at random"
    )
    return Gate("blind", fired, why), estimate


def equals(judge: Judge, patients: int, seed: int, rounds: int = _ROUNDS) -> tuple[Gate, Estimate]:
    """Fires where halves of one arm, dealt at random, are told apart too often.

    Given the data, deals are independent, so the number of rejections is binomial.

    Args:
        judge:    of an attack, with all that it does to the scores of patients.
        patients: of the arm.

    Returns:
        The gate, and the mean statistic over deals with the middle 95 % of them: the noise of this audit.
    """
    rng = np.random.default_rng([seed, 4])
    dealt = []
    for _ in range(rounds):
        order = rng.permutation(patients)
        dealt.append(judge(order[: patients // 2], order[patients // 2 :]))
    alarms = sum(tested.p < ALPHA for tested in dealt)
    values = np.array([tested.estimate.value for tested in dealt])
    low, high = np.quantile(values, [0.025, 0.975])
    fired = binomtest(alarms, rounds, ALPHA, alternative="greater").pvalue < _SURE
    why = f"{alarms} of {rounds} pairs of random halves of one arm differ at p < {ALPHA:g}"
    return Gate("equals", bool(fired), why), Estimate(float(values.mean()), float(low), float(high), patients)


def pixel_features(inputs: Inputs) -> tuple[np.ndarray, np.ndarray]:
    """(P, k) and (Q, k) pixel features of members and strangers, standardised over both without a look at which is which."""
    members, strangers = both(inputs)

    def make() -> np.ndarray:
        photographs = np.concatenate([people.photographs(_PREPROCESSING) for people in (members, strangers)])
        patient = np.concatenate([members.patient, strangers.patient + members.cohort.patients])
        return probes.mean_by(patient, pixels.features(photographs, patient))

    found = inputs.once([members.fingerprint, strangers.fingerprint, "pixels of both arms"], make)
    return found[: members.cohort.patients], found[members.cohort.patients :]


def _stated(people: People, files: np.ndarray) -> dict[str, np.ndarray]:
    """Name -> (P,) number: what records and files say of each patient, mean over photographs."""
    told = metadata.of_records(people, (*LABELS, "age", "sex", "race", "source"))
    found = metadata.of_files(people, files) | told
    return {name: people.per_patient(values) for name, values in found.items()}


def _standardised(arms: list[dict[str, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """(P, k) and (Q, k): what either arm states, mean 0 and variance 1 over both, what is constant 0."""
    names = sorted(set(arms[0]) | set(arms[1]))
    counts = [len(arm["photographs"]) for arm in arms]
    columns = [
        [arm.get(name, np.zeros(count)) for name in names] for arm, count in zip(arms, counts, strict=True)
    ]
    values = np.concatenate([np.stack(each, axis=1) for each in columns])
    values = ties.standardised(values)
    return values[: counts[0]], values[counts[0] :]
