"""One loop that trains a CLIP; repeated, it goes on from where it was, to the same weights."""

import time
from functools import partial
from math import cos, isfinite, pi
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from clip import embed
from clip.encoders import LOG_SCALE_LIMITS
from clip.training import batches, caching, objective, resume, validation
from clip.training.augment import augment
from clip.training.config import TrainConfig
from synth.base import runs
from synth.base.errors import UserError
from synth.base.order import step_seed
from synth.fundus.records import data_fingerprint


def train(config: TrainConfig, data: Path, run: Path) -> Path:
    """Train until `config.images` are seen; the same call again resumes, or does nothing if that is done.

    Writes `run/ckpt.pt`, `run/metrics.jsonl` (one line per checkpoint) and `run/config.json`; `run/state.pt`
    and `run/cache/` stand only while training is under way.  Returns the path of the checkpoint.
    """
    accelerator = _accelerator(config)
    source, path = data_fingerprint(data), run / "ckpt.pt"
    wanted = {"config": config.model_dump(mode="json"), "data": source}
    with accelerator.main_process_first():
        runs.claim(run, "config.json", wanted, "run")
    if path.exists() and embed.load_checkpoint(path)[1]["images"] >= config.images:
        if accelerator.is_main_process:
            resume.clear(run)
        return path
    with accelerator.main_process_first():
        pairs = batches.load(data, "train", config.model, config.caption, run / "cache")
        held_out = validation.held_out(config, data, run)
    learner = objective.Learner(config)
    learner.to(memory_format=torch.channels_last)  # a quarter faster on the CPU
    optimizer = torch.optim.AdamW(_groups(learner, config), lr=config.lr, betas=config.betas, eps=config.eps)
    images = resume.load(run, learner, optimizer)
    model, optimizer = accelerator.prepare(learner, optimizer)
    if accelerator.is_main_process:
        runs.rewind_metrics(run / "metrics.jsonl", images)
    total = -(-config.images // config.batch) * config.batch
    share = config.batch // accelerator.num_processes
    history: list[dict[str, Tensor]] = []
    since = time.monotonic()
    bar = runs.progress("clip train", total, images)

    while images < total:
        for group in optimizer.param_groups:
            group["lr"] = rate(config, images + config.batch)

        mine = range(
            images + accelerator.process_index * share, images + (accelerator.process_index + 1) * share
        )
        starts = mine[:: config.micro_batch or share]
        parts = [batches.batch(pairs, config.seed, at, min(starts.step, mine.stop - at)) for at in starts]
        targets = _targets(parts, accelerator.device)
        forwards = [
            partial(_forward, config, model, part, at) for part, at in zip(parts, starts, strict=True)
        ]
        history.append(caching.backward(accelerator, model, forwards, partial(_loss, config, targets)))
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            learner.clip.logit_scale.clamp_(*LOG_SCALE_LIMITS)

        before, images = images, images + config.batch
        bar.update(config.batch)
        if images // config.save_every > before // config.save_every or images == total:
            means = {name: torch.stack([step[name] for step in history]).mean().item() for name in history[0]}
            if not isfinite(means["loss"]):
                raise UserError(
                    f"{run}: the loss is {means['loss']} at {images} images; train anew with less than lr={config.lr}"
                )
            history.clear()
            if accelerator.is_main_process:
                line = {"images": images, **means, "lr": rate(config, images)}
                line |= {"scale": learner.clip.logit_scale.exp().item()}
                line |= validation.validate(config, learner, held_out)
                runs.append_metrics(run / "metrics.jsonl", **line, seconds=round(time.monotonic() - since, 2))
                resume.save(run, learner, optimizer, wanted["config"], source, images)
                bar.set_postfix(loss=f"{means['loss']:.3f}")
            accelerator.wait_for_everyone()
            since = time.monotonic()

    bar.close()
    if accelerator.is_main_process:
        resume.clear(run)
    return path


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
    key = step_seed(config.seed, 0, start)
    torch.manual_seed(key)
    place = next(model.parameters()).device
    pictures = part.pixels.to(place).permute(0, 3, 1, 2).float() / 255
    pictures = augment(pictures, config.augment, torch.Generator().manual_seed(key))
    return model(pictures.contiguous(memory_format=torch.channels_last), part.tokens.to(place))


def _targets(parts: list[batches.Batch], place: torch.device) -> objective.Targets:
    """What is known of the batch of which this process has some parts."""
    columns = ([part.meaning for part in parts], [part.labels for part in parts])
    return objective.Targets(*(caching.gathered(torch.cat(each).to(place)) for each in columns))


def _loss(
    config: TrainConfig, targets: objective.Targets, features: caching.Features
) -> tuple[Tensor, dict[str, Tensor]]:
    """The sum that is made small, and what it and its parts are, for the record."""
    found = objective.named_losses(config, features, targets)
    value = objective.total(config, found)
    named = {f"loss_{name}": loss.detach() for name, loss in found.items()} if len(found) > 1 else {}
    return value, {"loss": value.detach(), **named}


def _accelerator(config: TrainConfig) -> Accelerator:
    # Without `cpu`, several processes on a machine without a GPU would each train alone.
    accelerator = Accelerator(mixed_precision=_precision(config.precision), cpu=not torch.cuda.is_available())
    ranks = accelerator.num_processes
    if config.batch % ranks:
        raise UserError(
            f"batch={config.batch} must be a multiple of the {ranks} GPUs; set batch={config.batch // ranks * ranks}"
        )
    return accelerator


def _precision(wanted: str) -> str:
    if wanted == "bf16" or (
        wanted == "auto" and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    ):
        return "bf16"
    return "no"


def _groups(module: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """AdamW's parameters, with decay and without."""
    parameters = list(module.parameters())
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
