"""Ctrl-C and SIGTERM: a command that is stopped ends in order, says what it kept, and goes on when it is repeated."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

WORDS = "stopped; what was finished is kept, the same command goes on from there"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """The command is asked to end; its text says what is kept."""

    def __init__(self, text: str = "", number: int = signal.SIGINT) -> None:
        super().__init__(text)
        self.number = number


def number(stop: KeyboardInterrupt) -> int:
    """Of the signal that asked to stop."""
    return getattr(stop, "number", signal.SIGINT)


def status(stop: KeyboardInterrupt) -> int:
    """The exit status of a stopped command: 128 and the number of the signal, as shells have it."""
    return 128 + number(stop)


@contextmanager
def by_signal() -> Iterator[None]:
    """Let SIGTERM, as schedulers send it, stop this process as Ctrl-C does; processes forked from it just die of it."""
    mine = os.getpid()

    def stop(number: int, _: Any) -> None:
        if os.getpid() != mine and number == signal.SIGTERM:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        raise Stopped(number=number)

    with _handled(stop):
        yield


@contextmanager
def put_off() -> Iterator[None]:
    """Finish the block before a stop that comes within it."""
    come: list[tuple[int, Any]] = []
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    with _handled(lambda *signalled: come.append(signalled)):
        yield
    for number, frame in come[:1]:
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)
        elif handler is signal.SIG_DFL:
            os.kill(os.getpid(), number)


@contextmanager
def _handled(handler: Any) -> Iterator[None]:
    """Have `handler` called for both signals; threads but the first cannot choose, and see none."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    heard = [number for number, old in before.items() if old is not signal.SIG_IGN]  # as behind a shell's &
    for number in heard:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number])
