"""Arrays in `.npy` files: plain numbers, with a checksum beside them, for their owner's eyes alone where they show people."""

import os
import tokenize
import zipfile
from collections.abc import Callable
from math import prod
from pathlib import Path

import numpy as np

from synth.base import checksums, disk_errors
from synth.base.errors import UserError
from synth.base.runs import atomic

_REMEDY = "delete it and repeat the command, which makes it again"
_ERRORS = (
    ValueError, EOFError, OSError, SyntaxError, TypeError, MemoryError, OverflowError, RecursionError, tokenize.TokenError,
    zipfile.BadZipFile,
)  # fmt: skip
"""What numpy raises on a file that is damaged, cut short, or holds objects."""


def write(path: Path, values: np.ndarray) -> None:
    """Write an array, whole or not at all, readable by its owner alone, and its checksum beside it."""
    checksums.forget(path)
    with atomic(path) as temporary, open(temporary, "wb", opener=_private) as file:
        np.save(file, values, allow_pickle=False)
    checksums.write(path)


def write_mapped(
    path: Path, shape: tuple[int, ...], kind: type[np.generic], fill: Callable[[np.ndarray], None]
) -> None:
    """The same of an array that need not fit into memory: `fill` is given it, mapped, to write into.

    Raises:
        UserError: the disk has no room for it; nothing has been filled then.
    """
    checksums.forget(path)
    disk_errors.check_room(path, prod(shape) * np.dtype(kind).itemsize)
    with atomic(path) as temporary:
        os.close(_private(str(temporary), os.O_WRONLY | os.O_CREAT))
        # open_memmap appends no suffix, unlike np.save
        values = np.lib.format.open_memmap(temporary, "w+", kind, shape)
        _reserve(temporary)
        fill(values)
        values.flush()
        del values
    checksums.write(path)


def read(path: Path, shape: tuple[int | None, ...] | None = None, remedy: str = _REMEDY) -> np.ndarray:
    """The numbers in a file, in memory.

    Args:
        shape:  what it must have; None stands for any, as a whole or for one dimension.
        remedy: what to do about a damaged one.

    Raises:
        UserError: absent, damaged, cut short, of another shape, or holding objects, of which nothing is run.
    """
    return _read(path, shape, remedy, None)


def mapped(path: Path, shape: tuple[int | None, ...] | None = None, remedy: str = _REMEDY) -> np.ndarray:
    """The same, read-only and mapped into memory; the checksum is compared once, when it is opened."""
    return _read(path, shape, remedy, "r")


def mapped_as_own(path: Path) -> np.ndarray:
    """The same, which may be written to: what is written stays in this process (torch asks for such arrays)."""
    return _read(path, None, _REMEDY, "c")


def _read(path: Path, shape: tuple[int | None, ...] | None, remedy: str, mode: str | None) -> np.ndarray:
    if not path.is_file():
        raise UserError(f"{path}: no such file; {remedy}")
    checksums.check(path, remedy)
    try:
        found = np.load(path, mmap_mode=mode, allow_pickle=False)  # type: ignore[call-overload]
    except _ERRORS:
        raise UserError(
            f"{path}: not a plain .npy of numbers, or cut short; nothing in it was run; {remedy}"
        ) from None
    if not isinstance(found, np.ndarray):  # an archive of several
        raise UserError(f"{path}: an archive, where one plain .npy of numbers is needed; {remedy}")
    if shape is not None and not _fits(found.shape, shape):
        wanted = " x ".join("any" if side is None else str(side) for side in shape)
        raise UserError(f"{path}: an array of {' x '.join(map(str, found.shape))}, not {wanted}; {remedy}")
    return found


def _fits(found: tuple[int, ...], shape: tuple[int | None, ...]) -> bool:
    return len(found) == len(shape) and all(w in (None, f) for f, w in zip(found, shape, strict=True))


def _reserve(path: Path) -> None:
    """Take the room of a file that is full of holes: a full disk is an error then, and no signal while it is filled."""
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)
