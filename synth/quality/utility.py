"""Train on synthetic, test on real: whether synthetic photographs teach what real ones teach."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from synth.base import processes, stats, ties
from synth.base.config import fingerprint
from synth.base.errors import UserError
from synth.base.stats import Estimate
from synth.classifier.classifier import Classifier, ClassifierConfig, fit, load
from synth.classifier.targets import TARGETS, enough
from synth.quality.samples import Sample

TRAINING_SETS = {
    "real": "real photographs",
    "synthetic": "synthetic photographs",
    "shuffled": "synthetic photographs, labels shuffled",
    "untrained": "nothing (random weights)",
}
"""What a classifier learnt from, and how the report calls it."""
NESTED = "referable_dr"
"""Told, but not counted in the mean: it is part of `dr`, which would count twice."""
_CHANCE = 0.5


class TrainingSet(NamedTuple):
    """What one classifier is to learn from."""

    name: str
    config: ClassifierConfig
    pictures: np.ndarray
    truth: np.ndarray
    columns: list[int]
    """Of `TARGETS`: what it has enough examples of."""
    data: str
    folder: Path


def testable(
    train: Sample, test: Sample, config: ClassifierConfig, min_count: int, folder: Path
) -> list[int]:
    """The columns of `TARGETS` that real photographs can teach and held-out ones can test.

    Raises:
        UserError: none.
    """
    both = set(enough(test.truth, min_count)) & set(enough(train.truth, config.min_count))
    if not both:
        raise UserError(
            f"{folder}: no disease has {min_count} positives and negatives held out and {config.min_count} to learn from "
            f"({len(test.patients)} and {len(train.patients)} photographs); bring more records or lower "
            "'reported' and 'classifier.least'"
        )
    return sorted(both)


def training_sets(
    real: Sample, synthetic: Sample, columns: list[int], config: ClassifierConfig, shuffled: bool, out: Path
) -> list[TrainingSet]:
    """One classifier per kind of teaching, all of the same size, steps and number of photographs."""

    def training_set(name: str, sample: Sample, truth: np.ndarray) -> TrainingSet:
        columns_learnt = sorted(set(columns) & set(enough(truth, config.min_count)))
        data = fingerprint([sample.name, name])
        return TrainingSet(name, config, sample.pictures, truth, columns_learnt, data, out / name)

    wanted = [training_set("real", real, real.truth), training_set("synthetic", synthetic, synthetic.truth)]
    if not wanted[1].columns:
        raise UserError(
            f"none of {', '.join(TARGETS[i] for i in columns)} has {config.min_count} positives and negatives among "
            f"{len(synthetic.patients)} synthetic photographs; generate with --labels, or lower 'classifier.least'"
        )
    if shuffled:
        order = np.random.default_rng(config.seed).permutation(len(synthetic.truth))
        wanted.append(training_set("shuffled", synthetic, synthetic.truth[order]))
    return wanted


def train(wanted: Sequence[TrainingSet], workers: int) -> dict[str, tuple[Classifier, TrainingSet]]:
    """Train a classifier on each set in a process of its own, of one thread; the same call again resumes.

    Raises:
        UserError: a process was killed.
    """
    missing = [
        training_set for training_set in wanted if not (training_set.folder / "classifier.pt").exists()
    ]
    workers = min(workers or len(os.sched_getaffinity(0)), len(missing))
    if workers > 1:
        # `spawn`: a forked torch may hang.  One thread each: two on a busy machine are slower than one.
        os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
        with ProcessPoolExecutor(workers, get_context("spawn"), processes.end_with_parent) as pool:
            try:
                for task in as_completed([pool.submit(_train, training_set) for training_set in missing]):
                    task.result()
            except BrokenProcessPool:
                raise UserError(
                    f"{missing[0].folder.parent}: a classifier's process was killed (out of memory?); "
                    "repeat the command, it continues"
                ) from None
            except BaseException:
                processes.end_children()  # the pool would wait for hours of training
                raise
    return {training_set.name: (load(_train(training_set))[0], training_set) for training_set in wanted}


def _train(training_set: TrainingSet) -> Path:
    import torch

    torch.set_num_threads(1)
    names = [TARGETS[i] for i in training_set.columns]
    what = f"on {TRAINING_SETS[training_set.name]}"
    return fit(
        training_set.config,
        training_set.pictures,
        training_set.truth[:, training_set.columns],
        names,
        training_set.folder,
        training_set.data,
        what,
    )


def scores(model: Classifier, columns: list[int], pictures: np.ndarray) -> np.ndarray:
    """(N, C) probabilities of some columns of `TARGETS`; .5 for all where the classifier was not taught one."""
    found = np.full((len(pictures), len(columns)), _CHANCE)
    predicted = model.predict(pictures)
    for place, column in enumerate(columns):
        if TARGETS[column] in model.labels:
            found[:, place] = predicted[:, model.labels.index(TARGETS[column])]
    return found


def areas(
    predictions: dict[str, np.ndarray], sample: Sample, columns: list[int], n_bootstrap: int, seed: int
) -> tuple[dict[str, np.ndarray], int]:
    """Training set -> (C, 1 + n_bootstrap) AUCs on the same draws of patients, so that sets are paired; and the patients."""
    people, patient_ids = np.unique(sample.patients, return_inverse=True)
    drawn = stats.draws(len(people), n_bootstrap, seed)

    def one(score: np.ndarray, truth: np.ndarray) -> np.ndarray:
        known = ~np.isnan(truth)
        return stats.over(drawn, patient_ids[known], _auc(score[known], truth[known] == 1))

    found = {
        name: np.stack([one(score[:, j], sample.truth[:, i]) for j, i in enumerate(columns)])
        for name, score in predictions.items()
    }
    return found, len(people)


def _auc(score: np.ndarray, positive: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    levels = ties.levels_of(score)
    return lambda weights: stats.auc(levels, positive, weights)


def compare(
    predictions: dict[str, np.ndarray],
    test: Sample,
    columns: list[int],
    headline: int,
    n_bootstrap: int,
    seed: int,
) -> dict[str, Any]:
    """Per-disease AUCs of every training set, and the mean over diseases with `headline` positives: ratio and difference."""
    found, patients = areas(predictions, test, columns, n_bootstrap, seed)
    positives = [int((test.truth[:, i] == 1).sum()) for i in columns]
    counted = [j for j, i in enumerate(columns) if positives[j] >= headline and TARGETS[i] != NESTED]
    rows = [
        {
            "key": TARGETS[i],
            "positives": positives[j],
            "known": int((~np.isnan(test.truth[:, i])).sum()),
            "counted": j in counted,
            "auc": {name: plain(stats.estimate(each[j], patients)) for name, each in found.items()},
        }
        for j, i in enumerate(columns)
    ]
    summary = None
    if counted:
        mean = {name: each[counted].mean(axis=0) for name, each in found.items()}
        summary = {
            "diseases": [TARGETS[columns[j]] for j in counted],
            "mean_auc": {name: plain(stats.estimate(each, patients)) for name, each in mean.items()},
            "ratio": plain(stats.estimate(_ratio(mean["synthetic"], mean["real"]), patients)),
            "difference": plain(stats.estimate(mean["synthetic"] - mean["real"], patients)),
            "above_chance": plain(
                stats.estimate(_ratio(mean["synthetic"] - _CHANCE, mean["real"] - _CHANCE), patients)
            ),
        }
    return {"patients": patients, "photographs": len(test.patients), "diseases": rows, "headline": summary}


def _ratio(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """One through the other, nan where that is no number."""
    return np.divide(one, other, out=np.full(len(one), np.nan), where=other != 0)


def plain(value: Estimate) -> dict[str, float | None]:
    """An estimate as JSON has it: null where there is no number."""
    return {
        name: float(each) if np.isfinite(each) else None
        for name, each in zip(("value", "low", "high"), value[:3], strict=True)
    }
