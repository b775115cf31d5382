"""Zero-shot: photographs are called by the prompts that they lie nearest to; no label is learnt from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from scipy.special import softmax

from clip import embed, loading, prompts
from clip.evaluation import core, metrics, report, subgroups
from clip.evaluation.calls import Calls, confusion
from clip.evaluation.core import Answers, EvaluationSettings, Photographs
from clip.evaluation.results import ClassificationResult, EvaluationReport
from clip.evaluation.subgroups import Attribute
from clip.inputs.sets import Data
from clip.model.encoders import CLIP
from clip.prompts import Class, Task
from clip.zoo import wording
from synth.base.errors import UserError

Aggregation = Literal["clip", "flair"]


class EvalConfig(EvaluationSettings):
    """How a zero-shot result is made from embeddings."""

    lang: Literal["zh", "en", "both"] = "both"
    """Of the prompts; `both` reports Chinese, English and the mean of their prototypes."""
    aggregation: Aggregation = "clip"
    """`clip`: the mean of a class's prompts is scaled to length 1; `flair`: it is not, so that varied prompts count less."""
    probabilities: bool = False
    """Write each photograph's probabilities to NAME.csv and NAME.parquet beside the report, for its owner alone, and who is taken for
    whom to NAME-confusion.svg."""
    by: tuple[Attribute, ...] = ()
    """Columns of the records: the macro AUC of each part of the people too, ages in bands."""
    prior: Literal["none", "uniform", "set"] = "none"
    """`uniform`, `set`: shift the logits until the classes are called equally often, or as often as the set's labels have them.

    See `matched`.  `uniform` uses no label; `set` is told the class counts of what it judges, so it is no zero-shot result.
    """


def evaluate(
    config: EvalConfig, model: Path, data: Data, splits: Sequence[str], name: str | None, command: str
) -> EvaluationReport:
    """The zero-shot report of a checkpoint on records; without a `name`, of every task that they answer.

    Raises:
        UserError: no records in these splits, no such task, or none that can be judged.
    """
    wanted = prompts.tasks(name)
    network, head = loading.load(model)
    lang, wanted = wording.fitted(network, config.lang, wanted)
    config = config.model_copy(update={"lang": lang})
    table = core.labels(data, splits)
    subgroups.check(table, config.by, str(data))
    answers = {key: core.answers(task, table, config.min_count) for key, task in wanted.items()}
    chosen = {key: each for key, each in answers.items() if len(each.classes) >= 2}
    if not chosen:
        what = f"'{name}'" if name else "any task"
        raise UserError(
            f"{data}: its {', '.join(splits)} records cannot answer {what}: fewer than 2 classes have "
            f"{config.min_count} photographs; choose another --prompts or --split"
        )
    photographs = core.load(network, data, splits)
    results = [
        evaluate_task(config, network, key, wanted[key], each, photographs) for key, each in chosen.items()
    ]
    provenance = core.provenance(data, splits, len(table))
    return report.compose(config, model, head, provenance, results, command)


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
    model: CLIP, image_features: np.ndarray, classes: Sequence[Class], lang: str, aggregation: Aggregation
) -> np.ndarray:
    """(N, K) probabilities of classes for (N, D) image embeddings of length 1."""
    scale = model.logit_scale.exp().item()
    logits = scale * image_features.astype(float) @ prototypes(model, classes, lang, aggregation).T
    return softmax(logits, axis=1)


def matched(probability: np.ndarray, prior: np.ndarray, max_iterations: int = 1000) -> np.ndarray:
    """Probabilities whose mean over the photographs is `prior`: each class's logit is shifted by one number for all of them.

        mean_i softmax(l_i + b)_k = prior_k

    takes from a class what its words, not the pictures, give it.  Prior matching, Liusie et al. 2023
    (2309.04992), after the label shift of Saerens et al. 2002, doi:10.1162/089976602753284446.  It looks at all
    photographs at once, but at no label of theirs; intervals are drawn with the shift held.

    Args:
        probability: (N, K).
        prior:       (K,) positive, sums to 1.
    """
    prior, logits = prior / prior.sum(), np.log(np.maximum(probability, 1e-300))
    odds, shift = probability, np.zeros(len(prior))
    for _ in range(max_iterations):
        odds = softmax(logits + shift, axis=1)
        step = np.log(prior / np.maximum(odds.mean(axis=0), 1e-300))
        if np.abs(step).max() < 1e-9:
            break
        shift += step
    return odds


def evaluate_task(
    config: EvalConfig, model: CLIP, name: str, task: Task, answers: Answers, photographs: Photographs
) -> ClassificationResult:
    """One task: metrics with intervals in each language, beside what needs no picture at all."""
    classes = {key: task.classes[key] for key in answers.classes}
    languages = ("zh", "en", "both") if config.lang == "both" else (config.lang,)
    sizes, made = np.array(list(answers.classes.values()), float), {}
    for lang in languages:
        embeddings = photographs.embeddings[answers.rows]
        probability = classify(model, embeddings, list(classes.values()), lang, config.aggregation)
        if config.prior != "none":
            probability = matched(probability, sizes if config.prior == "set" else np.ones(len(sizes)))
        made[lang] = probability
    found = core.result(
        "zero-shot",
        name,
        task,
        answers,
        prompts={key: {one: list(each.texts(one)) for one in ("zh", "en")} for key, each in classes.items()},
        metrics={row: core.measure(config, answers, each, task.ordinal) for row, each in made.items()},
        reliability={row: metrics.reliability(answers.truth, each) for row, each in made.items()},
        confusion={row: confusion(answers.truth, each).tolist() for row, each in made.items()},
    )
    if config.by:
        found.subgroups = subgroups.evaluate(
            config.by, photographs.table, answers, made, config.n_bootstrap, config.seed
        )
    if not config.probabilities:
        return found
    told = photographs.table.select(["id", "subject_id"]).take(pa.array(answers.rows)).to_pydict()
    return found.with_calls(Calls(told["id"], told["subject_id"], list(classes), answers.truth, made))
