"""Kill a command again and again, at random moments, then let it finish."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path


def finish(arguments: list[str]) -> float:
    """Run `python -m …` to its end; returns its seconds."""
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return time.monotonic() - start


def kill_often(arguments: list[str], started: Path, seconds: float, kills: int = 5, seed: int = 0) -> int:
    """SIGKILL the command at `kills` random moments, then run it to its end; returns how many kills hit it alive.

    Each moment lies within `seconds` after `started` appears, so that it falls into work, not into imports.
    """
    chance, hits = random.Random(seed), 0
    for _ in range(kills):
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while not started.exists() and process.poll() is None:
            time.sleep(0.02)
        try:
            process.wait(chance.uniform(0, seconds))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            hits += 1
    finish(arguments)
    return hits
