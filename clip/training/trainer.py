"""One loop that trains a CLIP; repeated, it goes on from where it was, to the same weights."""

import time
from collections.abc import Iterator
from math import cos, isfinite, pi
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from clip import embed, losses
from clip.encoders import CLIP, LOG_SCALE_LIMITS, build, normalise, standardise
from clip.training import batches, resume
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
    # Without `cpu`, several processes on a machine without a GPU would each train alone.
    accelerator = Accelerator(mixed_precision=_precision(config.precision), cpu=not torch.cuda.is_available())
    source = data_fingerprint(data)
    wanted = {"config": config.model_dump(mode="json"), "data": source}
    with accelerator.main_process_first():
        runs.claim(run, "config.json", wanted, "run")
    path = run / "ckpt.pt"
    if path.exists() and embed.load_checkpoint(path)[1]["images"] >= config.images:
        if accelerator.is_main_process:
            resume.clear(run)
        return path
    ranks, rank = accelerator.num_processes, accelerator.process_index
    if config.batch % ranks:
        raise UserError(
            f"batch={config.batch} must be a multiple of the {ranks} GPUs; set batch={config.batch // ranks * ranks}"
        )
    with accelerator.main_process_first():
        pairs = batches.load(data, "train", config.model, config.caption, run / "cache")
        held_out = _held_out(config, data, run)
    model = build(config.model, config.seed)
    model.to(memory_format=torch.channels_last)  # a quarter faster on the CPU
    optimizer = torch.optim.AdamW(_groups(model, config), lr=config.lr, betas=config.betas, eps=config.eps)
    images = resume.load(run, model, optimizer)
    wrapped, optimizer = accelerator.prepare(model, optimizer)
    if accelerator.is_main_process:
        runs.rewind_metrics(run / "metrics.jsonl", images)
    total = -(-config.images // config.batch) * config.batch
    share = config.batch // ranks
    history: list[Tensor] = []
    since = time.monotonic()
    bar = runs.progress("clip train", total, images)

    while images < total:
        # Randomness is a function of position, so a resumed run draws what an uninterrupted one would.
        key = step_seed(config.seed, rank, images)
        torch.manual_seed(key)
        for group in optimizer.param_groups:
            group["lr"] = rate(config, images + config.batch)

        step = batches.batch(pairs, config.seed, images + rank * share, share)
        pixels, tokens, meaning = (part.to(accelerator.device) for part in step)
        pictures = pixels.permute(0, 3, 1, 2).float() / 255
        pictures = augment(pictures, config.augment, torch.Generator().manual_seed(key))
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        seen, read, scale = wrapped(standardise(pictures), tokens)
        seen, read, meaning = (_everyones(part, ranks) for part in (seen, read, meaning))
        loss = _loss(config, seen, read, scale, meaning)
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            model.logit_scale.clamp_(*LOG_SCALE_LIMITS)

        history.append(loss.detach())
        before, images = images, images + config.batch
        bar.update(config.batch)
        if images // config.save_every > before // config.save_every or images == total:
            mean = torch.stack(history).mean().item()
            if not isfinite(mean):
                raise UserError(
                    f"{run}: the loss is {mean} at {images} images; train anew with less than lr={config.lr}"
                )
            history.clear()
            if accelerator.is_main_process:
                line = {"images": images, "loss": mean, "lr": rate(config, images)}
                line |= {"scale": model.logit_scale.exp().item()} | _validate(config, model, held_out)
                runs.append_metrics(run / "metrics.jsonl", **line, seconds=round(time.monotonic() - since, 2))
                resume.save(run, model, optimizer, config.model_dump(mode="json"), source, images)
                bar.set_postfix(loss=f"{mean:.3f}")
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


def _loss(config: TrainConfig, seen: Tensor, read: Tensor, scale: Tensor, meaning: Tensor) -> Tensor:
    if config.loss == "multi-positive":
        return losses.multi_positive(seen, read, scale, meaning)
    return losses.infonce(seen, read, scale)


def _everyones(features: Tensor, ranks: int) -> Tensor:
    """(B, D) of all GPUs from (B / ranks, D) of each, with gradients to each."""
    if ranks == 1:
        return features
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(features))


def _precision(wanted: str) -> str:
    if wanted == "bf16" or (
        wanted == "auto" and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    ):
        return "bf16"
    return "no"


def _groups(model: nn.Module, config: TrainConfig) -> list[dict[str, Any]]:
    """AdamW's parameters, with decay and without."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def _held_out(config: TrainConfig, data: Path, run: Path) -> batches.Pairs | None:
    """The pairs of the validation split, if there are any."""
    from synth.fundus.records import shards

    if not config.validation or not shards(data, "validation"):
        return None
    return batches.load(data, "validation", config.model, config.caption, run / "cache")


@torch.inference_mode()
def _validate(config: TrainConfig, model: CLIP, pairs: batches.Pairs | None) -> dict[str, float | None]:
    """Loss in batches, and how often a picture's own caption is nearest among all captions of the split."""
    if pairs is None:
        return {"validation_loss": None, "validation_accuracy": None}
    model.eval()
    place = next(model.parameters()).device
    chosen = np.random.default_rng(config.seed).permutation(len(pairs.rows))[: config.validation]
    language = np.arange(len(chosen)) % pairs.caption.shape[1]
    images, texts, meanings = [], [], []
    for part in _parts(len(chosen), config.batch):
        step = batches.take(pairs, chosen[part], language[part])
        seen, read, scale = model(normalise(step.pixels.to(place)), step.tokens.to(place))
        images.append(seen)
        texts.append(read)
        meanings.append(step.meaning.to(place))
    total = sum(
        _loss(config, seen, read, scale, meaning).item() * len(seen)
        for seen, read, meaning in zip(images, texts, meanings, strict=True)
    )
    nearest = (torch.cat(images) @ torch.cat(texts).T).argmax(dim=1)
    said = torch.cat(meanings)
    model.train()
    return {
        "validation_loss": total / len(chosen),
        "validation_accuracy": (said[nearest] == said).float().mean().item(),
    }


def _parts(length: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, length, size))
