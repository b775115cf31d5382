"""What a process does while a stranger's file is opened: addresses it asks for, files it writes, code it runs."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.sendto", "urllib.Request")
_PROGRAMS = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_watched: list["Fence"] = []


class Fence:
    """What happened outside of `allowed`, and code of `stranger` that ran."""

    def __init__(self, stranger: Path, allowed: Path) -> None:
        self.stranger, self.allowed = stranger, allowed
        self.events: list[tuple[str, str]] = []

    def see(self, event: str, arguments: Any) -> None:
        if event in _NETWORK or event in _PROGRAMS:
            self.events.append((event, str(arguments[:2])))
            raise PermissionError(f"{event} is forbidden here")
        if event == "open" and isinstance(arguments[0], str) and (arguments[2] or 0) & _WRITES:
            self._written(event, arguments[0])
        elif event in ("os.rename", "os.link", "os.symlink"):
            self._written(event, str(arguments[1]))
        elif event == "exec" and Path(arguments[0].co_filename).is_relative_to(self.stranger):
            self.events.append((event, arguments[0].co_filename))

    def _written(self, event: str, name: str) -> None:
        path = Path(name).absolute()
        ours = path.is_relative_to(self.allowed) and not path.is_relative_to(self.stranger)
        if not ours and "__pycache__" not in path.parts and path != Path(os.devnull):
            self.events.append((event, name))


def _hook(event: str, arguments: Any) -> None:
    if _watched:
        _watched[-1].see(event, arguments)


@contextmanager
def watching(stranger: Path, allowed: Path) -> Iterator[Fence]:
    """Record what happens, and let nothing reach the network or start a program.

    Args:
        stranger: the folder with the file that is opened.
        allowed:  where files may be written, but for `stranger`.
    """
    if _hook not in _installed:  # an audit hook stays as long as its process
        sys.addaudithook(_hook)
        _installed.append(_hook)
    _watched.append(Fence(stranger, allowed))
    try:
        yield _watched[-1]
    finally:
        _watched.pop()


_installed: list[Any] = []
