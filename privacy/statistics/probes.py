"""Linear probes on frozen features, judged on patients they have not seen.

Folds are drawn over patients, so all photographs of a patient are on one side.  Every patient weighs 1, so a
patient photographed ten times is not ten patients.  What became of features before (`components`) never saw a label.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

from privacy.data.attributes import Task
from privacy.statistics import measures
from synth.base import ties

PENALTIES = (0.1, 1.0, 10.0, 100.0)
"""Ridge penalties per feature: what a prior expects of features that explain 91, 50, 9 and 1 % of the variance."""
SIZE = 1.0
"""Of scores, by which a tie among them is one (`synth.base.ties`): of patients unlike any in training, terms cancel."""
_INNER_FOLDS = 3
_FIXED = 10.0  # the permutation test may not choose by label
_NEWTON_STEPS = 50


class Prediction(NamedTuple):
    """What probes say of the (n,) photographs of a task, each by a probe that never saw its patient."""

    scores: np.ndarray
    """(n, C) for ranking: without intercept and in units of its spread in training, so folds can be pooled."""
    decisions: np.ndarray
    """(n, C) log-odds of each class, or (n, 1) years."""


class Linear(NamedTuple):
    """A fitted probe."""

    coefficients: np.ndarray
    """(k, C)"""
    intercept: np.ndarray
    """(C,)"""
    spread: np.ndarray
    """(C,) standard deviation of what it says of its training patients."""

    def rank(self, features: np.ndarray) -> np.ndarray:
        """(n, C) `Prediction.scores`."""
        return features @ self.coefficients / self.spread

    def predict(self, features: np.ndarray) -> np.ndarray:
        """(n, C) `Prediction.decisions`."""
        return features @ self.coefficients + self.intercept


class Permuted(NamedTuple):
    """A statistic with true labels, with permuted labels, and the p-value that they give."""

    observed: float
    permuted: np.ndarray
    p: float


def folds(labels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(p,) the fold of each patient: random, and as balanced over (p,) labels as can be."""
    shuffled = rng.permutation(len(labels))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    fold = np.empty(len(labels), int)
    fold[order] = np.arange(len(labels)) % count
    return fold


def targets(task: Task) -> np.ndarray:
    """(p, C) what a probe learns: years, or one column per class (one in all where there are two)."""
    if task.kind == "years":
        return task.labels[:, None]
    if len(task.classes) == 2:
        return (task.labels == 1).astype(float)[:, None]
    return (task.labels[:, None] == np.arange(len(task.classes))).astype(float)


def out_of_fold(features: np.ndarray, task: Task, count: int, seed: int, share: float = 1.0) -> Prediction:
    """Predict every photograph of `task` by a probe trained on other patients.

    Args:
        features: (n, k) of the task's photographs.
        count:    folds.
        share:    of the training patients that the probe may use; below 1 for a learning curve.
    """
    rng = np.random.default_rng([seed, 1])
    wanted = targets(task)
    fold = folds(task.labels, count, rng)
    scores = np.zeros((len(features), wanted.shape[1]))
    decisions = np.zeros_like(scores)
    for number in range(count):
        trained = _thin(np.flatnonzero(fold != number), task.labels, share, rng)
        train = np.isin(task.patient, trained)
        test = fold[task.patient] == number
        probe = tuned(features[train], task.patient[train], wanted, task, rng)
        scores[test], decisions[test] = probe.rank(features[test]), probe.predict(features[test])
    return Prediction(scores, decisions)


def permutation_test(features: np.ndarray, task: Task, count: int, permutations: int, seed: int) -> Permuted:
    """How far the statistic of a ridge probe with a fixed penalty is beyond what permuted labels give.

    Labels are permuted over patients; folds and penalty do not depend on them, so the test is exact.  One
    factorisation per fold serves all permutations.  The statistic is macro AUC, for age R², per patient.
    """
    rng = np.random.default_rng([seed, 2])
    wanted = targets(task)
    patients, columns = wanted.shape
    fold = folds(np.zeros(patients), count, rng)
    orders = [np.arange(patients), *(rng.permutation(patients) for _ in range(permutations))]
    shuffled = np.concatenate([wanted[order] for order in orders], axis=1)  # (p, (1 + permutations) C)
    scores = np.zeros((len(features), shuffled.shape[1]))
    for number in range(count):
        test = fold[task.patient] == number
        probe = ridge(features[~test], shuffled[task.patient[~test]], task.weights[~test], _FIXED)
        scores[test] = (probe.predict if task.kind == "years" else probe.rank)(features[test])
    by_patient = mean_by(task.patient, scores)
    if task.kind == "years":
        error = ((by_patient - shuffled) ** 2).mean(axis=0)
        _, deviation = ties.moments(wanted)
        values = 1 - error / deviation**2 if np.isfinite(deviation).all() else np.zeros(len(error))
    else:
        values = measures.aucs(by_patient, shuffled > 0.5, SIZE).reshape(-1, columns).mean(axis=1)
    as_far = ties.at_or_above(values[1:], values[0], 1.0).sum()
    return Permuted(float(values[0]), values[1:], float((1 + as_far) / (1 + permutations)))


def called(decisions: np.ndarray) -> np.ndarray:
    """(n,) the number of the class that (n, C) log-odds call, as `targets` has it; of ties the first."""
    if decisions.shape[1] > 1:
        return ties.first_largest(decisions, size=1.0)
    return ties.above(decisions[:, 0], 0.0, 1.0).astype(int)


def mean_by(patient: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(p, C) means over each patient's rows of (n, C) values; `patient` never falls."""
    starts = np.flatnonzero(np.diff(patient, prepend=-1))
    return np.add.reduceat(values, starts, axis=0) / np.bincount(patient)[:, None]


def ridge(features: np.ndarray, wanted: np.ndarray, weights: np.ndarray, penalty: float) -> Linear:
    """Weighted ridge regression of (n, R) targets on (n, k) features, intercept free, in closed form."""
    share = weights / weights.sum()
    middle, level = share @ features, share @ wanted
    centred = features - middle
    gram = (centred * weights[:, None]).T @ centred
    gram[np.diag_indices_from(gram)] += penalty * features.shape[1]
    coefficients = cho_solve(cho_factor(gram), centred.T @ (weights[:, None] * (wanted - level)))
    return Linear(coefficients, level - middle @ coefficients, _spread(centred @ coefficients, share))


def logistic(features: np.ndarray, wanted: np.ndarray, weights: np.ndarray, penalty: float) -> Linear:
    """Ridge-penalised logistic regression of each 0/1 column of (n, C) targets; classes weigh the same."""
    share = weights / weights.sum()
    middle = share @ features
    centred = features - middle
    coefficients = np.zeros((features.shape[1], wanted.shape[1]))
    intercept = np.full(wanted.shape[1], -1e3)  # a class that is absent is never guessed
    for column, is_class in enumerate(wanted.T > 0.5):
        ups = share[is_class].sum()
        if is_class.any() and not is_class.all():
            balanced = weights * np.where(is_class, 0.5 / ups, 0.5 / (1 - ups))
            fitted = _newton(centred, is_class.astype(float), balanced, penalty * features.shape[1])
            coefficients[:, column], intercept[column] = fitted[1:], fitted[0] - middle @ fitted[1:]
    return Linear(coefficients, intercept, _spread(centred @ coefficients, share))


def _newton(features: np.ndarray, is_class: np.ndarray, weights: np.ndarray, penalty: float) -> np.ndarray:
    """(1 + k,) intercept and coefficients at the least penalised log-loss, by damped Newton steps."""
    design = np.column_stack([np.ones(len(features)), features])
    ridge = np.full(design.shape[1], penalty)
    ridge[0] = 1e-6

    def loss(at: np.ndarray) -> float:
        odds = design @ at
        return float(weights @ (np.logaddexp(0, odds) - is_class * odds) + 0.5 * ridge @ at**2)

    found = np.zeros(design.shape[1])
    least = loss(found)
    for _ in range(_NEWTON_STEPS):
        share = expit(design @ found)
        slope = design.T @ (weights * (share - is_class)) + ridge * found
        bend = (design * (weights * share * (1 - share))[:, None]).T @ design
        bend[np.diag_indices_from(bend)] += ridge
        step = np.linalg.solve(bend, slope)
        while (reached := loss(found - step)) > least and np.abs(step).max() > 1e-9:
            step /= 2
        gain, least, found = least - reached, reached, found - step
        if gain < 1e-6 * abs(least):
            break
    return found


def _spread(centred: np.ndarray, share: np.ndarray) -> np.ndarray:
    spread = np.sqrt(share @ centred**2)
    return np.where(spread > 1e-12, spread, 1.0)


def _thin(patients: np.ndarray, labels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """A random share of some patients, the same share of each class; at least one of each."""
    if share >= 1:
        return patients
    every = round(1 / share)
    return patients[folds(labels[patients], every, rng) == 0]


def tuned(
    features: np.ndarray, patient: np.ndarray, wanted: np.ndarray, task: Task, rng: np.random.Generator
) -> Linear:
    """A probe whose penalty was chosen on folds of its own training patients."""
    present, compact = np.unique(patient, return_inverse=True)
    wanted, labels = wanted[present][compact], task.labels[present]
    weights = 1.0 / np.bincount(compact)[compact]
    fit = ridge if task.kind == "years" else logistic
    fold = folds(labels, _INNER_FOLDS, rng)[compact]
    best, chosen = -np.inf, PENALTIES[-1]
    for penalty in reversed(PENALTIES):  # of equals, the strongest
        guesses = np.zeros_like(wanted)
        for number in range(_INNER_FOLDS):
            test = fold == number
            probe = fit(features[~test], wanted[~test], weights[~test], penalty)
            guesses[test] = (probe.predict if task.kind == "years" else probe.rank)(features[test])
        if task.kind == "years":
            merit = -float(weights @ ((guesses - wanted) ** 2)[:, 0])
        else:
            merit = float(np.nanmean(measures.aucs(guesses, wanted > 0.5, SIZE)))
        if ties.above(merit, best, abs(merit)):
            best, chosen = merit, penalty
    return fit(features, wanted, weights, chosen)
