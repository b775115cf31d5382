"""Linear probe: a logistic regression on frozen embeddings, the protocol of Radford et al. 2021 (2103.00020)."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field, PositiveFloat

from clip import embed, loading
from clip.evaluation import core, learning, metrics, report
from clip.evaluation.core import EvaluationSettings
from clip.evaluation.learning import Parts
from clip.evaluation.results import ClassificationResult, EvaluationReport
from clip.inputs.sets import Data
from clip.prompts import Task

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

_TOLERANCE, _STEPS = 1e-8, 1000  # of the mean gradient, and Newton's steps; some ten are needed
STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)


class LinearConfig(EvaluationSettings):
    """How a linear probe is trained."""

    strengths: tuple[PositiveFloat, ...] = Field(default=STRENGTHS, min_length=1)
    """Inverse penalties (scikit-learn's C) to choose from; embeddings have length 1, so large ones matter."""
    balanced: bool = True
    """Weigh classes equally, whatever their sizes."""


def evaluate(
    config: LinearConfig, model: Path, data: Data, splits: Sequence[str], name: str | None, command: str
) -> EvaluationReport:
    """The report of linear probes trained on `train`, chosen by `validation`, judged on `splits`.

    Raises:
        UserError: the records cannot teach any such task, or a patient is on both sides.
    """
    network, head = loading.load(model)
    tables = learning.tables(data, splits)
    chosen = learning.tasks(name, tables, config.min_count, data)
    image_features = [embed.images(network, data, part) for part in (["train"], ["validation"], splits)]
    results = [
        evaluate_task(config, key, task, parts, image_features) for key, (task, parts) in chosen.items()
    ]
    provenance = core.provenance(data, splits, len(tables.test))
    return report.compose(config, model, head, provenance, results, command)


def evaluate_task(
    config: LinearConfig, name: str, task: Task, parts: Parts, image_features: Sequence[np.ndarray]
) -> ClassificationResult:
    """One task: the probe whose strength has the best macro AUC on validation patients; `image_features` as in `Parts`."""
    train, validation, test = (each[part.rows] for each, part in zip(image_features, parts, strict=True))
    probe = choose(
        train, parts.train.truth, validation, parts.validation.truth, config.strengths, config.balanced
    )
    probability, row = probe.predict_proba(test), "linear probe"
    return learning.result(
        "linear",
        name,
        task,
        parts,
        metrics={row: core.measure(config, parts.test, probability, task.ordinal)},
        reliability={row: metrics.reliability(parts.test.truth, probability)},
        chosen={row: {"C": probe.C}},
        notes=[] if has_converged(probe) else [f"the probe had not converged after {_STEPS} steps"],
    )


def choose(
    train: np.ndarray,
    truth: np.ndarray,
    validation: np.ndarray,
    validation_truth: np.ndarray,
    strengths: Sequence[float],
    balanced: bool,
) -> "LogisticRegression":
    """The probe with the best macro AUC on validation; of equal ones, that with the first strength."""
    probes = [fit(train, truth, strength, balanced) for strength in strengths]
    return max(probes, key=lambda probe: learning.score(validation_truth, probe.predict_proba(validation)))


def fit(features: np.ndarray, truth: np.ndarray, strength: float, balanced: bool) -> "LogisticRegression":
    """A logistic regression on (n, D) embeddings at its optimum; `truth` holds every number from 0 to K - 1.

    Newton's steps in float64: a looser optimum than this moves with the seventh digit of the embeddings.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    probe = LogisticRegression(
        C=strength,
        class_weight="balanced" if balanced else None,
        solver="newton-cg",
        tol=_TOLERANCE,
        max_iter=_STEPS,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # `has_converged` tells
        return probe.fit(features.astype(np.float64), truth)


def has_converged(probe: "LogisticRegression") -> bool:
    """Whether a probe of `fit` is at its optimum."""
    return bool(probe.n_iter_.max() < _STEPS)
