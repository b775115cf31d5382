"""What a training is told of itself at each checkpoint, on pictures that it does not learn from."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch

from clip import inputs, prompts
from clip.evaluation import core, diagnostics, zero_shot
from clip.inputs.listing import COLUMNS
from clip.inputs.sets import Data
from clip.training import batches, objective
from clip.training.config import TrainConfig
from synth.base import ties
from synth.base.errors import UserError

_N_BOOTSTRAP = 200  # bootstrap samples behind an interval; a report draws more


class HeldOut(NamedTuple):
    """The validation split."""

    pairs: batches.Pairs
    table: pa.Table
    """Labels and patients, in the row order of its pictures."""


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


def held_out(config: TrainConfig, data: Data, run: Path) -> HeldOut | None:
    """The validation split, if there is any.

    Raises:
        UserError: a task of `config.zero_shot` is unknown, or there is nothing to judge it on.
    """
    for name in config.zero_shot:
        prompts.tasks(name)
    source = inputs.opened(data)
    if not config.validation or not len(source.pictures("validation")):
        if config.zero_shot:
            raise UserError(
                f"zero_shot={list(config.zero_shot)}: {data} has no validation split; give it one, or set zero_shot=[]"
            )
        return None
    loading = (run / "cache", config.decode, config.workers)
    pairs = batches.load(data, "validation", config.model, config.caption, *loading)
    return HeldOut(pairs, source.table("validation", COLUMNS))


def validate(
    config: TrainConfig, learner: objective.Learner, split: HeldOut | None, images: int
) -> dict[str, Any]:
    """Loss, how often a picture's own caption is nearest among all, spread of the embeddings, and zero-shot.

    A collapsed encoder is warned of once warm-up is over: towers start out collapsed.
    """
    if split is None:
        return {"validation_loss": None, "validation_accuracy": None}
    learner.eval()
    held = _look(config, learner, split.pairs)
    nearest = ties.first_largest(held.image_features.astype(float) @ held.text_features.T)
    found: dict[str, Any] = {
        "validation_loss": held.loss,
        "validation_accuracy": float((held.meaning[nearest] == held.meaning).mean()),
        **_health(learner, held, warn=images > config.warmup),
    }
    if config.zero_shot:
        found["zero_shot"] = _zero_shot(config, learner, split, held)
    learner.train()
    return found


@torch.inference_mode()
def _look(config: TrainConfig, learner: objective.Learner, pairs: batches.Pairs) -> HeldOutFeatures:
    place = next(learner.parameters()).device
    chosen = np.random.default_rng(config.seed).permutation(len(pairs.rows))[: config.validation]
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


def _zero_shot(
    config: TrainConfig, learner: objective.Learner, split: HeldOut, held: HeldOutFeatures
) -> dict[str, Any]:
    """Metrics with intervals, n and patients of each task that the split answers."""
    settings = zero_shot.EvalConfig(lang=config.caption, n_bootstrap=_N_BOOTSTRAP, seed=config.seed)
    table = split.table.take(pa.array(split.pairs.rows[held.chosen]))
    shown = core.Photographs(held.image_features, table)
    found = {}
    for key, task in {
        key: task for name in config.zero_shot for key, task in prompts.tasks(name).items()
    }.items():
        answers = core.answers(task, table, settings.min_count)
        if len(answers.classes) >= 2:
            result = zero_shot.evaluate_task(settings, learner.clip, key, task, answers, shown)
            found[key] = {
                "n": result.n,
                "patients": result.patients,
                **{name: each.model_dump() for name, each in result.metrics[config.caption].items()},
            }
    return found


def _parts(length: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, length, size))
