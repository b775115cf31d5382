"""One writer a folder: who trains there says so in a file, and a second one is refused."""

import contextlib
import errno
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from synth.base.disk_errors import disk_error
from synth.base.errors import UserError
from synth.base.runs import is_first_process

FILE = ".lock"
_BEAT = 30
"""Seconds between signs of life."""
_SILENT = 600
"""Seconds without one after which a writer that cannot be asked is taken for dead."""

_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process; of several that `torchrun` started, the first does so for all.

    On one machine a writer that is gone is known by process and start; one elsewhere, on a shared disk, by its silence.

    Raises:
        UserError: somebody else writes there.
    """
    if not is_first_process():
        yield
        return
    path, own = folder / FILE, _identity()
    try:
        existed = folder.is_dir()
        folder.mkdir(parents=True, exist_ok=True)
        _take(path, own)
    except OSError as error:
        if (
            folder.is_dir() and error.errno in _READ_ONLY
        ):  # nobody can write there: a finished run may be asked again
            yield
            return
        raise disk_error(folder, error) from error
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(path, own, stop), daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        if _read(path) == own:
            path.unlink(missing_ok=True)
        if not existed:  # refused before anything was written
            with contextlib.suppress(OSError):
                folder.rmdir()


def _take(path: Path, own: dict[str, Any]) -> None:
    mine = path.with_name(f"{path.name}.{own['key']}.tmp")
    try:
        mine.write_text(json.dumps(own), encoding="utf-8")
        for _ in range(3):
            try:
                os.link(mine, path)  # of several who try, one succeeds, on shared disks too
                return
            except FileExistsError:
                _clear(path, mine)
        raise UserError(f"{path.parent}: others begin to write there at this moment; repeat the command")
    finally:
        mine.unlink(missing_ok=True)


def _clear(path: Path, mine: Path) -> None:
    """Remove the lock of who is gone.

    Raises:
        UserError: whoever holds it is at work.
    """
    holder = _read(path)
    if holder is None and not path.exists():
        return
    try:
        age = mine.stat().st_mtime - path.stat().st_mtime  # both by the clock of the disk
    except FileNotFoundError:
        return
    if _lives(holder, age):
        who = "another process"
        if holder:
            who = f"process {holder.get('process')} on {holder.get('host')}, since {holder.get('since')},"
        raise UserError(f"{path.parent}: {who} writes there; wait for it, stop it, or choose another --out")
    gone = path.with_name(f"{mine.name}.gone.tmp")
    with contextlib.suppress(FileNotFoundError):
        path.rename(gone)
        if _read(gone) != holder:  # somebody else was quicker, and holds it now
            with contextlib.suppress(FileExistsError):
                os.link(gone, path)
        gone.unlink(missing_ok=True)


def _lives(holder: dict[str, Any] | None, age: float) -> bool:
    if holder and holder.get("machine") == _machine():
        return holder.get("started") == _started(int(holder.get("process", 0)))
    return age < _SILENT


def _beat(path: Path, own: dict[str, Any], stop: threading.Event) -> None:
    while not stop.wait(_BEAT):
        with contextlib.suppress(OSError):
            if _read(path) == own:
                os.utime(path)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _identity() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "process": os.getpid(),
        "started": _started(os.getpid()),
        "machine": _machine(),
        "since": time.strftime("%Y-%m-%d %H:%M"),
        "key": uuid4().hex,
    }


def _machine() -> str:
    """Names what a number of a process means something in: a machine since it was started, and a container of it."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(os.readlink("/proc/self/ns/pid"))  # noqa: PTH115
    return " ".join(parts)


def _started(process: int) -> str | None:
    """When a process began, in ticks of the kernel; None where it is gone."""
    try:
        state, *fields = (
            Path(f"/proc/{process}/stat")
            .read_text(encoding="ascii", errors="replace")
            .rpartition(")")[2]
            .split()
        )
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return None
        return _asked(process)
    except (OSError, ValueError):
        return None
    return None if state in "ZX" else fields[18]


def _asked(process: int) -> str | None:
    """Where there is no /proc: whether it lives, as "alive"."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except PermissionError:
        pass
    return "alive"
