"""Embeddings made elsewhere: `.npy` or `.parquet`, joined to records by id."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from synth.base import arrays
from synth.base.errors import UserError
from synth.base.runs import sha256
from synth.data.images import Preprocessing


class Embeddings:
    """Embeddings made elsewhere, joined to records by id, never by row number.

    A `.parquet` has the columns `id` and `embedding` (list of numbers); beside a `.npy` of (N, D) stands
    `NAME.ids.txt`, one id a line.
    """

    has_untrained = False
    reads_captions = False
    preprocessing = Preprocessing(size=64)
    operations = 0

    def __init__(self, path: Path) -> None:
        self._path = path
        is_parquet = path.suffix.lower() == ".parquet"
        ids, self._values = _read_parquet(path) if is_parquet else _read_npy(path)
        self._named = path if is_parquet else path.with_suffix(".ids.txt")  # which says whose each is
        self._row = {name: row for row, name in enumerate(ids)}
        if len(self._row) < len(ids):
            raise UserError(f"{self._named}: an id occurs twice; ids must be unique")
        if not np.isfinite(self._values).all():
            raise UserError(f"{path}: holds numbers that are not finite")
        self.metadata = {
            "path": str(path),
            "sha256": sha256(path),
            "preprocessing": self.preprocessing.model_dump(),
            "kind": "embeddings made elsewhere",
            "dimensions": int(self._values.shape[1]),
        }

    def embed(self, photographs: object, ids: np.ndarray, seed: int | None, parts: Path) -> np.ndarray:
        missing = [name for name in ids if name not in self._row]
        if missing:
            raise UserError(
                f"{self._named}: no embedding for {len(missing)} of {len(ids)} records, such as id '{missing[0]}'; "
                "embed the very records that --attackers names"
            )
        return self._values[[self._row[name] for name in ids]]

    def texts(self, captions: Sequence[str], seed: int | None = None) -> np.ndarray:
        raise UserError(f"{self._path}: embeddings of photographs read no captions; give the checkpoint")


def _read_npy(path: Path) -> tuple[list[str], np.ndarray]:
    names = path.with_suffix(".ids.txt")
    if not names.is_file():
        raise UserError(
            f"{names}: no such file; beside a .npy stands one id a line, in the order of its rows"
        )
    values = arrays.read(path, remedy="write it again")
    try:
        ids = names.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{names}: not UTF-8; write one id a line in UTF-8") from None
    if values.ndim != 2 or not values.size or values.dtype.kind not in "fiu":
        raise UserError(
            f"{path}: holds {values.dtype} of shape {values.shape}, where (N, D) numbers are needed"
        )
    if len(ids) != len(values):
        raise UserError(f"{names}: {len(ids)} ids for {len(values)} embeddings; one id a line")
    with np.errstate(over="ignore"):  # what is too large for it is not finite, and told as that
        return ids, values.astype(np.float32)


def _read_parquet(path: Path) -> tuple[list[str], np.ndarray]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError):
        raise UserError(f"{path}: damaged parquet; write it again") from None
    for name in ("id", "embedding"):
        if table.column_names.count(name) != 1:
            raise UserError(
                f"{path}: column '{name}' is missing or stands twice; it has {', '.join(table.column_names)}"
            )
    if table["id"].null_count:
        raise UserError(f"{path}: an id is null; each embedding has one of its own")
    rows = table["embedding"].to_pylist()
    try:
        values = np.array(rows, np.float32)
    except (ValueError, TypeError):
        values = np.zeros(0, np.float32)
    if values.ndim != 2 or not values.size:
        raise UserError(f"{path}: embeddings of unequal length or none; each must have the same D numbers")
    return [str(name) for name in table["id"].to_pylist()], values
