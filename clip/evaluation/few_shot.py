"""Few shots: classifiers that learn from 1, 2, 4 ... photographs per class, each of another patient."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt
from scipy.special import softmax

from clip import embed, loading
from clip.evaluation import adapters, core, learning, linear, metrics, report, zero_shot
from clip.evaluation.adapters import Text
from clip.evaluation.core import Answers, EvaluationSettings
from clip.evaluation.learning import Parts
from clip.evaluation.results import ClassificationResult, Curve, EvaluationReport
from clip.inputs.sets import Data
from clip.model.encoders import CLIP
from clip.prompts import Task
from clip.zoo import wording
from synth.base import runs
from synth.base.errors import UserError

Method = Literal["zero-shot", "linear", "clip-adapter", "tip-adapter", "tip-adapter-f"]
METHODS: tuple[Method, ...] = ("zero-shot", "linear", "clip-adapter", "tip-adapter", "tip-adapter-f")
Probability = Callable[[np.ndarray], np.ndarray]
"""(N, K) from (N, D) embeddings."""


class FewShotConfig(EvaluationSettings):
    """Which few-shot classifiers are trained, and how.  Of values to choose from, the first wins where equal."""

    shots: tuple[PositiveInt, ...] = Field(default=(1, 2, 4, 8, 16), min_length=1)
    """Photographs per class to learn from; each is of another patient."""
    draws: int = Field(default=5, ge=2)
    """How often shots are drawn; intervals cover the draw."""
    methods: tuple[Method, ...] = Field(default=METHODS, min_length=1)
    """Classifiers; a model without a text tower can have `linear` alone."""
    lang: Literal["zh", "en", "both"] = "both"
    """Of the prompts; `both` takes the mean of both languages' prototypes, or the one language that a model reads."""
    aggregation: zero_shot.Aggregation = "clip"
    """How prompts make a class, see zero-shot."""
    strengths: tuple[PositiveFloat, ...] = Field(default=(1.0, 0.01, 0.1, 10.0, 100.0, 1000.0), min_length=1)
    """Of the linear probe (scikit-learn's C)."""
    ratios: tuple[float, ...] = Field(default=(0.2, 0.4, 0.6, 0.8), min_length=1)
    """Residual ratios of CLIP-Adapter; 0.2 is its authors' for most sets."""
    weights: tuple[float, ...] = Field(default=(1.0, 0.5, 2.0, 5.0, 10.0), min_length=1)
    """Alpha of Tip-Adapter; 1 is its authors' for ImageNet."""
    sharpnesses: tuple[PositiveFloat, ...] = Field(default=(5.5, 1.0, 2.0, 10.0, 20.0), min_length=1)
    """Beta of Tip-Adapter; 5.5 is its authors' for ImageNet."""
    steps: PositiveInt = 100
    """Whole-batch steps in which CLIP-Adapter and Tip-Adapter-F are trained."""
    lr: PositiveFloat = 1e-3
    """AdamW's, of both."""


class Shots(NamedTuple):
    """What one classifier learns from and is chosen by: embeddings (S, D) and classes (S,)."""

    features: np.ndarray
    truth: np.ndarray
    held: np.ndarray
    """(V, D) embeddings of validation patients, as many per class as there are shots, if there are as many."""
    held_truth: np.ndarray
    seed: int


def evaluate(
    config: FewShotConfig, model: Path, data: Data, splits: Sequence[str], name: str | None, command: str
) -> EvaluationReport:
    """The report of few-shot classifiers whose shots come from `train`, judged on `splits`.

    Raises:
        UserError: the records cannot teach any such task, a patient is on both sides, or prompts are asked of a
            model without a text tower.
    """
    network, head = loading.load(model)
    if network.config.context is None and set(config.methods) != {"linear"}:
        raise UserError(f"{model}: has no text tower, which prompts need; give --set 'methods=[linear]'")
    tables = learning.tables(data, splits)
    chosen = learning.tasks(name, tables, config.min_count, data)
    if network.config.context is not None:  # others' models are asked in their authors' words
        lang, asked = wording.fitted(network, config.lang, {key: task for key, (task, _) in chosen.items()})
        config = config.model_copy(update={"lang": lang})
        chosen = {key: (asked[key], parts) for key, (_, parts) in chosen.items()}
    image_features = [embed.images(network, data, part) for part in (["train"], ["validation"], splits)]
    results = [
        evaluate_task(config, network, key, task, parts, image_features)
        for key, (task, parts) in chosen.items()
    ]
    provenance = core.provenance(data, splits, len(tables.test))
    return report.compose(config, model, head, provenance, results, command)


def evaluate_task(
    config: FewShotConfig,
    model: CLIP,
    name: str,
    task: Task,
    parts: Parts,
    image_features: Sequence[np.ndarray],
) -> ClassificationResult:
    """One task: every method at every number of shots, over several draws; `image_features` as in `Parts`."""
    train, held, test = (each[part.rows] for each, part in zip(image_features, parts, strict=True))
    text = _text(config, model, task, parts) if set(config.methods) != {"linear"} else None
    max_shots = _max_shots(parts.train)
    measured, chosen, lines, bins = {}, {}, {}, {}
    if text is not None and "zero-shot" in config.methods:
        probability = softmax(text.logits(test), axis=1)
        measured["zero-shot"] = core.measure(config, parts.test, probability, task.ordinal)
        bins["zero-shot"] = metrics.reliability(parts.test.truth, probability)
        lines["zero-shot"] = {0: "zero-shot"}
    sizes = [shots for shots in sorted(set(config.shots)) if shots <= max_shots]
    rows = [(method, size) for method in config.methods if method != "zero-shot" for size in sizes]
    with runs.progress(f"few-shot {name}", len(rows), unit="rows") as bar:
        for method, size in rows:
            row = f"{method}, {size} shot{'s' if size > 1 else ''}"
            drawn = [_shots(parts, train, held, size, config.seed, i) for i in range(config.draws)]
            learnt = [learn(config, method, shots, text) for shots in drawn]
            made = np.stack([probability(test) for probability, _ in learnt])
            measured[row] = core.measure(config, parts.test, made, task.ordinal)
            if size == sizes[-1]:  # a picture for each method, not for each row
                bins[row] = metrics.reliability(parts.test.truth, made)
            chosen[row] = {key: [each[key] for _, each in learnt] for key in learnt[0][1]}
            lines.setdefault(method, {})[size] = row
            bar.update()
    curve, notes = Curve(x="photographs per class", lines=lines), _notes(config, sizes, max_shots)
    kept = {"metrics": measured, "reliability": bins, "chosen": chosen, "curve": curve, "notes": notes}
    return learning.result("few-shot", name, task, parts, **kept)


def learn(
    config: FewShotConfig, method: str, shots: Shots, text: Text | None
) -> tuple[Probability, dict[str, Any]]:
    """One classifier, and those of its settings that were chosen: by macro AUC on validation patients."""
    if method == "linear":
        data = (shots.features, shots.truth, shots.held, shots.held_truth)
        probe = linear.choose(*data, config.strengths, balanced=True)
        return probe.predict_proba, {"C": probe.C}
    assert text is not None, "evaluate refuses first"
    if method == "clip-adapter":
        made = [
            adapters.clip_adapter(
                text, shots.features, shots.truth, ratio, config.steps, config.lr, shots.seed
            )
            for ratio in config.ratios
        ]
        best = max(made, key=lambda each: learning.score(shots.held_truth, each.probability(shots.held)))
        return best.probability, {"ratio": best.ratio}
    caches = [
        adapters.tip(text, shots.features, shots.truth, weight, sharpness)
        for weight in config.weights
        for sharpness in config.sharpnesses
    ]
    cache = max(caches, key=lambda each: learning.score(shots.held_truth, each.probability(shots.held)))
    if method == "tip-adapter-f":
        cache = adapters.tune_keys(cache, shots.truth, config.steps, config.lr)
    return cache.probability, {"weight": cache.weight, "sharpness": cache.sharpness}


def draw(answers: Answers, shots: int, rng: np.random.Generator) -> np.ndarray:
    """Places in `answers` of at most `shots` photographs of each class, each of another patient.

    The first of them are those that the same generator would draw for fewer shots.
    """
    places = []
    for k in range(len(answers.classes)):
        of_class = np.flatnonzero(answers.truth == k)
        people = rng.permutation(np.unique(answers.patient_ids[of_class]))
        one_each = [rng.choice(of_class[answers.patient_ids[of_class] == person]) for person in people]
        places += one_each[:shots]
    return np.array(places, dtype=int)


def _max_shots(answers: Answers) -> int:
    """How many shots of each class there are: the patients of the smallest."""
    classes = range(len(answers.classes))
    return min(len(np.unique(answers.patient_ids[answers.truth == k])) for k in classes)


def _shots(parts: Parts, train: np.ndarray, held: np.ndarray, shots: int, seed: int, draws: int) -> Shots:
    """One draw of shots, and as many per class of validation patients to choose by."""
    learnt = draw(parts.train, shots, np.random.default_rng([seed, draws, 0]))
    judged = draw(parts.validation, shots, np.random.default_rng([seed, draws, 1]))
    return Shots(
        train[learnt], parts.train.truth[learnt], held[judged], parts.validation.truth[judged], seed + draws
    )


def _text(config: FewShotConfig, model: CLIP, task: Task, parts: Parts) -> Text:
    """The zero-shot classifier of a task."""
    classes = [task.classes[name] for name in parts.test.classes]
    prototypes = zero_shot.prototypes(model, classes, config.lang, config.aggregation)
    return Text(prototypes, model.logit_scale.exp().item())


def _notes(config: FewShotConfig, sizes: Sequence[int], max_shots: int) -> list[str]:
    """How values and intervals are to be read, and what was left out."""
    notes = [
        f"A value with shots is the mean over {config.draws} draws of them, each shot of another patient; its interval "
        "draws patients to judge and, independently, draws of shots, with replacement both."
    ]
    if few := [str(size) for size in sorted(set(config.shots)) if size not in sizes]:
        notes.append(
            f"{', '.join(few)} shots are left out: one class has {max_shots} patients to learn from."
        )
    return notes
