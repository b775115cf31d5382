"""One loop that trains a CLIP; repeated, it goes on from where it was, to the same weights."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import cos, isfinite, pi
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from clip.augmentation.augment import augment
from clip.model import checkpoints
from clip.model.encoders import LOG_SCALE_LIMITS
from clip.training import (
    batches,
    caching,
    cost,
    data_order,
    hardware,
    initial,
    inputs,
    objective,
    resume,
    validation,
)
from clip.training.config import TrainConfig
from clip.training.distillation import Teacher
from synth.base import runs, stopping
from synth.base.errors import UserError
from synth.base.order import step_seed

_FREE = tuple(
    f"config.{key}" for key in ("decode", "workers", "gradient_checkpointing", "compile", "trackers")
)
_KEPT_EVERY = 900  # seconds after which a run is kept between two checkpoints, which may lie hours apart


def train(config: TrainConfig, data: Path, run: Path, tell: runs.Tell = runs.quiet) -> Path:
    """Train until `config.images` are seen; the same call again resumes, or does nothing if that is done.

    Writes `run/ckpt.pt`, `run/metrics.jsonl` (one line per checkpoint) and `run/config.json`; `run/state.pt`
    and `run/cache/` stand only while training is under way.  Stopped by Ctrl-C or SIGTERM, it keeps all finished steps
    in the same files.  Returns the path of the checkpoint.

    Args:
        tell: is given the lines that say what the training will take, before it begins.
    """
    accelerator = hardware.accelerator(config, run)
    teacher = Teacher(config.teacher, accelerator.device) if config.teacher else None
    path, wanted = run / "ckpt.pt", _provenance(config, data, teacher)
    with accelerator.main_process_first():
        runs.claim(run, "config.json", wanted, "run", free=_FREE)
    if path.exists() and checkpoints.load(path)[1].images >= config.images:
        if accelerator.is_main_process:
            resume.clear(run)
        tell([f"{run}: finished, its {config.images:,} images are seen; nothing to do"])
        return path
    tell(cost.lines(config, data, run))
    with accelerator.main_process_first():
        pairs, held_out = data_order.pairs(config, data, run), validation.held_out(config, data, run)
    pairs = teacher.encode_captions(data, config.caption, pairs) if teacher else pairs
    learner = objective.Learner(config).to(memory_format=torch.channels_last)  # a quarter faster on the CPU
    if config.gradient_checkpointing:
        hardware.checkpoint_towers(learner.clip)
    groups = initial.groups(config.initial, learner, learner.clip, config.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps)
    progress = resume.Progress(run, learner, optimizer, wanted)
    model, optimizer = accelerator.prepare(learner, optimizer)
    accelerator.init_trackers("visionclip")
    if accelerator.is_main_process:
        runs.rewind_metrics(run / "metrics.jsonl", progress.images)
    total = -(-config.images // config.batch) * config.batch
    share = config.batch // accelerator.num_processes
    mine = range(progress.images + accelerator.process_index * share, total, config.batch)
    steps = data_order.steps(config, pairs, mine, share)
    since = time.monotonic()
    bar = runs.progress("clip train", total, progress.images)

    with _stoppable(config, accelerator, progress, run):
        while progress.images < total:
            for group in optimizer.param_groups:
                group["lr"] = group["scale"] * rate(config, progress.images + config.batch)

            step = next(steps)
            targets = _targets(config, teacher, step, accelerator)
            forwards = [partial(_forward, config, model, part, at) for at, part in step]
            losses = caching.backward(accelerator, model, forwards, partial(_loss, config, targets))
            with stopping.put_off():
                optimizer.step()
                optimizer.zero_grad()
                with torch.no_grad():
                    learner.clip.logit_scale.clamp_(*LOG_SCALE_LIMITS)
                progress.step(losses, config.batch)

            bar.update(config.batch)
            images = progress.images
            if images % config.save_every < config.batch or images == total:
                line = {
                    "images": images,
                    **_means(config, progress.history, run, images),
                    "lr": rate(config, images),
                }
                if accelerator.is_main_process:
                    line |= {"scale": learner.clip.logit_scale.exp().item()}
                    line |= validation.validate(config, learner, held_out, images)
                with stopping.put_off():
                    progress.history.clear()
                    if accelerator.is_main_process:
                        runs.append_metrics(
                            run / "metrics.jsonl", **line, seconds=round(time.monotonic() - since, 2)
                        )
                        progress.save()
                        accelerator.log(hardware.flat(line), step=images)
                        bar.set_postfix(loss=f"{line['loss']:.3f}")
                accelerator.wait_for_everyone()
                since = time.monotonic()
            elif accelerator.is_main_process and time.monotonic() - progress.kept > _KEPT_EVERY:
                _means(config, progress.history, run, images)
                progress.save()

    bar.close()
    accelerator.end_training()
    if accelerator.is_main_process:
        resume.clear(run)
    return path


def _provenance(config: TrainConfig, data: Path, teacher: Teacher | None) -> dict[str, Any]:
    """All that decides what the weights become."""
    return {
        "config": config.model_dump(mode="json"),
        "data": inputs.opened(data).fingerprint,
        "initial": initial.provenance(config.initial),
        "teacher": teacher and teacher.fingerprint,
    }


@contextmanager
def _stoppable(
    config: TrainConfig, accelerator: Accelerator, progress: resume.Progress, run: Path
) -> Iterator[None]:
    """Keep every finished step when Ctrl-C or SIGTERM comes, in `run/ckpt.pt` and in what resumes it."""
    try:
        yield
    except KeyboardInterrupt as stop:
        with stopping.put_off():
            if progress.history:
                _means(config, progress.history, run, progress.images)
            if accelerator.is_main_process:
                progress.save()
        holds = (
            "what they taught"
            if progress.images
            else "the weights that it began with, which know nothing yet"
        )
        raise stopping.Stopped(
            f"{run}: stopped after {progress.images:,} of {config.images:,} images; ckpt.pt holds {holds}, and the same command "
            "goes on from there",
            stopping.number(stop),
        ) from None


def _means(
    config: TrainConfig, history: Sequence[dict[str, Tensor]], run: Path, images: int
) -> dict[str, float]:
    """The mean of each loss since the last checkpoint.

    Raises:
        UserError: it is no number.
    """
    place = history[-1]["loss"].device  # what an earlier process noted is on the CPU
    means = {
        name: torch.stack([step[name].to(place) for step in history]).mean().item() for name in history[0]
    }
    if not isfinite(means["loss"]):
        raise UserError(
            f"{run}: the loss is {means['loss']} at {images} images; train anew with less than lr={config.lr}"
        )
    return means


def rate(config: TrainConfig, images: int) -> float:
    """The learning rate of the step that ends at `images`: linear warm-up, then half a cosine to 0."""
    if images <= config.warmup:
        return config.lr * images / config.warmup
    gone = min(1.0, (images - config.warmup) / max(1, config.images - config.warmup))
    return config.lr * (1 + cos(pi * gone)) / 2


def _forward(config: TrainConfig, model: nn.Module, part: batches.Batch, start: int) -> caching.Features:
    """What `model` makes of the pairs at positions from `start` on.

    Randomness is a function of position: a resumed run draws what an uninterrupted one would, and a second pass over
    the same pairs what the first did.
    """
    place = next(model.parameters()).device
    others = {
        name: _pictures(config, pixels.to(place), start, use)
        for use, (name, pixels) in enumerate((part.others or {}).items(), 1)
    }
    torch.manual_seed(step_seed(config.seed, 0, start))
    return model(_pictures(config, part.pixels.to(place), start), part.tokens.to(place), others)


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
        name: torch.cat([getattr(part, name) for part in parts]).to(place)
        for name in ("meaning", "labels", "subject", "teacher_captions")
        if getattr(parts[0], name) is not None
    }
    if teacher:
        with accelerator.autocast():
            batch_targets["image_features"] = torch.cat(
                [teacher.encode_images(_pictures(config, part.pixels.to(place), at)) for at, part in step]
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
