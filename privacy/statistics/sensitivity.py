"""Probes of other kinds than linear ones, which decide nothing: would another attacker have read more?"""

from typing import Any

import numpy as np

from privacy.data.attributes import Task
from privacy.statistics import probes
from privacy.statistics.probes import Prediction
from synth.base import ties

NEIGHBOURS, NETWORK = "nearest neighbours", "a small neural network"
_NEAREST, _HIDDEN, _STEPS = 15, 16, 100  # fixed before any audit, as a choice would have to be paid for
_TOGETHER = 1e-100  # a distance of 0, which outweighs all others


def out_of_fold(features: np.ndarray, task: Task, count: int, seed: int) -> dict[str, Prediction]:
    """Probe -> what it says of patients that it never saw, in the folds of `probes.out_of_fold`.

    Args:
        features: (p, k) means over each patient's photographs.
        count:    folds.
    """
    if not features.any():  # who sees nothing says the same of everybody
        zeros = np.zeros(probes.targets(task).shape)
        nothing = Prediction(zeros, zeros)
        return {NEIGHBOURS: nothing, NETWORK: nothing}
    fold = probes.folds(task.labels, count, np.random.default_rng([seed, 1]))
    found = {name: np.zeros(probes.targets(task).shape) for name in (NEIGHBOURS, NETWORK)}
    wanted = probes.targets(task)
    for number in range(count):
        test = fold == number
        found[NEIGHBOURS][test] = _neighbours(features[~test], wanted[~test], features[test])
        model = _network(task, features.shape[1], seed)
        found[NETWORK][test] = _said(model, task, features[~test], task.labels[~test], features[test])
    middle = 0.5 if task.kind == "classes" and len(task.classes) == 2 else 0.0
    return {name: Prediction(said, said - middle) for name, said in found.items()}


def _neighbours(features: np.ndarray, wanted: np.ndarray, queried: np.ndarray) -> np.ndarray:
    """(q, C) what the nearest patients are on average, each by 1 / distance; all count who are as near as the last."""
    from scipy.spatial.distance import cdist

    distance = ties.levelled(cdist(queried, features))
    last = np.sort(distance)[:, min(_NEAREST, len(features)) - 1, None]
    weight = np.where(distance <= last, 1 / np.maximum(distance, _TOGETHER), 0.0)
    return weight @ wanted / weight.sum(axis=1, keepdims=True)


def _network(task: Task, size: int, seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    taught = {
        "hidden_layer_sizes": (_HIDDEN,),
        "solver": "lbfgs",
        "alpha": size / 4,  # a quarter per feature: with 1, few patients leave nothing of a network
        "max_iter": _STEPS,
        "max_fun": 2 * _STEPS,
        "random_state": seed % 2**32,
    }
    return (MLPRegressor if task.kind == "years" else MLPClassifier)(**taught)


def _said(
    model: Any, task: Task, features: np.ndarray, labels: np.ndarray, queried: np.ndarray
) -> np.ndarray:
    """(q, C) years, or shares of classes: of the second alone where there are two, as `probes.targets` has it."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    level, spread = (labels.mean(), max(float(labels.std()), 1e-9)) if task.kind == "years" else (0.0, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # stopping early is part of this probe
        model.fit(features, (labels - level) / spread if task.kind == "years" else labels)
    if task.kind == "years":
        return (model.predict(queried) * spread + level)[:, None]
    shares = model.predict_proba(queried)
    return shares[:, 1:] if len(task.classes) == 2 else shares
