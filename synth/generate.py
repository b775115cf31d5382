"""Sample a plan: every shard is a pure function of (plan, shard), so any launcher gives the same files."""

import os
from pathlib import Path

from synth.base.runs import progress
from synth.engines import Events, local
from synth.fundus.records import claim
from synth.fundus.shards import is_done
from synth.plan import Plan, Shard, shards


def generate(plan: Plan, model: Path, out: Path, workers: int = 0, share: tuple[int, int] = (0, 1)) -> int:
    """Write the missing shards of `plan` to `out`; returns how many were written.

    Args:
        workers: processes; 0 is one per GPU, else one per core.
        share:   (i, n): only every n-th shard, from the i-th; several machines fill one folder.

    Raises:
        UserError: `out` belongs to another plan, workers die again and again, or the disk is full.
    """
    digest = claim(out, plan)
    every = shards(plan)[share[0] :: share[1]]
    missing = [shard for shard in every if not is_done(out / shard.name, digest)]
    if not missing:
        return 0
    done = sum(shard.rows for shard in every) - sum(shard.rows for shard in missing)
    with progress("generating", sum(shard.rows for shard in every), done) as bar:
        for event in _events(plan, model, out, missing, workers):
            if not isinstance(event, Shard):
                bar.update(event)
    return len(missing)


def _events(plan: Plan, model: Path, out: Path, missing: list[Shard], workers: int) -> Events:
    workers = min(workers or _devices(), len(missing))
    if workers == 1:
        return local.alone(plan, model, out, missing)
    return local.several(plan, model, out, missing, workers)


def _devices() -> int:
    import torch

    return torch.cuda.device_count() or len(os.sched_getaffinity(0))
