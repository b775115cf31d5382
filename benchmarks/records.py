"""Write and read records: ours beside Hugging Face `datasets`, on the same rows in one run.

    python benchmarks/records.py --quick

Each time is the best of several rounds, in which the two take turns.  The last line is JSON.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")

import datasets
import numpy as np

from synth.data import images, pictures, records
from synth.data.records import Row

SIZE = 64


def rows(count: int) -> Iterator[Row]:
    """`count` records, each with a smooth picture of its own."""
    rng = np.random.default_rng(0)
    for i in range(count):
        small = rng.integers(0, 255, (8, 8, 3), np.uint8)
        picture = {"bytes": images.encode(images.resize(small, SIZE)), "path": None}
        yield records.row(
            id=f"i{i}",
            subject_id=f"s{i // 2}",
            image=picture,
            caption_zh="疑似青光眼。",
            dr_grade=i % 5,
            is_gc=i % 2,
        )


def features() -> datasets.Features:
    """Our schema in the words of Hugging Face, with pictures left encoded, as ours are."""
    return datasets.Features.from_arrow_schema(records.SCHEMA)


def write_ours(folder: Path, pool: list[Row]) -> None:
    records.write_records(folder, pool, {"n": len(pool)}, shares=(1, 0, 0))


def write_peer(folder: Path, pool: list[Row]) -> None:
    data = datasets.Dataset.from_list(pool, features=features())
    (folder / "data").mkdir(parents=True)
    data.to_parquet(folder / "data" / "train-00000-of-00001.parquet")


def stream_ours(folder: Path) -> int:
    pictures._images.cache_clear()  # what an earlier round read must not be for free
    return sum(len(data) for data in pictures.Pictures(folder, ["train"]))


def stream_peer(folder: Path) -> int:
    files = [str(path) for path in sorted((folder / "data").glob("*.parquet"))]
    data = datasets.load_dataset("parquet", data_files=files, split="train", streaming=True)
    data = data.select_columns(["image"]).cast_column("image", datasets.Image(decode=False))
    return sum(len(row["image"]["bytes"]) for row in data)


def best(rounds: int, runs: Mapping[str, Callable[[Path], object]], scratch: Path) -> dict[str, float]:
    """The shortest of `rounds` times of each run, in seconds; each gets a folder of its own per round."""
    seconds = dict.fromkeys(runs, float("inf"))
    for round in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run(scratch / f"{name}-{round}")
            seconds[name] = min(seconds[name], time.perf_counter() - start)
    return seconds


def measure(count: int, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of both for writing and for streaming `count` records."""
    pool = list(rows(count))
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        writing = {
            "ours": lambda folder: write_ours(folder, pool),
            "peer": lambda folder: write_peer(folder, pool),
        }
        written = best(rounds, writing, scratch)
        folders = {kind: scratch / f"{kind}-0" for kind in writing}
        same = stream_ours(folders["ours"]) == stream_peer(folders["peer"]) == stream_peer(folders["ours"])
        assert same, "the two did not read the same bytes"
        # Both read the folder that we wrote.
        reading = {
            "ours": lambda _: stream_ours(folders["ours"]),
            "peer": lambda _: stream_peer(folders["ours"]),
        }
        return {"write": written, "stream": best(rounds, reading, scratch)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="2,000 records, 3 rounds")
    count, rounds = (2_000, 3) if parser.parse_args().quick else (20_000, 5)
    found = measure(count, rounds)
    for task, seconds in found.items():
        ours, peer = count / seconds["ours"], count / seconds["peer"]
        print(f"{task}: {ours:,.0f} records/s, datasets {peer:,.0f} records/s, ratio {ours / peer:.2f}")
    facts = {"benchmark": "records", "records": count, "size": SIZE, "cores": os.cpu_count(), "seconds": found,
             "ratio": {task: s["peer"] / s["ours"] for task, s in found.items()}, "machine": platform.machine(),
             "versions": {name: version(name) for name in ("visionclip", "datasets", "pyarrow")}}  # fmt: skip
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
