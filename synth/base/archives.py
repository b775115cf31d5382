"""Archives that are read where they lie: nothing is unpacked to the disk, and one that is cut short is not read at all."""

import re
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from synth.base.disk_errors import check_file
from synth.base.errors import UserError

_FILLING = 2**20  # bytes of zeros at most that a tar ends in; tar's own records have 10,240
_NOTES = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
_LONGEST = 2**16  # bytes of a name, or of notes on a member
_DIGITS = re.compile(rb"\d{200}")
_BOMB = 200
"""Times as large as its file that a zip may become; tables of Excel become twenty times as large."""
_SMALL = 64 * 2**20
"""Bytes that any zip may become."""


class _Member(tarfile.TarInfo):
    """A header; refuses sizes below 0, and notes that no tar has and over which `tarfile` would sit for hours."""

    def _proc_member(self, tarfile_: Any) -> tarfile.TarInfo:
        if self.size < 0:
            raise tarfile.ReadError(f"a member of {self.size} bytes")
        if self.type in _NOTES:
            start = tarfile_.fileobj.tell()
            if self.size > _LONGEST or _DIGITS.search(tarfile_.fileobj.read(self.size)):
                raise tarfile.ReadError("a name or note that is no name")
            tarfile_.fileobj.seek(start)
        return super()._proc_member(tarfile_)  # type: ignore[misc]  # tarfile: "can be overridden in a subclass"


@contextmanager
def opened_tar(path: Path) -> Iterator[tarfile.TarFile]:
    """An uncompressed tar, to walk through with `members`; it is at its end when that is done.

    Raises:
        tarfile.TarError: it is damaged, cut short, or goes on behind its end.
    """
    check_file(path)
    try:
        with tarfile.open(path, "r:", tarinfo=_Member) as file:
            yield file
            _check_end(path, file.offset)
    except RecursionError:
        raise tarfile.ReadError("long names of long names") from None


def members(file: tarfile.TarFile, path: Path) -> Iterator[tarfile.TarInfo]:
    """Every member, those that are no files too, in order.

    Raises:
        tarfile.TarError: it ends within one.
    """
    end = path.stat().st_size
    for member in file:
        file.members = []  # type: ignore[attr-defined]  # tarfile keeps all that it has seen
        if member.isreg() and member.offset_data + member.size > end:
            raise tarfile.ReadError(f"ends within {member.name}")
        yield member


def _check_end(path: Path, offset: int) -> None:
    """A tar ends in blocks of zeros; else it was cut, or a header within it is damaged, where tarfile stops in silence."""
    with open(path, "rb") as file:
        file.seek(offset)
        rest = file.read(_FILLING + 1)
    if len(rest) < tarfile.BLOCKSIZE or rest[: tarfile.BLOCKSIZE].strip(b"\0"):
        raise tarfile.ReadError(f"cut short, or no header, at byte {offset}")
    if len(rest) > _FILLING or rest.strip(b"\0"):
        raise tarfile.ReadError(
            f"goes on behind its end at byte {offset}; two tars in one, or a part was not fetched"
        )


def check_rows(path: Path, rows: int) -> None:
    """Refuse a table that says it has more rows than its file has bytes: a page of a thousand bytes can stand for millions.

    Raises:
        UserError: it does.
    """
    if rows > (size := path.stat().st_size):
        raise UserError(
            f"{path}: {size:,} bytes that say they are {rows:,} rows; is it the file that was meant?"
        )


def is_zip(path: Path) -> bool:
    """Whether a file is a zip archive."""
    return zipfile.is_zipfile(path)


@contextmanager
def opened_zip(path: Path, compressed: bool = True) -> Iterator[zipfile.ZipFile]:
    """A zip archive whose members are as large as they say.

    Args:
        compressed: whether its members may be.

    Raises:
        UserError: it would become far larger than its file is.
        zipfile.BadZipFile: it is damaged, or no zip.
    """
    with zipfile.ZipFile(path) as archive:
        size, packed = sum(each.file_size for each in archive.infolist()), path.stat().st_size
        most = max(_SMALL, _BOMB * packed) if compressed else packed
        if size > most:
            raise UserError(
                f"{path}: {packed:,} bytes that would become {size:,}; refused, is it the file that was meant?"
            )
        yield archive


def check_sums(path: Path) -> None:
    """Compare every member of a zip archive with the checksum that stands in it, and see that nothing follows its end.

    Raises:
        UserError: one differs, or more follows.
    """
    try:
        with opened_zip(path, compressed=False) as archive:
            begins = any(each.header_offset == 0 for each in archive.infolist())
            damaged = archive.testzip() or (None if begins and _ends(path) else "its begin or end")
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError, RuntimeError):
        damaged = "its list of members"
    if damaged:
        raise UserError(
            f"{path}: damaged, the checksum of {damaged} differs; copy it again, or train it again"
        )


def _ends(path: Path) -> bool:
    """Whether the record that ends a zip, of 22 bytes without a comment, is the last of the file."""
    with open(path, "rb") as file:
        file.seek(-22, 2)
        return file.read(4) == b"PK\5\6"
