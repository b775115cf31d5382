"""T2 by one who knows some members: a probe taught by them reads the others, beside the same among non-members.

What an encoder learnt by heart may lie along directions that nobody else's photographs use, which a probe of other patients
never finds.  Both groups are of one size, each is read by probes of its own other patients, and p is that of membership
dealt anew to all of them, with every probe taught again: exact, however much pictures show of anyone.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from privacy.attack_config import AttackConfig
from privacy.data.attributes import ATTRIBUTES, SMALLEST_CLASS
from privacy.data.inputs import People
from privacy.decisions import power_simulation
from privacy.decisions.results import DIFFERENCE, Result
from privacy.scores.validity import ValidityChecks
from privacy.statistics.inference import CONFIDENCE, Tested
from synth.base import ties
from synth.base.stats import Estimate

FEWEST = 40
"""Patients of each group, of whom at least `SMALLEST_CLASS` of each class."""
_MOST = 1000  # patients of each group
_PENALTY = 1.0  # per feature
_DEALS, _AT_LEAST, _ENOUGH = 1999, 199, 20
"""Deals of membership at most; after so many, they end with so many that reach what was seen (Besag & Clifford 1991)."""
AGES = ("younger", "older")
"""Than half of the members and non-members together."""


def question(name: str) -> Result:
    """What is asked about one attribute."""
    return Result(
        "T2", f"{name} read by a probe of other members", "members", DIFFERENCE, access="embeddings"
    )


QUESTIONS = [question(name) for name in ATTRIBUTES]


def attack(
    people: Sequence[People],
    features: Mapping[str, Sequence[np.ndarray]],
    checked: ValidityChecks,
    config: AttackConfig,
) -> list[Result]:
    """One result for each attribute.

    Args:
        people:   members and non-members.
        features: what is attacked -> (N, k) of the photographs of each; the first decides, the others stand beside it.
    """
    whole = {
        what: [p.per_patient(each) for p, each in zip(people, found, strict=True)]
        for what, found in features.items()
    }
    return [_answer(name, people, whole, checked, config) for name in ATTRIBUTES]


def common_classes(name: str, people: Sequence[People]) -> tuple[str, ...]:
    """The classes of an attribute that both groups have patients enough of; `AGES` where it is in years."""
    values = [each.cohort.values[name] for each in people]
    if ATTRIBUTES[name] == "years":
        return (
            AGES if all(sum(value is not None for value in each) >= SMALLEST_CLASS for each in values) else ()
        )
    names = sorted({str(value) for each in values for value in each if value is not None})
    return tuple(one for one in names if all((each == one).sum() >= SMALLEST_CLASS for each in values))


def truths(
    name: str, classes: Sequence[str], people: Sequence[People]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each group (P,) class numbers and (P,) bool, whose class is known."""
    values = [each.cohort.values[name] for each in people]
    if ATTRIBUTES[name] == "years":
        known = [np.array([value is not None for value in each]) for each in values]
        years = [np.array([value if value is not None else 0.0 for value in each], float) for each in values]
        middle = np.median(np.concatenate([each[which] for each, which in zip(years, known, strict=True)]))
        return [((each > middle).astype(int), which) for each, which in zip(years, known, strict=True)]
    known = [np.isin(each.astype(str), classes) for each in values]
    numbers = [np.array([classes.index(str(v)) if str(v) in classes else 0 for v in each]) for each in values]
    return list(zip(numbers, known, strict=True))


def right(features: np.ndarray, truth: np.ndarray, count: int, classes: int) -> float:
    """Share of patients called right by a ridge of the others in `count` folds, mean over classes.

    Args:
        features: (P, k); truth: (P,) class numbers.
    """
    design = np.column_stack([np.ones(len(features)), features])
    wanted = np.eye(classes)[truth]
    counts = np.maximum(wanted.sum(axis=0), 1)
    weighted = design * (len(truth) / classes / counts)[truth][:, None]
    fold = np.arange(len(truth)) % count
    grams = np.stack([weighted[fold == k].T @ design[fold == k] for k in range(count)])
    sums = np.stack([weighted[fold == k].T @ wanted[fold == k] for k in range(count)])
    penalty = np.diag([1e-9 * len(truth)] + [_PENALTY * features.shape[1]] * features.shape[1])
    probes = np.linalg.solve(grams.sum(axis=0) - grams + penalty, sums.sum(axis=0) - sums)
    said = np.einsum("pk,pkc->pc", design, probes[fold])
    hits = ties.first_largest(said, size=1.0) == truth
    return float((wanted[hits].sum(axis=0) / counts).mean())


def evaluate(
    name: str,
    features: Sequence[np.ndarray],
    truth: Sequence[np.ndarray],
    classes: int,
    config: AttackConfig,
    n_permutations: int = _DEALS,
) -> Result:
    """Are members read better by members than non-members by non-members?

    Args:
        features:       (P, k) of members and (Q, k) of non-members; truth: class numbers of each.
        n_permutations: deals of membership at most.
    """
    rng = np.random.default_rng([config.seed, 12])
    size = min(_MOST, *map(len, truth))
    chosen = [rng.permutation(len(each))[:size] for each in truth]
    told = np.concatenate([each[rows] for each, rows in zip(features, chosen, strict=True)])
    of = np.concatenate([each[rows] for each, rows in zip(truth, chosen, strict=True)])
    rates = [right(told[half], of[half], config.folds, classes) for half in (slice(size), slice(size, None))]
    gap, dealt = rates[0] - rates[1], []
    while len(dealt) < n_permutations:
        order = rng.permutation(2 * size)
        one, other = (
            right(told[half], of[half], config.folds, classes) for half in (order[:size], order[size:])
        )
        dealt.append(one - other)
        if len(dealt) >= _AT_LEAST and ties.at_or_above(np.array(dealt), gap, 1.0).sum() >= _ENOUGH:
            break
    low, high = np.quantile(dealt, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    p = (1 + int(ties.at_or_above(np.array(dealt), gap, 1.0).sum())) / (1 + len(dealt))
    return question(name)._replace(
        tested=Tested(Estimate(gap, gap - float(high), gap - float(low), 2 * size), p),
        also=tuple(
            (f"{who} read by their like, mean over classes", Estimate(rate, rate, rate, size))
            for who, rate in zip(("members", "non-members"), rates, strict=True)
        ),
        notes=("the attacker knows the attribute of four in five members and reads it of the fifth",),
    )


def _answer(
    name: str,
    people: Sequence[People],
    features: Mapping[str, Sequence[np.ndarray]],
    checked: ValidityChecks,
    config: AttackConfig,
) -> Result:
    classes = common_classes(name, people)
    known = truths(name, classes, people) if len(classes) > 1 else []
    if not known or min(int(which.sum()) for _, which in known) < FEWEST:
        why = f"the {name} of too few members and non-members is known"
        return question(name)._replace(missing=why, needed=2 * FEWEST)
    truth = [numbers[which] for numbers, which in known]
    told = {
        what: [each[which] for each, (_, which) in zip(found, known, strict=True)]
        for what, found in features.items()
    }
    first, *others = told
    result = evaluate(name, told[first], truth, len(classes), config)
    size = min(_MOST, *map(len, truth))
    beside = []
    for what in others:
        one, other = (
            right(each[:size], of[:size], config.folds, len(classes))
            for each, of in zip(told[what], truth, strict=True)
        )
        beside.append((what, Estimate(one - other, one - other, one - other, 2 * size)))
    result = result._replace(checks=checked.checks, compared=(*beside, *checked.compared))
    return power_simulation.state_by_width(result)
