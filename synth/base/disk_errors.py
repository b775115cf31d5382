"""What the operating system says of a file, as one line with a remedy; what is read is never called a failed write."""

import errno
import os
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
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return UserError(f"{path}: cannot be written ({error.strerror}); choose another --out")
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
