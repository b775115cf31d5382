"""Preprocessed pictures of a folder of records, decoded once into a memory-mapped array."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from synth.base.config import fingerprint
from synth.base.errors import UserError
from synth.base.runs import atomic, progress
from synth.fundus.images import Preprocessing
from synth.fundus.records import Pictures, data_fingerprint, shards


def pixels(folder: Path, splits: Sequence[str], preprocessing: Preprocessing, cache: Path) -> np.ndarray:
    """(N, S, S, 3) uint8, read-only, in the row order of `read_table(folder, splits)`.

    Made once and kept in `cache`, under a name that tells content and preprocessing.

    Raises:
        UserError: no records in these splits, or a damaged picture.
    """
    pictures = Pictures(folder, splits)
    if not len(pictures):
        raise UserError(f"{folder}: no records in {' or '.join(splits)}")
    key = fingerprint([data_fingerprint(folder), list(splits), preprocessing.model_dump()])[:16]
    path = cache / f"pixels-{key}.npy"
    if not path.exists():
        side = preprocessing.size
        with atomic(path) as temporary:
            # open_memmap appends no suffix, unlike np.save
            array = np.lib.format.open_memmap(temporary, "w+", np.uint8, (len(pictures), side, side, 3))
            with progress("decoding", len(pictures)) as bar:
                for i, data in enumerate(pictures):
                    array[i] = preprocessing(data, f"{shards(folder, splits[0])[0].parent} row {i}")
                    bar.update()
            array.flush()
            del array
    return np.load(path, mmap_mode="r")
