"""The photographs that are compared: some whole patients of a folder of records, as a network sees them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa

from synth.base.config import fingerprint
from synth.base.errors import UserError
from synth.classifier.targets import targets
from synth.data.images import Preprocessing, decode
from synth.data.pictures import Pictures, decoded, mapped
from synth.data.records import LABELS, data_fingerprint, read_table

_COLUMNS = ("id", "subject_id", *LABELS, "caption_zh", "caption_en")


class Sample(NamedTuple):
    """Photographs in an order in which every first part is a random draw of patients."""

    pictures: np.ndarray
    """(N, S, S, 3) uint8."""
    truth: np.ndarray
    """(N, len(TARGETS)): 1 present, 0 absent, nan unknown."""
    patients: np.ndarray
    """(N,) int: who is on it."""
    table: pa.Table
    """Their N records, without pictures."""
    name: str
    """What names the content: data, patients and preprocessing."""
    path: Path
    """Where the pictures lie, perhaps with more behind them."""

    def first(self, count: int) -> Self:
        """The first `count` photographs; the last patient may lose one."""
        if count >= len(self.patients):
            return self
        return type(self)(
            self.pictures[:count],
            self.truth[:count],
            self.patients[:count],
            self.table.slice(0, count),
            fingerprint([self.name, count]),
            self.path,
        )


def draw(
    folder: Path, splits: Sequence[str], max_count: int, fit: Preprocessing, cache: Path, seed: int, what: str
) -> Sample:
    """Up to `max_count` photographs of some splits, whole patients in random order; decoded once, kept in `cache`.

    Raises:
        UserError: no records in these splits, a damaged picture, or pictures smaller than `fit.size`.
    """
    table = read_table(folder, splits, _COLUMNS)
    if not len(table):
        raise UserError(f"{folder}: no records in {', '.join(splits)}, which an evaluation needs as {what}")
    rows, patients = _patients(table["subject_id"].to_numpy(zero_copy_only=False), max_count, seed)
    name = fingerprint([data_fingerprint(folder), list(splits), rows.tolist(), fit.model_dump()])
    portions = _decoded(Pictures(folder, splits), rows, fit, folder)
    path = cache / f"{name[:16]}.npy"
    pictures = mapped(path, len(rows), fit.size, portions, f"decoding {what}")
    table = table.take(pa.array(rows))
    return Sample(pictures, targets(table), patients, table, name, path)


def _patients(subjects: np.ndarray, max_count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(N,) rows, patient by patient in random order, at most `max_count`; and the patient of each."""
    _, patient_ids = np.unique(subjects.astype(str), return_inverse=True)
    turn = np.random.default_rng(seed).permutation(patient_ids.max() + 1)
    rows = np.argsort(turn[patient_ids], kind="stable")[:max_count]
    return rows, patient_ids[rows]


def _decoded(
    pictures: Pictures, rows: np.ndarray, fit: Preprocessing, folder: Path
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The places among `rows` of some pictures, and the pictures as (B, S, S, 3) uint8."""
    side = min(decode(pictures[int(rows[0])], pictures.where(int(rows[0]))).shape[:2])
    if side < fit.size:
        raise UserError(
            f"{folder}: its pictures are {side} pixels a side, --size asks for {fit.size}; give --size {side} or less"
        )
    order = np.argsort(rows)  # in the order of the file: neighbours are read together
    done = 0
    for taken, squares in decoded(pictures, fit, rows[order]):
        yield order[done : done + len(taken)], squares
        done += len(taken)
