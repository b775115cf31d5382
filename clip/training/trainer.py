"""One loop that trains a CLIP; repeated, it goes on from where it was, to the same weights."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import cos, pi
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from clip import inputs
from clip.inputs.sets import Data
from clip.model import checkpoints
from clip.model.encoders import LOG_SCALE_LIMITS
from clip.training import (
    cost,
    data_order,
    hardware,
    initial,
    objective,
    resume,
    validation,
    watching,
)
from clip.training.config import TrainConfig
from clip.training.distillation import Teacher
from clip.training.step import gradients
from synth.base import device, runs, stopping
from synth.base.divergence import LossWatch
from synth.base.lock import sole_writer
from synth.base.returns import returning

_FREE = tuple(
    f"config.{key}"
    for key in (
        "decode",
        "workers",
        "gradient_checkpointing",
        "compile",
        "trackers",
        "deterministic",
        "on_nan",
    )
)
_KEPT_EVERY = 900  # seconds after which a run is kept between two checkpoints, which may lie hours apart


def train(config: TrainConfig, data: Data, run: Path, tell: runs.Tell = runs.quiet) -> Path:
    """Train until `config.images` are seen; the same call again resumes, or does nothing if that is done.

    Writes `run/ckpt.pt`, `run/ckpt-best.pt` where something tells which is, `run/metrics.jsonl` (one line per checkpoint) and `run/config.json`; `run/state.pt`
    and `run/cache/` stand only while training is under way.  Stopped by Ctrl-C or SIGTERM, it keeps all finished steps
    in the same files.  Returns the path of the checkpoint.

    Args:
        tell: is given the lines that say what the training will take, before it begins.
    """
    with sole_writer(run):
        return returning(run, config.on_nan, lambda: _train(config, data, run, tell), tell)


def _train(config: TrainConfig, data: Data, run: Path, tell: runs.Tell) -> Path:
    """The same, once nobody else writes to `run`."""
    accelerator = hardware.accelerator(config, run)
    teacher = Teacher(config.teacher, accelerator.device) if config.teacher else None
    path, wanted = run / "ckpt.pt", _provenance(config, data, teacher)
    with accelerator.main_process_first():
        runs.claim(run, "config.json", wanted, "run", free=_FREE)
    if path.exists() and (checkpoints.load(path)[1].images or 0) >= config.images:
        if accelerator.is_main_process:
            resume.clear(run)
        tell([f"{run}: finished, its {config.images:,} images are seen; nothing to do"])
        return path
    if over := [*watching.finished(config, run)]:
        tell(over)
        return path
    tell(cost.lines(config, data, run))
    with accelerator.main_process_first():
        pairs, held_out = data_order.pairs(config, data, run), validation.held_out(config, data, run)
    pairs = teacher.encode_captions(data, config.caption, pairs) if teacher else pairs
    learner, optimizer = _learner(config)
    progress = resume.Progress(run, learner, optimizer, wanted)
    model, optimizer = accelerator.prepare(learner, optimizer)
    accelerator.init_trackers("visionclip")
    if accelerator.is_main_process:
        runs.rewind_metrics(run / "metrics.jsonl", progress.images)
    total = -(-config.images // config.batch) * config.batch
    share = config.batch // accelerator.num_processes
    mine = range(progress.images + accelerator.process_index * share, total, config.batch)
    steps = data_order.steps(config, pairs, mine, share)
    since, watch = time.monotonic(), LossWatch(run, "ckpt.pt", progress.images)
    bar = runs.progress("clip train", total, progress.images)

    with _stoppable(config, accelerator, progress, watch, run):
        while progress.images < total:
            for group in optimizer.param_groups:
                group["lr"] = group["scale"] * watch.slowed(
                    rate(config, progress.images + config.batch), progress.images
                )
            losses = gradients(config, accelerator, model, teacher, next(steps))
            watch.step(losses["loss"], progress.images + config.batch, optimizer.param_groups[0]["lr"])
            with stopping.put_off():
                optimizer.step()
                optimizer.zero_grad()
                with torch.no_grad():
                    learner.clip.logit_scale.clamp_(*LOG_SCALE_LIMITS)
                progress.step(losses, config.batch)
            bar.update(config.batch)
            images = progress.images
            if images % config.save_every < config.batch or images == total:
                watch.settle()
                loss = _checkpoint(config, accelerator, learner, held_out, progress, run, since)
                bar.set_postfix(loss=f"{loss:.3f}")
                since, watch.kept = time.monotonic(), images
                if watching.is_over(config, runs.read_metrics(run / "metrics.jsonl")):
                    tell(watching.finished(config, run))
                    break
            elif accelerator.is_main_process and time.monotonic() - progress.kept > _KEPT_EVERY:
                watch.settle()
                progress.save()
                watch.kept = images

    bar.close()
    accelerator.end_training()
    if accelerator.is_main_process:
        resume.clear(run)
    return path


def _learner(config: TrainConfig) -> tuple[objective.Learner, torch.optim.AdamW]:
    """What is trained, as it starts, and what trains it."""
    learner = objective.Learner(config).to(memory_format=torch.channels_last)  # a quarter faster on the CPU
    if config.gradient_checkpointing:
        hardware.checkpoint_towers(learner.clip)
    groups = initial.groups(config.initial, learner, learner.clip, config.weight_decay)
    return learner, device.adamw(groups, lr=config.lr, betas=config.betas, eps=config.eps)


def _checkpoint(
    config: TrainConfig,
    accelerator: Accelerator,
    learner: objective.Learner,
    held_out: validation.HeldOut,
    progress: resume.Progress,
    run: Path,
    since: float,
) -> float:
    """Validate, write a line of metrics and the checkpoint; returns the mean loss since the last."""
    images = progress.images
    line = {"images": images, **_means(progress.history), "lr": rate(config, images)}
    if accelerator.is_main_process:
        line |= {"scale": learner.clip.logit_scale.exp().item()}
        line |= validation.validate(config, learner, held_out, images)
        why = watching.best(config, line, runs.read_metrics(run / "metrics.jsonl"))
        line |= {"best": why} if why else {}
    with stopping.put_off():
        progress.history.clear()
        if accelerator.is_main_process:
            if "best" in line:
                progress.save_best(line["best"])
            seconds = round(time.monotonic() - since, 2)
            runs.append_metrics(run / "metrics.jsonl", **line, seconds=seconds)
            progress.save()
            accelerator.log(hardware.flat(line), step=images)
    accelerator.wait_for_everyone()
    return line["loss"]


def _provenance(config: TrainConfig, data: Data, teacher: Teacher | None) -> dict[str, Any]:
    """All that decides what the weights become."""
    return {
        "config": config.model_dump(mode="json"),
        "data": inputs.opened(data).fingerprint,
        "initial": initial.provenance(config.initial),
        "teacher": teacher and teacher.fingerprint,
    } | watching.provenance(config)


@contextmanager
def _stoppable(
    config: TrainConfig, accelerator: Accelerator, progress: resume.Progress, watch: LossWatch, run: Path
) -> Iterator[None]:
    """Keep every finished step when Ctrl-C or SIGTERM comes, in `run/ckpt.pt` and in what resumes it."""
    try:
        yield
    except KeyboardInterrupt as stop:
        with stopping.put_off():
            watch.settle()
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


def _means(history: Sequence[dict[str, Tensor]]) -> dict[str, float]:
    """The mean of each loss since the last checkpoint."""
    place = history[-1]["loss"].device  # what an earlier process noted is on the CPU
    return {
        name: torch.stack([step[name].to(place) for step in history]).mean().item() for name in history[0]
    }


def rate(config: TrainConfig, images: int) -> float:
    """The learning rate of the step that ends at `images`: linear warm-up, then half a cosine to 0."""
    if images <= config.warmup:
        return config.lr * images / config.warmup
    gone = min(1.0, (images - config.warmup) / max(1, config.images - config.warmup))
    return config.lr * (1 + cos(pi * gone)) / 2
