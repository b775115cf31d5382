"""Draw one shard: sample, then encode and write in a thread of its own while the next batch is sampled."""

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from synth.base.device import settle
from synth.data.captions import write
from synth.data.images import encode
from synth.data.records import SCHEMA, Row, row
from synth.data.shards import is_done, writing
from synth.model import text_encoder
from synth.pipeline import load
from synth.sampling import noise
from synth.sampling.plan import Draw, Plan, Shard, draws
from synth.sampling.rejection import Filters, folder, rejection_sample

if TYPE_CHECKING:
    from synth.sampling.engines import Write

_ENCODERS = 4  # threads beside a GPU; Pillow lets go of the interpreter while it encodes
_AHEAD = 2  # batches that may wait for the writer: what bounds memory where sampling is the faster


class Batch(NamedTuple):
    """Images `first` to `first + len(draws)`: what was asked for, and (B, S, S, 3) uint8 pictures of it."""

    first: int
    draws: list[Draw]
    pictures: torch.Tensor


class Sampling(NamedTuple):
    """The shards of a plan, as an engine has them drawn."""

    plan: Plan
    model: Path
    """The generator's folder."""
    out: Path

    def opened(self, place: torch.device) -> "Write":
        """What draws shards on a device."""
        sampler = Sampler(self.plan, self.model, place)
        return lambda shard: sampler.write(shard, self.out)

    def is_done(self, shard: Shard) -> bool:
        """Whether a shard of this plan is finished."""
        return is_done(self.out / shard.name, self.plan.fingerprint)


class Sampler:
    """A generator opened for one plan; the bytes of a shard are a function of (plan, shard) alone.

    Args:
        device:   where to sample.
        encoders: threads that encode beside the writer's; None is four on a GPU, and none on a CPU, whose cores sample.
    """

    def __init__(
        self, plan: Plan, model: Path, device: torch.device | str = "cpu", encoders: int | None = None
    ) -> None:
        torch.set_num_threads(1)  # two on a busy machine are slower than one, and give other bits
        # The same bytes each time: cuDNN may not choose by a race.
        settle(deterministic=torch.device(device).type == "cuda")
        self.plan, self.digest = plan, plan.fingerprint
        self.pipeline, _ = load(model)
        self.pipeline.to(device)
        if plan.precision == "bf16":
            self.pipeline.unet.to(torch.bfloat16)  # type: ignore[call-arg]
        if plan.compile:
            self.pipeline.compile()
        self._filters: Filters | None = None
        self._writer = ThreadPoolExecutor(1, "writer")
        count = _ENCODERS * (torch.device(device).type == "cuda") if encoders is None else encoders
        self._encoded = ThreadPoolExecutor(count, "encoder").map if count else map

    def write(self, shard: Shard, out: Path) -> Generator[int, None, Future[None]]:
        """Draw one shard into the folder `out`; yields the rows of each batch once they are sampled.

        Returns:
            A future of the finished file: its last rows, hash and sidecar are written while the next shard is drawn.

        Raises:
            UserError: the disk is full or the folder cannot be written.
        """
        waiting: deque[Future[None]] = deque()
        counts = Counter[str]()
        if self.plan.filters and self._filters is None:
            self._filters = Filters(self.plan.filters, folder(out), self.pipeline.device)
        with ExitStack() as file:
            add = file.enter_context(writing(out / shard.name, SCHEMA, self.digest, shard.first, counts))
            file.callback(_settle, waiting)
            for batch in self._batches(shard, counts):
                waiting.append(self._writer.submit(self._add, add, batch))
                if len(waiting) > _AHEAD:
                    waiting.popleft().result()
                yield len(batch.draws)
            return self._writer.submit(_finish, file.pop_all(), waiting)

    def _batches(self, shard: Shard, counts: Counter[str]) -> Iterator[Batch]:
        """What a shard is made of; every picture passes here on its way to the file.  Filters add to `counts`."""
        size, end = self.plan.batch, shard.first + shard.rows
        for first in range(shard.first, end, size):
            # The last batch is drawn whole and cut: the same seed in a smaller batch is not the same to the bit.
            wanted = list(draws(self.plan, range(first, first + size)))
            kept = min(size, end - first)
            if self._filters is None:
                yield Batch(first, wanted[:kept], self.sample(wanted)[:kept])
                continue
            chosen, rejected = rejection_sample(
                first, wanted, kept, self.sample, self._again(first), self._filters.check
            )
            counts.update(rejected)
            yield Batch(first, [c.draw for c in chosen], torch.stack([c.picture for c in chosen]))

    def _again(self, first: int) -> Callable[[int, int], Draw]:
        """Another attempt at the image in a place of the batch that begins with image `first`."""

        def draw(place: int, attempt: int) -> Draw:
            index = first + place
            return next(draws(self.plan, range(index, index + 1), attempt))

        return draw

    def sample(self, wanted: list[Draw]) -> torch.Tensor:
        """(B, S, S, 3) uint8 of one whole batch."""
        device, labels = self.pipeline.device, self.pipeline.conditioning.labels
        codes = np.stack([labels.code(draw.labels) for draw in wanted])
        if self.plan.captions:
            vectors = text_encoder.embedded([draw.prompt for draw in wanted], self.plan.captions.to_json())
            codes = np.concatenate([codes.astype(np.float32), vectors], axis=1)
        places = [(draw.image, draw.attempt) for draw in wanted]
        return self.pipeline(
            torch.from_numpy(codes).to(device),
            noise.draw(self.plan.noise, self.plan.seed, places, self.pipeline.shape, device),
            steps=self.plan.steps,
            guidance=self.plan.guidance,
        )

    def _add(self, add: Callable[[Iterable[Row]], None], batch: Batch) -> None:
        make, first = partial(record, self.plan, self.digest), batch.first
        indices = range(first, first + len(batch.draws))
        add(self._encoded(make, indices, batch.draws, batch.pictures.cpu().numpy()))


def record(plan: Plan, digest: str, index: int, draw: Draw, picture: np.ndarray) -> Row:
    """Image `index` of a plan as a row: captioned and encoded; `picture` is (S, S, 3) uint8."""
    name = f"{digest[:12]}-{index:09d}"
    captions = {"zh": write(draw.labels, "zh", draw.seed), "en": write(draw.labels, "en", draw.seed)}
    if draw.prompt:
        captions["zh" if any("一" <= letter <= "鿿" for letter in draw.prompt) else "en"] = draw.prompt
    return row(
        id=name,
        subject_id=name,
        image={"bytes": encode(picture, plan.jpeg_quality), "path": None},
        caption_zh=captions["zh"],
        caption_en=captions["en"],
        **draw.labels,
        source="visionclip",
        seed=draw.seed,
        plan=digest,
    )


def _settle(waiting: Iterable[Future[None]]) -> None:
    """Leave nothing that still writes to a file about to be closed."""
    wait([task for task in waiting if not task.cancel()])


def _finish(file: ExitStack, waiting: Iterable[Future[None]]) -> None:
    with file:
        for task in waiting:  # all are over, this came after them in the same thread; one may have failed
            task.result()
