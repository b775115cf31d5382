"""What the operating system says of a file, as one line with a remedy; what is read is never called a failed write."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from synth.base.errors import UserError

_BROKEN = frozenset(
    (
        errno.EIO,
        errno.ESTALE,
        errno.ENOTCONN,
        errno.ETIMEDOUT,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
    )
)

_MEMORY = "not enough memory; lower batch or --workers, or take a machine with more"
_FILES = "too many files are open; raise the limit (ulimit -n), or lower --workers"
_SHORT = {
    errno.ENOMEM: _MEMORY,
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.ENAMETOOLONG: "a longer name than the disk takes; give it a shorter one",
}
"""What the machine has too little of."""
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


def full(error: BaseException) -> OSError | None:
    """What the system said where a library, in whatever words, tells that a file could not be written to its end."""
    if isinstance(error, UserError):
        return None
    if isinstance(error, OSError):
        return error if error.errno in _FULL else None
    if isinstance(error.__context__, OSError) and error.__context__.errno in _FULL:  # torch's
        return error.__context__
    told = re.search(r"(?:os error |Os \{ code: )(\d+)", str(error))  # safetensors', and that of before 0.5
    number = int(told[1]) if told else 0
    return OSError(number, os.strerror(number)) if number in _FULL else None


def memory_error(error: BaseException) -> UserError | None:
    """The line to say where memory did not suffice, in whatever words a library tells it."""
    told = isinstance(error, MemoryError) or re.search(
        r"out of memory|(can't|cannot) allocate memory|bad_alloc|could not create a primitive",
        str(error),
        re.IGNORECASE,
    )
    return UserError(_MEMORY) if told else None


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """While a library writes `path`, a folder of files: a full disk is one line.

    Raises:
        UserError: the disk is full.
    """
    try:
        yield
    except Exception as error:
        if found := full(error):
            raise disk_error(path, found) from error
        raise


def check_room(path: Path, size: int, remedy: str = "free some space, or choose another --out") -> None:
    """Refuse to begin what would not fit: a file at `path` of `size` bytes.

    Raises:
        UserError: less is free.
    """
    room = free(path)
    if size > room:
        raise UserError(f"{path}: needs {size / 1e9:.3g} GB, and {room / 1e9:.3g} GB are free; {remedy}")


def free(path: Path) -> int:
    """Bytes that are free where `path` is, or is to be."""
    folder = next(each for each in path.absolute().parents if each.is_dir())
    return shutil.disk_usage(folder).free


def check_file(path: Path) -> None:
    """Refuse a pipe, a socket or a device, for which a reader waits or reads for ever, and a link to nowhere or to itself.

    Raises:
        UserError: it is one.
    """
    if str(path).startswith("/dev/fd/"):  # a shell's <(command), in which somebody does write
        return
    if "\0" in str(path):
        raise UserError(f"{path!r}: no name of a file, a zero byte is in it; name the file")
    if path.exists() and not path.is_file() and not path.is_dir():
        raise UserError(f"{path}: a pipe or a device, where a file is needed; put the file there")
    if path.is_symlink() and not path.exists():
        raise UserError(f"{path}: a link that leads nowhere; put the file there")


def is_input(error: OSError, path: Path) -> bool:
    """Whether an error is about another file than `path`, its folder and those around it: one that is read."""
    if not isinstance(error.filename, str | bytes | os.PathLike):
        return False
    named, output = (Path(os.path.abspath(os.fsdecode(name))) for name in (error.filename, path))  # noqa: PTH100
    return named.parent != output.parent and named not in output.parents


def disk_error(path: Path, error: OSError) -> Exception:
    """The error to raise for a failed write: a `UserError` where the user can mend it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            f"{path}: disk full; free some space and repeat the command, finished files are kept"
        )
    if error.errno == errno.EFBIG:
        return UserError(
            f"{path}: larger than a file may be there; raise the limit (ulimit -f), or choose another --out"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return UserError(f"{path}: cannot be written ({error.strerror}); choose another --out")
    if error.errno in _SHORT:
        return UserError(f"{path}: {_SHORT[error.errno]}")
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return UserError(f"{path}: a file stands where a folder is needed; choose another --out")
    return error


def file_error(path: Path, error: OSError) -> Exception:
    """The error to raise where it is not known whether a file was to be read or written: a `UserError` if it can be."""
    if error.errno in (errno.EACCES, errno.EPERM) and not _is_written(path):
        return UserError(
            f"{path}: cannot be read ({error.strerror}); mend its permissions, or those of its folder"
        )
    if error.errno in (errno.ENOENT, errno.ELOOP):
        return UserError(f"{path}: no such file or folder, or a link that leads nowhere")
    if error.errno == errno.EISDIR:
        return UserError(f"{path}: a folder, where a file is needed")
    if error.errno in _BROKEN:
        return UserError(
            f"{path}: cannot be reached ({error.strerror}); see that the disk or network folder is connected, and "
            "repeat the command"
        )
    return disk_error(path, error)


def _is_written(path: Path) -> bool:
    """Whether it is writing that is refused: the file can be read, or it is not there while its folder can be entered."""
    if path.exists():
        return os.access(path, os.R_OK)
    return os.access(path.parent, os.R_OK | os.X_OK)
