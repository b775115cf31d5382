"""How good a classifier is, of rows that are weighted: what a bootstrap needs a thousand times over."""

import numpy as np

from synth.base import stats
from synth.base.stats import Statistic


def statistics(truth: np.ndarray, probability: np.ndarray, ordinal: bool) -> dict[str, Statistic]:
    """The metrics of a classification, each a function of the rows' weights.

    Args:
        truth:       (N,) class numbers.
        probability: (N, K); the class with the largest is what is called.
        ordinal:     whether the classes are grades, so that kappa means something.
    """
    classes = probability.shape[1]
    said = probability.argmax(axis=1)

    def macro_auc(weights: np.ndarray) -> np.ndarray:
        return np.mean([stats.auc(probability[:, k], truth == k, weights) for k in range(classes)], axis=0)

    found: dict[str, Statistic] = {
        "accuracy": lambda weights: weights @ (said == truth) / weights.sum(axis=1),
        "balanced_accuracy": lambda weights: stats.balanced_accuracy(said, truth, weights),
        "macro_auc": macro_auc,
    }
    if ordinal:
        found["kappa"] = lambda weights: np.array([kappa(truth, said, classes, each) for each in weights])
    return found


def kappa(truth: np.ndarray, said: np.ndarray, classes: int, weight: np.ndarray) -> float:
    """Cohen's kappa with quadratic weights: 1 for agreement, 0 for chance.  Cohen 1968, doi:10.1037/h0026256."""
    table = np.bincount(truth * classes + said, weight, classes * classes).reshape(classes, classes)
    steps = np.arange(classes)
    distance = (steps[:, None] - steps[None, :]) ** 2
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    by_chance = (distance * expected).sum()
    return float(1 - (distance * table).sum() / by_chance) if by_chance else float("nan")
