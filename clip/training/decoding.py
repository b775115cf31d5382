"""Pictures as the network sees them: decoded once into a file that is mapped into memory, or each time their turn comes.

Either way processes beside the training decode.  Which pictures a batch holds is a function of its position, so how
many processes there are, and when one was killed, changes nothing.
"""

import mmap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from clip.inputs import Input
from clip.inputs.listing import Slices
from synth.base import arrays, disk_errors, processes
from synth.base.config import fingerprint
from synth.base.errors import UserError
from synth.data.images import Preprocessing
from synth.data.pictures import Decoder, Encoded, decoded, mapped
from synth.data.shards import images, row_groups

Decode = Literal["auto", "once", "always"]


def squares(
    source: Input, split: str, preprocessing: Preprocessing, store: Path, decode: Decode, workers: int
) -> np.ndarray | Decoder:
    """The (N, S, S, 3) uint8 pictures of a split, in the row order of its table; indexed by an array of numbers.

    With "once" they are decoded now, by `workers` processes or this one, and kept under `store`: S x S x 3 bytes each.
    With "always" nothing is kept but, for records, where each picture lies in its shard.  "auto" is as `is_kept` says.

    Raises:
        UserError: no pictures in the split, or a damaged one.
    """
    pictures = source.pictures(split)
    if not len(pictures):
        raise UserError(f"{split}: no pictures in this split")
    name = fingerprint([source.fingerprint, [split], preprocessing.model_dump()])[:16]
    cache, size = store / f"pixels-{name}.npy", decoded_size(len(pictures), preprocessing)
    if not is_kept(decode, size, cache):
        found = source.shards(split)
        return Decoder(_located(found, pictures, store / f"places-{name}.npy"), preprocessing)
    if not cache.exists():
        disk_errors.check_room(cache, size, "free some space, choose another --out, or set decode=always")
    made = decoded(pictures, preprocessing, workers=workers)
    return mapped(cache, len(pictures), preprocessing.size, made)


def decoded_size(count: int, preprocessing: Preprocessing) -> int:
    """Bytes of so many pictures, decoded."""
    return 3 * count * preprocessing.size**2


def is_kept(decode: Decode, size: int, cache: Path) -> bool:
    """Whether pictures are decoded once, into `cache` of `size` bytes: with "auto", if it is there or half of the free disk holds it."""
    if decode == "auto":
        return cache.exists() or 2 * size <= disk_errors.free(cache)
    return decode == "once"


def readers(decode: Decode, workers: int) -> int:
    """Processes that decode while a network learns: as many as were asked for; with "auto" and none, one for each core but this one's."""
    return workers or (processes.spare() if decode == "auto" else 0)


def _located(shards: Sequence[Path], pictures: Encoded, path: Path) -> Encoded:
    """The same pictures, each read by itself: a shard of parquet is otherwise read a hundred rows at a time.

    Our writer compresses no pictures, so each stands in its shard byte for byte; where one does not, nothing is gained.
    """
    if not shards:
        return pictures
    if not path.exists():
        places = [place for number, shard in enumerate(shards) for place in _places(number, shard)]
        arrays.write(path, np.array(places, np.int64).reshape(-1, 3))
    places = arrays.read(path, (None, 3))
    return Slices(shards, places) if len(places) == len(pictures) else pictures


def _places(number: int, shard: Path) -> Iterator[tuple[int, int, int]]:
    """(number, offset, size) of the pictures of a shard, up to the first that is not there byte for byte."""
    with open(shard, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        end = 0
        for group in range(len(row_groups(shard))):
            for data in images(shard, group):
                at = content.find(data, end)
                if at < 0:
                    return
                end = at + len(data)
                yield number, at, len(data)
