"""The listed pictures, each read once: several threads read at a time, what they bring is kept in portions until the records are written.

A killed import goes on behind its last portion.  What stays behind is the `Entry` of each picture without its bytes, so that
the same import of other files is refused with the name of the file that is another one.
"""

import errno
import hashlib
import json
import time
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from synth.base.errors import UserError
from synth.base.runs import atomic, progress
from synth.sources.near_duplicates import describe
from synth.sources.pictures import Photo, checked
from synth.sources.report import Report

READERS = 16  # threads; a network answers one of them in 5 ms or so, and many at a time
_ROWS, _BYTES = 2000, 64 * 2**20  # of a portion, whichever is reached first
_GROUP = 20  # rows that are read back at a time
_SETTLED = (
    2 * 10**9
)  # nanoseconds; a file changed less than that before it was read may change again under the same times
_ENTRIES = "pictures.pq"

_GONE = frozenset(
    (
        errno.ESTALE,
        errno.ENOTCONN,
        errno.ETIMEDOUT,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
    )
)
"""What a network folder says that is gone, and with it all pictures and not one of them."""

T = TypeVar("T")


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


class _File(NamedTuple):
    data: bytes | OSError | UserError
    """What was read, or why nothing could be."""
    sha256: bytes | None = None
    stamp: str | None = None

    def read(self) -> bytes:
        """The data, as `Photo.read` gives them."""
        if isinstance(self.data, bytes):
            return self.data
        raise self.data


def read_once(folder: Path, photos: Iterator[Photo], size: int | None, total: int) -> None:
    """Read every picture that `folder` does not hold yet, and see that those it holds have not changed.

    Args:
        size: as in `checked`.

    Raises:
        UserError: a picture is another one than it was; or the disk is full, then what was read is kept.
    """
    portion = _Portion(folder)
    with progress("reading", total) as bar:
        try:
            for (photograph, entry), file in in_order(_paired(photos, entries(folder)), _load):
                bar.update()
                if entry is None:
                    portion.add(_entry(photograph, file, size))
                elif file is not None and file.sha256 != entry.sha256:
                    raise UserError(_changed(folder, photograph.name, entry, file))
        finally:
            portion.write()


def portions(folder: Path) -> list[Path]:
    """The files that hold pictures, in order."""
    return sorted(folder.glob("read-*.pq"))


def entries(folder: Path, *more: str) -> Iterator[Entry]:
    """What `folder` holds of each picture, in order; `more` is read too: `image`, `descriptor`."""
    columns = [name for name in _SCHEMA.names if name not in ("image", "descriptor") or name in more]
    nothing = dict.fromkeys(_SCHEMA.names)
    finished = folder / _ENTRIES
    for path in [finished] if finished.exists() else portions(folder):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_GROUP, columns=columns):
                for values in batch.to_pylist():
                    yield Entry(**(nothing | values))


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


def in_order(items: Iterator[T], load: Callable[[T], "_File | None"]) -> Iterator[tuple[T, "_File | None"]]:
    """Each item and what `load` makes of it, in order; several threads load at a time."""
    waiting: deque[tuple[T, Future[_File | None]]] = deque()
    with ThreadPoolExecutor(READERS) as threads:
        try:
            for item in items:
                waiting.append((item, threads.submit(load, item)))
                if len(waiting) == 2 * READERS:
                    first, loaded = waiting.popleft()
                    yield first, loaded.result()
            while waiting:
                first, loaded = waiting.popleft()
                yield first, loaded.result()
        finally:
            for _, loaded in waiting:
                loaded.cancel()


def _paired(photos: Iterator[Photo], known: Iterator[Entry]) -> Iterator[tuple[Photo, Entry | None]]:
    for photograph in photos:
        yield photograph, next(known, None)


def _load(pair: tuple[Photo, Entry | None]) -> _File | None:
    """The file of a picture; None where an earlier call read it and it has not been touched since."""
    photograph, entry = pair
    try:
        stamp = _stamp(photograph.path)
        if entry is not None and stamp is not None and stamp == entry.stamp:
            return None
        data = photograph.read()
    except OSError as error:
        if error.errno in _GONE:
            raise UserError(
                f"{photograph.path or photograph.name}: cannot be read ({error.strerror}); see that the folder is "
                "connected and repeat the command, it goes on from there"
            ) from None
        return _File(error)
    except UserError as error:
        return _File(error)
    return _File(data, hashlib.sha256(data).digest(), stamp)


def _stamp(path: Path | None) -> str | None:
    """What the content of a file cannot change without; None where it may.

    The time of its last change of any kind is among it, which nobody can set back.
    """
    if path is None:
        return None
    found = path.stat()
    if max(found.st_mtime_ns, found.st_ctime_ns) > time.time_ns() - _SETTLED:
        return None
    return f"{found.st_size}-{found.st_mtime_ns}-{found.st_ctime_ns}-{found.st_ino}"


def _entry(photograph: Photo, file: _File | None, size: int | None) -> Entry:
    assert file is not None  # what is not known yet is read
    counts = Report("")
    image = checked(photograph._replace(read=file.read), size, counts)
    described = describe(image) if image is not None else None
    return Entry(
        photograph.name,
        json.dumps(photograph.labels, ensure_ascii=False),
        file.sha256,
        file.stamp,
        json.dumps({"dropped": dict(counts.dropped), "notes": dict(counts.notes)}, ensure_ascii=False),
        described.width if described else None,
        described.height if described else None,
        image,
        described.descriptor if described else None,
    )


def recount(entry: Entry, report: Report) -> None:
    """Count in `report` what was counted when the picture was read."""
    counted = json.loads(entry.counted)
    for reason, count in counted["dropped"].items():
        for _ in range(count):
            report.drop(reason, entry.name)
    report.notes += Counter(counted["notes"])


class _Portion:
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


def _changed(folder: Path, name: str, before: Entry, file: _File) -> str:
    what = "has changed"
    if file.sha256 is None:
        what = "cannot be read now"
    elif before.sha256 is None:
        what = "could not be read, and now can be,"
    return f"{name}: {what} since {folder.parent} was imported; choose another --out or delete the folder"
