"""Kill work again and again, at random moments, then let it finish.

Processes are forked from a server that has the libraries loaded, so that a kill falls into work, not imports.
"""

import multiprocessing
import random
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    ["synth.training.trainer", "synth.release", "clip.training.trainer", "timm", "transformers"]
)


class Work(NamedTuple):
    """A call that writes files; `started` appears when its imports are over."""

    call: Callable[..., Any]
    arguments: tuple[Any, ...]
    started: Path

    def begin(self) -> BaseProcess:
        """Run it in a process of its own; returns once it has started to work."""
        process = _SERVER.Process(target=self.call, args=self.arguments)
        process.start()
        while not self.started.exists() and process.is_alive():
            time.sleep(0.01)
        return process

    def finish(self) -> float:
        """Run it to its end; returns the seconds of work, by which kills are spread and nothing is judged."""
        process = self.begin()
        start = time.monotonic()
        process.join()
        assert process.exitcode == 0
        return time.monotonic() - start


def kill_often(work: Work, whole: float, kills: int = 5, seed: int = 0) -> None:
    """SIGKILL, `kills` times at random moments, work that took `whole` seconds once, then finish it.

    Where the machine has become faster since, the last kills may find the work done; the first must not.
    """
    chance, killed = random.Random(seed), 0
    for _ in range(kills):
        process = work.begin()
        process.join(chance.uniform(0.02, 0.2) * whole / (1 if killed else 2))
        killed += process.is_alive()
        process.kill()
        process.join()
    assert killed, "the work was done before the first kill"
    work.finish()
