"""What a training is told of itself at each checkpoint, on pictures that it does not learn from."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clip.training import batches, objective
from clip.training.config import TrainConfig
from synth.fundus.records import shards


def held_out(config: TrainConfig, data: Path, run: Path) -> batches.Pairs | None:
    """The pairs of the validation split, if there are any."""
    if not config.validation or not shards(data, "validation"):
        return None
    return batches.load(data, "validation", config.model, config.caption, run / "cache")


@torch.inference_mode()
def validate(config: TrainConfig, learner: objective.Learner, pairs: batches.Pairs | None) -> dict[str, Any]:
    """Loss in batches, and how often a picture's own caption is nearest among all captions of the split."""
    if pairs is None:
        return {"validation_loss": None, "validation_accuracy": None}
    learner.eval()
    place = next(learner.parameters()).device
    chosen = np.random.default_rng(config.seed).permutation(len(pairs.rows))[: config.validation]
    language = np.arange(len(chosen)) % pairs.caption.shape[1]
    images, texts, meanings, lost = [], [], [], 0.0
    for part in _parts(len(chosen), config.batch):
        step = batches.take(pairs, chosen[part], language[part])
        pictures = step.pixels.to(place).permute(0, 3, 1, 2).float() / 255
        features = learner(pictures, step.tokens.to(place))
        targets = objective.Targets(step.meaning.to(place), step.labels.to(place))
        lost += objective.image_text(config, features, targets).item() * len(step.meaning)
        images.append(features["seen"])
        texts.append(features["read"])
        meanings.append(targets.meaning)
    nearest = (torch.cat(images) @ torch.cat(texts).T).argmax(dim=1)
    said = torch.cat(meanings)
    learner.train()
    return {
        "validation_loss": lost / len(chosen),
        "validation_accuracy": (said[nearest] == said).float().mean().item(),
    }


def _parts(length: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, length, size))
