"""Machines in one machine: network namespaces on a wire that delays what it carries, and breaks.  Wants root and /dev/net/tun."""

import fcntl
import os
import selectors
import signal
import struct
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_TUNSETIFF, _TAP, _NO_HEADER = 0x400454CA, 0x0002, 0x1000
_FRAME = 65_536  # bytes of the largest


@dataclass
class Wire:
    """Carries each frame of a machine to all others, `delay` seconds later; none from or to those that are `away`."""

    delay: float
    ends: list[int]
    away: set[int] = field(default_factory=set)
    carried: int = 0
    lost: int = 0
    _waiting: deque[tuple[float, int, bytes]] = field(default_factory=deque)
    _ended: threading.Event = field(default_factory=threading.Event)

    def carry(self) -> None:
        """Until it is ended."""
        selector = selectors.DefaultSelector()
        for number, end in enumerate(self.ends):
            selector.register(end, selectors.EVENT_READ, number)
        while not self._ended.is_set():
            first = self._waiting[0][0] - time.monotonic() if self._waiting else 0.1
            for key, _ in selector.select(max(0, min(first, 0.1))):
                self._waiting.append((time.monotonic() + self.delay, key.data, os.read(key.fd, _FRAME)))
            while self._waiting and self._waiting[0][0] <= time.monotonic():
                _, sender, frame = self._waiting.popleft()
                for number, end in enumerate(self.ends):
                    if number != sender and not self.away & {number, sender}:
                        os.write(end, frame)
                        self.carried += 1
                    self.lost += number != sender and bool(self.away & {number, sender})

    def end(self) -> None:
        self._ended.set()


def can() -> bool:
    """Whether namespaces and their devices may be made here."""
    if os.geteuid() or not os.access("/dev/net/tun", os.W_OK):
        return False
    return not subprocess.run(["unshare", "-n", "ip", "link"], capture_output=True, check=False).returncode


@contextmanager
def machines(count: int, delay: float) -> Iterator[tuple[Wire, list[str]]]:
    """The wire and the namespaces `vc0`, `vc1`, ..., of which number k has the address 10.77.0.(k + 1)."""
    names = [f"vc{number}-{os.getpid()}" for number in range(count)]
    ends = [_tap(f"vctap{number}") for number in range(count)]
    wire = Wire(delay, ends)
    thread = threading.Thread(target=wire.carry)
    try:
        for number, name in enumerate(names):
            _ip("netns", "add", name)
            _ip("link", "set", f"vctap{number}", "netns", name)
            _ip("-n", name, "addr", "add", f"{address(number)}/24", "dev", f"vctap{number}")
            for device in ("lo", f"vctap{number}"):
                _ip("-n", name, "link", "set", device, "up")
        thread.start()
        yield wire, names
    finally:
        wire.end()
        if thread.is_alive():
            thread.join()
        for end in ends:
            os.close(end)
        for name in names:
            if Path("/run/netns", name).exists():
                stop(name)
                _ip("netns", "delete", name)


def address(number: int) -> str:
    return f"10.77.0.{number + 1}"


def inside(name: str, line: list[str]) -> list[str]:
    """The command line, run in a namespace."""
    return ["ip", "netns", "exec", name, *line]


def stop(name: str) -> None:
    """Kill whatever runs in a namespace."""
    found = subprocess.run(["ip", "netns", "pids", name], check=True, capture_output=True, text=True)
    for number in found.stdout.split():
        with suppress(ProcessLookupError):
            os.kill(int(number), signal.SIGKILL)


def _tap(name: str) -> int:
    end = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TAP | _NO_HEADER))
    return end


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
