"""What a training is told of itself at each checkpoint, on pictures that it does not learn from."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch

from clip import inputs, prompts
from clip.evaluation import core, diagnostics
from clip.inputs.listing import COLUMNS
from clip.inputs.sets import Data
from clip.training import batches, objective, watching
from clip.training.config import TrainConfig
from synth.base import ties
from synth.base.errors import UserError


class HeldOut(NamedTuple):
    """What each validation looks at."""

    pairs: batches.Pairs | None
    """The captioned pictures of the validation split; None where it has none."""
    table: pa.Table
    """Labels and patients, in the row order of its pictures."""
    labelled: watching.Watched | None = None
    """The photographs of the validation split, where they are judged by labels and have no captions."""
    watched: watching.Watched | None = None
    """Those of `config.watch`."""


class HeldOutFeatures(NamedTuple):
    """What a CLIP makes of n held-out pairs."""

    chosen: np.ndarray
    """(n,) their numbers among the pairs."""
    image_features: np.ndarray
    """(n, D) float32 of unit length."""
    text_features: np.ndarray
    """(n, D) float32 of unit length."""
    meaning: np.ndarray
    """(n,) int64; equal where captions say the same."""
    loss: float
    """Mean over batches."""


def held_out(config: TrainConfig, data: Data, run: Path) -> HeldOut:
    """The validation split, if there is any, and what `config.watch` names.

    Raises:
        UserError: a task is unknown, or there is nothing to judge it on.
    """
    for name in config.zero_shot:
        prompts.tasks(name)
    source, watched = inputs.opened(data), watching.load(config)
    table = source.table("validation", COLUMNS)
    if not config.validation or not len(source.pictures("validation")):
        if config.zero_shot:
            raise UserError(
                f"zero_shot={list(config.zero_shot)}: {data} has no validation split; give it one, or set zero_shot=[]"
            )
        return HeldOut(None, table, watched=watched)
    if config.zero_shot and not batches.is_captioned(data, "validation", config.caption):
        names = config.zero_shot
        return HeldOut(None, table, watching.of(config, data, ["validation"], names, "zero_shot"), watched)
    loading = (run / "cache", config.decode, config.workers)
    pairs = batches.load(data, "validation", config.model, config.caption, *loading)
    if config.zero_shot:
        shown = table.take(pa.array(pairs.rows[_chosen(config, pairs)]))
        watching.answered(config.zero_shot, shown, f"zero_shot={list(config.zero_shot)}: {data}, validation,")
    return HeldOut(pairs, table, watched=watched)


def validate(config: TrainConfig, learner: objective.Learner, split: HeldOut, images: int) -> dict[str, Any]:
    """Loss, how often a picture's own caption is nearest among all, spread of the embeddings, zero-shot, what is watched.

    A collapsed encoder is warned of once warm-up is over: towers start out collapsed.
    """
    learner.eval()
    found: dict[str, Any] = {"validation_loss": None, "validation_accuracy": None}
    if split.pairs is not None:
        found |= _validated(config, learner, split.pairs, split.table, images)
    if split.labelled is not None:
        found["zero_shot"] = watching.evaluate(config, learner.clip, split.labelled)
    if split.watched is not None:
        found["watch"] = watching.evaluate(config, learner.clip, split.watched)
    learner.train()
    return found


def _validated(
    config: TrainConfig, learner: objective.Learner, pairs: batches.Pairs, table: pa.Table, images: int
) -> dict[str, Any]:
    """What the captioned pictures of the validation split tell."""
    held = _look(config, learner, pairs)
    nearest = ties.first_largest(held.image_features.astype(float) @ held.text_features.T)
    found: dict[str, Any] = {
        "validation_loss": held.loss,
        "validation_accuracy": float((held.meaning[nearest] == held.meaning).mean()),
        **_health(learner, held, warn=images > config.warmup),
    }
    if config.zero_shot:
        shown = core.Photographs(held.image_features, table.take(pa.array(pairs.rows[held.chosen])))
        tasks = {key: task for name in config.zero_shot for key, task in prompts.tasks(name).items()}
        found["zero_shot"] = watching.evaluate_embedded(config, learner.clip, tasks, shown)
    return found


def _chosen(config: TrainConfig, pairs: batches.Pairs) -> np.ndarray:
    """(n,) the numbers of the pairs that are judged."""
    return np.random.default_rng(config.seed).permutation(len(pairs.rows))[: config.validation]


@torch.inference_mode()
def _look(config: TrainConfig, learner: objective.Learner, pairs: batches.Pairs) -> HeldOutFeatures:
    place = next(learner.parameters()).device
    chosen = _chosen(config, pairs)
    language = np.arange(len(chosen)) % pairs.caption.shape[1]
    image_features, text_features, meanings, lost = [], [], [], 0.0
    for part in _parts(len(chosen), config.micro_batch or config.batch):
        step = batches.take(pairs, chosen[part], language[part])
        squares = step.pixels.to(place).permute(0, 3, 1, 2).float() / 255
        features = learner(squares, step.tokens.to(place))
        targets = objective.Targets(step.meaning.to(place), step.labels.to(place))
        lost += objective.image_text(config, features, targets).item() * len(step.meaning)
        image_features.append(features["image_features"].float().cpu())
        text_features.append(features["text_features"].float().cpu())
        meanings.append(step.meaning)
    joined = (torch.cat(each).numpy() for each in (image_features, text_features, meanings))
    return HeldOutFeatures(chosen, *joined, loss=lost / len(chosen))


def _health(learner: objective.Learner, held: HeldOutFeatures, warn: bool) -> dict[str, float]:
    """How near different captions, and different pictures, lie to one another; what is wrong with that, as a warning."""
    different = np.unique(held.meaning, return_index=True)[1]
    if len(different) < 2:
        return {}
    scale = learner.clip.logit_scale.exp().item()
    verdicts = diagnostics.examine(held.text_features[different], held.image_features, scale)
    for verdict in verdicts:
        if warn and not verdict.healthy:
            logging.getLogger("clip").warning(verdict.line)
    return {
        f"{verdict.name}_cosine": verdict.measured["mean"]
        for verdict in verdicts
        if "mean" in verdict.measured
    }


def _parts(length: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, length, size))
