"""Three Ray nodes on one machine that are killed, cut off from each other, or short of room: the bytes are those of one process."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import wire
from generators import untrained

from synth.base.runs import sha256
from synth.sampling import plan
from synth.sampling.verify import verify

ROOT = Path(__file__).parent.parent
IMAGES = 240


def hashes(out: Path) -> dict[str, str]:
    return {path.name: sha256(path) for path in sorted((out / "data").glob("[!.]*.parquet"))}


def command(model: Path, out: Path, *flags: str, n: int = IMAGES) -> list[str]:
    line = f"generate --model {model} --n {n} --steps 2 --guidance 1 --batch 8 --out {out}"
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


def join(names: list[str], number: int, folder: Path) -> None:
    """Start the Ray node of a machine, the first of them the head, with the smallest store of objects that Ray allows."""
    place = ["--head", "--port=6379", "--include-dashboard=false", f"--temp-dir={folder}"]
    if number:
        place = [f"--address={wire.address(0)}:6379"]
    ray = str(Path(sys.executable).parent / "ray")
    line = [ray, "start", f"--node-ip-address={wire.address(number)}", "--num-cpus=1", *place]
    for _ in range(5):  # Ray gives a node 30 s to start
        if not subprocess.call(
            wire.inside(names[number], [*line, "--object-store-memory=80000000"]), stdout=subprocess.DEVNULL
        ):
            return
        wire.stop(names[number])
    pytest.fail(f"the Ray node of {names[number]} does not start")


@pytest.mark.slow
@pytest.mark.skipif(not wire.can(), reason="wants root and /dev/net/tun, for network namespaces")
def test_three_machines_on_a_slow_wire_that_breaks_and_heals_write_the_same_bytes(tmp_path, monkeypatch):
    """20 ms each way; two machines are cut off for 5 s, one of them for a minute more: Ray gives it up, and it comes back as a new node."""
    pytest.importorskip("ray")
    for name, value in (("RAY_AUTH_MODE", "token"), ("RAY_AUTH_TOKEN", "a-token-that-all-machines-have")):
        monkeypatch.setenv(name, value)
    model = untrained(tmp_path / "model")
    alone = command(model, tmp_path / "whole", "--workers", "1", n=6000)
    subprocess.run(alone, cwd=ROOT, check=True, capture_output=True)
    whole, out = hashes(tmp_path / "whole"), tmp_path / "out"
    line = command(model, out, "--engine", "ray", "--ray-address", f"{wire.address(0)}:6379", n=6000)
    with tempfile.TemporaryDirectory() as short, wire.machines(3, delay=0.02) as (cable, names):
        for machine in range(3):
            join(names, machine, Path(short))
        process = begin(wire.inside(names[0], line))
        while process.poll() is None and not hashes(out):
            time.sleep(0.1)
        cable.away |= {1, 2}
        assert len(hashes(out)) < len(whole)
        time.sleep(5)
        cable.away.remove(1)
        time.sleep(60)
        cable.away.clear()
        wire.stop(names[2])  # its node, given up by the others, may not have noticed
        join(names, 2, Path(short))
        assert process.wait(600) == 0
        assert cable.carried and cable.lost
    assert hashes(out) == whole and verify(out)
