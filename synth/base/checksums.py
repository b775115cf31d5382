"""Checksums beside files: `NAME.sha256`, as `sha256sum -c` reads it, says what NAME was when it was written."""

from pathlib import Path
from typing import Any

from synth.base import documents, runs
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


def write_json(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all, and its checksum beside it: a report, whose numbers a later verb compares."""
    forget(path)
    runs.write_json(path, value)
    write(path)


def read_json(path: Path) -> Any:
    """The value in a JSON file that `write_json` wrote, or that an earlier version did without a checksum.

    Raises:
        UserError: absent, damaged, too large or too deep; or not what was written.
    """
    return _checked(documents.read_json(path), path)


def read_mapping(path: Path, *needed: str) -> Any:
    """The same of an object, which has the keys that are `needed`."""
    return _checked(documents.read_mapping(path, *needed), path)


def _checked(found: Any, path: Path) -> Any:
    check(path, f"copy or write it again; whoever changed it knowingly removes {beside(path).name}")
    return found
