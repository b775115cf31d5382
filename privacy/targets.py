"""What is audited, behind one narrow interface: photographs and ids in, embeddings out.

The only module of this package that opens a model, and the only one that may import `synth` and `clip`
beyond `synth.base` and `synth.fundus`; it does so when asked, so that help and reports need no torch.
"""

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from synth.base.errors import UserError
from synth.base.runs import progress, sha256
from synth.fundus.images import Preprocessing

_BATCH = 64


class Target(Protocol):
    """Something that embeds photographs."""

    facts: dict[str, Any]
    """What the report says about it: path, sha256, kind, versions."""
    preprocessing: Preprocessing
    """How it wants photographs."""
    has_untrained: bool
    """Whether it can be built again with random weights."""

    def embed(self, photographs: np.ndarray, ids: np.ndarray, seed: int | None = None) -> np.ndarray:
        """(N, D) float32 of (N, S, S, 3) uint8; with a `seed`, by its untrained twin of that seed."""
        ...


def open_target(path: Path) -> Target:
    """A CLIP checkpoint, or embeddings made elsewhere (`.npy`, `.parquet`).

    Raises:
        UserError: the file is absent, damaged or foreign.
    """
    if not path.is_file():
        raise UserError(
            f"{path}: no such file; --model takes a ckpt.pt of 'clip train', a .npy or a .parquet"
        )
    if path.suffix in (".npy", ".parquet"):
        return Embeddings(path)
    return Encoder(path)


class Encoder:
    """The image tower of a CLIP checkpoint."""

    has_untrained = True

    def __init__(self, path: Path) -> None:
        from clip.embed import load_checkpoint

        self._model, said = load_checkpoint(path)
        self.preprocessing = self._model.config.preprocessing
        self.facts = {
            "path": str(path),
            "sha256": sha256(path),
            "preprocessing": self.preprocessing.model_dump(),
            "kind": f"{said['format']} {said['version']}",
            "trained_with": said.get("libraries", {}),
            "training_data": said.get("data") or said.get("fingerprint"),
            "architecture": self._model.config.image.name,
            "dimensions": self._model.config.embedding,
        }

    def embed(self, photographs: np.ndarray, ids: np.ndarray, seed: int | None = None) -> np.ndarray:
        from clip import embed

        model = self._model if seed is None else embed.untrained(self._model, seed)
        model = model.to(embed.device())
        what = "embedding" if seed is None else f"embedding, untrained {seed}"
        parts = []
        with progress(what, len(photographs)) as bar:
            for start in range(0, len(photographs), _BATCH):
                parts.append(embed.pixels(model, np.array(photographs[start : start + _BATCH])))
                bar.update(len(parts[-1]))
        found = np.concatenate(parts)
        if not np.isfinite(found).all():
            raise UserError(
                f"{self.facts['path']}: gives embeddings that are not finite; its training diverged"
            )
        return found


class Embeddings:
    """Embeddings made elsewhere, joined to records by id, never by row number.

    A `.parquet` has the columns `id` and `embedding` (list of numbers); beside a `.npy` of (N, D) stands
    `NAME.ids.txt`, one id a line.
    """

    has_untrained = False
    preprocessing = Preprocessing(size=64)

    def __init__(self, path: Path) -> None:
        self._path = path
        ids, self._values = _read_parquet(path) if path.suffix == ".parquet" else _read_npy(path)
        self._row = {name: row for row, name in enumerate(ids)}
        if len(self._row) < len(ids):
            raise UserError(f"{path}: an id occurs twice; ids must be unique")
        if not np.isfinite(self._values).all():
            raise UserError(f"{path}: holds numbers that are not finite")
        self.facts = {
            "path": str(path),
            "sha256": sha256(path),
            "preprocessing": self.preprocessing.model_dump(),
            "kind": "embeddings made elsewhere",
            "dimensions": int(self._values.shape[1]),
        }

    def embed(self, photographs: np.ndarray, ids: np.ndarray, seed: int | None = None) -> np.ndarray:
        missing = [name for name in ids if name not in self._row]
        if missing:
            raise UserError(
                f"{self._path}: no embedding for {len(missing)} of {len(ids)} records, such as id '{missing[0]}'; "
                "embed the very records that --attackers names"
            )
        return self._values[[self._row[name] for name in ids]]


def _read_npy(path: Path) -> tuple[list[str], np.ndarray]:
    names = path.with_suffix(".ids.txt")
    if not names.is_file():
        raise UserError(
            f"{names}: no such file; beside a .npy stands one id a line, in the order of its rows"
        )
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError):
        raise UserError(f"{path}: not a plain .npy of numbers; nothing in it was run") from None
    ids = names.read_text(encoding="utf-8").splitlines()
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise UserError(
            f"{path}: holds {values.dtype} of shape {values.shape}, where (N, D) numbers are needed"
        )
    if len(ids) != len(values):
        raise UserError(f"{names}: {len(ids)} ids for {len(values)} embeddings; one id a line")
    return ids, values.astype(np.float32)


def _read_parquet(path: Path) -> tuple[list[str], np.ndarray]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError):
        raise UserError(f"{path}: damaged parquet; write it again") from None
    for name in ("id", "embedding"):
        if name not in table.column_names:
            raise UserError(f"{path}: column '{name}' is missing; it has {', '.join(table.column_names)}")
    rows = table["embedding"].to_pylist()
    if len({len(row or []) for row in rows}) != 1 or not rows[0]:
        raise UserError(f"{path}: embeddings of unequal length or none; each must have the same D numbers")
    return [str(name) for name in table["id"].to_pylist()], np.asarray(rows, np.float32)
