"""The label filter: samples that a classifier of real photographs takes for something else than was asked.

A label is checked where the classifier is better than chance on held-out patients, and its thresholds are set so that
few real photographs with their true labels would be rejected.
"""

import shutil
from math import ceil, floor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from torch import device

from synth.base import checksums
from synth.base.config import fingerprint
from synth.base.errors import UserError
from synth.base.runs import atomic, sha256
from synth.base.stats import auc, draws, estimate, over, wilson
from synth.base.ties import levels_of
from synth.classifier.targets import TARGETS, targets
from synth.data.images import Preprocessing, resize
from synth.data.pictures import Pictures, decoded
from synth.data.records import SCHEMA, data_fingerprint, read_table
from synth.data.vocabulary import FLAGS
from synth.sampling.filters.settings import LabelFilterSettings, LabelThresholds

SHARE = 0.05  # of real photographs with their true labels that may be rejected
_FEWEST = 10  # positives, and negatives, among held-out photographs without which a label is not checked
_ROUNDS = 500  # bootstrap samples of patients
_COLUMNS = ("dr_grade", *FLAGS, "findings")
_LEVELS = np.arange(50, -1, -1) / 1000  # shares of a label's own positives, or negatives, beyond a threshold


def prepare(
    records: Path, classifier: Path | None, size: int, cache: Path, share: float = SHARE
) -> LabelFilterSettings:
    """Train a classifier on split `train`, unless one is given, and calibrate it on `validation`; once per `cache`.

    Args:
        classifier: one that learnt from split `train` of these records, as `classifier.train` wrote it.
        size:       pixels a side at which one is trained.
        share:      of validation photographs that may contradict one of their true labels.

    Returns:
        What the plan keeps.

    Raises:
        UserError: the classifier learnt from other records, or no label can be checked.
    """
    from synth.classifier import classifier as classifiers

    data = data_fingerprint(records)
    if classifier is None:
        settings = classifiers.ClassifierConfig(preprocessing=Preprocessing(size=size))
        name = fingerprint([data, settings.model_dump(mode="json")])[:16]
        classifier = classifiers.train(settings, records, cache / f"classifier-{name}")
    path = classifier / "classifier.pt" if classifier.is_dir() else classifier
    model, head = classifiers.load(path)
    if head["data"] != data:
        raise UserError(
            f"{path}: learnt from other records than {records}; its validation patients may have taught it"
        )
    digest = sha256(path)
    kept = cache / f"check-{fingerprint([digest, data, share])[:16]}.json"
    if not kept.exists():
        with atomic(cache / f"check-{digest[:16]}.pt") as temporary:
            shutil.copyfile(path, temporary)
        checks, unchecked = _checks(model, records, share)
        if not checks:
            raise UserError(
                f"{records}: no label can be checked, {'; '.join(f'{k}: {v}' for k, v in unchecked.items())}; "
                "bring more records, or leave --reject-mislabelled out"
            )
        checksums.write_json(kept, _settings(digest, data, model, records, checks, unchecked))
    return LabelFilterSettings.parse(checksums.read_json(kept), str(kept))


def _checks(model: Any, records: Path, share: float) -> tuple[dict[str, LabelThresholds], dict[str, str]]:
    """Thresholds of the labels that can be checked, and why the others cannot."""
    predicted, truth, patient_ids = _predicted(model, records, "validation")
    people = len(np.unique(patient_ids))
    drawn, place = draws(people, _ROUNDS, 0), np.unique(patient_ids, return_inverse=True)[1]
    unchecked: dict[str, str] = {}
    able = []
    for column, label in enumerate(model.labels):
        wanted = truth[:, column]
        fewest = int(min((wanted == 1).sum(), (wanted == 0).sum()))
        known = ~np.isnan(wanted)
        if fewest < _FEWEST:
            unchecked[label] = f"{fewest} held-out photographs with it or without, {_FEWEST} are needed"
            continue
        scores, positive = levels_of(predicted[known, column]), wanted[known] == 1
        found = estimate(
            over(drawn, place[known], lambda weights, s=scores, p=positive: auc(s, p, weights)), people
        )
        if found.low <= 0.5:
            shown = f"AUC {found.value:.2f} [{found.low:.2f}, {found.high:.2f}] on held-out patients"
            unchecked[label] = f"no better than chance: {shown}"
        else:
            able.append(column)
    checks: dict[str, LabelThresholds] = {}
    for level in _LEVELS:
        checks = {model.labels[c]: _check(predicted[:, c], truth[:, c], float(level)) for c in able}
        wrong = excess(predicted, truth, model.labels, checks) > 0
        if wrong.any(axis=1).mean() <= share:
            break
    return checks, unchecked


def _check(predicted: np.ndarray, wanted: np.ndarray, level: float) -> LabelThresholds:
    below = np.quantile(predicted[wanted == 1], level, method="lower")
    above = np.quantile(predicted[wanted == 0], 1 - level, method="higher")
    # The same numbers on every kind of machine.
    return LabelThresholds(below=floor(float(below) * 1e4) / 1e4, above=ceil(float(above) * 1e4) / 1e4)


def _settings(
    digest: str,
    data: str,
    model: Any,
    records: Path,
    checks: dict[str, LabelThresholds],
    unchecked: dict[str, str],
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "classifier": digest,
        "records": data,
        "checks": {label: check.to_json() for label, check in checks.items()},
        "unchecked": unchecked,
    }
    for split in ("validation", "test"):
        predicted, truth, _ = _predicted(model, records, split)
        if len(predicted):
            hits = int((excess(predicted, truth, model.labels, checks) > 0).any(axis=1).sum())
            low, high = wilson(hits, len(predicted))
            rate = {"value": hits / len(predicted), "low": low, "high": high}
            found[f"{split}_rejected"] = {key: round(value, 4) for key, value in rate.items()} | {
                "n": len(predicted)
            }
    return found


def _predicted(model: Any, records: Path, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, L) probabilities, (N, L) truth, (N,) patients of a split."""
    pictures, prepare = Pictures(records, [split]), model.config.preprocessing
    table = read_table(records, [split], [*_COLUMNS, "subject_id"])
    columns = [TARGETS.index(label) for label in model.labels]
    if not len(pictures):
        return np.zeros((0, len(columns))), np.zeros((0, len(columns))), np.zeros(0)
    seen = np.concatenate([squares for _, squares in decoded(pictures, prepare)])
    return model.predict(seen), targets(table)[:, columns], np.array(table["subject_id"])


def excess(
    predicted: np.ndarray, wanted: np.ndarray, labels: Any, checks: dict[str, LabelThresholds]
) -> np.ndarray:
    """By how many logits each of (N, L) probabilities contradicts what was asked; 0 and less is no contradiction.

    Args:
        asked: (N, L): 1 present, 0 absent, nan not asked for.
    """
    found = np.full(predicted.shape, -np.inf)
    for column, label in enumerate(labels):
        if label in checks:
            below, above = checks[label].below, checks[label].above
            present, absent = wanted[:, column] == 1, wanted[:, column] == 0
            found[present, column] = _logit(below) - _logit(predicted[present, column])
            found[absent, column] = _logit(predicted[absent, column]) - _logit(above)
    return found


def _logit(share: Any) -> Any:
    within = np.clip(share, 1e-6, 1 - 1e-6)
    return np.log(within / (1 - within))


class LabelFilter:
    """A label filter as a plan describes it, opened from what `prepare` left in `cache`.

    Raises:
        UserError: it is not there.
    """

    def __init__(self, settings: LabelFilterSettings, cache: Path, place: device | None = None) -> None:
        from synth.classifier.classifier import load

        self._model, _ = load(cache / f"check-{settings.classifier[:16]}.pt", place)
        self._checks = settings.checks

    def contradictions(self, pictures: np.ndarray, labels: list[dict[str, Any]]) -> list[dict[str, float]]:
        """Which labels of (N, S, S, 3) uint8 samples the classifier contradicts, and by how many logits."""
        side = self._model.config.preprocessing.size
        predicted = self._model.predict(np.stack([resize(picture, side) for picture in pictures]))
        rows = [{name: wanted.get(name) for name in _COLUMNS} for wanted in labels]
        table = pa.Table.from_pylist(rows, schema=pa.schema([SCHEMA.field(name) for name in _COLUMNS]))
        wanted = targets(table)[:, [TARGETS.index(label) for label in self._model.labels]]
        found = excess(predicted, wanted, self._model.labels, self._checks)
        return [
            {label: float(by) for label, by in zip(self._model.labels, row, strict=True) if by > 0}
            for row in found
        ]
