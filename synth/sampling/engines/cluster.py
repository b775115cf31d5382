"""A Ray cluster, there already or started here: lost actors and nodes cost time, and no shard.

Every node must see the generator and the output folder under the same paths.
"""

import logging
import math
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from synth.base import extras
from synth.base.errors import UserError
from synth.sampling.engines import Events, Job, Work, Write
from synth.sampling.plan import Shard

_LOSSES = 20  # shards lost with their actors, without a finished one between them, before we give up
_PAUSE = 1.0  # seconds between two looks at the actors
_ANSWER = 10.0  # seconds within which a cluster must take a connection; Ray itself would try for minutes


class Actor:
    """One GPU or core of the cluster; makes one shard while the last rows of the one before are written."""

    def __init__(self, work: Work, folder: Path) -> None:
        os.chdir(folder)  # relative paths mean what they mean to the driver
        self._work = work
        self._write: Write | None = None  # opened by the first shard, whose error the driver sees
        self._open: dict[Shard, int] = {}
        self._drawing = threading.Lock()

    def write(self, shard: Shard) -> None:
        """Write one shard; returns when its file is there."""
        with self._drawing:
            finished: list[Future[None]] = []
            for rows in self._steps(shard, finished):
                self._open[shard] = self._open.get(shard, 0) + rows
        finished[0].result()
        self._open.pop(shard)

    def _steps(self, shard: Shard, finished: list[Future[None]]) -> Generator[int, None, None]:
        from synth.base.device import accelerator

        self._write = self._write or self._work.opened(accelerator())
        finished.append((yield from self._write(shard)))

    def drawn(self) -> int:
        """Rows of shards that are not finished; also tells that the actor has started."""
        return sum(self._open.copy().values())


class _Worker:
    """An actor as the driver sees it: what it holds, and whether it has started."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.held: dict[Any, Shard] = {}
        self.starting = actor.drawn.remote()
        self.pending: Any = None
        self.rows = 0

    def hand(self, shard: Shard) -> None:
        self.held[self.actor.write.remote(shard)] = shard

    def lose(self) -> None:
        """Forget how far it was; it is given nothing before it has started again."""
        self.rows, self.pending = 0, None
        self.starting = self.starting or self.actor.drawn.remote()

    def awaited(self) -> list[Any]:
        return [*self.held, *([self.starting] if self.starting else [])]


def draw(job: Job) -> Events:
    """Do a job on a Ray cluster."""
    return cluster(job.work, job.shards, job.workers, job.address)


def cluster(work: Work, shards: Iterable[Shard], workers: int, address: str | None) -> Events:
    """Write shards by `workers` actors; 0 is one per GPU of the cluster, else one per core.

    Args:
        address: of a cluster; without it that of `RAY_ADDRESS`, without that one is started on this machine.

    Raises:
        UserError: ray is not installed, no cluster answers, the disk is full, or actors are lost again and again.
    """
    ray, todo = _connect(address), deque(shards)
    there = ray.cluster_resources()
    gpus = int(there.get("GPU", 0))
    count = min(workers or gpus or int(there.get("CPU", 1)), len(todo))
    # Ray starts a lost actor again; what it held is ours to hand out, for its node may be gone for good.
    kind = ray.remote(Actor).options(
        num_cpus=1,
        num_gpus=_share(gpus, count),
        max_restarts=-1,
        max_concurrency=3,
        scheduling_strategy="SPREAD",
    )
    crew = [_Worker(kind.remote(work, Path.cwd())) for _ in range(count)]
    try:
        yield from _run(ray, crew, todo, work)
    finally:
        for worker in crew:
            ray.kill(worker.actor)


def _share(gpus: int, count: int) -> float:
    """The part of a GPU that each of `count` actors takes: a whole one, or what is left where several must share it."""
    return 0 if not gpus else math.floor(10_000 / -(-count // gpus)) / 10_000


def _connect(address: str | None) -> Any:
    extras.require("--engine ray", "ray")
    import ray

    if ray.is_initialized():
        return ray
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = address or os.environ.get("RAY_ADDRESS")
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        _knock(address or "local")
        ray.init(**settings, address=address) if address else ray.init(
            **settings, address="local", include_dashboard=False
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"--ray-address '{address}': no Ray cluster answers there ({str(error).splitlines()[0]}); "
            "start one with 'ray start --head'; where it wants a token, set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to that of the head"
        ) from None
    return ray


def _knock(address: str) -> None:
    """Raise an OSError at once where nothing listens at HOST:PORT or ray://HOST:PORT."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER).close()


def _run(ray: Any, crew: list[_Worker], todo: deque[Shard], work: Work) -> Events:
    losses = done = reported = 0
    while todo or any(worker.held for worker in crew):
        for worker in crew:
            # A second shard, so that no time is lost between two; not near the end, where others wait for one.
            while todo and not worker.starting and len(worker.held) < (2 if len(todo) > len(crew) else 1):
                worker.hand(todo.popleft())
        for shard, lost in _ended(ray, crew):
            if lost and not work.is_done(shard):
                losses += 1
                if losses > _LOSSES:
                    raise UserError(_EXHAUSTED.format(out=work.out, losses=losses))
                todo.appendleft(shard)
            else:
                losses, done = 0, done + shard.rows
                yield shard
        now = done + sum(worker.rows for worker in crew)
        yield now - reported
        reported = now
    yield done - reported  # an answer may have told rows of a shard that was finished meanwhile


_EXHAUSTED = (
    "{out}: {losses} shards were lost with their Ray actors, without a finished one between them (out of memory?); "
    "repeat the command with fewer --workers, finished shards are kept"
)


def _ended(ray: Any, crew: list[_Worker]) -> Iterator[tuple[Shard, bool]]:
    """Wait for a moment; what has ended, and whether it was lost."""
    ready, _ = ray.wait([ref for worker in crew for ref in worker.awaited()], num_returns=1, timeout=_PAUSE)
    for worker in crew:
        if worker.starting in ready:
            lost = _is_lost(ray, worker.starting)
            worker.starting = None
            if lost:
                time.sleep(_PAUSE)
                worker.lose()
        for ref in [ref for ref in worker.held if ref in ready]:
            shard, lost = worker.held.pop(ref), _is_lost(ray, ref)
            worker.rows = max(0, worker.rows - shard.rows)
            if lost:
                worker.lose()
            yield shard, lost
        _look(ray, worker)


def _look(ray: Any, worker: _Worker) -> None:
    """Take the last answer how far a worker is, and ask again."""
    if worker.pending and ray.wait([worker.pending], timeout=0)[0]:
        answered, worker.pending = worker.pending, None
        if not _is_lost(ray, answered):
            worker.rows = ray.get(answered)
    if worker.held and not worker.starting and not worker.pending:
        worker.pending = worker.actor.drawn.remote()


def _is_lost(ray: Any, ref: Any) -> bool:
    """Whether a call ended with its actor or node, not with a result; its own error is raised here."""
    known = ray.exceptions
    try:
        ray.get(ref)
    except known.RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise UserError(str(error.cause)) from None
        raise
    except (known.RayActorError, known.NodeDiedError, known.WorkerCrashedError, known.OutOfMemoryError):
        return True
    return False
