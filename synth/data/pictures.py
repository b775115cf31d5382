"""The pictures of a folder of records: encoded, one by one, or decoded into one array as a network sees them."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Protocol

import numpy as np

from synth.base import arrays, processes
from synth.base.config import fingerprint
from synth.base.errors import UserError
from synth.base.runs import progress
from synth.data.images import Preprocessing
from synth.data.records import SPLITS, data_fingerprint, shards
from synth.data.shards import images, row_groups, stamp

_PORTION = 64
"""Pictures that a process decodes before it hands them over."""


class Encoded(Protocol):
    """Encoded pictures by number."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> bytes: ...
    def where(self, index: int) -> str:
        """The file and row of a picture, for an error that a person is to act on."""
        ...


class Square(Protocol):
    """How an encoded picture becomes (size, size, 3) uint8: a `Preprocessing`, or another project's."""

    @property
    def size(self) -> int: ...
    def __call__(self, data: bytes, where: str = ...) -> np.ndarray: ...


class Pictures:
    """The encoded pictures of some splits, by row number in the order of `read_table`; reads what is asked for."""

    def __init__(self, folder: Path, splits: Sequence[str] = SPLITS) -> None:
        self._groups: list[tuple[Path, int, tuple[int, ...]]] = []
        self._starts: list[int] = []
        self._firsts: list[int] = []
        start = 0
        for path in (path for split in splits for path in shards(folder, split)):
            first, held = start, stamp(path)
            for group, rows in enumerate(row_groups(path)):
                self._groups.append((path, group, held))
                self._starts.append(start)
                self._firsts.append(first)
                start += rows
        self._length = start

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> bytes:
        place = self._place(index)
        return _images(*self._groups[place])[index - self._starts[place]]

    def __iter__(self) -> Iterator[bytes]:
        return (self[i] for i in range(self._length))

    def where(self, index: int) -> str:
        """The shard and row of a picture, for an error that a person is to act on."""
        place = self._place(index)
        return f"{self._groups[place][0]} row {index - self._firsts[place]}"

    def _place(self, index: int) -> int:
        if not 0 <= index < self._length:
            raise IndexError(index)
        return bisect_right(self._starts, index) - 1


@lru_cache(maxsize=64)
def _images(path: Path, group: int, _stamp: tuple[int, ...]) -> Sequence[bytes]:
    return images(path, group)


def pixels(folder: Path, splits: Sequence[str], preprocessing: Preprocessing, cache: Path) -> np.ndarray:
    """(N, S, S, 3) uint8, read-only, in the row order of `read_table(folder, splits)`.

    Decoded once and kept in `cache`, memory-mapped, under a name that tells content and preprocessing.

    Raises:
        UserError: no records in these splits, or a damaged picture.
    """
    pictures = Pictures(folder, splits)
    if not len(pictures):
        raise UserError(f"{folder}: no records in {' or '.join(splits)}")
    path = pixels_file(folder, splits, preprocessing, cache)
    return mapped(path, len(pictures), preprocessing.size, decoded(pictures, preprocessing))


def pixels_file(folder: Path, splits: Sequence[str], preprocessing: Preprocessing, cache: Path) -> Path:
    """Where `pixels` keeps what it has decoded."""
    key = fingerprint([data_fingerprint(folder), list(splits), preprocessing.model_dump()])[:16]
    return cache / f"pixels-{key}.npy"


class Decoder:
    """Pictures decoded when they are asked for; indexed by an array, as a mapped file is."""

    def __init__(self, pictures: Encoded, preprocessing: Square) -> None:
        self._pictures, self._preprocessing = pictures, preprocessing

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, chosen: np.ndarray) -> np.ndarray:
        """(B, S, S, 3) uint8 from (B,) numbers."""
        side = self._preprocessing.size
        squares = np.empty((len(chosen), side, side, 3), np.uint8)
        for square, index in zip(squares, chosen.tolist(), strict=True):
            square[:] = self._preprocessing(self._pictures[index], self._pictures.where(index))
        return squares


def decoded(
    pictures: Encoded,
    preprocessing: Square,
    rows: np.ndarray | None = None,
    portion: int = _PORTION,
    workers: int | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(B,) numbers of pictures and (B, S, S, 3) uint8 of them, portion by portion, by processes ahead of time where there are many.

    Args:
        rows:    (N,) those that are wanted, in their order; None is all.
        portion: B, of all but the last.
        workers: processes; 0 is this one, None as many as the number of pictures repays.

    Raises:
        UserError: a damaged picture.
    """
    rows = np.arange(len(pictures)) if rows is None else rows
    spans = [range(at, min(at + portion, len(rows))) for at in range(0, len(rows), portion)]
    make = partial(_portion, Decoder(pictures, preprocessing), rows)
    made = processes.in_turn(make, spans, processes.worth(len(spans)) if workers is None else workers)
    return ((rows[span.start : span.stop], squares) for span, squares in zip(spans, made, strict=True))


def _portion(decoder: Decoder, rows: np.ndarray, span: range) -> np.ndarray:
    return decoder[rows[span.start : span.stop]]


def mapped(
    path: Path,
    count: int,
    side: int,
    portions: Iterable[tuple[np.ndarray, np.ndarray]],
    what: str = "decoding",
) -> np.ndarray:
    """(count, side, side, 3) uint8, read-only, mapped from the file `path`; written there unless it exists.

    Args:
        portions: (B,) places in the array and their (B, side, side, 3) pictures; read only if the file is written.
        what:     the progress bar says is going on.
    """
    if not path.exists():

        def fill(array: np.ndarray) -> None:
            with progress(what, count) as bar:
                for places, pictures in portions:
                    array[places] = pictures
                    bar.update(len(places))

        arrays.write_mapped(path, (count, side, side, 3), np.uint8, fill)
    return arrays.mapped(path, (count, side, side, 3))
