"""Pairs of photograph and caption, and which of them make the batch at a position of training."""

from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from clip import inputs
from clip.inputs.sets import Data
from clip.model.encoders import ClipConfig
from clip.model.wordpiece import tokenize
from clip.training import views
from clip.training.decoding import Decode, squares
from clip.training.labels import COLUMNS, label_sets
from synth.base.errors import UserError
from synth.base.order import visited
from synth.data import captions
from synth.data.pictures import Decoder

Language = Literal["zh", "en", "both"]


class Pairs(NamedTuple):
    """The captioned photographs of one split; N of them, T distinct captions."""

    pixels: np.ndarray | Decoder
    """(rows, S, S, 3) uint8, indexed by an array of rows; more rows than N where some lack a caption."""
    rows: np.ndarray
    """(N,) the rows of `pixels` that have a caption."""
    caption: np.ndarray
    """(N, languages) the number of each photograph's caption in each language."""
    tokens: Tensor
    """(T, context) int64."""
    meaning: Tensor
    """(T,) int64; equal where captions say the same, in whichever words or language."""
    labels: np.ndarray
    """(rows, L) int8, as `labels.label_sets` has them."""
    people: views.People | None = None
    """Who is on all rows, where pictures of one person are to be compared."""
    whole: bool = False
    """Whether all rows are to be reconstructed."""
    teacher_captions: np.ndarray | None = None
    """(N, languages) the number of what a teacher reads with each photograph, where there is one."""


class Batch(NamedTuple):
    """What one step of training sees."""

    pixels: Tensor
    """(B, S, S, 3) uint8."""
    tokens: Tensor
    """(B, context) int64."""
    meaning: Tensor
    """(B,) int64."""
    labels: Tensor
    """(B, L) int64: degree of each label, 0 for absent, -1 for unknown."""
    others: dict[str, Tensor] | None = None
    """(B, S, S, 3) uint8 pictures that need no caption, by their use in `views.others`."""
    subject: Tensor | None = None
    """(B,) int64: who is on those `others` of which two show one person."""
    teacher_captions: Tensor | None = None
    """(B,) int64: the number of what a teacher reads with each photograph."""


class CaptionTable(NamedTuple):
    """What is said of the pictures of one split; N of them, T distinct captions."""

    rows: np.ndarray
    """(N,) the rows that have a caption, rising; of sets with weights some stand there more than once."""
    caption: np.ndarray
    """(N, languages) the number of each caption in each language."""
    texts: list[str]
    """(T,) in alphabetical order."""


def load(
    data: Data,
    split: str,
    model: ClipConfig,
    language: Language,
    store: Path,
    decode: Decode = "once",
    workers: int = 0,
) -> Pairs:
    """The pairs of one split of what `inputs.opened` takes; `decoding.squares` says how its pictures are decoded.

    Raises:
        UserError: nothing to train on, or no captions in that language.
    """
    source, stated = inputs.opened(data), caption_table(data, split, language)
    return Pairs(
        pixels=squares(source, split, model.preprocessing, store, decode, workers),
        rows=stated.rows,
        caption=stated.caption,
        tokens=tokenize(stated.texts, model.context),
        meaning=torch.tensor(meanings(stated.texts)),
        labels=label_sets(source.table(split, COLUMNS)),
    )


def is_captioned(data: Data, split: str, language: Language) -> bool:
    """Whether any picture of a split has a caption in that language, or in either."""
    columns = [f"caption_{lang}" for lang in (("zh", "en") if language == "both" else (language,))]
    table = inputs.opened(data).table(split, columns)
    return any(text and text.strip() for column in columns for text in table[column].to_pylist())


def caption_table(data: Data, split: str, language: Language) -> CaptionTable:
    """The captions of one split of what `inputs.opened` takes.

    Raises:
        UserError: there are none in that language.
    """
    columns = [f"caption_{lang}" for lang in (("zh", "en") if language == "both" else (language,))]
    table = inputs.opened(data).table(split, columns)
    texts: list[list[str]] = [
        [text if text and text.strip() else "" for text in table[column].to_pylist()] for column in columns
    ]
    if language == "both":  # where one language is missing, the other stands in
        texts = [[own or other for own, other in zip(a, b, strict=True)] for a, b in (texts, texts[::-1])]
    rows = np.flatnonzero([bool(text) for text in texts[0]])
    if not len(rows):
        raise UserError(
            f"{data}: no {' or '.join(columns)} in split {split}; "
            "caption the records, or choose another 'caption' in the config"
        )
    times = inputs.times(data, split) if split == "train" else None
    rows = rows if times is None else np.repeat(rows, times[rows])
    distinct = sorted({column[row] for column in texts for row in rows})
    number = {text: i for i, text in enumerate(distinct)}
    return CaptionTable(rows, np.array([[number[column[row]] for column in texts] for row in rows]), distinct)


def meanings(texts: list[str]) -> list[int]:
    """One number per text, equal for texts that state the same labels; a text not ours means itself."""

    def meaning(text: str) -> str:
        try:
            stated = captions.parse(text)
        except UserError:
            return text
        return repr(sorted((key, repr(value)) for key, value in stated.items()))

    number: dict[str, int] = {}
    return [number.setdefault(meaning(text), len(number)) for text in texts]


def batch(pairs: Pairs, seed: int, start: int, count: int) -> Batch:
    """The `count` pairs at positions from `start` on of an endless shuffled order keyed by `seed`, and the others there."""
    length = len(pairs.rows)
    chosen = visited(length, seed, start, count)
    epochs = np.arange(start, start + count) // length
    language = [_languages(length, pairs.caption.shape[1], seed, epoch)[i]
                for epoch, i in zip(epochs.tolist(), chosen.tolist(), strict=True)]  # fmt: skip
    others, subject = views.others(pairs.pixels, pairs.people, pairs.whole, seed, start, count)
    return take(pairs, chosen, np.array(language))._replace(others=others, subject=subject)


def take(pairs: Pairs, chosen: np.ndarray, language: np.ndarray) -> Batch:
    """Photographs by number, each with its caption in the language of that number."""
    caption = torch.from_numpy(pairs.caption[chosen, language])
    pixels = torch.from_numpy(pairs.pixels[pairs.rows[chosen]])
    labels = torch.from_numpy(pairs.labels[pairs.rows[chosen]]).long()
    teacher_captions = (
        None if pairs.teacher_captions is None else torch.from_numpy(pairs.teacher_captions[chosen, language])
    )
    return Batch(
        pixels, pairs.tokens[caption], pairs.meaning[caption], labels, teacher_captions=teacher_captions
    )


@lru_cache(maxsize=4)
def _languages(length: int, languages: int, seed: int, epoch: int) -> np.ndarray:
    """(length,) the language of each photograph's caption in this epoch."""
    # The second word of the counter keeps these draws apart from the order of the epoch.
    bits = np.random.Philox(key=[seed, epoch], counter=[0, 0, 0, 1])
    return np.random.Generator(bits).integers(0, languages, length)
