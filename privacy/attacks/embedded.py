"""T3 of an encoder's embeddings alone: are members told by length, or by how far apart the views of one patient lie?

An encoder may draw what it was trained on out in length (LpLA, 2506.05743), and close together what shows one patient.  In
which direction is not known beforehand, so the attacker knows some members: a ridge of a few numbers of each patient is
taught by patients of other folds, and p is that of membership dealt anew, exact for any number of patients.
"""

import numpy as np

from privacy.attack_config import AttackConfig
from privacy.data.inputs import Inputs
from privacy.decisions import power_simulation
from privacy.decisions.results import AUC, Result, Scored
from privacy.scores import validity
from privacy.scores.references import UNTRAINED
from privacy.scores.validity import ValidityChecks
from privacy.statistics import group_probe, probes
from privacy.statistics.inference import Tested
from privacy.targets import Target
from synth.base import ties

QUESTION = Result("T3", "membership by length and spread of embeddings", "members", AUC, access="embeddings")
_DEALS = 1999
_PENALTY = 1.0  # per feature
_EPSILON = 1e-12


def attack(inputs: Inputs, checked: ValidityChecks, config: AttackConfig) -> Result:
    """Of both groups, beside the same of an untrained encoder where there is one."""
    encoder = inputs.encoder
    if encoder is None:
        return QUESTION._replace(missing=f"needs {inputs.missing(['encoder'])}")
    compared = checked.compared
    if encoder.has_untrained:
        members, nonmembers = _features(inputs, encoder, config.seed)
        beside = separability(members, nonmembers, config)
        compared = ((UNTRAINED, beside.estimate), *compared)
    members, nonmembers = _features(inputs, encoder, None)
    unanswered = QUESTION._replace(checks=checked.checks, compared=compared)
    mine, theirs = (people.subjects for people in validity.both(inputs))
    return with_scores(unanswered, members, nonmembers, config)._replace(
        scored=Scored(unanswered, members, nonmembers, mine, theirs)
    )


def with_scores(
    unanswered: Result, members: np.ndarray, nonmembers: np.ndarray, config: AttackConfig
) -> Result:
    """From what `shape` says of patients, (P, k) and (Q, k), to what an audit says of it, whatever their order."""
    one, other = (each[np.lexsort(each.T)] for each in (members, nonmembers))
    return power_simulation.state_by_width(unanswered._replace(tested=separability(one, other, config)))


def shape(embeddings: np.ndarray, mirrored: np.ndarray | None, patient_ids: np.ndarray) -> np.ndarray:
    """(P, k) log length, its spread and that of directions over a patient's photographs, and what mirroring changes.

    Spreads of a patient with one photograph are those of the others on average: their number is no membership.

    Args:
        embeddings:  (N, D); mirrored: of the same photographs, mirrored, where they can be embedded.
        patient_ids: (N,) int whose each photograph is, in [0, P), never falling.
    """
    length = np.linalg.norm(embeddings.astype(float), axis=1)
    unit = embeddings / np.maximum(length, _EPSILON)[:, None]
    logs = np.log(np.maximum(length, _EPSILON))
    centre, mean = probes.mean_by(patient_ids, unit), probes.mean_by(patient_ids, logs[:, None])
    apart = np.abs(logs[:, None] - mean[patient_ids])
    columns = [
        mean[:, 0],
        probes.mean_by(patient_ids, apart)[:, 0],
        1 - np.linalg.norm(centre, axis=1),
    ]
    several = np.bincount(patient_ids) > 1
    for column in columns[1:]:
        column[~several] = column[several].mean() if several.any() else 0.0
    if mirrored is not None:
        other = mirrored / np.maximum(np.linalg.norm(mirrored, axis=1, keepdims=True), _EPSILON)
        columns.append(probes.mean_by(patient_ids, 1 - (unit * other).sum(axis=1, keepdims=True))[:, 0])
    return np.stack(columns, axis=1)


def separability(
    members: np.ndarray, nonmembers: np.ndarray, config: AttackConfig, n_permutations: int = _DEALS
) -> Tested:
    """AUC of a ridge that tells (P, k) members from (Q, k) non-members whom it did not see."""
    features = ties.standardised(np.concatenate([members, nonmembers]))
    groups = features[: len(members)], features[len(members) :]
    rng = np.random.default_rng([config.seed, 14])
    return group_probe.separability(*groups, _PENALTY, config.folds, n_permutations, rng)


def _features(inputs: Inputs, encoder: Target, seed: int | None) -> list[np.ndarray]:
    """Of both groups; embeddings made elsewhere cannot be asked for a mirrored photograph."""
    return [
        shape(
            inputs.embeddings(people, seed),
            inputs.embeddings(people, seed, mirrored=True) if encoder.reads_captions else None,
            people.patient,
        )
        for people in validity.both(inputs)
    ]
