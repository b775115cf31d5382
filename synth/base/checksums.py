"""Checksums beside files: `NAME.sha256`, as `sha256sum -c` reads it, says what NAME was when it was written."""

from pathlib import Path

from synth.base.errors import UserError
from synth.base.runs import sha256, write_text


def beside(path: Path) -> Path:
    """Where the checksum of a file stands."""
    return path.with_name(f"{path.name}.sha256")


def write(path: Path) -> None:
    """Note the checksum of a finished file."""
    write_text(beside(path), f"{sha256(path)}  {path.name}\n")


def forget(path: Path) -> None:
    """Let go of a checksum, before its file is written anew: a kill between the two leaves none, and not another's."""
    beside(path).unlink(missing_ok=True)


def check(path: Path, remedy: str) -> None:
    """Compare a file with its checksum, if it has one; files of an earlier version have none.

    Raises:
        UserError: they differ.
    """
    try:
        noted = beside(path).read_text(encoding="utf-8", errors="replace").split()[:1]
    except FileNotFoundError:
        return
    if noted != [sha256(path)]:
        raise UserError(f"{path}: damaged, its sha256 is not that of {beside(path).name}; {remedy}")
