"""What a training will take on this machine, counted before it begins."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

from clip import inputs
from clip.inputs.sets import Data
from clip.model.encoders import CLIP
from clip.training import batches, decoding, resume, summary
from clip.training.config import TrainConfig
from synth.base import disk_errors, speed
from synth.base.config import load
from synth.base.errors import UserError
from synth.data import classes

_LONG = 1  # hours from which on the smaller alternative is named
_STATES = 4  # times that the weights are on the disk: in ckpt.pt, and in state.pt with AdamW's two moments


class Counted(NamedTuple):
    """A CLIP in numbers."""

    parameters: int
    picture: int
    """Operations of the image tower for one picture."""
    text: int
    """Operations of the text tower for one text of the longest that it takes."""


def counted(config: TrainConfig) -> Counted:
    """Count the towers, without any memory for weights."""
    model, side = config.model, config.model.preprocessing.size
    with torch.device("meta"):
        clip = CLIP(model).eval()
        picture = _of_picture(clip, side)
        text = speed.operations(clip.bert, torch.zeros(1, model.context, dtype=torch.int64))
    return Counted(sum(p.numel() for p in clip.parameters()), picture, text)


def _of_picture(clip: CLIP, side: int) -> int:
    try:
        return speed.operations(clip.visual, torch.zeros(1, 3, side, side))
    except (RuntimeError, AssertionError, ValueError) as error:  # the words of timm and of torch
        name, reason = clip.config.image.name, " ".join(str(error).split())[:120]
        raise UserError(
            f"model.preprocessing.size={side}: '{name}' does not take pictures of that size ({reason}); give another size, "
            "mostly a larger one"
        ) from None


def cost(config: TrainConfig, images: int, rows: int, run: Path = Path("run")) -> speed.Cost:
    """The cost of training on so many `images` more, from a data set of `rows` pictures, under `run`."""
    found, weights, machine = counted(config), config.weights, speed.measured(torch.get_num_threads())
    together = bool(weights.image_text or weights.distillation)
    pictures = together + 2 * bool(weights.image_image) + bool(weights.reconstruction)
    twice = config.micro_batch is not None or config.gradient_checkpointing
    step = (speed.BACKWARD + twice) * (pictures * found.picture + together * found.text)
    size = decoding.decoded_size(rows, config.model.preprocessing)
    kept = size if decoding.is_kept(config.decode, size, run / "cache") else 0
    left_out = ["decoding"] + ["the teacher"] * bool(config.teacher)
    return speed.Cost(
        hours=machine.hours(images * step, speed.STEP),
        bytes=kept + found.parameters * 4 * _STATES,
        basis=f"{step / 1e9:.2g} GFLOP an image, {machine.basis}; {' and '.join(left_out)} not counted",
    )


def lines(config: TrainConfig, data: Data, run: Path) -> Iterator[str]:
    """What is said before a training begins, or goes on: where it writes, what it will take, and what takes less.

    Raises:
        UserError: there is nothing to train on; then nothing is said.
    """
    batches.caption_table(data, "train", config.caption)
    yield f"{run}: ckpt.pt is written there; Ctrl-C keeps what is done, and the same command goes on from there"
    yield from inputs.opened(data).notes
    yield from summary.lines(config, data)
    yield from _cost(config, photographs(data), resume.trained_images(run), run)
    opened = inputs.opened(data)
    tables = {split: opened.table(split, classes.COLUMNS) for split in ("train", "validation")}
    yield from filter(None, [classes.warning(tables, str(data))])


def dry_lines(config: TrainConfig, data: Data) -> Iterator[str]:
    """What a training would take; from no photographs where `data` is not there yet."""
    yield from _cost(config, photographs(data) if data.exists() else 0)


def photographs(data: Data) -> int:
    """How many of them a training decodes."""
    return sum(len(inputs.opened(data).table(split, ["id"])) for split in ("train", "validation"))


def _cost(config: TrainConfig, rows: int, seen: int = 0, run: Path = Path("run")) -> Iterator[str]:
    left, side = max(0, config.images - seen), config.model.preprocessing.size
    told = cost(config, left, rows, run)
    gone = f" more, after {seen:,}" if seen else ""
    yield f"{left:,} images{gone}, of {side} px from {rows:,} photographs: {told.words()} ({told.basis})"
    size, cache = decoding.decoded_size(rows, config.model.preprocessing), run / "cache"
    if config.decode == "auto" and not decoding.is_kept("auto", size, cache):
        yield (
            f"decoded they would take {size / 1e9:.3g} GB, and {disk_errors.free(cache) / 1e9:.3g} GB are free: they are decoded "
            f"each time, by {decoding.readers('auto', config.workers)} processes beside the training; set decode=once to keep them"
        )
    if told.hours > _LONG:
        tiny = load(TrainConfig, Path("tiny"))
        small = cost(tiny, tiny.images, rows)
        yield (
            f"smaller: --config tiny, {tiny.images:,} images of {tiny.model.preprocessing.size} px, {small.words()}, with "
            "an --out of its own; or --set images=N"
        )
