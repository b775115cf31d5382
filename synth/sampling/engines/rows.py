"""Rows of numbers about photographs, such as embeddings: an engine computes them part by part, and keeps the parts that are done.

The bytes are the same however many processes there are, for where there are several parts each process has one thread.
"""

from collections.abc import Callable, Generator
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from synth.base import arrays
from synth.base.runs import progress
from synth.sampling.engines import Job, Write, engine_of
from synth.sampling.plan import Shard

PART = 2048
"""Rows of a part, a multiple of `_BATCH`: what a kill loses at most."""
_BATCH = 64  # rows that are computed at a time

Compute = Callable[[slice], np.ndarray]
"""(B, D) of some photographs."""


class Launch(NamedTuple):
    """Who computes."""

    engine: str = "local"
    """One of `engines.ENGINES`."""
    workers: int = 0
    """Processes; 0 is two per GPU, else one per core."""


class Rows(NamedTuple):
    """Parts of an array, as an engine has them computed."""

    begin: Callable[[torch.device], Compute]
    """Opens the network on a device; is pickled where there are several processes."""
    out: Path
    threads: int

    def opened(self, place: torch.device) -> Write:
        """What computes parts on a device."""
        torch.set_num_threads(self.threads)
        compute = self.begin(place)

        def write(shard: Shard) -> Generator[int, None, Future[None]]:
            parts, end = [], shard.first + shard.rows
            for start in range(shard.first, end, _BATCH):
                parts.append(compute(slice(start, min(start + _BATCH, end))))
                yield len(parts[-1])
            arrays.write(self.out / shard.name, np.concatenate(parts).astype(np.float32, copy=False))
            finished = Future[None]()
            finished.set_result(None)
            return finished

        return write

    def is_done(self, shard: Shard) -> bool:
        """Whether a part is there."""
        return (self.out / shard.name).exists()


def computed(
    begin: Callable[[torch.device], Compute],
    count: int,
    out: Path,
    what: str,
    launch: Launch = Launch(),
) -> np.ndarray:
    """(count, D) float32; the parts lie in the folder `out`, and the same call again goes on with those that are there.

    Args:
        begin: opens the network on a device, and gives what computes rows with it.
        what:  the progress bar says is going on.

    Raises:
        UserError: workers die again and again, or a part is damaged.
    """
    starts, before = range(0, count, PART), torch.get_num_threads()
    shards = [Shard(f"{start:09d}.npy", start, min(PART, count - start)) for start in starts]
    work = Rows(begin, out, 1 if len(shards) > 1 else before)
    missing = [shard for shard in shards if not work.is_done(shard)]
    done = count - sum(shard.rows for shard in missing)
    try:
        with progress(what, count, done) as bar:
            for event in engine_of(launch.engine)(Job(work, missing, launch.workers)) if missing else ():
                bar.update(event if isinstance(event, int) else 0)
    finally:
        torch.set_num_threads(before)
    return np.concatenate([arrays.read(out / shard.name, (shard.rows, None)) for shard in shards])
