"""T1: what an encoder reveals about anyone's age, sex and race, beside the controls that make it mean something.

A linear probe is trained on attackers' patients and judged on others of them.  Beside it, from the same patients, folds
and bootstrap samples: the prior, permuted labels, untrained encoders, pixels, what records and files say, and diagnoses.
Probes that are not linear, and bits of the online code, stand beside these and decide nothing.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from privacy.attack_config import AttackConfig
from privacy.data.attributes import Task
from privacy.statistics import codelength, measures, probes, sensitivity
from privacy.statistics.attribute_numbers import HEADLINE, AttributeNumbers, Point, Row
from privacy.statistics.probes import Permuted, Prediction
from synth.base import stats, ties
from synth.base.stats import Estimate

ENCODER, UNTRAINED, PIXELS = "the encoder", "untrained encoders", "pixels"
METADATA, DIAGNOSES = "metadata", "diagnoses"
PERMUTED, PRIOR = "permuted labels", "the prior"
CONTROLS = (UNTRAINED, PIXELS, METADATA)
"""Trivial attackers, the strongest of which an encoder is compared with; a diagnosis may be what it was trained to see."""
SHARES = (0.25, 0.5, 1.0)
"""Of the training patients, for the learning curve."""


class Features(NamedTuple):
    """(N, k) per photograph of the cohort, for the encoder and for its controls."""

    encoder: np.ndarray
    untrained: Sequence[np.ndarray]
    pixels: np.ndarray
    metadata: np.ndarray | None = None
    """Source, sizes and number of files; None where they are the same of every photograph."""
    diagnoses: np.ndarray | None = None
    """What diseases the records state; None where they state none."""


def infer(task: Task, features: Features, config: AttackConfig) -> AttributeNumbers:
    """Attack `task` from the encoder's features and from each control's."""
    drawn = stats.draws(len(task.labels), config.bootstrap, config.seed)

    def attack(sets: Sequence[np.ndarray], share: float = 1.0) -> list[Prediction]:
        return [probes.out_of_fold(each[task.rows], task, config.folds, config.seed, share) for each in sets]

    given: dict[str, Sequence[np.ndarray]] = {
        ENCODER: [features.encoder],
        UNTRAINED: features.untrained,
        PIXELS: [features.pixels],
        METADATA: [features.metadata] if features.metadata is not None else [],
        DIAGNOSES: [features.diagnoses] if features.diagnoses is not None else [],
    }
    given = {name: sets for name, sets in given.items() if sets}
    attacked = {name: attack(sets) for name, sets in given.items()}
    person = {name: _person(task, found, drawn) for name, found in attacked.items()}
    image = {
        name: _image(task, attacked[name], drawn) for name in attacked if name not in (METADATA, DIAGNOSES)
    }
    coded = {
        name: _bits(task, [_whole(task, each) for each in sets], config, drawn)
        for name, sets in given.items()
    }
    rows = [
        Row(name, _estimates(task, person[name] | coded[name]), _estimates(task, image.get(name, {})))
        for name in attacked
    ]
    others = sensitivity.out_of_fold(_whole(task, features.encoder), task, config.folds, config.seed)
    rows += [Row(name, _estimates(task, _pooled(task, found, drawn)), {}) for name, found in others.items()]
    permuted = probes.permutation_test(
        features.encoder[task.rows], task, config.folds, config.permutations, config.seed
    )
    rows += [_permuted_row(task, permuted), _prior_row(task, config, drawn)]
    metric = HEADLINE[task.kind]
    sign = -1 if metric == "mae" else 1
    gains = {
        name: sign * ties.difference(person[ENCODER][metric], person[name][metric])
        for name in CONTROLS
        if name in person
    }
    excess = {name: stats.estimate(gain, len(task.labels)) for name, gain in gains.items()}
    curve = []
    for share in SHARES:
        found = person[ENCODER] if share == 1 else _person(task, attack([features.encoder], share), drawn)
        trained = round(share * len(task.labels) * (config.folds - 1) / config.folds)
        curve.append(Point(trained, stats.estimate(found[metric], len(task.labels))))
    return AttributeNumbers(task, rows, excess, permuted, curve)


Draws = dict[str, np.ndarray]
"""Metric -> (1 + rounds,): of the data, and of each bootstrap sample."""


def _person(task: Task, found: Sequence[Prediction], drawn: np.ndarray) -> Draws:
    pooled = [Prediction(*(probes.mean_by(task.patient, part) for part in each)) for each in found]
    return _mean([_pooled(task, each, drawn) for each in pooled])


def _pooled(task: Task, found: Prediction, drawn: np.ndarray) -> Draws:
    return _metrics(task, found, task.labels, np.arange(len(task.labels)), drawn)


def _bits(task: Task, sets: Sequence[np.ndarray], config: AttackConfig, drawn: np.ndarray) -> Draws:
    """Bits per patient of the online code, of (p, k) features; the order in which patients are sent is the same of all."""
    told = np.mean([codelength.bits(each, task, config.seed) for each in sets], axis=0)
    return {"bits": measures.mean(told, drawn)}


def _whole(task: Task, features: np.ndarray) -> np.ndarray:
    """(p, k) means over each patient's photographs of (N, k) features of the cohort."""
    return probes.mean_by(task.patient, features[task.rows])


def _image(task: Task, found: Sequence[Prediction], drawn: np.ndarray) -> Draws:
    return _mean([_metrics(task, each, task.labels[task.patient], task.patient, drawn) for each in found])


def _mean(draws: Sequence[Draws]) -> Draws:
    return {metric: np.mean([each[metric] for each in draws], axis=0) for metric in draws[0]}


def _metrics(
    task: Task, found: Prediction, truth: np.ndarray, patient_ids: np.ndarray, drawn: np.ndarray
) -> Draws:
    """Every metric of every bootstrap sample; `patient_ids` is the patient of each row of `found` and `truth`."""

    def over(statistic: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        return stats.over(drawn, patient_ids, statistic)

    if task.kind == "years":
        guess = found.decisions[:, 0]
        return {
            "mae": over(lambda weights: measures.mae(guess, truth, weights)),
            "r2": over(lambda weights: measures.r2(guess, truth, weights)),
        }
    columns = [1] if len(task.classes) == 2 else range(len(task.classes))
    guess = probes.called(found.decisions)
    areas = [
        over(
            lambda weights, c=c, label=label: stats.auc(
                found.scores[:, c], truth == label, weights, probes.SIZE
            )
        )
        for c, label in enumerate(columns)
    ]
    right = over(lambda weights: stats.balanced_accuracy(guess, truth, weights))
    return {"auc": np.mean(areas, axis=0), "balanced_accuracy": right}


def _estimates(task: Task, draws: Draws) -> dict[str, Estimate]:
    return {metric: stats.estimate(values, len(task.labels)) for metric, values in draws.items()}


def _permuted_row(task: Task, permuted: Permuted) -> Row:
    """What the same ridge probe gives on permuted labels: mean and the middle 95 % of them."""
    values = np.concatenate([[permuted.permuted.mean()], permuted.permuted])
    metric = "r2" if task.kind == "years" else "auc"
    return Row(PERMUTED, {metric: stats.estimate(values, len(task.labels))}, {})


def _prior_row(task: Task, config: AttackConfig, drawn: np.ndarray) -> Row:
    """Guessing without looking: the median age of other patients, or any one class."""
    patients = len(task.labels)
    bits = _estimates(task, _bits(task, [np.zeros((patients, 0))], config, drawn))
    if task.kind == "classes":
        fixed = {"auc": 0.5, "balanced_accuracy": 1 / len(task.classes)}
        return Row(PRIOR, {name: Estimate(v, v, v, patients) for name, v in fixed.items()} | bits, {})
    fold = probes.folds(task.labels, config.folds, np.random.default_rng([config.seed, 1]))
    medians = np.array([np.median(task.labels[fold != number]) for number in range(config.folds)])
    guess = Prediction(np.zeros((len(fold), 1)), medians[fold][:, None])
    draws = _pooled(task, guess, drawn)
    return Row(PRIOR, _estimates(task, draws) | bits, {})
