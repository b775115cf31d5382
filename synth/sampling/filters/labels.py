"""The label check: samples that a classifier of real photographs takes for something else than was asked.

A label is checked where the classifier is better than chance on held-out patients, and its thresholds are set so that
few real photographs with their true labels would be rejected.
"""

import shutil
from math import ceil, floor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from synth.base.config import fingerprint
from synth.base.errors import UserError
from synth.base.runs import atomic, read_json, sha256, write_json
from synth.base.stats import auc, draws, estimate, over, wilson
from synth.base.ties import levels_of
from synth.classifier.targets import TARGETS, targets
from synth.data.images import Preprocessing, resize
from synth.data.pictures import Pictures
from synth.data.records import SCHEMA, data_fingerprint, read_table
from synth.data.vocabulary import FLAGS

SHARE = 0.05  # of real photographs with their true labels that may be rejected
_FEWEST = 10  # positives, and negatives, among held-out photographs without which a label is not checked
_ROUNDS = 500  # bootstrap samples of patients
_COLUMNS = ("dr_grade", *FLAGS, "findings")
_LEVELS = np.arange(50, -1, -1) / 1000  # shares of a label's own positives, or negatives, beyond a threshold


class Check(NamedTuple):
    """What a label's probability must not be."""

    below: float
    """Contradicts a label that is asked for."""
    above: float
    """Contradicts one that is to be absent."""


def prepare(
    records: Path, classifier: Path | None, size: int, cache: Path, share: float = SHARE
) -> dict[str, Any]:
    """Train a classifier on split `train`, unless one is given, and calibrate it on `validation`; once per `cache`.

    Args:
        classifier: one that learnt from split `train` of these records, as `classifier.train` wrote it.
        size:       pixels a side at which one is trained.
        share:      of validation photographs that may contradict one of their true labels.

    Returns:
        What the plan keeps: the classifier's sha256, the thresholds of the labels that are checked, why others that the classifier
        knows are not, and how many held-out photographs would be rejected.

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
    facts = cache / f"check-{fingerprint([digest, data, share])[:16]}.json"
    if not facts.exists():
        with atomic(cache / f"check-{digest[:16]}.pt") as temporary:
            shutil.copyfile(path, temporary)
        checks, unchecked = _checks(model, records, share)
        if not checks:
            raise UserError(
                f"{records}: no label can be checked, {'; '.join(f'{k}: {v}' for k, v in unchecked.items())}; "
                "bring more records, or leave --reject-mislabelled out"
            )
        write_json(facts, _said(digest, data, model, records, checks, unchecked))
    return read_json(facts)


def _checks(model: Any, records: Path, share: float) -> tuple[dict[str, Check], dict[str, str]]:
    """Thresholds of the labels that can be checked, and why the others cannot."""
    judged, truth, whose = _judged(model, records, "validation")
    people = len(np.unique(whose))
    drawn, place = draws(people, _ROUNDS, 0), np.unique(whose, return_inverse=True)[1]
    unchecked: dict[str, str] = {}
    able = []
    for column, label in enumerate(model.labels):
        asked = truth[:, column]
        fewest = int(min((asked == 1).sum(), (asked == 0).sum()))
        known = ~np.isnan(asked)
        if fewest < _FEWEST:
            unchecked[label] = f"{fewest} held-out photographs with it or without, {_FEWEST} are needed"
            continue
        scores, positive = levels_of(judged[known, column]), asked[known] == 1
        found = estimate(
            over(drawn, place[known], lambda weights, s=scores, p=positive: auc(s, p, weights)), people
        )
        if found.low <= 0.5:
            shown = f"AUC {found.value:.2f} [{found.low:.2f}, {found.high:.2f}] on held-out patients"
            unchecked[label] = f"no better than chance: {shown}"
        else:
            able.append(column)
    for level in _LEVELS:
        checks = {model.labels[c]: _check(judged[:, c], truth[:, c], float(level)) for c in able}
        wrong = excess(judged, truth, model.labels, checks) > 0
        if wrong.any(axis=1).mean() <= share:
            break
    return checks, unchecked


def _check(judged: np.ndarray, asked: np.ndarray, level: float) -> Check:
    below = np.quantile(judged[asked == 1], level, method="lower")
    above = np.quantile(judged[asked == 0], 1 - level, method="higher")
    # The same numbers on every kind of machine.
    return Check(floor(float(below) * 1e4) / 1e4, ceil(float(above) * 1e4) / 1e4)


def _said(
    digest: str, data: str, model: Any, records: Path, checks: dict[str, Check], unchecked: dict[str, str]
) -> dict[str, Any]:
    said: dict[str, Any] = {
        "classifier": digest,
        "records": data,
        "checks": {label: check._asdict() for label, check in checks.items()},
        "unchecked": unchecked,
    }
    for split in ("validation", "test"):
        judged, truth, _ = _judged(model, records, split)
        if len(judged):
            hits = int((excess(judged, truth, model.labels, checks) > 0).any(axis=1).sum())
            low, high = wilson(hits, len(judged))
            rate = {"value": hits / len(judged), "low": low, "high": high}
            said[f"{split}_rejected"] = {key: round(value, 4) for key, value in rate.items()} | {
                "n": len(judged)
            }
    return said


def _judged(model: Any, records: Path, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, L) probabilities, (N, L) truth, (N,) patients of a split."""
    pictures, prepare = Pictures(records, [split]), model.config.preprocessing
    table = read_table(records, [split], [*_COLUMNS, "subject_id"])
    columns = [TARGETS.index(label) for label in model.labels]
    if not len(pictures):
        return np.zeros((0, len(columns))), np.zeros((0, len(columns))), np.zeros(0)
    seen = np.stack([prepare(data, pictures.where(i)) for i, data in enumerate(pictures)])
    return model.predict(seen), targets(table)[:, columns], np.array(table["subject_id"])


def excess(judged: np.ndarray, asked: np.ndarray, labels: Any, checks: dict[str, Check]) -> np.ndarray:
    """By how many logits each of (N, L) probabilities contradicts what was asked; 0 and less is no contradiction.

    Args:
        asked: (N, L): 1 present, 0 absent, nan not asked for.
    """
    found = np.full(judged.shape, -np.inf)
    for column, label in enumerate(labels):
        if label in checks:
            below, above = checks[label]
            present, absent = asked[:, column] == 1, asked[:, column] == 0
            found[present, column] = _logit(below) - _logit(judged[present, column])
            found[absent, column] = _logit(judged[absent, column]) - _logit(above)
    return found


def _logit(share: Any) -> Any:
    within = np.clip(share, 1e-6, 1 - 1e-6)
    return np.log(within / (1 - within))


class LabelCheck:
    """A label check as a plan describes it, opened from what `prepare` left in `cache`.

    Raises:
        UserError: it is not there.
    """

    def __init__(self, facts: dict[str, Any], cache: Path, device: str = "cpu") -> None:
        from synth.classifier.classifier import load

        self._model, _ = load(cache / f"check-{facts['classifier'][:16]}.pt")
        self._model.to(device)
        self._checks = {label: Check(**check) for label, check in facts["checks"].items()}

    def contradictions(self, pictures: np.ndarray, labels: list[dict[str, Any]]) -> list[dict[str, float]]:
        """Which labels of (N, S, S, 3) uint8 samples the classifier contradicts, and by how many logits."""
        side = self._model.config.preprocessing.size
        judged = self._model.predict(np.stack([resize(picture, side) for picture in pictures]))
        rows = [{name: asked.get(name) for name in _COLUMNS} for asked in labels]
        table = pa.Table.from_pylist(rows, schema=pa.schema([SCHEMA.field(name) for name in _COLUMNS]))
        asked = targets(table)[:, [TARGETS.index(label) for label in self._model.labels]]
        found = excess(judged, asked, self._model.labels, self._checks)
        return [
            {label: float(by) for label, by in zip(self._model.labels, row, strict=True) if by > 0}
            for row in found
        ]
