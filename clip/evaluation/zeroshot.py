"""Zero-shot: photographs are called by the prompts that they lie nearest to; no label is learnt from."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import NonNegativeInt, PositiveInt

from clip import embed, prompts
from clip.encoders import CLIP
from clip.evaluation import metrics
from clip.prompts import Class, Task
from synth.base import checkpoint, runs, stats
from synth.base.config import Config
from synth.base.errors import UserError
from synth.base.stats import Estimate
from synth.fundus.records import SPLITS, data_fingerprint, read_table
from synth.fundus.vocabulary import DISEASES, DR

Aggregation = Literal["clip", "flair"]


class EvalConfig(Config):
    """How a zero-shot result is made from embeddings."""

    lang: Literal["zh", "en", "both"] = "both"
    """Of the prompts; `both` reports Chinese, English and the mean of their prototypes."""
    aggregation: Aggregation = "clip"
    """`clip`: the mean of a class's prompts is scaled to length 1; `flair`: it is not, so that varied prompts count less."""
    least: PositiveInt = 5
    """Photographs that a class needs; smaller classes are left out, and named."""
    rounds: PositiveInt = 1000
    """Bootstrap samples of patients behind an interval."""
    seed: NonNegativeInt = 0
    """Of the bootstrap."""


class Photographs(NamedTuple):
    """What is judged: embeddings, labels and patients of N photographs."""

    embeddings: np.ndarray
    table: pa.Table
    facts: dict[str, Any]


def evaluate(
    config: EvalConfig, model: Path, data: Path, splits: Sequence[str], name: str | None, command: str
) -> dict[str, Any]:
    """The zero-shot report of a checkpoint on records; without a `name`, of every task that they answer.

    Raises:
        UserError: no records in these splits, no such task, or none that can be judged.
    """
    wanted = prompts.tasks(name)
    network, head = embed.load_checkpoint(model)
    table = read_table(data, splits)
    if not len(table):
        raise UserError(
            f"{data}: no records in {', '.join(splits)}; choose another --split, for example 'all'"
        )
    chosen = {key: task for key, task in wanted.items() if _answerable(task, table, config.least)}
    if not chosen:
        what = f"'{name}'" if name else "any task"
        raise UserError(
            f"{data}: its {', '.join(splits)} records cannot answer {what}: fewer than 2 classes have "
            f"{config.least} photographs; choose another --prompts or --split"
        )
    facts = {
        "data": str(data),
        "fingerprint": data_fingerprint(data),
        "splits": list(splits),
        "rows": len(table),
    }
    photographs = Photographs(embed.images(network, data, splits), table, facts)
    results = [judge(config, network, key, task, photographs) for key, task in chosen.items()]
    return _report(config, model, head, photographs, results, command)


def benchmark(
    config: EvalConfig, model: Path, source: str, root: Path, name: str | None, command: str
) -> dict[str, Any]:
    """`evaluate` on all photographs of a public set in its own layout; it is imported for the moment only."""
    from synth.sources.importing import import_source

    with TemporaryDirectory() as folder:
        records = Path(folder) / source
        kept = import_source(source, root, records)
        made = evaluate(config, model, records, SPLITS, name, command)
    made["data"] |= {"data": f"{source} ({root})", "import": kept}
    return made


def predict(model: Path, image: Path, lang: Literal["zh", "en", "both"]) -> dict[str, Any]:
    """The probability of each of the eleven diseases against a normal fundus, for one photograph.

    Raises:
        UserError: the picture is absent or damaged.
    """
    if not image.is_file():
        raise UserError(f"{image}: no such picture")
    network, head = embed.load_checkpoint(model)
    square = network.config.preprocessing(image.read_bytes(), str(image))
    seen = embed.pixels(network, square[None])
    terms = {term.key: term for term in (DR, *DISEASES)}
    rows = []
    for name, task in prompts.tasks("diseases").items():
        key = DR.key if name == "dr" else name
        probability = classify(network, seen, list(task.classes.values()), lang, "clip")[0, 1]
        rows.append({"key": key, "zh": terms[key].zh, "en": terms[key].en, "probability": float(probability)})
    return {
        "image": str(image),
        "lang": lang,
        "images_seen_in_training": head.get("images"),
        "diseases": rows,
    }


def prototypes(model: CLIP, classes: Sequence[Class], lang: str, aggregation: Aggregation) -> np.ndarray:
    """(K, D) one vector per class: the mean of its prompts' embeddings, each of length 1.

    Of two languages, the mean of their prototypes.
    """
    languages: tuple[prompts.Lang, ...] = ("zh", "en") if lang == "both" else (lang,)  # type: ignore[assignment]
    means = [[embed.texts(model, each.texts(one)).mean(axis=0) for each in classes] for one in languages]
    if aggregation == "clip":
        means = [[mean / np.linalg.norm(mean) for mean in each] for each in means]
    vectors = np.mean(means, axis=0)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True) if aggregation == "clip" else vectors


def classify(
    model: CLIP, seen: np.ndarray, classes: Sequence[Class], lang: str, aggregation: Aggregation
) -> np.ndarray:
    """(N, K) probabilities of classes for (N, D) image embeddings of length 1."""
    scale = model.logit_scale.exp().item()
    logits = scale * seen.astype(float) @ prototypes(model, classes, lang, aggregation).T
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def judge(config: EvalConfig, model: CLIP, name: str, task: Task, photographs: Photographs) -> dict[str, Any]:
    """One task: metrics with intervals in each language, beside what needs no picture at all."""
    number = task.classify(photographs.table)
    sizes = np.bincount(number[number >= 0], minlength=len(task.classes))
    kept = [k for k, size in enumerate(sizes) if size >= config.least]
    rows = np.flatnonzero(np.isin(number, kept))
    truth = np.searchsorted(kept, number[rows])
    names, classes = list(task.classes), list(task.classes.values())
    patients = photographs.table["subject_id"].take(pa.array(rows)).to_pylist()
    people, whose = np.unique(patients, return_inverse=True)
    drawn = stats.draws(len(people), config.rounds, config.seed)
    languages = ("zh", "en", "both") if config.lang == "both" else (config.lang,)
    measured = {}
    for lang in languages:
        chosen = [classes[k] for k in kept]
        probability = classify(model, photographs.embeddings[rows], chosen, lang, config.aggregation)
        found = metrics.statistics(truth, probability, task.ordinal)
        values = {key: stats.over(drawn, whose, each) for key, each in found.items()}
        measured[lang] = {key: _plain(stats.estimate(each, len(people))) for key, each in values.items()}
    return {
        "name": name,
        "title": task.title,
        "source": task.source,
        "n": len(rows),
        "patients": len(people),
        "classes": {names[k]: int(sizes[k]) for k in kept},
        "left_out": {names[k]: int(sizes[k]) for k in range(len(names)) if k not in kept},
        "prompts": {names[k]: {one: list(classes[k].texts(one)) for one in ("zh", "en")} for k in kept},
        "metrics": measured,
        "without_pictures": _blind(sizes[kept], task.ordinal),
    }


def _answerable(task: Task, table: pa.Table, least: int) -> bool:
    number = task.classify(table)
    return int((np.bincount(number[number >= 0], minlength=len(task.classes)) >= least).sum()) >= 2


def _plain(value: Estimate) -> dict[str, float]:
    return {"value": value.value, "low": value.low, "high": value.high}


def _blind(sizes: np.ndarray, ordinal: bool) -> dict[str, dict[str, float]]:
    """What calling every photograph by the largest class scores, and calling by a fair die, in expectation."""
    shared = {"balanced_accuracy": 1 / len(sizes), "macro_auc": 0.5} | ({"kappa": 0.0} if ordinal else {})
    return {
        "majority": {"accuracy": float(sizes.max() / sizes.sum()), **shared},
        "chance": {"accuracy": 1 / len(sizes), **shared},
    }


def _report(
    config: EvalConfig,
    model: Path,
    head: dict[str, Any],
    photographs: Photographs,
    results: list[dict[str, Any]],
    command: str,
) -> dict[str, Any]:
    return {
        "format": "visionclip-zero-shot",
        "version": 1,
        "command": command,
        "config": config.model_dump(),
        "checkpoint": {
            "path": str(model),
            "sha256": runs.sha256(model),
            "images": head.get("images"),
            "training_data": head.get("data"),
            "preprocessing": head["model"]["preprocessing"],
            "training": head.get("config"),
        },
        "data": photographs.facts,
        "libraries": checkpoint.versions(),
        "results": results,
    }
