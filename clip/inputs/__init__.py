"""What `--data` of `clip` takes, in the one form that its verbs know: a table in the words of records, and pictures.

Taken are folders of records (parquet, or webdataset as `synth generate --format webdataset` writes it) and what other trainers
read: shards of webdataset, parquet of Hugging Face data sets, img2dataset's three forms, a CSV or JSON list of pictures,
open_clip's too, Chinese-CLIP's LMDB or the files that it is built from, and folders of pictures, called as
classes or not.  What a file is, its content says, not its name.
A row is a picture with its captions.  Where an input tells no split, people are split as records are: 8 : 1 : 1, by a fixed
function of `subject_id`.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clip.inputs import classes, folders, kinds, lmdbs, parquets, tables, tars, tsvs
from clip.inputs.listing import COLUMNS, Encoded, Input, Listing, unreadable, utf8
from clip.inputs.mixture import Mixture, Part, Sound
from clip.inputs.sets import USUAL, Columns, Data, Sets
from synth.base.errors import UserError
from synth.data import records
from synth.data.pictures import Pictures
from synth.data.shards import REQUIRED


def opened(data: Data) -> Input:
    """What `data` holds; of several sets, all of them.

    Raises:
        UserError: nothing that we know, or damaged; one line with file and row.
    """
    if isinstance(data, Sets):
        return _several(data, tuple(kinds.stamp(path) for path in data.paths))
    return _opened(data, USUAL)


@lru_cache(maxsize=4)
def _several(sets: Sets, _stamps: tuple[tuple[tuple[int, ...], ...], ...]) -> Input:
    sources = [_opened(path, sets.columns) for path in sets.paths]
    if sets.skip_damaged:
        pairs = zip(sets.paths, sources, strict=True)
        sources = [Sound(path, source, sets.skip_damaged) for path, source in pairs]
    return Mixture(sets, sources) if len(sources) > 1 else sources[0]


def times(data: Data, split: str) -> np.ndarray | None:
    """(N,) how often an epoch of training holds each row of a split, where not every row once."""
    source = opened(data)
    return source.times(split) if isinstance(source, Mixture) else None


def _opened(data: Path, columns: Columns) -> Input:
    if not data.exists():
        raise UserError(f"{data}: no such file or folder")
    try:
        if columns != USUAL:
            if not tables.holds(data):
                raise UserError(
                    f"{data}: no list of pictures; --image-column and --caption-column are for lists"
                )
            return _foreign(data, partial(tables.read, columns=columns), kinds.stamp(data))
        if _is_ours(data):
            return Records(data)
        for reader in (lmdbs, tsvs, tars, parquets, tables, folders, classes):
            if reader.holds(data):
                if reader in (tars, parquets) and data.is_dir() and (path := tables.beside(data)):
                    raise UserError(
                        f"{path}: a list of pictures beside {'tars' if reader is tars else 'parquet'}; give it as --data, or take "
                        "it out"
                    )
                return _foreign(data, reader.read, kinds.stamp(data))
        raise _nothing(data)
    except OSError as error:
        raise unreadable(error.filename or data, error) from None


def _is_ours(data: Path) -> bool:
    """Whether shards of records lie there: with a sidecar, or with the columns that no other parquet has."""
    for path in sorted((data / "data").glob("[!.]*")):
        if path.suffix in (".parquet", ".tar") and path.with_suffix(".json").exists():
            return True
        if path.suffix == ".parquet" and (data / "plan.json").exists():
            return True
        if path.suffix == ".parquet" and kinds.kind(path) == "parquet" and set(REQUIRED) <= set(_names(path)):
            return True
    return False


def _names(path: Path) -> list[str]:
    try:
        return pq.read_schema(path).names
    except (pa.ArrowException, OSError):
        return []  # damaged; who reads it says so


def _nothing(data: Path) -> UserError:
    """What is said of an input that no reader takes, by what it looks like."""
    if data.is_file():
        return kinds.refusal(data, kinds.kind(data))
    known = (
        "records (data/*.parquet), webdataset (*.tar), parquet with pictures, one CSV file with a column 'image', pictures with "
        "texts of their names (1.jpg, 1.txt), folders of pictures ([SPLIT/]CLASS/1.jpg), Chinese-CLIP's LMDB (imgs/ and pairs/) or *_imgs.tsv and *_texts.jsonl"
    )
    for path in sorted(kinds.visible(data)):
        if path.suffix == ".parquet":
            return parquets.without_pictures(path)
        if path.suffix == ".arrow" or path.name == "data.mdb":
            return kinds.refusal(path, kinds.kind(path))
    return UserError(f"{data}: no records in it, no pairs and no pictures; known: {known}")


class Records:
    """A folder of records of ours."""

    notes: Sequence[str] = ()

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fingerprint = records.data_fingerprint(folder)

    def table(self, split: str, columns: Sequence[str]) -> pa.Table:
        return records.read_table(self.folder, [split], columns)

    def pictures(self, split: str) -> Encoded:
        return Pictures(self.folder, [split])

    def shards(self, split: str) -> Sequence[Path]:
        return records.shards(self.folder, split)


class Foreign:
    """Any other input, read and checked."""

    def __init__(self, data: Path, listing: Listing) -> None:
        _check_people(listing)
        splits = np.array([row.get("split") or records.split_of(row["subject_id"]) for row in listing.rows])
        self._rows = {split: np.flatnonzero(splits == split) for split in records.SPLITS}
        self._pictures = listing.pictures
        self.notes: Sequence[str] = listing.notes
        self.fingerprint = _fingerprint(listing)
        schema = pa.schema([records.SCHEMA.field(name) for name in COLUMNS])
        try:
            self._table = pa.Table.from_pylist(listing.rows, schema=schema)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise UserError(f"{data}: {' '.join(str(error).split())}; mend that value") from None

    def table(self, split: str, columns: Sequence[str]) -> pa.Table:
        return self._table.select(list(columns)).take(self._rows[split])

    def pictures(self, split: str) -> Encoded:
        return Part(self._pictures, self._rows[split])

    def shards(self, split: str) -> Sequence[Path]:
        return ()


def _fingerprint(listing: Listing) -> str:
    digest = hashlib.sha256(listing.sizes.astype("<i8").tobytes())
    for row, where in zip(listing.rows, listing.where, strict=True):
        try:
            digest.update(json.dumps(row, sort_keys=True, ensure_ascii=False).encode())
        except UnicodeEncodeError as error:
            raise UserError(
                f"{utf8(where)}: holds half a character ({error.reason}); mend that text"
            ) from None
    return digest.hexdigest()


def _check_people(listing: Listing) -> None:
    first: dict[str, int] = {}
    for i, row in enumerate(listing.rows):
        j = first.setdefault(row["subject_id"], i)
        one, other = row.get("split"), listing.rows[j].get("split")
        if one != other:
            raise UserError(
                f"{listing.where[i]}: subject_id='{row['subject_id']}' is in split {one}, but in {other} in "
                f"{listing.where[j]}; keep everyone on one side"
            )


@lru_cache(
    maxsize=8
)  # a run asks for fingerprint and splits in turn; reading the index of a million takes a minute
def _foreign(data: Path, read: Callable[[Path], Listing], _stamp: tuple[tuple[int, ...], ...]) -> Foreign:
    return Foreign(data, read(data))
