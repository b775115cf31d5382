"""This machine: one process, or several that are started again when they are killed."""

import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from multiprocessing import connection, get_context, resource_tracker
from multiprocessing.connection import Connection
from typing import Any

from synth.base.errors import UserError
from synth.sampling.engines import Events, Job, Work
from synth.sampling.plan import Shard

_LOSSES = 20  # workers killed without a finished shard between them, before we give up


def draw(job: Job) -> Events:
    """Do a job on this machine."""
    workers = min(job.workers or _devices(), len(job.shards))
    if workers == 1:
        return alone(job.work, job.shards)
    return several(job.work, job.shards, workers)


def _devices() -> int:
    import torch

    # While one of two waits for the host, the other has work for the GPU.
    return 2 * torch.cuda.device_count() or len(os.sched_getaffinity(0))


def alone(work: Work, shards: Iterable[Shard], number: int = 0) -> Events:
    """Write shards in this process, on GPU `number` where there are any."""
    from synth.base.device import accelerator

    write, before = work.opened(accelerator(number)), None
    for shard in shards:
        finished = yield from write(shard)
        if before:
            before[1].result()
            yield before[0]
        before = shard, finished
    if before:
        before[1].result()
        yield before[0]


class _Worker:
    """One process: the shards it holds, and the rows it has drawn of them."""

    def __init__(self, number: int, work: Work) -> None:
        # Forked from a server that has the libraries loaded and has started no thread: a successor is there at once.
        context = get_context("forkserver")
        context.set_forkserver_preload([type(work).__module__])
        self.number, self.work = number, work
        self.held: list[Shard] = []
        self.rows = 0
        self.pipe, theirs = context.Pipe()
        self.process: Any = context.Process(target=_work, args=(theirs, work, number), daemon=True)
        # The server inherits what is blocked: Ctrl-C is for this process, not for what the server is just importing.
        resource_tracker.ensure_running()  # its own start would lift the block
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    def hand(self, shard: Shard | None) -> None:
        """Give it one more shard, or send it home."""
        with suppress(BrokenPipeError):  # killed just now: its end of the pipe tells
            self.pipe.send(shard)
        self.held += [shard] if shard else []

    def was_killed(self) -> bool:
        """Whether a process that has gone silent was killed; it may also have gone home."""
        self.process.join()
        if self.process.exitcode > 0:
            raise RuntimeError(f"worker {self.number} failed; its traceback stands above")
        return self.process.exitcode < 0


def several(work: Work, shards: Iterable[Shard], workers: int) -> Events:
    """Write shards in `workers` processes; what a killed one had begun is done again by its successor.

    Raises:
        UserError: the disk is full, or workers are killed again and again.
    """
    # One thread each: two on a busy machine are slower than one.
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
    todo, losses = deque(shards), 0
    crew = {w.pipe: w for w in (_Worker(number, work) for number in range(workers))}
    try:
        while crew:
            for pipe in connection.wait(list(crew)):
                assert isinstance(pipe, Connection)
                worker = crew[pipe]
                try:
                    event = pipe.recv()
                except (EOFError, OSError):
                    del crew[pipe]
                    if not worker.was_killed():
                        continue
                    losses += 1
                    if losses > _LOSSES:
                        raise UserError(_EXHAUSTED.format(out=work.out, losses=losses)) from None
                    yield from _recover(worker, todo)
                    successor = _Worker(worker.number, work)
                    crew[successor.pipe] = successor
                    continue
                if isinstance(event, UserError):
                    raise event
                if event is None:
                    worker.hand(todo.popleft() if todo else None)
                    continue
                if isinstance(event, Shard):
                    losses = 0
                    worker.held.remove(event)
                worker.rows += -event.rows if isinstance(event, Shard) else event
                yield event
    finally:
        for worker in crew.values():
            worker.process.kill()


_EXHAUSTED = (
    "{out}: {losses} workers were killed without a finished shard between them (out of memory?); "
    "repeat the command with fewer --workers, finished shards are kept"
)


def _recover(worker: _Worker, todo: deque[Shard]) -> Events:
    """Put what a killed worker held back to be done, unless its file is there already."""
    for shard in reversed(worker.held):
        if worker.work.is_done(shard):
            worker.rows -= shard.rows
            yield shard
        else:
            todo.appendleft(shard)
    yield -worker.rows


def _work(pipe: Connection, work: Work, number: int) -> None:
    """Write what comes through `pipe` until there is no more, and tell it what `alone` yields."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    try:
        for event in alone(work, _handed(pipe), number):
            pipe.send(event)
    except UserError as error:
        pipe.send(error)
    except (BrokenPipeError, ConnectionResetError, EOFError):
        return  # whoever started this one is gone


def _handed(pipe: Connection) -> Iterator[Shard]:
    """Ask for one shard after the other."""
    while True:
        pipe.send(None)
        shard = pipe.recv()
        if shard is None:
            return
        yield shard
