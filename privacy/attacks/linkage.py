"""T8: can another photograph of a patient be linked to what was released, and of a member more surely than of a non-member?

Two links: the embeddings of an encoder (of the other eye, of another visit), and the released pictures as a gallery in
which an attacker looks a photograph up.  That photographs of one person are alike is true of anyone; only what training
added counts here.
"""

from functools import partial

import numpy as np
from pydantic import Field

from privacy.data.inputs import Inputs, People
from privacy.decisions import power_simulation
from privacy.decisions.results import AUC, Result, Scale, Scored
from privacy.scores import pixels, validity
from privacy.scores.neighbours import CopiesConfig
from privacy.scores.validity import ValidityChecks
from privacy.statistics.inference import deals, dealt_difference, mean_difference, separation
from synth.base import ties
from synth.base.stats import Estimate
from synth.data.images import Preprocessing

NEEDS = ("encoder", "members", "nonmembers")
LINKED = Scale("verification AUC, members minus non-members", 0.0, 0.0, 0.05)
QUESTIONS = [
    Result("T8", "photographs of one patient linked by the encoder", "members", LINKED, access="embeddings"),
    Result(
        "T8",
        "photographs looked up among released pictures by the encoder",
        "members",
        AUC,
        by_nearness=True,
        access="embeddings",
    ),
]
FEWEST = 20
"""Patients of each group without whom nothing is asked."""
_LOOK = Preprocessing(size=64)
_BESIDE = 10  # pictures that a match is compared with
_BATCH = 256
_DEALS, _FEW_DEALS = 1999, 199  # of membership, and for each pair of halves
NULL_SPLIT = "null split of the non-members"
_PAIRS = 64  # photographs whose pairs are compared with everybody at a time: tens of megabytes


class LinkageConfig(CopiesConfig):
    """What linking photographs takes (T8); the gallery is that of the search for copies."""

    linkage_patients: int = Field(default=1000, ge=20)
    """Of each group, with two photographs or more, whose photographs are to find each other."""


CONFIG = LinkageConfig


def attack(inputs: Inputs, config: LinkageConfig) -> list[Result]:
    """Both links."""
    checked = validity.groups(inputs, config)
    return [_verify(inputs, checked, config), _look_up(inputs, checked, config)]


def verification(embeddings: np.ndarray, patient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How surely each patient's photographs find each other among those of everybody else.

    Args:
        embeddings: (N, D) of both groups: what somebody is looked for among does not depend on membership.
        patient:    (N,) int in [0, P), never falling.

    Returns:
        (P,) AUC of the patient's other photographs above those of others, nan with one photograph only; (P,) share of
        photographs whose nearest is the patient's own, nan likewise; both are means over the patient's photographs.
    """
    unit = _unit(embeddings)
    counts = np.bincount(patient)
    above, first = np.zeros(len(counts)), np.zeros(len(counts))
    for start in range(0, len(unit), _PAIRS):
        rows = np.arange(start, min(start + _PAIRS, len(unit)))
        likeness = ties.levelled(unit[rows] @ unit.T)  # equal pictures are alike to the last digit
        own = patient[rows][:, None] == patient
        others = np.where(own, np.inf, likeness)
        own[np.arange(len(rows)), rows] = False
        row, column = np.nonzero(own)
        value = likeness[row, column][:, None]
        among = others[row]
        beaten = np.count_nonzero(among < value, axis=1) + np.count_nonzero(among <= value, axis=1)
        patient_ids = patient[rows]
        strange = np.maximum(len(unit) - counts[patient_ids], 1)
        np.add.at(above, patient_ids[row], beaten / 2 / (strange * (counts[patient_ids] - 1))[row])
        best = np.where(own, likeness, -np.inf).max(axis=1)
        np.add.at(first, patient_ids, best > np.where(np.isinf(others), -np.inf, others).max(axis=1))
    several = np.where(counts > 1, counts, np.nan)
    return above / several, first / several


def matches(embeddings: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """(N,) by how much the best of (G, D) pictures is more alike to each of (N, D) than the mean of the next ten."""
    unit, among = _unit(embeddings), _unit(gallery)
    found = np.empty(len(unit))
    most = min(_BESIDE + 1, len(among))
    for start in range(0, len(unit), _BATCH):
        best = np.sort(np.partition(unit[start : start + _BATCH] @ among.T, -most)[:, -most:])
        found[start : start + _BATCH] = ties.difference(best[:, -1:], best[:, :-1]).mean(axis=1)
    return found


def with_verification_scores(
    unanswered: Result, members: np.ndarray, nonmembers: np.ndarray, config: LinkageConfig
) -> Result:
    """Are members verified more surely?

    Args:
        unanswered:   the question, with baselines on the same scale.
        members: (P,) `verification` of each; nonmembers: (Q,); their order says nothing.
    """
    members, nonmembers = np.sort(members), np.sort(nonmembers)
    half = len(nonmembers) // 2
    halved = deals(half, len(nonmembers) - half, _FEW_DEALS, np.random.default_rng([config.seed, 83]))
    check, noise = validity.null_split(
        lambda one, other: dealt_difference(nonmembers[one], nonmembers[other], halved),
        len(nonmembers),
        config.seed,
    )
    spread = 1.96 * nonmembers.std(ddof=1) / len(nonmembers) ** 0.5
    level = float(nonmembers.mean())
    anyone = Estimate(level, level - spread, min(1.0, level + spread), len(nonmembers))
    rng = np.random.default_rng([config.seed, 82])
    anew = partial(dealt_difference, dealt=deals(len(members), len(nonmembers), _DEALS, rng))
    result = unanswered._replace(
        tested=anew(members, nonmembers),
        checks=(*unanswered.checks, check),
        compared=(*unanswered.compared, (NULL_SPLIT, noise)),
        also=(("verification AUC of non-members", anyone), *unanswered.also),
        notes=("embeddings link photographs of anyone; do not publish them patient by patient",),
    )
    trial = power_simulation.rates(nonmembers, len(members), anew, LINKED)
    return power_simulation.state(result, trial, config.detection_rounds, config.seed)


def with_match_scores(
    unanswered: Result, members: np.ndarray, nonmembers: np.ndarray, config: LinkageConfig
) -> Result:
    """Do members find a better match among released pictures?  (P,) mean `matches` of each patient; (Q,); in any order."""
    members, nonmembers = np.sort(members), np.sort(nonmembers)
    check, noise = validity.null_split(
        lambda one, other: separation(nonmembers[one], nonmembers[other]), len(nonmembers), config.seed
    )
    result = unanswered._replace(
        tested=separation(members, nonmembers),
        checks=(*unanswered.checks, check),
        compared=(*unanswered.compared, (NULL_SPLIT, noise)),
    )
    trial = power_simulation.scores(nonmembers, len(members), separation, AUC)
    return power_simulation.state(result, trial, config.detection_rounds, config.seed)


def _verify(inputs: Inputs, checked: ValidityChecks, config: LinkageConfig) -> Result:
    both = validity.both(inputs)
    drawn = [_drawn(people, config.linkage_patients, config.seed) for people in both]
    sizes = [len(np.unique(patient_ids)) for _, patient_ids in drawn]
    if min(sizes) < FEWEST:
        why = f"{min(sizes)} patients of a group have two photographs or more; at least {FEWEST} are needed"
        return _checked(QUESTIONS[0]._replace(missing=why, needed=2 * FEWEST), checked)
    patient = np.concatenate([drawn[0][1], drawn[1][1] + sizes[0]])

    def embedded(seed: int | None) -> np.ndarray:
        groups = zip(both, drawn, strict=True)
        return np.concatenate([inputs.embeddings(people, seed)[rows] for people, (rows, _) in groups])

    scores, first = verification(embedded(None), patient)
    photographs = [people.photographs(_LOOK)[rows] for people, (rows, _) in zip(both, drawn, strict=True)]
    spaces = {"pixels": pixels.features(np.concatenate(photographs), patient)}
    if inputs.encoder and inputs.encoder.has_untrained:
        spaces["an untrained encoder"] = embedded(config.seed)
    compared = [
        (name, mean_difference(*np.split(verification(space, patient)[0], [sizes[0]])).estimate)
        for name, space in spaces.items()
    ]
    rank = mean_difference(first[: sizes[0]], first[sizes[0] :]).estimate
    asked = _checked(
        QUESTIONS[0]._replace(
            compared=tuple(compared), also=(("share found at rank 1, members minus non-members", rank),)
        ),
        checked,
    )
    members, nonmembers = np.split(scores, [sizes[0]])
    ids = [
        people.subjects[np.unique(people.patient[rows])]
        for people, (rows, _) in zip(both, drawn, strict=True)
    ]
    scored = Scored(asked, members[:, None], nonmembers[:, None], *ids)
    return with_verification_scores(asked, members, nonmembers, config)._replace(scored=scored)


def _look_up(inputs: Inputs, checked: ValidityChecks, config: LinkageConfig) -> Result:
    asked = _checked(QUESTIONS[1], checked)
    if missing := inputs.missing(["synthetic"]):
        return asked._replace(missing=f"needs {missing}")
    assert inputs.synthetic
    both = validity.both(inputs)
    rng = np.random.default_rng([config.seed, 80])
    rows = np.sort(rng.permutation(len(inputs.synthetic.ids))[: config.copies_searched])
    gallery = inputs.embeddings(inputs.synthetic)[rows]
    members, nonmembers = (people.per_patient(matches(inputs.embeddings(people), gallery)) for people in both)
    fewest = min(len(members), len(nonmembers))
    if fewest < FEWEST or len(gallery) < 2:
        why = f"{fewest} patients of a group and {len(gallery)} released pictures; at least {FEWEST} and 2 are needed"
        return asked._replace(missing=why, needed=2 * FEWEST)
    scored = Scored(asked, members[:, None], nonmembers[:, None], *(people.subjects for people in both))
    return with_match_scores(asked, members, nonmembers, config)._replace(scored=scored)


def _checked(question: Result, checked: ValidityChecks) -> Result:
    """The question beside what was checked of the groups."""
    return question._replace(checks=checked.checks, compared=(*question.compared, *checked.compared))


def _drawn(people: People, most: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of at most so many patients with several photographs, and (n,) the number of the patient, never falling."""
    several = np.flatnonzero(np.bincount(people.patient) > 1)
    drawn = np.random.default_rng([seed, 81]).permutation(several)[:most]
    rows = np.flatnonzero(np.isin(people.patient, drawn))
    return rows, np.unique(people.patient[rows], return_inverse=True)[1]


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = vectors.astype(float)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
