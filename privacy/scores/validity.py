"""Checks without which the number of an attack means nothing: can the two groups be compared, and are halves of one called equal?

A validity check that fires makes a result INVALID.  None of them looks at a release, so they cannot be blamed on it.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest

from privacy.attack_config import AttackConfig
from privacy.data.inputs import Inputs, People
from privacy.decisions.results import AUC, ValidityCheck
from privacy.decisions.verdict import ALPHA
from privacy.scores import camera, duplicates, metadata, pixels
from privacy.statistics import group_probe, probes
from privacy.statistics.inference import Tested
from synth.base import ties
from synth.base.errors import UserError
from synth.base.stats import Estimate
from synth.data.images import Preprocessing
from synth.data.records import LABELS

PIXELS_ALONE, NULL_SPLIT = "pixels alone, without a model", "null split of one group"
RECORDS = "labels and files alone, without a model"
CAMERA = "noise, sharpness and compression alone, without a model"
_SURE = 1e-3  # a validity check that fires by chance would hide a leak too
_SEPARABLE, _DEALS = 0.005, 499  # pixels, records and captions are asked, and chance must not hide a leak
_PENALTY = 10.0  # per feature, as in the permutation test of probes
FINE = 0.1  # the same of traces of a camera, a few of which tell much
_SPLITS = 100

SplitTest = Callable[[np.ndarray, np.ndarray], Tested]
"""Takes the row numbers of some patients of one group, as if they were members, and of others, as if they were non-members."""


class ValidityChecks(NamedTuple):
    """What was checked, and the numbers by which."""

    checks: tuple[ValidityCheck, ...]
    compared: tuple[tuple[str, Estimate], ...]


def groups(inputs: Inputs, config: AttackConfig) -> ValidityChecks:
    """Both groups hold other patients and other pictures, and nothing but the release could tell them apart.

    Computed once for all attacks of an audit.

    Raises:
        UserError: a subject is in both.
    """
    members, nonmembers = both(inputs)
    shared = sorted(set(members.subjects) & set(nonmembers.subjects))
    if shared:
        raise UserError(
            f"{nonmembers.folder}: {len(shared)} of its subjects are in --members ({members.folder}) too, such as "
            f"'{shared[0]}'; name other splits or records, since a patient in both groups hides a leak"
        )
    files = [metadata.files(inputs, people) for people in (members, nonmembers)]
    drawn = pixel_features(inputs)
    tables = _standardised(
        [_stated(people, each) for people, each in zip((members, nonmembers), files, strict=True)]
    )
    found = [
        duplicates.by_bytes(files[0], files[1], nonmembers),
        duplicates.by_pixels(inputs, config.seed),
    ]
    compared = []
    asked = [(PIXELS_ALONE, drawn, _PENALTY), (RECORDS, tables, _PENALTY)]
    asked += [(_at(fit), traces(inputs, fit), FINE) for fit in _seen(inputs)]
    for name, (first, second), penalty in asked:
        check, estimate = baseline_separability(name, first, second, config, penalty)
        found.append(check)
        compared.append((name, estimate))
    return ValidityChecks(tuple(found), tuple(compared))


def both(inputs: Inputs) -> tuple[People, People]:
    """Members and non-members, which an attack that asks for them is sure to have."""
    assert inputs.members and inputs.nonmembers
    return inputs.members, inputs.nonmembers


def baseline_separability(
    name: str, members: np.ndarray, nonmembers: np.ndarray, config: AttackConfig, penalty: float = _PENALTY
) -> tuple[ValidityCheck, Estimate]:
    """Fires where a ridge probe tells members from non-members by features that no model had a part in.

    Folds are of patients, and each is scored by a probe that never saw it; p is that of membership dealt anew.

    Args:
        members: (P, k) features of patients; nonmembers: (Q, k).
        penalty: of the ridge, per feature.
    """
    rng = np.random.default_rng([config.seed, 3])
    estimate, p = group_probe.separability(members, nonmembers, penalty, config.folds, _DEALS, rng)
    fired = estimate.low > AUC.bar and p < _SEPARABLE
    why = (
        f"{name}, the groups differ (AUC {estimate.value:.3f}, {estimate.low:.3f} to {estimate.high:.3f}); "
        "draw both from the same source at random"
    )
    return ValidityCheck("baseline separability", fired, why), estimate


def null_split(
    test: SplitTest, patients: int, seed: int, n_splits: int = _SPLITS
) -> tuple[ValidityCheck, Estimate]:
    """Fires where halves of one group, dealt at random, are told apart too often.

    Given the data, deals are independent, so the number of rejections is binomial.

    Args:
        test:    of an attack, with all that it does to the scores of patients.
        patients: of the group.

    Returns:
        The validity check, and the mean statistic over deals with the middle 95 % of them: the noise of this audit.
    """
    rng = np.random.default_rng([seed, 4])
    dealt = []
    for _ in range(n_splits):
        order = rng.permutation(patients)
        dealt.append(test(order[: patients // 2], order[patients // 2 :]))
    alarms = sum(tested.p < ALPHA for tested in dealt)
    values = np.array([tested.estimate.value for tested in dealt])
    low, high = np.quantile(values, [0.025, 0.975])
    fired = binomtest(alarms, n_splits, ALPHA, alternative="greater").pvalue < _SURE
    why = f"{alarms} of {n_splits} pairs of random halves of one group differ at p < {ALPHA:g}"
    return ValidityCheck("null split", bool(fired), why), Estimate(
        float(values.mean()), float(low), float(high), patients
    )


def pixel_features(inputs: Inputs) -> tuple[np.ndarray, np.ndarray]:
    """(P, k) and (Q, k) pixel features of members and non-members, standardised over both without a look at which is which."""
    members, nonmembers = both(inputs)

    def make() -> np.ndarray:
        photographs = np.concatenate(
            [people.photographs(duplicates.LOOK) for people in (members, nonmembers)]
        )
        patient = np.concatenate([members.patient, nonmembers.patient + members.cohort.patients])
        return probes.mean_by(patient, pixels.features(photographs, patient))

    found = inputs.once([members.fingerprint, nonmembers.fingerprint, "pixels of both groups"], make)
    return found[: members.cohort.patients], found[members.cohort.patients :]


def traces(inputs: Inputs, fit: Preprocessing) -> tuple[np.ndarray, np.ndarray]:
    """(P, k) and (Q, k) traces of cameras in photographs prepared like this, standardised over both groups."""
    groups = both(inputs)
    found = [
        inputs.once(
            [people.fingerprint, "traces", fit.model_dump()],
            lambda people=people: people.per_patient(camera.features(people.photographs(fit))),
        )
        for people in groups
    ]
    values = ties.standardised(np.concatenate(found))
    return values[: len(found[0])], values[len(found[0]) :]


def _seen(inputs: Inputs) -> list[Preprocessing]:
    """How the models of an audit, and the search for copies, see photographs; each once, the smallest first."""
    models = [model.preprocessing for model in (inputs.encoder, inputs.generator) if model]
    fits = {fit.model_dump_json(): fit for fit in (duplicates.LOOK, *models)}
    return sorted(fits.values(), key=lambda fit: fit.size)


def _at(fit: Preprocessing) -> str:
    return f"{CAMERA}, at {fit.size} pixels"


def _stated(people: People, files: np.ndarray) -> dict[str, np.ndarray]:
    """Name -> (P,) number: what records and files say of each patient, mean over photographs."""
    told = metadata.of_records(people, (*LABELS, "age", "sex", "race", "source", "camera"))
    found = metadata.of_files(people, files) | told
    return {name: people.per_patient(values) for name, values in found.items()}


def _standardised(groups: list[dict[str, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """(P, k) and (Q, k): what either group states, mean 0 and variance 1 over both, what is constant 0."""
    names = sorted(set(groups[0]) | set(groups[1]))
    counts = [len(group["photographs"]) for group in groups]
    columns = [
        [group.get(name, np.zeros(count)) for name in names]
        for group, count in zip(groups, counts, strict=True)
    ]
    values = np.concatenate([np.stack(each, axis=1) for each in columns])
    values = ties.standardised(values)
    return values[: counts[0]], values[counts[0] :]
