"""Long tail: how zero-shot fares with classes that are common, rare, and rarest.

A class is many, medium or few by its photographs, here or in the records that the encoder learnt from; the thresholds
of Liu et al. 2019 (1904.05160), more than 100 and fewer than 20, are settings.  With a task (`--prompts`) the
classes are its own, one to a photograph, and recall is told beside the area under the ROC curve.  Without one they
are the diseases and findings of the records, each against what does not have it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import pyarrow as pa
from pydantic import PositiveInt, model_validator

from clip import loading, prompts
from clip.evaluation import core, report, zero_shot
from clip.evaluation.core import EvaluationSettings
from clip.evaluation.results import EvaluationReport, LongTailResult, Metric
from clip.inputs.sets import Data
from clip.model.encoders import CLIP
from clip.prompts import NORMAL, Class, Task
from clip.zoo import wording
from synth.base import stats, ties
from synth.base.errors import UserError
from synth.base.stats import Statistic
from synth.data.records import SPLITS
from synth.data.vocabulary import DISEASES, DR, FINDINGS

GROUPS = ("many", "medium", "few")


class LongTailConfig(EvaluationSettings):
    """How classes are grouped; `min_count` photographs a class needs to be evaluated."""

    lang: Literal["zh", "en", "both"] = "both"
    """Of the prompts; `both` reports Chinese, English and the mean of their prototypes."""
    aggregation: zero_shot.Aggregation = "clip"
    """How prompts make a class, as in zero-shot."""
    many: PositiveInt = 100
    """A class of more photographs than this is common."""
    few: PositiveInt = 20
    """A class of fewer photographs than this is rarest."""
    frequency: Path | None = None
    """Records in patient_ids train split the photographs of a class are counted; without them, all splits of what is evaluated."""

    @model_validator(mode="after")
    def few_is_less_than_many(self) -> Self:
        if self.few > self.many:
            raise ValueError(f"few={self.few} must not be above many={self.many}")
        return self


class Label(NamedTuple):
    """One class against the rest: what it is asked with, and the photographs that have it."""

    present: Class
    absent: Class | None
    """What it is told from; None where the classes of a task exclude each other."""
    truth: np.ndarray
    """(N,) 1 with it, 0 without, -1 unknown."""


def evaluate(
    config: LongTailConfig, model: Path, data: Data, splits: Sequence[str], name: str | None, command: str
) -> EvaluationReport:
    """The long-tail report of a checkpoint on records, over the classes of a task or over all labels.

    Raises:
        UserError: no records in these splits, or fewer than two classes that can be evaluated.
    """
    asked = [] if name is None else [*prompts.tasks(name).items()][:1]
    network, head = loading.load(model)
    lang, worded = wording.fitted(network, config.lang, dict(asked))
    config = config.model_copy(update={"lang": lang})
    chosen = next(iter(worded.values()), None)
    photographs = core.load(network, data, splits)
    title, source, found = labels(photographs.table, chosen)
    evaluated = {
        key: each
        for key, each in found.items()
        if min((each.truth == 1).sum(), (each.truth == 0).sum()) >= config.min_count
    }
    if len(evaluated) < 2:
        raise UserError(
            f"{data}: fewer than 2 classes of its {', '.join(splits)} records have {config.min_count} photographs; "
            "choose another --split or --prompts, or --set min_count=N"
        )
    counted = core.labels(config.frequency, ("train",)) if config.frequency else core.labels(data, SPLITS)
    sizes = {
        key: int((each.truth == 1).sum())
        for key, each in labels(counted, chosen)[2].items()
        if key in evaluated
    }
    groups = {key: group(size, config) for key, size in sizes.items()}
    result = _result(config, network, photographs.embeddings, photographs.table, evaluated, groups)
    result.name, result.title, result.source = name or "labels", f"long tail: {title}", source
    result.left_out = {
        key: int((each.truth == 1).sum()) for key, each in found.items() if key not in evaluated
    }
    result.notes = [
        f"{each}: {', '.join(f'{key} {sizes[key]}' for key, mine in groups.items() if mine == each) or 'no class'}."
        for each in GROUPS
    ]
    provenance = core.provenance(data, splits, len(photographs.table))
    return report.compose(config, model, head, provenance, [result], command)


def group(size: int, config: LongTailConfig) -> str:
    """`many`, `medium` or `few`."""
    return "many" if size > config.many else "few" if size < config.few else "medium"


def labels(table: pa.Table, task: Task | None) -> tuple[str, str, dict[str, Label]]:
    """Title, source and classes: of a task, or every disease and finding of the vocabulary."""
    if task is not None:
        number = task.classify(table)
        return (
            task.title,
            task.source,
            {
                key: Label(each, None, np.where(number < 0, -1, number == k))
                for k, (key, each) in enumerate(task.classes.items())
            },
        )
    absent = Class(where=("normal",), labels=NORMAL)  # type: ignore[arg-type]
    columns = table.select([DR.key, *(disease.key for disease in DISEASES), "findings"]).to_pydict()
    grades = [None if grade is None else int(grade > 0) for grade in columns[DR.key]]
    told: dict[str, tuple[dict[str, Any], list[int | None]]] = {DR.key: ({DR.key: 2}, grades)}
    told |= {disease.key: ({disease.key: 1}, columns[disease.key]) for disease in DISEASES}
    for finding in FINDINGS:
        values = [None if known is None else int(finding.key in known) for known in columns["findings"]]
        told[finding.key] = ({"findings": [finding.key]}, values)
    return (
        "diseases and findings",
        "columns of the records; words of synth.data.captions",
        {
            key: Label(
                Class(where=(said,), labels=said),
                absent,
                np.array([-1 if v is None else v for v in values], int),
            )
            for key, (said, values) in told.items()
        },
    )


def _result(
    config: LongTailConfig,
    model: CLIP,
    image_features: np.ndarray,
    table: pa.Table,
    evaluated: dict[str, Label],
    groups: dict[str, str],
) -> LongTailResult:
    truth = np.stack([each.truth for each in evaluated.values()], axis=1)
    rows = np.flatnonzero((truth >= 0).any(axis=1))
    people, patient_ids = np.unique(np.array(table["subject_id"].to_pylist())[rows], return_inverse=True)
    drawn = stats.draws(len(people), config.n_bootstrap, config.seed)
    mine = np.array([groups[key] for key in evaluated])
    measured = {}
    for lang in ("zh", "en", "both") if config.lang == "both" else (config.lang,):
        scores = _scores(config, model, image_features[rows], list(evaluated.values()), lang)
        found = statistics(scores, truth[rows], mine, exclusive=next(iter(evaluated.values())).absent is None)
        values = {key: stats.over(drawn, patient_ids, each) for key, each in found.items()}
        measured[lang] = {key: Metric.of(stats.estimate(v, len(people)), v) for key, v in values.items()}
    chance = {
        key: 0.5 if key.endswith("auc") else 1 / len(evaluated) for key in next(iter(measured.values()))
    }
    return LongTailResult(
        task="long-tail",
        name="labels",
        title="",
        source="",
        n=len(rows),
        patients=len(people),
        classes={key: int((each.truth == 1).sum()) for key, each in evaluated.items()},
        metrics=measured,
        without_pictures={"chance": chance},
    )


def _scores(
    config: LongTailConfig, model: CLIP, image_features: np.ndarray, each: list[Label], lang: str
) -> np.ndarray:
    """(N, C): the probability of each class among all, or of each label against its absence."""
    if each[0].absent is None:
        return zero_shot.classify(
            model, image_features, [label.present for label in each], lang, config.aggregation
        )
    pairs = [[label.absent, label.present] for label in each if label.absent is not None]
    return np.stack(
        [zero_shot.classify(model, image_features, pair, lang, config.aggregation)[:, 1] for pair in pairs],
        axis=1,
    )


def statistics(
    scores: np.ndarray, truth: np.ndarray, groups: np.ndarray, exclusive: bool
) -> dict[str, Statistic]:
    """The mean over the classes of each group of AUC and, of classes that exclude each other, of recall.

    Args:
        scores: (N, C).
        truth:  (N, C) 1 with the class, 0 without, -1 unknown.
        groups: (C,) names.
    """
    said, levels = ties.first_largest(scores), ties.levels_of(scores)

    def auc(classes: np.ndarray) -> Statistic:
        def of(weights: np.ndarray) -> np.ndarray:
            known = [truth[:, k] >= 0 for k in classes]
            each = [
                stats.auc(levels[rows, k], truth[rows, k] == 1, weights[:, rows])
                for k, rows in zip(classes, known, strict=True)
            ]
            return np.mean(each, axis=0)

        return of

    def recall(classes: np.ndarray) -> Statistic:
        def of(weights: np.ndarray) -> np.ndarray:
            each = []
            for k in classes:
                mine = truth[:, k] == 1
                total = weights @ mine
                hits = weights @ (mine & (said == k))
                each.append(np.divide(hits, total, out=np.full(len(total), np.nan), where=total > 0))
            return np.mean(each, axis=0)

        return of

    found: dict[str, Statistic] = {}
    for name in GROUPS:
        classes = np.flatnonzero(groups == name)
        if len(classes):
            found |= {f"{name}_auc": auc(classes)} | (
                {f"{name}_recall": recall(classes)} if exclusive else {}
            )
    return found
