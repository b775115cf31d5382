"""What `clip train --data` takes, in the one form that training knows: a table in the words of records, and pictures.

Taken are folders of records (parquet, or webdataset as `synth generate --format webdataset` writes it), shards of
webdataset from elsewhere, a CSV file beside a folder of pictures, and Chinese-CLIP's LMDB.  A row is a picture with its
captions.  Where an input tells no split, people are split as records are: 8 : 1 : 1, by a fixed function of `subject_id`.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from synth.base.errors import UserError
from synth.data import records
from synth.data.pictures import Pictures

SPLIT_NAMES = {"train": "train", "training": "train", "validation": "validation", "valid": "validation",
               "val": "validation", "dev": "validation", "test": "test", "testing": "test"}  # fmt: skip
"""What others call a split -> what records call it."""

TOLD = tuple(name for name in records.COLUMNS if name not in ("image", "seed", "plan", "canary"))
"""The columns that an input may tell."""


class Encoded(Protocol):
    """Encoded pictures by number."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> bytes: ...
    def where(self, index: int) -> str:
        """The file and row of a picture, for an error that a person is to act on."""
        ...


class Input(Protocol):
    """Captioned pictures, split so that nobody is on two sides."""

    fingerprint: str
    """What names the content."""

    def table(self, split: str, columns: Sequence[str]) -> pa.Table:
        """Columns of a split, null where the input does not tell."""
        ...

    def pictures(self, split: str) -> Encoded:
        """The pictures of a split, in the row order of `table`."""
        ...

    def shards(self, split: str) -> Sequence[Path]:
        """The files of records in which the pictures of a split lie, in order; none of an input that is not ours."""
        ...


class Found(NamedTuple):
    """What a reader finds in an input that is not ours: N rows."""

    rows: list[dict[str, Any]]
    """What is told of each: columns of records, and `split` where the input tells it."""
    pictures: Encoded
    """N pictures."""
    sizes: np.ndarray
    """(N,) int64, bytes of each picture as it is stored."""
    where: list[str]
    """The file and row of each, for errors."""


def opened(data: Path) -> Input:
    """What `data` holds.

    Raises:
        UserError: nothing that we know, or damaged; one line with file and row.
    """
    from clip.training.inputs import lmdbs, tables, tars

    if not data.exists():
        raise UserError(f"{data}: no such file or folder")
    ours = sorted(p for p in (data / "data").glob("[!.]*") if p.suffix in (".parquet", ".tar"))
    if any(p.suffix == ".parquet" or p.with_suffix(".json").exists() for p in ours):
        return Records(data)
    for reader in (lmdbs, tars, tables):
        if reader.holds(data):
            return _foreign(data, reader.read)
    raise UserError(
        f"{data}: nothing to train on; known: records (data/*.parquet), webdataset (*.tar), one CSV file with a column "
        "'image', Chinese-CLIP's LMDB (imgs/ and pairs/)"
    )


class Records:
    """A folder of records of ours."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.fingerprint = records.data_fingerprint(folder)

    def table(self, split: str, columns: Sequence[str]) -> pa.Table:
        return records.read_table(self._folder, [split], columns)

    def pictures(self, split: str) -> Encoded:
        return Pictures(self._folder, [split])

    def shards(self, split: str) -> Sequence[Path]:
        return records.shards(self._folder, split)


class Foreign:
    """Any other input, read and checked."""

    def __init__(self, data: Path, found: Found) -> None:
        _check_people(found)
        splits = np.array([row.get("split") or records.split_of(row["subject_id"]) for row in found.rows])
        self._rows = {split: np.flatnonzero(splits == split) for split in records.SPLITS}
        self._pictures = found.pictures
        schema = pa.schema([records.SCHEMA.field(name) for name in TOLD])
        try:
            self._table = pa.Table.from_pylist(found.rows, schema=schema)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise UserError(f"{data}: {' '.join(str(error).split())}; mend that value") from None
        digest = hashlib.sha256(found.sizes.astype("<i8").tobytes())
        for row in found.rows:
            digest.update(json.dumps(row, sort_keys=True, ensure_ascii=False).encode())
        self.fingerprint = digest.hexdigest()

    def table(self, split: str, columns: Sequence[str]) -> pa.Table:
        return self._table.select(list(columns)).take(self._rows[split])

    def pictures(self, split: str) -> Encoded:
        return Part(self._pictures, self._rows[split])

    def shards(self, split: str) -> Sequence[Path]:
        return ()


class Part:
    """Some of an input's pictures."""

    def __init__(self, pictures: Encoded, chosen: np.ndarray) -> None:
        self._pictures, self._chosen = pictures, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> bytes:
        return self._pictures[int(self._chosen[index])]

    def where(self, index: int) -> str:
        return self._pictures.where(int(self._chosen[index]))


class Slices:
    """Pictures that lie somewhere in a few large files."""

    def __init__(self, paths: Sequence[Path], places: np.ndarray, names: Sequence[str] | None = None) -> None:
        """`places`: (N, 3) int64, the number of the file in `paths`, offset and size; `names`: what each is called."""
        self._paths, self._places, self._names = paths, places, names

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> bytes:
        path, offset, size = self._places[index].tolist()
        with open(self._paths[path], "rb") as file:
            file.seek(offset)
            return file.read(size)

    def where(self, index: int) -> str:
        path = self._places[index, 0]
        name = (
            self._names[index] if self._names else f"row {index - np.searchsorted(self._places[:, 0], path)}"
        )
        return f"{self._paths[path]} {name}"


def split_name(text: str, where: str) -> str:
    """What records call the split that `text` names.

    Raises:
        UserError: none that we know.
    """
    if text.lower() not in SPLIT_NAMES:
        raise UserError(f"{where}: split='{text}' is unknown; known: {', '.join(SPLIT_NAMES)}")
    return SPLIT_NAMES[text.lower()]


def caption(text: str) -> dict[str, str]:
    """A caption of unknown language under its column: Chinese if a Chinese character is in it."""
    chinese = any("\u4e00" <= character <= "\u9fff" for character in text)
    return {"caption_zh" if chinese else "caption_en": text} if text else {}


def _check_people(found: Found) -> None:
    first: dict[str, int] = {}
    for i, row in enumerate(found.rows):
        j = first.setdefault(row["subject_id"], i)
        one, other = row.get("split"), found.rows[j].get("split")
        if one != other:
            raise UserError(
                f"{found.where[i]}: subject_id='{row['subject_id']}' is in split {one}, but in {other} in "
                f"{found.where[j]}; keep everyone on one side"
            )


@lru_cache(
    maxsize=2
)  # a run asks for fingerprint and splits in turn; reading the index of a million takes a minute
def _foreign(data: Path, read: Any) -> Foreign:
    return Foreign(data, read(data))
