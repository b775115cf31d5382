"""What one step of training computes: features of its parts, losses over the batch, gradients."""

from collections.abc import Sequence
from functools import partial

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from clip.augmentation.augment import augment
from clip.model.encoders import trimmed
from clip.training import batches, caching, objective
from clip.training.config import TrainConfig
from clip.training.distillation import Teacher
from synth.base.device import moved
from synth.base.order import step_seed


def gradients(
    config: TrainConfig,
    accelerator: Accelerator,
    model: nn.Module,
    teacher: Teacher | None,
    step: Sequence[tuple[int, batches.Batch]],
) -> dict[str, Tensor]:
    """Add the gradients of a step's parts to the parameters; returns the losses, for the record."""
    targets = _targets(config, teacher, step, accelerator)
    forwards = [partial(_forward, config, model, part, at) for at, part in step]
    return caching.backward(accelerator, model, forwards, partial(_loss, config, targets))


def _forward(config: TrainConfig, model: nn.Module, part: batches.Batch, start: int) -> caching.Features:
    """What `model` makes of the pairs at positions from `start` on.

    Randomness is a function of position: a resumed run draws what an uninterrupted one would, and a second pass over
    the same pairs what the first did.
    """
    place = next(model.parameters()).device
    others = {
        name: _pictures(config, moved(pixels, place), start, use)
        for use, (name, pixels) in enumerate((part.others or {}).items(), 1)
    }
    torch.manual_seed(step_seed(config.seed, 0, start))
    # What is compiled wants one length; else the padding that nobody needs is cut off before it is copied.
    tokens = part.tokens if config.compile else trimmed(part.tokens)
    return model(_pictures(config, moved(part.pixels, place), start), moved(tokens, place), others)


def _pictures(config: TrainConfig, pixels: Tensor, start: int, use: int = 0) -> Tensor:
    """(B, 3, S, S) in [0, 1], changed by draws that `start` and `use` alone tell; of use 0 are the captioned ones."""
    generator = torch.Generator().manual_seed(step_seed(config.seed, use, start))
    changed = augment(pixels, config.augment, generator)
    return changed.contiguous(memory_format=torch.channels_last)


def _targets(
    config: TrainConfig,
    teacher: Teacher | None,
    step: Sequence[tuple[int, batches.Batch]],
    accelerator: Accelerator,
) -> objective.Targets:
    """What is known of the batch of which this process has some parts, and what the teacher makes of it."""
    parts, place = [part for _, part in step], accelerator.device
    batch_targets = {
        name: moved(torch.cat([getattr(part, name) for part in parts]), place)
        for name in ("meaning", "labels", "subject", "teacher_captions")
        if getattr(parts[0], name) is not None
    }
    if teacher:
        with accelerator.autocast():
            batch_targets["image_features"] = torch.cat(
                [teacher.encode_images(_pictures(config, moved(part.pixels, place), at)) for at, part in step]
            )
    batch_targets = {name: caching.gathered(values) for name, values in batch_targets.items()}
    teacher_logits = (
        teacher.logits(batch_targets.pop("image_features"), batch_targets.pop("teacher_captions"))
        if teacher
        else None
    )
    return objective.Targets(**batch_targets, teacher_logits=teacher_logits)


def _loss(
    config: TrainConfig, targets: objective.Targets, features: caching.Features
) -> tuple[Tensor, dict[str, Tensor]]:
    """The sum that is made small, and what it and its parts are, for the record."""
    found = objective.named_losses(config, features, targets)
    value = objective.total(config, found)
    named = {f"loss_{name}": loss.detach() for name, loss in found.items()} if len(found) > 1 else {}
    return value, {"loss": value.detach(), **named}
