"""Sample a plan: every shard is a pure function of (plan, shard), so any launcher gives the same files."""

import os
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path

import numpy as np

from synth.base.config import fingerprint
from synth.base.errors import UserError
from synth.base.runs import progress
from synth.fundus.captions import write
from synth.fundus.images import encode
from synth.fundus.records import Row, claim, is_done, row, write_shard
from synth.plan import Draw, Plan, Shard, draws, shards


def generate(plan: Plan, model: Path, out: Path, workers: int = 0, share: tuple[int, int] = (0, 1)) -> int:
    """Write the missing shards of `plan` to `out`; returns how many were written.

    Args:
        workers: processes; 0 is one per GPU, else one per core.
        share:   (i, n): only every n-th shard, from the i-th; several machines fill one folder.

    Raises:
        UserError: `out` belongs to another plan, a worker died, or the disk is full.
    """
    digest = claim(out, plan)
    every = shards(plan)[share[0] :: share[1]]
    missing = [shard for shard in every if not is_done(out / shard.name, digest)]
    done = sum(shard.rows for shard in every) - sum(shard.rows for shard in missing)
    workers = min(workers or _devices(), len(missing))
    with progress("generating", sum(shard.rows for shard in every), done) as bar:
        for shard in _finished(plan, model, out, missing, workers):
            bar.update(shard.rows)
    return len(missing)


def _devices() -> int:
    import torch

    return torch.cuda.device_count() or len(os.sched_getaffinity(0))


def _finished(plan: Plan, model: Path, out: Path, missing: list[Shard], workers: int) -> Iterator[Shard]:
    """Shards as they are finished, by `workers` processes of one thread each; a single one is this process."""
    if workers <= 1:
        if missing:
            _open(str(model), None)
        for shard in missing:
            write_one(plan, shard, str(out))
            yield shard
        return
    # `spawn`: a forked torch may hang.  One thread each: two on a busy machine are slower than one.
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
    context = get_context("spawn")
    numbers = context.Queue()
    for number in range(workers):
        numbers.put(number)
    with ProcessPoolExecutor(workers, context, _open, (str(model), numbers)) as pool:
        tasks: dict[Future[None], Shard] = {
            pool.submit(write_one, plan, shard, str(out)): shard for shard in missing
        }
        try:
            for task in as_completed(tasks):
                task.result()
                yield tasks[task]
        except BrokenProcessPool:
            raise UserError(
                f"{out}: a worker was killed (out of memory?); repeat the command, finished shards are kept"
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _open(model: str, numbers: "Queue[int] | None") -> None:
    """Open the generator once per worker, on its own GPU where there are any."""
    import torch

    from synth.pipeline import load

    global _PIPELINE
    torch.set_num_threads(1)
    _PIPELINE, _ = load(Path(model))
    if torch.cuda.is_available():
        number = numbers.get() if numbers else 0
        _PIPELINE.to(f"cuda:{number % torch.cuda.device_count()}")


_PIPELINE = None


def write_one(plan: Plan, shard: Shard, out: str) -> None:
    """Sample, caption, encode and write one shard."""
    import torch

    from synth.conditioning import code

    pipeline = _PIPELINE
    assert pipeline is not None
    digest, rows = fingerprint(plan), []
    for first in range(shard.first, shard.first + shard.rows, plan["batch"]):
        # The last batch is drawn whole and cut: the same seed in a smaller batch is not the same to the bit.
        asked = list(draws(plan, range(first, first + plan["batch"]), pipeline.shape))
        pictures = pipeline(
            torch.from_numpy(np.stack([code(draw.labels) for draw in asked])).to(pipeline.device),
            torch.from_numpy(np.stack([draw.noise for draw in asked])).to(pipeline.device),
            steps=plan["steps"],
            guidance=plan["guidance"],
        )
        kept = min(plan["batch"], shard.first + shard.rows - first)
        for place in range(kept):
            picture = pictures[place].cpu().numpy()
            rows.append(_record(asked[place], picture, first + place, digest, plan))
    write_shard(Path(out) / shard.name, rows, digest, shard.first)


def _record(draw: Draw, picture: np.ndarray, index: int, digest: str, plan: Plan) -> Row:
    name = f"{digest[:12]}-{index:09d}"
    return row(
        id=name,
        subject_id=name,
        image={"bytes": encode(picture, plan["jpeg_quality"]), "path": None},
        caption_zh=write(draw.labels, "zh", draw.seed),
        caption_en=write(draw.labels, "en", draw.seed),
        **draw.labels,
        source="visionclip",
        seed=draw.seed,
        plan=digest,
    )
