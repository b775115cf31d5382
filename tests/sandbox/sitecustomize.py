"""Put at the head of PYTHONPATH, it makes every Python process of a test note and refuse what leaves its folders.

VISIONCLIP_FENCE names where the process may write, separated by `:`, and first the file in which it notes what it tried.
"""

import os
import sys
from typing import Any

_LOG, *_ALLOWED = os.environ.get("VISIONCLIP_FENCE", "").split(":")
_NETWORK = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "urllib.Request"}
_PROGRAMS = {"os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen"}
_PLACES = {
    "os.mkdir": 0,
    "os.remove": 0,
    "os.rmdir": 0,
    "os.rename": 1,
    "os.link": 1,
    "os.symlink": 1,
    "os.truncate": 0,
}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PROBES = {"ldconfig", "gcc", "ld", "fc-list", "lscpu"}
"""By which ctypes looks for the C library, matplotlib for fonts and torch 2.6 for the processor, whatever is asked of them."""
_DEVICES = ("/dev/null", "/dev/tty", "/dev/shm/")


def _is_outside(name: object) -> bool:
    if not isinstance(name, str | bytes):
        return False
    path = os.path.abspath(os.fsdecode(name))  # noqa: PTH100
    return not path.startswith(_DEVICES) and not any(path == p or path.startswith(f"{p}/") for p in _ALLOWED)


def _refuse(event: str, said: object) -> None:
    log = os.open(_LOG, os.O_WRONLY | os.O_APPEND)
    os.write(log, f"{event} {said}\n".encode())
    os.close(log)
    raise PermissionError(f"{event} is forbidden here: {said}")


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _NETWORK:
        address = next(iter(arguments[1:] or arguments))
        if (
            not isinstance(address, str) or event != "socket.connect"
        ):  # a path: processes of ours among each other
            _refuse(event, address)
    elif event in _PROGRAMS:
        if event != "subprocess.Popen" or os.path.basename(os.fsdecode(arguments[0])) not in _PROBES:  # noqa: PTH119
            _refuse(event, arguments[:2])
    elif event in _PLACES:
        if _is_outside(arguments[_PLACES[event]]):
            _refuse(event, arguments[_PLACES[event]])
    elif (
        event == "open"
        and arguments[0] != _LOG
        and (arguments[2] or 0) & _WRITES
        and _is_outside(arguments[0])
    ):
        _refuse(event, arguments[0])


if _LOG:
    sys.addaudithook(_hook)
