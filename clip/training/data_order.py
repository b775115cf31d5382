"""What a run trains on, and the steps in which it walks through it."""

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from clip.inputs.sets import Data
from clip.training import batches, decoding, views
from clip.training.config import TrainConfig
from synth.base import processes
from synth.base.errors import UserError
from synth.data.pictures import Decoder


def pairs(config: TrainConfig, data: Data, run: Path) -> batches.Pairs:
    """The pairs of split train, with what the losses of `config` need of them.

    Raises:
        UserError: there are none, or they lack what a loss compares.
    """
    loading = (run / "cache", config.decode, config.workers)
    found = batches.load(data, "train", config.model, config.caption, *loading)
    labels = found.labels[found.rows]
    if config.positives == "labels" and (labels < 0).all():
        raise UserError(
            f"positives=labels: {data} tells no disease and no finding of any picture; set positives=captions"
        )
    if config.ordinal and (labels[:, 0] < 0).all():
        raise UserError(f"ordinal={config.ordinal:g}: {data} tells no dr_grade of any picture; set ordinal=0")
    people = views.load(data, "train", config.relations) if config.weights.image_image else None
    return found._replace(people=people, whole=config.weights.reconstruction > 0)


def steps(
    config: TrainConfig, pairs: batches.Pairs, firsts: range, share: int
) -> Iterator[list[tuple[int, batches.Batch]]]:
    """For the steps of which this process has `share` pairs from position `firsts` on: the parts, and where each starts."""
    width = config.micro_batch or share
    spans = (
        range(at, min(at + width, first + share))
        for first in firsts
        for at in range(first, first + share, width)
    )
    # A mapped file needs nobody to read ahead.
    is_decoder = isinstance(pairs.pixels, Decoder)
    workers = decoding.readers(config.decode, config.workers) if is_decoder else 0
    walk = processes.in_turn(partial(_part, pairs, config.seed), spans, workers)
    while parts := list(islice(walk, len(range(0, share, width)))):
        yield parts


def _part(pairs: batches.Pairs, seed: int, span: range) -> tuple[int, batches.Batch]:
    return span.start, batches.batch(pairs, seed, span.start, len(span))
