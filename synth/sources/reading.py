"""The listed pictures, each read once: several threads read at a time, what they bring is kept in portions until the records are written.

A killed import goes on behind its last portion.  What stays behind is the `Entry` of each picture without its bytes, so that
the same import of other files is refused with the name of the file that is another one.
"""

import errno
import hashlib
import json
import stat
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

from synth.base.errors import UserError
from synth.base.runs import progress
from synth.sources.copies import describe
from synth.sources.entries import Entry, Portion, entries
from synth.sources.pictures import Photo, checked
from synth.sources.report import Report

_CHUNK = 4  # pictures that a thread reads in one go
READERS = 16  # threads; a network answers one of them in 5 ms or so, and many at a time
_SETTLED = 2 * 10**9  # nanoseconds
"""A file changed less than that before it was read may change again under the same times."""

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
L = TypeVar("L")


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
    portion = Portion(folder)
    with progress("reading", total) as bar:
        try:
            for (photograph, entry), file in in_order(_paired(photos, entries(folder)), _load):
                bar.update()
                if entry is None:
                    portion.add(_entry(photograph, file, size))
                elif file is not None and file.sha256 != entry.sha256:
                    raise UserError(_changed(folder, photograph, entry, file))
        finally:
            portion.write()


def in_order(items: Iterator[T], load: Callable[[T], L]) -> Iterator[tuple[T, L]]:
    """Each item and what `load` makes of it, in order; several threads load a few items each at a time."""
    waiting: deque[Future[list[tuple[T, L]]]] = deque()
    with ThreadPoolExecutor(READERS) as threads:
        try:
            while chunk := list(islice(items, _CHUNK)):
                waiting.append(threads.submit(_loaded, chunk, load))
                if len(waiting) > READERS:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            for loaded in waiting:
                loaded.cancel()


def _loaded(items: list[T], load: Callable[[T], L]) -> list[tuple[T, L]]:
    return [(item, load(item)) for item in items]


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
    if not stat.S_ISREG(found.st_mode):  # a pipe is waited for without end
        raise OSError(errno.EINVAL, "no regular file")
    if max(found.st_mtime_ns, found.st_ctime_ns) > time.time_ns() - _SETTLED:
        return None
    return f"{found.st_size}-{found.st_mtime_ns}-{found.st_ctime_ns}-{found.st_ino}"


def _entry(photograph: Photo, file: _File | None, size: int | None) -> Entry:
    assert file is not None  # what is not known yet is read
    counts = Report("")
    found = checked(photograph._replace(read=file.read), size, counts)
    described = describe(found.picture) if found else None
    return Entry(
        photograph.name,
        json.dumps(photograph.labels, ensure_ascii=False),
        file.sha256,
        file.stamp,
        json.dumps({"dropped": dict(counts.dropped), "notes": dict(counts.notes)}, ensure_ascii=False),
        described.width if described else None,
        described.height if described else None,
        found.data if found else None,
        described.descriptor if described else None,
    )


def _changed(folder: Path, photograph: Photo, before: Entry, file: _File) -> str:
    what = "has changed"
    if file.sha256 is None:
        what = "cannot be read now"
    elif before.sha256 is None:
        what = "could not be read, and now can be,"
    where = photograph.path or photograph.name
    return f"{where}: {what} since {folder.parent} was imported; choose another --out or delete the folder"
