"""Sample a plan: every shard is a pure function of (plan, shard), so any launcher gives the same files."""

import logging
from pathlib import Path

from synth.base.errors import UserError
from synth.base.runs import Tell, progress, quiet
from synth.data.records import claim
from synth.sampling.cost import lines
from synth.sampling.engines import Job, engine_of
from synth.sampling.plan import Plan, Shard, shards
from synth.sampling.verify import ailing

_log = logging.getLogger("synth")


def generate(
    plan: Plan,
    model: Path,
    out: Path,
    workers: int = 0,
    share: tuple[int, int] = (0, 1),
    engine: str = "local",
    address: str | None = None,
    tell: Tell = quiet,
) -> int:
    """Write the missing shards of `plan` to `out`, and those that are damaged; returns how many were written.

    Args:
        workers: processes; 0 is one per GPU, else one per core.
        share:   (i, n): only every n-th shard, from the i-th; several machines fill one folder.
        engine:  one of `engines.ENGINES`.
        address: of the Ray cluster.
        tell:    is given the lines that say what this will take, before it begins.

    Raises:
        UserError: `out` belongs to another plan, workers die again and again, or the disk is full.
    """
    draw = engine_of(engine)
    if workers < 0:
        raise UserError(f"--workers {workers}: must be at least 0")
    digest = claim(out, plan.to_json())
    every = shards(plan)[share[0] :: share[1]]
    missing = _missing(out, every, digest)
    count, left = (sum(shard.rows for shard in some) for some in (every, missing))
    if not missing:
        tell([f"{out}: finished, its {count:,} images are there; nothing to do"])
        return 0
    tell(lines(plan, model, out, left, count))
    from synth.sampling.preview import LiveSheet  # reads pictures, which a dry run can do without

    events = draw(Job(plan, model, out, missing, workers, address))
    sheet = LiveSheet(out, plan)
    with progress("generating", count, count - left) as bar:
        for event in events:
            if not isinstance(event, Shard):
                bar.update(event)
            elif share[0] == 0:  # one of several machines draws it
                sheet.show()
    if share[0] == 0:
        sheet.show(now=True)
    return len(missing)


def _missing(out: Path, every: list[Shard], digest: str) -> list[Shard]:
    """Shards that are not there as they were written; what is there and damaged is removed."""
    begun = [path for path in (out / shard.name for shard in every) if path.with_suffix(".json").exists()]
    damaged = ailing(begun, digest, "checking what is there") if begun else {}
    for path, why in damaged.items():
        _log.warning("%s: %s; drawn again", path, why)
        path.with_suffix(".json").unlink()
        path.unlink(missing_ok=True)
    whole = set(begun) - set(damaged)
    return [shard for shard in every if out / shard.name not in whole]
