"""What an evaluation looks at: photographs with embeddings, the answers that their labels give, and intervals."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import Field, NonNegativeInt, PositiveInt

from clip import embed, inputs
from clip.benchmarks import Baselines
from clip.evaluation import metrics
from clip.evaluation.provenance import DataProvenance
from clip.evaluation.results import ClassificationResult, Metric
from clip.inputs import photographs
from clip.inputs.sets import Data
from clip.model.encoders import CLIP
from clip.prompts import Task
from synth.base import stats
from synth.base.config import Config
from synth.base.errors import UserError


class EvaluationSettings(Config):
    """What every evaluation has to choose: how large a class must be, and how intervals are drawn."""

    min_count: PositiveInt = Field(default=5, validation_alias="least", serialization_alias="least")
    """Photographs that a class needs; smaller classes are left out, and named.  It was `least` once."""
    n_bootstrap: PositiveInt = Field(default=1000, validation_alias="rounds", serialization_alias="rounds")
    """Bootstrap samples of patients behind an interval.  It was `rounds` once."""
    seed: NonNegativeInt = 0
    """Of the bootstrap, and of whatever else an evaluation draws."""


class Photographs(NamedTuple):
    """Embeddings, labels and patients of N photographs."""

    embeddings: np.ndarray
    """(N, D) float32 of unit length, in the order of `table`."""
    table: pa.Table
    """Every column but the picture."""


class Answers(NamedTuple):
    """Those n photographs of a table that answer a task, in the K classes that are large enough."""

    rows: np.ndarray
    """(n,) their rows in the table."""
    truth: np.ndarray
    """(n,) their classes, as numbers into `classes`."""
    patient_ids: np.ndarray
    """(n,) their patients, from 0 to `patients` - 1."""
    patients: int
    """How many people they are of."""
    classes: dict[str, int]
    """The classes judged -> photographs."""
    left_out: dict[str, int]
    """The classes not judged -> photographs."""


def load(model: CLIP, data: Data, splits: Sequence[str]) -> Photographs:
    """The photographs of some splits, embedded.

    Raises:
        UserError: there are none, or a picture is damaged.
    """
    table = labels(data, splits)
    return Photographs(embed.images(model, data, splits), table)


def labels(data: Data, splits: Sequence[str]) -> pa.Table:
    """What records say of the photographs of some splits.

    Raises:
        UserError: there are none.
    """
    table = photographs.table(data, splits)
    if not len(table):
        raise UserError(
            f"{data}: no records in {', '.join(splits)}; choose another --split, for example 'all'"
        )
    return table


def provenance(data: Data, splits: Sequence[str], rows: int) -> DataProvenance:
    """What names the records of a report."""
    return DataProvenance(
        data=str(data), fingerprint=inputs.opened(data).fingerprint, splits=list(splits), rows=rows
    )


def answers(task: Task, table: pa.Table, min_count: int, wanted: Sequence[str] | None = None) -> Answers:
    """The photographs that answer a task; without `wanted`, in every class that has `min_count` of them."""
    number = task.classify(table)
    sizes = dict(
        zip(task.classes, np.bincount(number[number >= 0], minlength=len(task.classes)).tolist(), strict=True)
    )
    kept = [name for name in sizes if (sizes[name] >= min_count if wanted is None else name in wanted)]
    numbers = [list(sizes).index(name) for name in kept]
    rows = np.flatnonzero(np.isin(number, numbers))
    people, patient_ids = np.unique(table["subject_id"].take(pa.array(rows)).to_pylist(), return_inverse=True)
    return Answers(
        rows=rows,
        truth=np.searchsorted(numbers, number[rows]),
        patient_ids=patient_ids,
        patients=len(people),
        classes={name: sizes[name] for name in kept},
        left_out={name: size for name, size in sizes.items() if name not in kept},
    )


def measure(
    settings: EvaluationSettings, answers: Answers, probability: np.ndarray, ordinal: bool
) -> dict[str, Metric]:
    """Each metric with its interval, of (n, K) probabilities, or of (S, n, K) made with S seeds.

    With several seeds the value is the mean over them, and a bootstrap sample draws patients and, independently,
    seeds, both with replacement (the crossed bootstrap of Owen 2007, doi:10.1214/07-AOAS122): the interval covers
    other patients and other draws alike.
    """
    runs = probability if probability.ndim == 3 else probability[None]
    people = stats.draws(answers.patients, settings.n_bootstrap, settings.seed)
    seeds = (
        stats.draws(len(runs), settings.n_bootstrap, settings.seed + 1) if len(runs) > 1 else np.ones((1, 1))
    )
    values: dict[str, list[np.ndarray]] = {}
    for run in runs:
        statistics = metrics.statistics(answers.truth, run, ordinal)
        for key, statistic in (statistics | {"noise": metrics.noise(answers.truth, run)}).items():
            values.setdefault(key, []).append(stats.over(people, answers.patient_ids, statistic))
    means = {key: (seeds.T * each).sum(axis=0) / seeds.sum(axis=1) for key, each in values.items()}
    chance = means.pop("noise")
    # The interval of the calibration error is not one of percentiles; nor would that of a difference be.
    return {
        key: Metric.of(metrics.interval(key, mean, chance, answers.patients), None if key == "ece" else mean)
        for key, mean in means.items()
    }


def result(kind: str, name: str, task: Task, answers: Answers, **more: Any) -> ClassificationResult:
    """A classification: what every one says beside `more`; `kind` is the name of the evaluation."""
    return ClassificationResult(
        task=kind,
        name=name,
        title=task.title,
        source=task.source,
        n=len(answers.rows),
        patients=answers.patients,
        classes=answers.classes,
        left_out=answers.left_out,
        without_pictures=baselines(np.array(list(answers.classes.values())), task.ordinal),
        **more,
    )


def baselines(sizes: np.ndarray, ordinal: bool) -> Baselines:
    """What calling every photograph by the largest class scores, and calling by a fair die, in expectation.

    The one is certain of it; to the other all classes are as probable.
    """
    share, fair = float(sizes.max() / sizes.sum()), 1 / len(sizes)
    whole = 1 if len(sizes) == 2 else 2  # of the Brier score, see `metrics.statistics`
    shared = {"balanced_accuracy": fair, "macro_auc": 0.5}
    graded = {"kappa": 0.0} if ordinal else {}
    return {
        "majority": {"accuracy": share, **shared, **graded, "brier": whole * (1 - share), "ece": 1 - share},
        "chance": {"accuracy": fair, **shared, **graded, "brier": whole * (1 - fair) / 2, "ece": 0.0},
    }
