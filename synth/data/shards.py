"""One shard of records and its sidecar: rows are written as they come, and the file is whole or absent.

A shard is parquet, or a tar in the layout of webdataset: for each record `ID.jpg`, `ID.json` (every other column),
`ID.txt` and `ID.zh.txt` (the captions in English and in Chinese).
"""

import io
import json
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from synth.base import archives
from synth.base.disk_errors import check_file
from synth.base.documents import parse_json, read_mapping
from synth.base.errors import UserError
from synth.base.runs import atomic, sha256, write_json

SPLITS: tuple[str, ...] = ("train", "validation", "test")
ROW_GROUP = 100  # rows that are written, and read, at a time
SUFFIXES = {"parquet": ".parquet", "webdataset": ".tar"}
"""Format -> the ending of its files."""

REQUIRED = ("id", "subject_id", "image", "caption_zh", "caption_en", "source", "seed", "plan")
"""Columns that every shard has.  A label may have come into the vocabulary after a shard was written: there it is null."""

SIDECAR = frozenset(("sha256", "bytes", "rows", "first_index", "last_index", "plan", "filtered"))
"""Keys that a sidecar may have."""

_PLACE = b"shard"
"""Where the metadata of a parquet shard keep its split and number, by which two that are exchanged are known."""

Rows = Iterable[Mapping[str, Any]]


def shard_name(split: str, number: int, count: int, format: str = "parquet") -> str:
    """The file of one shard, relative to the folder of the records."""
    return f"data/{split}-{number:05d}-of-{count:05d}{SUFFIXES[format]}"


@contextmanager
def writing(
    path: Path, schema: pa.Schema, plan: str, first_index: int, filtered: Mapping[str, int] = {}
) -> Iterator[Callable[[Rows], None]]:
    """Write one shard, then its sidecar; yields what takes rows, in portions of any size.

    The same rows give the same bytes, however they were portioned.  The ending of `path` tells the format.

    Args:
        filtered: what was drawn again, counted while rows are added; goes into the sidecar unless it is empty.

    Raises:
        UserError: the disk is full or the folder cannot be written; nothing has changed then.
    """
    group: list[Mapping[str, Any]] = []
    rows = 0
    with atomic(path) as temporary:
        named = schema.with_metadata({**(schema.metadata or {}), _PLACE: _place(path)})
        with _tar(temporary) if path.suffix == ".tar" else _parquet(temporary, named) as put:

            def add(portion: Rows) -> None:
                nonlocal rows
                for row in portion:
                    group.append(row)
                    rows += 1
                    if len(group) == ROW_GROUP:
                        put(group)
                        group.clear()

            yield add
            if group:
                put(group)
        digest, size = sha256(temporary), temporary.stat().st_size
    sidecar = {
        "sha256": digest,
        "bytes": size,
        "rows": rows,
        "first_index": first_index,
        "last_index": first_index + rows - 1,
        "plan": plan,
    }
    if filtered:
        sidecar["filtered"] = dict(filtered)
    write_json(path.with_suffix(".json"), sidecar)


@contextmanager
def _parquet(path: Path, schema: pa.Schema) -> Iterator[Callable[[Rows], None]]:
    # JPEG does not compress further, and a dictionary of pictures is only overhead.
    with pq.ParquetWriter(
        path, schema, compression="none", use_dictionary=False, write_page_checksum=True
    ) as file:
        yield lambda rows: file.write_table(pa.Table.from_pylist(list(rows), schema=schema))


@contextmanager
def _tar(path: Path) -> Iterator[Callable[[Rows], None]]:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as file:

        def put(rows: Rows) -> None:
            for row in rows:
                for ending, content in _members(row).items():
                    member = tarfile.TarInfo(f"{row['id']}.{ending}")  # owner, mode and time are fixed
                    member.size = len(content)
                    file.addfile(member, io.BytesIO(content))

        yield put


def _members(row: Mapping[str, Any]) -> dict[str, bytes]:
    labels = {key: value for key, value in row.items() if key != "image"}
    return {
        "jpg": row["image"]["bytes"],
        "json": json.dumps(labels, ensure_ascii=False).encode(),
        "txt": (row["caption_en"] or "").encode(),
        "zh.txt": (row["caption_zh"] or "").encode(),
    }


def open_shard(path: Path) -> pq.ParquetFile:
    """A parquet shard.

    Raises:
        UserError: it is damaged.
    """
    check_file(path)
    try:
        found = pq.ParquetFile(path, memory_map=True, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise _unread(path, error) from None
    archives.check_rows(path, found.metadata.num_rows)
    _check_rows(path, found.metadata.num_rows, found.schema_arrow.metadata or {})
    return found


def _place(path: Path) -> str:
    """The split and the number of a shard, also before it is known how many there will be."""
    return "-".join(path.stem.lstrip(".").split("-")[:2])


def _is_exchanged(path: Path, place: str) -> bool:
    """Whether the shard of `place` holds other rows too; else somebody copied or renamed it, and means it."""
    if not re.fullmatch(r"\w+-\d+", place):  # nobody of ours wrote this
        return True
    try:
        others = [pq.read_schema(other).metadata or {} for other in path.parent.glob(f"{place}-of-*.parquet")]
    except (pa.ArrowException, OSError):
        return True
    return any(other.get(_PLACE, place.encode()) != place.encode() for other in others)


def _check_rows(path: Path, rows: int, metadata: Mapping[bytes, bytes] = {}) -> None:
    """Refuse a shard that holds other rows than were written, or those of another shard, where it has its sidecar.

    Raises:
        UserError: it is damaged.
    """
    sidecar = path.with_suffix(".json")
    if not sidecar.exists():
        return
    place = metadata.get(_PLACE, b"").decode(errors="replace")
    if place and place != _place(path) and _is_exchanged(path, place):
        raise UserError(f"{path}: holds the rows of {place}: shards are exchanged; copy them again")
    if read_mapping(sidecar).get("rows") != rows:
        raise _damaged(path)


def _unread(path: Path, error: Exception) -> Exception:
    """The error to raise: of the disk, or of a file whose bytes are not what they were."""
    return error if isinstance(error, OSError) and error.errno else _damaged(path)


def read_shard(path: Path, columns: Sequence[str], schema: pa.Schema) -> pa.Table:
    """Some columns of a shard, not `image`; a label that the shard does not have is null.

    Raises:
        UserError: it is damaged, or one of `REQUIRED` is missing.
    """
    wanted = pa.schema([schema.field(name) for name in columns])
    if path.suffix == ".tar":
        rows = [parse_json(text, str(path)) for text in _contents(path, tuple(_index(path)["json"]))]
        try:
            return pa.Table.from_pylist(rows, schema=wanted)
        except (pa.ArrowException, TypeError, AttributeError):
            raise _damaged(path) from None
    file = open_shard(path)
    missing = [name for name in columns if name not in file.schema_arrow.names]
    if required := [name for name in missing if name in REQUIRED]:
        raise UserError(
            f"{path}: column '{required[0]}' is missing; it has {', '.join(file.schema_arrow.names)}; give a folder that "
            "'synth import' or 'synth generate' wrote"
        )
    try:
        table = file.read([name for name in columns if name not in missing])
        for name in missing:
            empty = pa.nulls(file.metadata.num_rows, wanted.field(name).type)
            table = table.append_column(wanted.field(name), empty)
        return table.select(list(columns)).cast(wanted)
    except (pa.ArrowException, OSError, KeyError) as error:  # KeyError: a column stands twice
        raise _unread(path, error) from None


def row_groups(path: Path) -> list[int]:
    """How many rows each group of a shard has: what `images` reads at a time."""
    if path.suffix == ".tar":
        rows = len(_index(path)["jpg"])
        return [min(ROW_GROUP, rows - start) for start in range(0, rows, ROW_GROUP)]
    found = open_shard(path).metadata
    return [found.row_group(group).num_rows for group in range(found.num_row_groups)]


def images(path: Path, group: int) -> Sequence[bytes]:
    """The encoded pictures of one row group.

    Raises:
        UserError: the shard is damaged.
    """
    if path.suffix == ".tar":
        return _contents(path, tuple(_index(path)["jpg"][group * ROW_GROUP : (group + 1) * ROW_GROUP]))
    try:
        column = open_shard(path).read_row_group(group, ["image"]).column("image")
        place = column.type.get_field_index("bytes") if pa.types.is_struct(column.type) else -1
        if place < 0 or not pa.types.is_binary(column.type.field(place).type):
            raise KeyError("image")
    except (pa.ArrowException, OSError, KeyError) as error:
        raise _unread(path, error) from None
    return _Encoded(column)


class _Encoded(Sequence[bytes]):
    """The pictures of a row group of parquet, each copied when it is asked for."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, place: int) -> bytes:  # type: ignore[override]
        return self._column[place]["bytes"].as_py()


def _damaged(path: Path) -> UserError:
    return UserError(
        f"{path}: damaged {path.suffix[1:]}; delete it with its .json and repeat the command that wrote it"
    )


def stamp(path: Path) -> tuple[int, ...]:
    """What tells a file from another one of its name, and from what it held before: for what is kept in memory."""
    about = path.stat()
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns


def _index(path: Path) -> dict[str, list[tuple[int, int]]]:
    return _index_of(path, stamp(path))


@lru_cache(maxsize=64)
def _index_of(path: Path, _stamp: tuple[int, ...]) -> dict[str, list[tuple[int, int]]]:
    """Where the (offset, size) of the pictures and of their labels lie in a tar, in order.

    A tar has no checksums of its own, so all of it is compared with its sidecar's.
    """
    found: dict[str, list[tuple[int, int]]] = {"jpg": [], "json": []}
    try:
        with archives.opened_tar(path) as file:
            for member in archives.members(file, path):
                ending = member.name.partition(".")[2]
                if ending in found:
                    found[ending].append((member.offset_data, member.size))
    except (tarfile.TarError, OSError, ValueError):
        raise _damaged(path) from None
    _check_rows(path, len(found["jpg"]))
    sidecar = path.with_suffix(".json")
    noted = read_mapping(sidecar).get("sha256") if sidecar.exists() else None
    if len(found["jpg"]) != len(found["json"]) or (noted is not None and noted != sha256(path)):
        raise _damaged(path)
    return found


def _contents(path: Path, places: Sequence[tuple[int, int]]) -> list[bytes]:
    with open(path, "rb") as file:
        found = []
        for offset, size in places:
            file.seek(offset)
            found.append(file.read(size))
        return found


def is_done(path: Path, plan: str) -> bool:
    """Whether a shard of this plan is finished: its sidecar is written last."""
    sidecar = path.with_suffix(".json")
    return path.exists() and sidecar.exists() and read_mapping(sidecar).get("plan") == plan
