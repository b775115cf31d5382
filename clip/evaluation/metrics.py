"""How good a classifier is, of rows that are weighted: what a bootstrap needs a thousand times over."""

import numpy as np

from clip.evaluation.results import Bin
from synth.base import stats, ties
from synth.base.stats import Estimate, Statistic

BINS = 10
"""Of the calibration error and of its picture; each holds as many photographs as the next, but for ties."""


def statistics(truth: np.ndarray, probability: np.ndarray, ordinal: bool) -> dict[str, Statistic]:
    """The metrics of a classification, each a function of the rows' weights.

    `brier` is the mean squared difference between probabilities and truth, summed over classes (0 to 2; Brier 1950,
    doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2); of two classes its half (0 to 1), as scikit-learn has it.
    `ece`, the expected calibration error (Naeini et al. 2015, doi:10.1609/aaai.v29i1.9602) of the class that is called,

        sum_b  w_b / W  |accuracy_b - confidence_b|

    has `BINS` bins of equal mass (Nixon et al. 2019, 1904.01685), drawn through the photographs once, not anew in each
    sample.  Few photographs in a bin raise it: of a calibrated classifier it is above 0, the more so the fewer.

    Args:
        truth:       (N,) class numbers.
        probability: (N, K); the class with the largest is what is called, of ties (`synth.base.ties`) the first.
        ordinal:     whether the classes are grades, so that kappa means something.
    """
    classes = probability.shape[1]
    called, levels = ties.first_largest(probability), ties.levels_of(probability)
    squares = ((probability - np.eye(classes)[truth]) ** 2).sum(axis=1) / (2 if classes == 2 else 1)
    distance = gaps(truth, probability)

    def macro_auc(weights: np.ndarray) -> np.ndarray:
        return np.mean([stats.auc(levels[:, k], truth == k, weights) for k in range(classes)], axis=0)

    statistics: dict[str, Statistic] = {
        "accuracy": lambda weights: weights @ (called == truth) / weights.sum(axis=1),
        "balanced_accuracy": lambda weights: stats.balanced_accuracy(called, truth, weights),
        "macro_auc": macro_auc,
    }
    if ordinal:
        statistics["kappa"] = lambda weights: np.array(
            [kappa(truth, called, classes, each) for each in weights]
        )
    return statistics | {
        "brier": lambda weights: weights @ squares / weights.sum(axis=1),
        "ece": lambda weights: np.abs(weights @ distance).sum(axis=1) / weights.sum(axis=1),
    }


def kappa(truth: np.ndarray, called: np.ndarray, classes: int, weight: np.ndarray) -> float:
    """Cohen's kappa with quadratic weights: 1 for agreement, 0 for chance.  Cohen 1968, doi:10.1037/h0026256."""
    table = np.bincount(truth * classes + called, weight, classes * classes).reshape(classes, classes)
    steps = np.arange(classes)
    distance = (steps[:, None] - steps[None, :]) ** 2
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    by_chance = (distance * expected).sum()
    return float(1 - (distance * table).sum() / by_chance) if by_chance else float("nan")


def bins(confidence: np.ndarray) -> np.ndarray:
    """(N,) numbers from 0 to `BINS` - 1, of equal mass; equal values share a bin."""
    confidence = ties.levelled(confidence)
    edges = np.quantile(confidence, np.arange(1, BINS) / BINS)
    return np.searchsorted(edges, confidence, side="right")


def gaps(truth: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """(N, BINS) whether a photograph was called rightly, 1 or 0, less its confidence, in its bin; 0 in the others."""
    confidence, right = probability.max(axis=1), ties.first_largest(probability) == truth
    return np.eye(BINS)[bins(confidence)] * (right - confidence)[:, None]


def reliability(truth: np.ndarray, probability: np.ndarray) -> list[Bin]:
    """Of each bin of the calibration error: mean confidence, the share called rightly, and photographs.

    Of (n, K) probabilities, or of (S, n, K) made with S seeds, all together.
    """
    confidence = probability.max(axis=-1).ravel()
    right = (ties.first_largest(probability) == truth).ravel()
    place = bins(confidence)
    return [
        Bin(
            confidence=float(confidence[place == b].mean()),
            accuracy=float(right[place == b].mean()),
            n=int((place == b).sum()),
        )
        for b in np.unique(place)
    ]


def noise(truth: np.ndarray, probability: np.ndarray) -> Statistic:
    """How far the bins of a sample lie from those of the data, as those do from the truth: what chance adds, at most.

    Differences from a bin's own mean are too small by the root of (n - 1) / n, for which this makes up.
    """
    distance, place = gaps(truth, probability), np.eye(BINS)[bins(probability.max(axis=1))]
    size = np.maximum(place.sum(axis=0), 2)
    centred = (distance - distance.sum(axis=0) / size) * place * np.sqrt(size / (size - 1))
    return lambda weights: np.abs(weights @ centred).sum(axis=1) / weights.sum(axis=1)


def interval(key: str, values: np.ndarray, chance: np.ndarray, patients: int) -> Estimate:
    """A metric and its interval from what `stats.over` gives: percentiles, but for the calibration error.

    Chance only raises that one: samples have more of it than the data v, as the data have more than the truth t.  As
    v - t is at most the `noise` of the data, it lies above v less the 97.5 % quantile of `chance`, the noise of the
    samples; and below the pivotal bound 2 v - q (Davison & Hinkley 1997, section 5.2), or v where that is more.
    """
    estimate = stats.estimate(values, patients)
    if key != "ece":
        return estimate
    low, high = estimate.value - np.quantile(chance[1:], 0.975), 2 * estimate.value - estimate.low
    return estimate._replace(low=max(0.0, float(low)), high=min(1.0, max(high, estimate.value)))
