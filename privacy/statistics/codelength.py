"""How many bits tell the labels of patients to somebody who has their features: the online code.

Patients are sent in blocks, each as long as all before it together.  The first block is sent by a uniform code, every
other one by a probe that learnt from the blocks before it (Voita & Titov 2020, 2003.12298, section 2.2.2).  Features that
show an attribute plainly need few patients to learn from, so the code tells what an AUC hides: how easily it is read.
"""

from itertools import pairwise

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from privacy.data.attributes import Task
from privacy.statistics import probes
from synth.base import ties

_FIRST = 8  # patients of the first block at least, who teach whoever sends the second
_YEARS = 128
"""Ages from 0 to 127, one of which an uninformed sender tells with seven bits."""
_FOLDS = 3


def bits(features: np.ndarray, task: Task, seed: int) -> np.ndarray:
    """(p,) bits that each patient's label took; years are told to the year.

    Args:
        features: (p, k) means over each patient's photographs; with k = 0, the code of who sees nothing.
    """
    patients = len(task.labels)
    rng = np.random.default_rng([seed, 8])
    order = rng.permutation(patients)
    ends = [patients]
    while ends[0] >= 2 * _FIRST:
        ends.insert(0, ends[0] // 2)
    found = np.full(patients, np.log2(_YEARS if task.kind == "years" else len(task.classes)))
    probabilities = _years if task.kind == "years" else _classes
    for start, end in pairwise(ends):
        known, block = order[:start], order[start:end]
        found[block] = -np.log2(probabilities(features, task, known, block, rng))
    return found


def _classes(
    features: np.ndarray, task: Task, known: np.ndarray, block: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Probability that a probe taught by `known` gives to the class of each of `block`."""
    wanted, labels = probes.targets(task), task.labels

    def shares(learnt: np.ndarray, queried: np.ndarray, penalty: float) -> np.ndarray:
        counts = np.bincount(labels[learnt], minlength=len(task.classes))
        prior = (counts + 1) / (counts + 1).sum()
        if not np.isfinite(penalty):
            given = np.tile(prior, (len(queried), 1))
        else:
            probe = probes.logistic(features[learnt], wanted[learnt], np.ones(len(learnt)), penalty)
            # The probe weighs classes alike; odds of the prior make its odds those of the patients.
            odds = np.log(prior / (1 - prior))[-wanted.shape[1] :]
            chances = expit(probe.predict(features[queried]) + odds)
            chances = np.column_stack([1 - chances, chances]) if wanted.shape[1] == 1 else chances
            given = chances / np.maximum(chances.sum(axis=1, keepdims=True), 1e-300)
        own = given[np.arange(len(queried)), labels[queried]]
        return (len(learnt) * own + 1) / (
            len(learnt) + len(task.classes)
        )  # one imagined patient of each class

    def loss(penalty: float) -> float:
        return sum(-float(np.log(shares(*split, penalty)).sum()) for split in splits)

    fold = probes.folds(labels[known], _FOLDS, rng)
    splits = [(known[fold != number], known[fold == number]) for number in range(_FOLDS)]
    penalties = _penalties(features)
    best = penalties[ties.first_smallest(np.array([loss(penalty) for penalty in penalties]))]
    return shares(known, block, best)


def _years(
    features: np.ndarray, task: Task, known: np.ndarray, block: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Probability that a normal law about a probe's guess, taught by `known`, gives to the year of each of `block`."""
    ages = task.labels

    def guess(learnt: np.ndarray, queried: np.ndarray, penalty: float) -> np.ndarray:
        if not np.isfinite(penalty):
            return np.full(len(queried), ages[learnt].mean())
        probe = probes.ridge(features[learnt], ages[learnt, None], np.ones(len(learnt)), penalty)
        return probe.predict(features[queried])[:, 0]

    def error(penalty: float) -> float:
        """Mean square over patients that the probe had not seen."""
        return sum(float(((guess(*split, penalty) - ages[split[1]]) ** 2).sum()) for split in splits) / len(
            known
        )

    fold = probes.folds(np.zeros(len(known)), _FOLDS, rng)
    splits = [(known[fold != number], known[fold == number]) for number in range(_FOLDS)]
    penalties = _penalties(features)
    errors = np.array([error(penalty) for penalty in penalties])
    least = ties.first_smallest(errors)
    off, spread = ages[block] - guess(known, block, penalties[least]), max(errors[least] ** 0.5, 0.1)
    own = norm.cdf(off + 0.5, scale=spread) - norm.cdf(off - 0.5, scale=spread)
    return (len(known) * own + 1 / _YEARS) / (len(known) + 1)  # one imagined patient of any age


def _penalties(features: np.ndarray) -> tuple[float, ...]:
    """Strongest first, so that it is taken of equals: infinite is the prior alone."""
    return (np.inf, *reversed(probes.PENALTIES)) if features.shape[1] else (np.inf,)
