"""What an import has read of each listed picture, in portions that a killed import leaves and the next one goes on behind.

Once the records are written, the pictures themselves are let go of; what tells whether a file has changed since stays.
"""

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from synth.base.runs import atomic
from synth.sources.report import Report

_ROWS, _BYTES = 2000, 64 * 2**20  # of a portion, whichever is reached first
_GROUP = 20  # rows whose pictures are read back at a time
_ENTRIES = "pictures.pq"


class Entry(NamedTuple):
    """One listed picture and what became of it."""

    name: str
    labels: str
    """Columns of its record, as JSON."""
    sha256: bytes | None
    """Of the file; null where it could not be read."""
    stamp: str | None
    """Size, times and number of the file, which another content changes; null where they prove nothing."""
    counted: str
    """Why it is dropped and what is noted of it, as JSON."""
    width: int | None
    height: int | None
    image: bytes | None
    """What the record holds, or null."""
    descriptor: bytes | None


_SCHEMA = pa.schema(
    {
        "name": pa.string(),
        "labels": pa.string(),
        "sha256": pa.binary(),
        "stamp": pa.string(),
        "counted": pa.string(),
        "width": pa.int32(),
        "height": pa.int32(),
        "image": pa.binary(),
        "descriptor": pa.binary(),
    }
)


def portions(folder: Path) -> list[Path]:
    """The files that hold pictures, in order."""
    return sorted(folder.glob("read-*.pq"))


def entries(folder: Path, *more: str) -> Iterator[Entry]:
    """What `folder` holds of each picture, in order; `more` is read too: `image`, `descriptor`."""
    columns = [name for name in _SCHEMA.names if name not in ("image", "descriptor") or name in more]
    count = _GROUP if "image" in more else _ROWS
    finished = folder / _ENTRIES
    for path in [finished] if finished.exists() else portions(folder):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(count, columns=columns, use_threads=False):
                told = dict(zip(columns, (column.to_pylist() for column in batch.columns), strict=True))
                unread = [None] * len(batch)
                yield from map(Entry, *(told.get(name, unread) for name in _SCHEMA.names))


class Images:
    """The pictures of the entries, by their places; reads what is asked for."""

    def __init__(self, folder: Path) -> None:
        self._groups: list[tuple[Path, int]] = []
        self._starts: list[int] = []
        start = 0
        for path in portions(folder):
            found = pq.read_metadata(path)
            for group in range(found.num_row_groups):
                self._groups.append((path, group))
                self._starts.append(start)
                start += found.row_group(group).num_rows

    def __getitem__(self, place: int) -> bytes | None:
        number = bisect_right(self._starts, place) - 1
        path, group = self._groups[number]
        with pq.ParquetFile(path) as file:
            return file.read_row_group(group, ["image"]).column("image")[place - self._starts[number]].as_py()


def is_finished(folder: Path) -> bool:
    """Whether the records are written, so that the pictures are no longer here."""
    return (folder / _ENTRIES).exists()


def forget(folder: Path) -> None:
    """Let go of everything, to read it again."""
    for path in (folder / _ENTRIES, *portions(folder)):
        path.unlink(missing_ok=True)


def finish(folder: Path) -> None:
    """Let go of the pictures: the records hold them; what tells whether a file has changed stays."""
    if not is_finished(folder):
        with (
            atomic(folder / _ENTRIES) as temporary,
            pq.ParquetWriter(temporary, _SCHEMA, compression="zstd") as file,
        ):
            for path in portions(folder):
                table = pq.read_table(path, columns=_SCHEMA.names[:-2])
                for name in _SCHEMA.names[-2:]:
                    table = table.append_column(name, pa.nulls(len(table), pa.binary()))
                file.write_table(table, _ROWS)
    for path in portions(folder):
        path.unlink()


def recount(entry: Entry, report: Report) -> None:
    """Count in `report` what was counted when the picture was read."""
    counted = json.loads(entry.counted)
    for reason, count in counted["dropped"].items():
        for _ in range(count):
            report.drop(reason, entry.name)
    report.notes += Counter(counted["notes"])


class Portion:
    """The pictures that are read and not written yet."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._number = folder, len(portions(folder))
        self._rows: list[Entry] = []
        self._bytes = 0

    def add(self, entry: Entry) -> None:
        self._rows.append(entry)
        self._bytes += len(entry.image or b"")
        if len(self._rows) == _ROWS or self._bytes > _BYTES:
            self.write()

    def write(self) -> None:
        if not self._rows:
            return
        table = pa.Table.from_pylist([row._asdict() for row in self._rows], schema=_SCHEMA)
        with atomic(self._folder / f"read-{self._number:06d}.pq") as temporary:
            pq.write_table(table, temporary, row_group_size=_GROUP, compression="none", use_dictionary=False)
        self._rows, self._bytes, self._number = [], 0, self._number + 1
