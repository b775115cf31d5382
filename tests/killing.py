"""Kill a command again and again, at random moments, then let it finish.

Processes are forked from a server that has the libraries loaded, so that a kill falls into work, not imports.
"""

import multiprocessing
import random
import time
from pathlib import Path

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["synth.training", "synth.generate", "synth.publish", "synth.cli"])


def synth(arguments: list[str]) -> None:
    """The command `synth`, in this process."""
    from synth.cli import app

    app(arguments)


def _begin(arguments: list[str], started: Path) -> multiprocessing.process.BaseProcess:
    process = _SERVER.Process(target=synth, args=(arguments,))
    process.start()
    while not started.exists() and process.is_alive():
        time.sleep(0.01)
    return process


def finish(arguments: list[str], started: Path) -> float:
    """Run the command to its end; returns the seconds since `started` appeared."""
    process = _begin(arguments, started)
    start = time.monotonic()
    process.join()
    assert process.exitcode == 0
    return time.monotonic() - start


def kill_often(arguments: list[str], started: Path, whole: float, kills: int = 5, seed: int = 0) -> None:
    """SIGKILL the command at `kills` random moments of work that takes `whole` seconds, then finish it."""
    chance = random.Random(seed)
    for _ in range(kills):
        process = _begin(arguments, started)
        process.join(chance.uniform(0.05, 0.2) * whole)
        assert process.is_alive(), "the command was quicker than the kill"
        process.kill()
        process.join()
    finish(arguments, started)
