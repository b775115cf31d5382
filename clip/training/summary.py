"""What a training set holds, in lines for people, told before anything is learnt from it."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from clip import inputs
from clip.inputs.listing import EMPTY_CELLS
from clip.inputs.sets import Data, Sets
from clip.model.wordpiece import PAD, tokenize
from clip.training.config import TrainConfig
from synth.base.words import number_of
from synth.data import classes

_COMPARED = 20_000  # pictures that are read once more to find which are the same


class SplitSummary(NamedTuple):
    """The pictures and captions of one split."""

    rows: int
    captioned: int
    """Rows with a caption in the language that is trained on."""
    blank: int
    """Rows whose caption is white space alone, which is none."""
    texts: Counter[str]
    """Each caption that is learnt from, and how many rows have it."""


def lines(config: TrainConfig, data: Data) -> Iterator[str]:
    """What `data` holds: pairs, captions that are lacking, cut or no captions, what is there twice, classes, sets.

    Raises:
        UserError: nothing to learn from.
    """
    stated = {split: _split(config, data, split) for split in ("train", "validation")}
    train = stated["train"]
    yield f"{data}: " + "; ".join(_pairs(split, each) for split, each in stated.items())
    yield from _sets(config, data)
    yield from _captions(config, data, train.texts)
    yield from _sizes(config, data, train)
    yield from _twice(data)
    yield from _classes(data)


def _split(config: TrainConfig, data: Data, split: str) -> SplitSummary:
    languages = ("zh", "en") if config.caption == "both" else (config.caption,)
    table = inputs.opened(data).table(split, [f"caption_{lang}" for lang in languages])
    said = [[text for text in row.values() if text] for row in table.to_pylist()]
    kept = [[text for text in row if text.strip()] for row in said]
    return SplitSummary(
        rows=len(said),
        captioned=sum(map(bool, kept)),
        blank=sum(bool(row) and not left for row, left in zip(said, kept, strict=True)),
        texts=Counter(text for row in kept for text in row),
    )


def _pairs(split: str, each: SplitSummary) -> str:
    words = (
        f"{split} {number_of(each.captioned, 'pair')} of {number_of(len(each.texts), 'different caption')}"
    )
    if lacking := each.rows - each.captioned:
        blank = f", of {each.blank:,} it is white space alone" if each.blank else ""
        words += f", {lacking:,} of {number_of(each.rows, 'picture', 'has')} no caption{blank}"
    return words


def _sets(config: TrainConfig, data: Data) -> Iterator[str]:
    """The share of each set in an epoch."""
    if not isinstance(data, Sets) or len(data.paths) == 1:
        return
    counts = []
    for path in data.paths:
        one = Sets((path,), data.weights[:1], data.columns, data.skip_damaged)
        counts.append(_split(config, one, "train").captioned)
    seen = [count * times for count, times in zip(counts, data.times(), strict=True)]
    for path, pairs, times, share in zip(data.paths, counts, data.times(), seen, strict=True):
        often = "once" if times == 1 else f"{times} times"
        yield f"{path}: {number_of(pairs, 'pair')}, each {often} an epoch, {share / sum(seen):.0%} of what is seen"


def _captions(config: TrainConfig, data: Data, texts: Counter[str]) -> Iterator[str]:
    context = config.model.context
    tokens = tokenize([*texts], context + 1)
    long = [text for text, row in zip(texts, tokens, strict=True) if row[-1] != PAD]
    if long:
        cut, longest = sum(texts[text] for text in long), _longest(long)
        positions = config.model.text.positions
        remedy = f"set model.context={min(longest, positions)}"
        if longest > positions:
            remedy += f", or shorten them: model.text.positions={positions} is the most"
        yield f"{data}: {number_of(cut, 'caption', 'is')} cut to model.context={context} tokens (longest {longest:,}); {remedy}"
    missing = {text: times for text, times in texts.items() if text.strip().lower() in EMPTY_CELLS}
    if missing:
        shown = ", ".join(repr(text) for text in missing)
        yield f"{data}: {number_of(sum(missing.values()), 'caption', 'is')} {shown}, as a table writes an empty cell, and learnt; empty them"


def _longest(texts: list[str]) -> int:
    """Tokens of the longest, with [CLS] and [SEP]."""
    width = max(map(len, texts)) + 2  # no token is shorter than a character
    return int(max((tokenize([text], width) != PAD).sum().item() for text in texts))


def _sizes(config: TrainConfig, data: Data, train: SplitSummary) -> Iterator[str]:
    if train.captioned == 1:
        yield f"{data}: a single pair to learn from; there is no other that it could be told from"
    elif config.batch > train.captioned:
        yield (
            f"{data}: batch={config.batch} is more than its {number_of(train.captioned, 'pair')}; a step sees some several times, and "
            f"holds a pair against itself; set batch={train.captioned}"
        )


def _twice(data: Data) -> Iterator[str]:
    """Pictures of split train that are the same, byte for byte."""
    pictures = inputs.opened(data).pictures("train")
    if len(pictures) > _COMPARED:
        return
    digests = [hashlib.blake2b(pictures[row], digest_size=16).digest() for row in range(len(pictures))]
    ids = inputs.opened(data).table("train", ["id"])["id"].to_pylist()
    different = len(set(zip(digests, ids, strict=True)))
    several, twice = len(ids) - different, different - len(set(digests))
    if several:
        yield f"{data}: {number_of(several, 'row', 'is')} of a picture of split train that has another caption too"
    if twice:
        yield f"{data}: {number_of(twice, 'picture', 'is')} in split train under another name too"


def _classes(data: Data) -> Iterator[str]:
    table = inputs.opened(data).table("train", classes.COLUMNS)
    found = classes.of_table({"train": table})
    words = []
    for label, values in found.items():
        counts = np.array([each["train"] for each in values.values()])
        named = ", ".join(
            f"{name} {count:,}" for name, count in zip(values, counts.tolist(), strict=True) if count
        )
        words.append(f"{label} ({named})")
    yield f"{data}: classes of split train: {'; '.join(words) or 'none is told'}"
