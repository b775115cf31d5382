"""A function in a process of its own, with limits, which may die of them."""

import ctypes
import json
import os
import resource
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

LIMIT = 60
"""Seconds of processor time that a verb may take."""
_MEMORY = 12 << 30
"""Bytes of addresses, beyond those of the process that tries."""


class Died(Exception):
    """A forked process ended before its function did."""

    def __init__(self, status: int) -> None:
        super().__init__(f"ended with {status}")
        self.status = status


def forked(call: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns, as JSON carries it, from a process of its own with limits.

    Raises:
        Died: it returned nothing.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        code = 1
        try:
            _limit()
            with os.fdopen(writing, "w") as out:
                json.dump(call(*arguments), out)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as coming:
        text = coming.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        raise Died(status)
    return json.loads(text)


def _limit() -> None:
    """Processor time, time at all, memory; and root reads no file that nobody may read."""
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT + 5))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(5 * LIMIT)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    size = pages * resource.getpagesize() + _MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    obey()


def obey() -> None:
    """Give up root's right to read everything, where this process has it (Linux's CAP_DAC_*), for good."""
    if os.geteuid() != 0:
        return
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    libc: Any = ctypes.CDLL(None, use_errno=True)
    libc.capget(header, data)
    for place in (0, 1, 2):
        data[place] &= ~0b110  # DAC_OVERRIDE, DAC_READ_SEARCH
    libc.capset(header, data)
