"""Encode, caption, hash and write: what is left of `synth generate` when sampling costs nothing, and its share when not.

    python benchmarks/write.py --quick
    python benchmarks/write.py --model runs/odir

Pictures of 256 pixels go through the code of `synth generate` into shards: smooth noise, and digital phantoms, which
are as hard to compress as photographs.  With a generator, one batch of its own pictures is sampled, then written.
Times are of the processor, the best of several rounds, so that other work on the machine counts little; those of threads that encode are
of the clock, and want a quiet machine of several cores.  The last line
is JSON.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # seconds of the processor are counted, so one thread

import numpy as np
import torch

from synth import phantom
from synth.base.config import check
from synth.data import images
from synth.data.pictures import Pictures
from synth.data.records import SCHEMA
from synth.data.shards import SUFFIXES, writing
from synth.model.card import SHIPPED, locate
from synth.sampling import noise, plan
from synth.sampling.plan import Draw, Plan
from synth.sampling.sampler import Sampler, record

SIZE = 256
LABELS = {"dr_grade": 2, "is_gc": 0, "eye_side": "left", "modality": "cfp", "findings": ["exudate"]}
PLAN = Plan.model_construct(jpeg_quality=95)


def smooth_noise(count: int, size: int) -> list[np.ndarray]:
    """Smooth noise: every sixteenth pixel at random, the rest between."""
    rng = np.random.default_rng(0)
    return [
        images.resize(rng.integers(0, 256, (size // 16, size // 16, 3), np.uint8), size) for _ in range(count)
    ]


def phantoms(count: int, size: int, scratch: Path) -> list[np.ndarray]:
    phantom.write(check(phantom.PhantomConfig, {"size": size}, "phantom"), count, scratch / "phantoms")
    return [images.decode(data) for data in Pictures(scratch / "phantoms")]


def best(call: Callable[[], object], rounds: int) -> float:
    """The shortest of several times, in seconds of the processor."""
    found = []
    for _ in range(rounds):
        start = time.process_time()
        call()
        found.append(time.process_time() - start)
    return min(found)


def write(pictures: Sequence[np.ndarray], count: int, path: Path) -> None:
    """One shard of `count` rows, as `synth generate` writes it."""
    with writing(path, SCHEMA, "0" * 64, 0) as add:
        add(record(PLAN, "0" * 64, i, Draw(LABELS, i, i), pictures[i % len(pictures)]) for i in range(count))


def measure(pictures: list[np.ndarray], count: int, rounds: int, scratch: Path) -> dict[str, int]:
    """Images per second of one core: all of it into either format, the JPEG alone, and all but the JPEG."""
    jpeg = best(lambda: [images.encode(p, PLAN.jpeg_quality) for p in pictures], rounds) / len(pictures)
    rates = {"jpeg alone": 1 / jpeg}
    for format, suffix in SUFFIXES.items():
        path = scratch / f"shard{suffix}"
        whole = best(lambda path=path: write(pictures, count, path), rounds) / count
        rates |= {format: 1 / whole, f"{format} without jpeg": 1 / (whole - jpeg)}
    return {name: round(rate) for name, rate in rates.items()}


def draw_noise(rounds: int) -> dict[str, int]:
    """Images per second of one core whose noise is drawn: of latents of 32 px and of Haar bands of 256 px."""
    places = [(index, 0) for index in range(16)]
    shapes = {"32x32x8": (8, 32, 32), "32x32x16": (16, 32, 32), "128x128x12": (12, 128, 128)}
    return {
        f"{kind} {name}": round(
            len(places)
            / best(lambda kind=kind, shape=shape: noise.draw(kind, 0, places, shape, "cpu"), rounds)
        )
        for name, shape in shapes.items()
        for kind in ("philox", "numpy")
    }


def share(model: Path, rounds: int, scratch: Path) -> dict[str, Any]:
    """Milliseconds of one core an image for sampling and for all the rest, and the share of the rest."""
    asked = plan.make(locate(model), 16)
    sampler = Sampler(asked, locate(model))
    draws = list(plan.draws(asked, range(asked.batch)))
    pictures = sampler.sample(draws).numpy()
    sampling = best(lambda: sampler.sample(draws), rounds) / len(draws)
    writing_ = best(lambda: write(list(pictures), 512, scratch / "shard.parquet"), rounds) / 512
    part = writing_ / (sampling + writing_)
    side = pictures.shape[1]
    print(
        f"{model.name}, {side} px: sampling {sampling * 1e3:.1f} ms, the rest {writing_ * 1e3:.3f} ms, {part:.3%}"
    )
    return {"size": side, "sampling_ms": sampling * 1e3, "rest_ms": writing_ * 1e3, "share": part}


class Free(Sampler):
    """A sampler that costs nothing: the same pictures in each batch."""

    pictures: np.ndarray

    def sample(self, wanted: list[Draw]) -> torch.Tensor:
        return torch.from_numpy(self.pictures[np.arange(len(wanted)) % len(self.pictures)])


def beside(pictures: list[np.ndarray], count: int, scratch: Path) -> dict[str, int]:
    """Images/s by the clock that such a sampler writes, by threads that encode beside the one that writes."""
    asked, found = plan.make(locate(SHIPPED), count, batch=64), {}
    for threads in (0, 1, 2, 4):
        sampler = Free(asked, locate(SHIPPED), encoders=threads)
        sampler.pictures = np.stack(pictures)
        shard, out = plan.Shard(f"{threads}.parquet", 0, count), scratch / "beside"
        start, steps = time.perf_counter(), sampler.write(shard, out)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                done.value.result()
                break
        found[f"{threads} threads"] = round(count / (time.perf_counter() - start))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few pictures and rounds, no generator")
    parser.add_argument("--model", type=Path, help="a generator; the shipped one by default")
    given = parser.parse_args()
    count, rounds = (200, 2) if given.quick else (500, 3)
    facts: dict[str, Any] = {"benchmark": "write", "cores": os.cpu_count(), "machine": platform.machine()}
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        kinds = {"smooth noise": smooth_noise(24, SIZE), "phantoms": phantoms(24, SIZE, scratch)}
        facts["images_per_second_and_core"] = {}
        for kind, pictures in kinds.items():
            found = measure(pictures, count, rounds, scratch)
            facts["images_per_second_and_core"][kind] = found
            shown = ", ".join(f"{name} {rate:,}" for name, rate in found.items())
            print(f"{kind}, {SIZE} px, images/s of one core: {shown}")
            facts.setdefault("by_the_clock", {})[kind] = beside(pictures, 8 * count, scratch)
            print(
                f"{kind}, a sampler that costs nothing, images/s by the clock:", facts["by_the_clock"][kind]
            )
        facts["noise_per_second_and_core"] = draw_noise(rounds)
        print("noise, images/s of one core:", facts["noise_per_second_and_core"])
        if not given.quick:
            facts["generator"] = share(given.model or SHIPPED, rounds, scratch)
    facts["versions"] = {name: version(name) for name in ("visionclip", "pillow", "pyarrow", "torch")}
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
