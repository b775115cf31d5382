"""One loop that trains a CLIP; repeated, it goes on from where it was, to the same weights."""

import time
from collections.abc import Sequence
from functools import partial
from math import cos, isfinite, pi
from pathlib import Path

import torch
from torch import Tensor, nn

from clip import embed
from clip.encoders import LOG_SCALE_LIMITS
from clip.training import batches, caching, hardware, initial, inputs, objective, resume, validation, walk
from clip.training.augment import augment
from clip.training.config import TrainConfig
from synth.base import runs
from synth.base.errors import UserError
from synth.base.order import step_seed

_FREE = tuple(
    f"config.{key}" for key in ("decode", "workers", "gradient_checkpointing", "compile", "trackers")
)


def train(config: TrainConfig, data: Path, run: Path) -> Path:
    """Train until `config.images` are seen; the same call again resumes, or does nothing if that is done.

    Writes `run/ckpt.pt`, `run/metrics.jsonl` (one line per checkpoint) and `run/config.json`; `run/state.pt`
    and `run/cache/` stand only while training is under way.  Returns the path of the checkpoint.
    """
    accelerator = hardware.accelerator(config, run)
    path, wanted = run / "ckpt.pt", {"config": config.model_dump(mode="json")}
    wanted |= {"data": inputs.opened(data).fingerprint, "initial": initial.provenance(config.initial)}
    with accelerator.main_process_first():
        runs.claim(run, "config.json", wanted, "run", free=_FREE)
    if path.exists() and embed.load_checkpoint(path)[1]["images"] >= config.images:
        if accelerator.is_main_process:
            resume.clear(run)
        return path
    with accelerator.main_process_first():
        pairs, held_out = walk.pairs(config, data, run), validation.held_out(config, data, run)
    learner = objective.Learner(config).to(memory_format=torch.channels_last)  # a quarter faster on the CPU
    if config.gradient_checkpointing:
        hardware.checkpoint_towers(learner.clip)
    groups = initial.groups(config.initial, learner, learner.clip, config.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps)
    images = resume.load(run, learner, optimizer)
    model, optimizer = accelerator.prepare(learner, optimizer)
    accelerator.init_trackers("visionclip")
    if accelerator.is_main_process:
        runs.rewind_metrics(run / "metrics.jsonl", images)
    total = -(-config.images // config.batch) * config.batch
    share = config.batch // accelerator.num_processes
    mine = range(images + accelerator.process_index * share, total, config.batch)
    steps = walk.steps(config, pairs, mine, share)
    history: list[dict[str, Tensor]] = []
    since = time.monotonic()
    bar = runs.progress("clip train", total, images)

    while images < total:
        for group in optimizer.param_groups:
            group["lr"] = group["scale"] * rate(config, images + config.batch)

        starts, parts = zip(*next(steps), strict=True)
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
            line = {"images": images, **_means(config, history, run, images), "lr": rate(config, images)}
            history.clear()
            if accelerator.is_main_process:
                line |= {"scale": learner.clip.logit_scale.exp().item()}
                line |= validation.validate(config, learner, held_out, images)
                runs.append_metrics(run / "metrics.jsonl", **line, seconds=round(time.monotonic() - since, 2))
                resume.save(run, learner, optimizer, wanted, images)
                accelerator.log(hardware.flat(line), step=images)
                bar.set_postfix(loss=f"{line['loss']:.3f}")
            accelerator.wait_for_everyone()
            since = time.monotonic()

    bar.close()
    accelerator.end_training()
    if accelerator.is_main_process:
        resume.clear(run)
    return path


def _means(
    config: TrainConfig, history: Sequence[dict[str, Tensor]], run: Path, images: int
) -> dict[str, float]:
    """The mean of each loss since the last checkpoint.

    Raises:
        UserError: it is no number.
    """
    means = {name: torch.stack([step[name] for step in history]).mean().item() for name in history[0]}
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

    def pictures(pixels: Tensor, use: int) -> Tensor:
        generator = torch.Generator().manual_seed(step_seed(config.seed, use, start))
        changed = augment(pixels.to(place), config.augment, generator)
        return changed.contiguous(memory_format=torch.channels_last)

    others = {
        name: pictures(pixels, use) for use, (name, pixels) in enumerate((part.others or {}).items(), 1)
    }
    torch.manual_seed(step_seed(config.seed, 0, start))
    return model(pictures(part.pixels, 0), part.tokens.to(place), others)


def _targets(parts: Sequence[batches.Batch], place: torch.device) -> objective.Targets:
    """What is known of the batch of which this process has some parts."""
    columns = [[part.meaning for part in parts], [part.labels for part in parts]]
    if parts[0].subject is not None:
        columns.append([part.subject for part in parts if part.subject is not None])
    return objective.Targets(*(caching.gathered(torch.cat(each).to(place)) for each in columns))


def _loss(
    config: TrainConfig, targets: objective.Targets, features: caching.Features
) -> tuple[Tensor, dict[str, Tensor]]:
    """The sum that is made small, and what it and its parts are, for the record."""
    found = objective.named_losses(config, features, targets)
    value = objective.total(config, found)
    named = {f"loss_{name}": loss.detach() for name, loss in found.items()} if len(found) > 1 else {}
    return value, {"loss": value.detach(), **named}
