"""Probes of other kinds than linear ones, which decide nothing: would another attacker have read more?"""

from typing import Any

import numpy as np

from privacy.attributes import Task
from privacy.statistics import probes
from privacy.statistics.probes import Prediction

NEIGHBOURS, NETWORK = "nearest neighbours", "a small neural network"
_NEAREST, _HIDDEN, _STEPS = 15, 16, 100  # fixed before any audit, as a choice would have to be paid for


def out_of_fold(features: np.ndarray, task: Task, count: int, seed: int) -> dict[str, Prediction]:
    """Probe -> what it says of patients that it never saw, in the folds of `probes.out_of_fold`.

    Args:
        features: (p, k) means over each patient's photographs.
        count:    folds.
    """
    fold = probes.folds(task.labels, count, np.random.default_rng([seed, 1]))
    found = {name: np.zeros(probes.targets(task).shape) for name in (NEIGHBOURS, NETWORK)}
    for number in range(count):
        test = fold == number
        for name, model in _models(task, features.shape[1], int((~test).sum()), seed).items():
            found[name][test] = _said(model, task, features[~test], task.labels[~test], features[test])
    middle = 0.5 if task.kind == "classes" and len(task.classes) == 2 else 0.0
    return {name: Prediction(said, said - middle) for name, said in found.items()}


def _models(task: Task, size: int, patients: int, seed: int) -> dict[str, Any]:
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    near = {"n_neighbors": min(_NEAREST, patients), "weights": "distance"}
    taught = {
        "hidden_layer_sizes": (_HIDDEN,),
        "solver": "lbfgs",
        "alpha": size / 4,  # a quarter per feature: with 1, few patients leave nothing of a network
        "max_iter": _STEPS,
        "max_fun": 2 * _STEPS,
        "random_state": seed % 2**32,
    }
    if task.kind == "years":
        return {NEIGHBOURS: KNeighborsRegressor(**near), NETWORK: MLPRegressor(**taught)}
    return {NEIGHBOURS: KNeighborsClassifier(**near), NETWORK: MLPClassifier(**taught)}


def _said(model: Any, task: Task, features: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """(q, C) years, or shares of classes: of the second alone where there are two, as `probes.targets` has it."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    level, spread = (labels.mean(), max(float(labels.std()), 1e-9)) if task.kind == "years" else (0.0, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # stopping early is part of this probe
        model.fit(features, (labels - level) / spread if task.kind == "years" else labels)
    if task.kind == "years":
        return (model.predict(asked) * spread + level)[:, None]
    shares = model.predict_proba(asked)
    return shares[:, 1:] if len(task.classes) == 2 else shares
