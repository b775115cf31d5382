"""Three Ray nodes on one machine, whose workers, nodes and head are killed: the bytes are those of one process."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from generators import untrained

from synth.base.runs import sha256
from synth.sampling import plan
from synth.sampling.verify import verify

ROOT = Path(__file__).parent.parent
IMAGES = 240


def hashes(out: Path) -> dict[str, str]:
    return {path.name: sha256(path) for path in sorted((out / "data").glob("[!.]*.parquet"))}


def command(model: Path, out: Path, *flags: str) -> list[str]:
    line = f"generate --model {model} --n {IMAGES} --steps 2 --guidance 1 --batch 8 --out {out}"
    return [sys.executable, "-m", "synth", *line.split(), *flags]


def begin(line: list[str]) -> subprocess.Popen:
    return subprocess.Popen(line, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextmanager
def nodes() -> Iterator[Any]:
    """A head and two more nodes, each of one core."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  # its own name; not behind all else
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        for _ in range(2):
            made.add_node(num_cpus=1)
        yield made
    finally:
        with suppress(Exception):  # Ray raises what it likes where a part is gone already
            made.shutdown()


def workers() -> list[int]:
    """The processes of our actors, which Ray names by their class."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if path.read_bytes().startswith(b"ray::Actor"):
                found.append(int(path.parent.name))
    return found


def kill_one(local: Any, chance: random.Random, whole_node: bool) -> bool:
    """Kill a worker, or a node but the head, which another replaces; whether there was one to kill."""
    if whole_node:
        others = [each for each in local.list_all_nodes() if each is not local.head_node]
        local.remove_node(chance.choice(others), allow_graceful=False)
        local.add_node(num_cpus=1)
        return True
    if alive := workers():
        with suppress(ProcessLookupError):
            os.kill(chance.choice(alive), signal.SIGKILL)
        return True
    return False


@pytest.mark.slow
def test_three_nodes_that_lose_workers_nodes_and_once_their_head_write_the_same_bytes(tmp_path):
    pytest.importorskip("ray")
    model = untrained(tmp_path / "model")
    subprocess.run(
        command(model, tmp_path / "whole", "--workers", "1"), cwd=ROOT, check=True, capture_output=True
    )
    assert len(plan.shards(plan.Plan.read(tmp_path / "whole/plan.json"))) > 20
    out, chance, kills = tmp_path / "out", random.Random(0), 0
    flags = ("--engine", "ray", "--ray-address")
    with nodes() as local:
        process = begin(command(model, out, *flags, local.address))
        while process.poll() is None and not hashes(out):
            time.sleep(0.2)
        local.head_node.kill_all_processes(check_alive=False, allow_graceful=False)
        kills += 1  # the command may end with its head; then it is repeated
    try:
        process.wait(180)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with nodes() as local:
        line = command(model, out, *flags, local.address)
        for _ in range(20):
            process = begin(line)
            while process.poll() is None and kills < 20:
                time.sleep(chance.uniform(0.5, 2))
                kills += kill_one(local, chance, whole_node=kills % 5 == 4)
            if process.wait() == 0 and kills >= 20:
                break
            if process.returncode == 0:  # done before the last kill: again, half of it
                for path in sorted((out / "data").glob("[!.]*"))[::2]:
                    path.unlink()
    assert kills >= 20
    assert hashes(out) == hashes(tmp_path / "whole") and verify(out)
