"""How good a classifier is, of rows that may be weighted: what a bootstrap needs a thousand times over."""

from collections.abc import Callable, Sequence

import numpy as np

from synth.base.stats import Estimate, resample

Statistic = Callable[[np.ndarray], float]
"""Takes a weight for each row, returns a number; nan where it cannot be judged."""


def confusion(truth: np.ndarray, said: np.ndarray, classes: int, weight: np.ndarray) -> np.ndarray:
    """(K, K) weight of the rows of class i that were called j."""
    counts = np.bincount(truth * classes + said, weight, classes * classes)
    return counts.reshape(classes, classes)


def accuracy(table: np.ndarray) -> float:
    """Share of rows called by their class."""
    return float(np.trace(table) / table.sum())


def balanced_accuracy(table: np.ndarray) -> float:
    """ACA: the mean over classes of the share called by their class; nan if a class is empty."""
    sizes = table.sum(axis=1)
    return float(np.mean(np.diag(table) / sizes)) if sizes.all() else float("nan")


def kappa(table: np.ndarray) -> float:
    """Cohen's kappa with quadratic weights: 1 for agreement, 0 for chance.  Cohen 1968, doi:10.1037/h0026256."""
    steps = np.arange(len(table))
    distance = (steps[:, None] - steps[None, :]) ** 2
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    by_chance = (distance * expected).sum()
    return float(1 - (distance * table).sum() / by_chance) if by_chance else float("nan")


def auc_of(score: np.ndarray, positive: np.ndarray) -> Statistic:
    """Area under the ROC curve as a function of weights, ties counted half; sorts once."""
    order = np.argsort(score, kind="stable")
    ordered, is_positive = score[order], positive[order]
    _, start, length = np.unique(ordered, return_index=True, return_counts=True)
    tie = np.repeat(np.arange(len(start)), length)

    def auc(weight: np.ndarray) -> float:
        sorted_weight = weight[order]
        ours = np.bincount(tie, sorted_weight * is_positive, len(start))
        others = np.bincount(tie, sorted_weight * ~is_positive, len(start))
        pairs = ours.sum() * others.sum()
        below = np.cumsum(others) - others
        return float((ours * (below + others / 2)).sum() / pairs) if pairs else float("nan")

    return auc


def statistics(truth: np.ndarray, probability: np.ndarray, ordinal: bool) -> dict[str, Statistic]:
    """The metrics of a classification, each a function of the rows' weights.

    Args:
        truth:       (N,) class numbers.
        probability: (N, K); the class with the largest is what is called.
        ordinal:     whether the classes are grades, so that kappa means something.
    """
    classes = probability.shape[1]
    said = probability.argmax(axis=1)
    areas = [auc_of(probability[:, k], truth == k) for k in range(classes)]

    def of_table(metric: Callable[[np.ndarray], float]) -> Statistic:
        return lambda weight: metric(confusion(truth, said, classes, weight))

    found: dict[str, Statistic] = {
        "accuracy": of_table(accuracy),
        "balanced_accuracy": of_table(balanced_accuracy),
        "macro_auc": lambda weight: float(np.mean([area(weight) for area in areas])),
    }
    return found | ({"kappa": of_table(kappa)} if ordinal else {})


def draws(patients: Sequence[str], rounds: int, seed: int) -> np.ndarray:
    """(rounds, N) how often each row is in each bootstrap sample of patients."""
    return np.stack([np.bincount(rows, minlength=len(patients)) for rows in resample(patients, rounds, seed)])


def estimate(statistic: Statistic, weights: np.ndarray, patients: int, confidence: float = 0.95) -> Estimate:
    """The statistic of all rows, with its percentile interval over the samples of `draws`."""
    values = np.array([statistic(weight) for weight in weights])
    values = values[np.isfinite(values)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail]) if len(values) else (float("nan"), float("nan"))
    return Estimate(statistic(np.ones(weights.shape[1])), float(low), float(high), patients)
