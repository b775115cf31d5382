"""What happens to a command while it works: signals, a full disk, limits, a second writer, a home that is not there."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import fuzzing

ROOT = Path(__file__).parent.parent


class Job(NamedTuple):
    """A command, and what of its folder must be the same."""

    line: tuple[str, ...]
    written: str
    """A pattern below the folder of work; what is printed, where it is empty."""
    exits: tuple[int, ...] = (0,)


class Place(NamedTuple):
    """Where a command works."""

    work: Path
    disk: bool
    """Whether it is a small disk of its own, which can be filled."""


# Faults: each begins the command, disturbs it, and returns how it ended.


def _signalled(number: int) -> Callable[..., int]:
    def fault(job: Job, place: Place, chance: random.Random, whole: float) -> int:
        process = begin(job, place)
        time.sleep(chance.uniform(0, whole))
        _send(process, number)
        return ended(process)

    return fault


def _paused(job: Job, place: Place, chance: random.Random, whole: float) -> int:
    process = begin(job, place)
    for _ in range(3):
        time.sleep(chance.uniform(0, whole / 3))
        _send(process, signal.SIGSTOP)
        time.sleep(0.3)
        _send(process, signal.SIGCONT)
    return ended(process)


def _two_writers(job: Job, place: Place, chance: random.Random, whole: float) -> int:
    first = begin(job, place)
    time.sleep(chance.uniform(0, whole / 2))
    second = begin(job, place)
    return max(ended(first), ended(second))


def _full_disk(job: Job, place: Place, chance: random.Random, whole: float) -> int:
    ballast = place.work / ".ballast"
    room = shutil.disk_usage(place.work).free
    with open(ballast, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, room - chance.randrange(0, 400_000)))
    try:
        return ended(begin(job, place))
    finally:
        ballast.unlink()


def _limited(what: int, least: int, most: int) -> Callable[..., int]:
    def fault(job: Job, place: Place, chance: random.Random, whole: float) -> int:
        value = chance.randrange(least, most + 1)
        if what == resource.RLIMIT_AS:
            value += used(0)
        return ended(begin(job, place, lambda: resource.setrlimit(what, (value, value))))

    return fault


def _homeless(job: Job, place: Place, chance: random.Random, whole: float) -> int:
    gone = {"HOME": "/nonexistent/home", "TMPDIR": "/nonexistent/tmp", "XDG_CACHE_HOME": "/nonexistent/cache"}
    return ended(begin(job, place, lambda: os.environ.update(gone)))


def _in_c(job: Job, place: Place, chance: random.Random, whole: float) -> int:
    """A process of its own: Python takes the encoding of names when it starts."""
    environment = os.environ | {"LANG": "C", "LC_ALL": "C", "PYTHONPATH": str(ROOT), "PYTHONUTF8": "0"}
    with open(place.work / ".err", "wb") as err:
        return subprocess.run(
            [sys.executable, "-m", *job.line],
            cwd=place.work,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=err,
        ).returncode


def _other_times(job: Job, place: Place, chance: random.Random, whole: float) -> int:
    for path in place.work.rglob("*"):
        if path.is_file():
            then = time.time() + chance.choice([-1, 1]) * chance.uniform(0, 10) * 365 * 86400
            os.utime(path, (then, then))
    return ended(begin(job, place))


FAULTS: dict[str, Callable[..., int]] = {
    "SIGKILL": _signalled(signal.SIGKILL),
    "SIGTERM": _signalled(signal.SIGTERM),
    "SIGINT": _signalled(signal.SIGINT),
    "SIGSTOP, SIGCONT": _paused,
    "two writers": _two_writers,
    "full disk": _full_disk,
    "small files": _limited(resource.RLIMIT_FSIZE, 0, 200_000),
    "64 open files": _limited(resource.RLIMIT_NOFILE, 64, 64),
    "little memory": _limited(resource.RLIMIT_AS, 1 << 20, 300 << 20),
    "no HOME, no TMPDIR": _homeless,
    "LANG=C": _in_c,
    "times years off": _other_times,
}
RARE = {"LANG=C": 0.1}
"""What takes as long as its imports, and is drawn less often than the others."""


# One command in a forked process


def begin(job: Job, place: Place, before: Callable[[], object] = lambda: None) -> int:
    """Begin a command in a process of its own; returns its number."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.chdir(place.work)
        for number, name in ((1, ".out"), (2, ".err")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
        before()
        fuzzing.APPS[job.line[0]](list(job.line[1:]), prog_name=job.line[0])
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        with suppress(BaseException):
            traceback.print_exc()
    finally:
        with suppress(BaseException):
            sys.stdout.flush()
        os._exit(status)


def ended(child: int) -> int:
    """Its exit status, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _send(process: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)


def used(which: int) -> int:
    """Bytes of addresses (0) or of memory (1) that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[which]) * resource.getpagesize()
