"""Launchers over shards: of a plan, to be drawn, or of photographs, to be embedded (`rows`).

An engine is a generator over the shards that are missing.  It yields whole numbers, the rows made
since it last did (fewer than none where a worker was lost), and each shard once its file is there.
"""

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from synth.base.errors import UserError
from synth.sampling.plan import Shard

if TYPE_CHECKING:
    from torch import device

Events = Iterator[int | Shard]
Write = Callable[[Shard], Generator[int, None, Future[None]]]
"""Writes one shard: yields the rows of each batch once they are made, and returns a future of the finished file."""


class Work(Protocol):
    """What is done to shards by this process or by others, to which it is pickled."""

    @property
    def out(self) -> Path:
        """Where the files of shards lie."""
        ...

    def opened(self, place: "device") -> Write:
        """What writes shards, with its networks on a device; called once in each process."""
        ...

    def is_done(self, shard: Shard) -> bool:
        """Whether the file of a shard is there."""
        ...


class Job(NamedTuple):
    """What an engine is to do, and with what."""

    work: Work
    shards: list[Shard]
    """Those that are missing."""
    workers: int
    """0 is one per GPU, else one per core."""
    address: str | None = None
    """Of a cluster."""


Engine = Callable[[Job], Events]

ENGINES = {"local": "synth.sampling.engines.local", "ray": "synth.sampling.engines.cluster"}
"""Name -> the module whose function `draw(job)` is the engine."""


def engine_of(name: str) -> Engine:
    """The engine of that name.

    Raises:
        UserError: no such engine.
    """
    if name not in ENGINES:
        raise UserError(f"--engine '{name}': known: {', '.join(ENGINES)}")
    return import_module(ENGINES[name]).draw
