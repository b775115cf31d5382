"""Launchers over shards.

An engine is a generator over the shards of a plan that are missing.  It yields whole numbers, the rows drawn
since it last did (fewer than none where a worker was lost), and each shard once its file is there.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from synth.base.errors import UserError
from synth.sampling.plan import Plan, Shard

Events = Iterator[int | Shard]


class Job(NamedTuple):
    """What an engine is to draw, and with what."""

    plan: Plan
    model: Path
    """The generator's folder."""
    out: Path
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
