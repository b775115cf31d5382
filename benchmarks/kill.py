"""Kill a sampling run at random, again and again, and damage what it wrote; then compare every byte.

    python benchmarks/kill.py --quick
    python benchmarks/kill.py --model runs/odir

Runs: uninterrupted by one process; 20 SIGKILLs, of workers and of the command itself (repeated then), with 2 worker
processes; the same of actors and nodes on a Ray cluster of 2 local nodes, where ray is installed.  Then a flipped
byte, a truncated shard, a missing sidecar and a full disk, each named by `synth verify` and mended by repeating the
command.  Nothing is compared but sha256s.  The last line is JSON.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from synth.base.errors import UserError
from synth.base.runs import sha256
from synth.model.card import SHIPPED, locate
from synth.release import draw_shards
from synth.sampling import plan
from synth.sampling.engines.cluster import cluster
from synth.sampling.plan import Plan, Shard
from synth.sampling.sampler import Sampling
from synth.sampling.verify import verify

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
STEPS = 4
PARTS = ["processes", "ray", "damage"]


def hashes(out: Path) -> dict[str, str]:
    return {path.name: sha256(path) for path in sorted((out / "data").glob("[!.]*.parquet"))}


def children(process: int) -> list[int]:
    """Everything that a process started and that still runs, its children's children too."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if words[0] != "Z":
            parents[int(path.parent.name)] = int(words[1])
    found, new = [], [process]
    while new:
        new = [child for child, parent in parents.items() if parent in new]
        found += new
    return found


def workers(command: int) -> list[int]:
    """The processes that sample: those below the fork server of a command."""
    direct = {p for p in children(command) if _parent(p) == command}
    return [p for p in children(command) if p not in direct]


def _parent(process: int) -> int | None:
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


def processes(model: Path, asked: Plan, out: Path, kills: int, pause: float, chance: random.Random) -> None:
    """Sample with 2 worker processes; of each five kills four hit a worker and one the command, which is repeated."""
    flags = [f"--{name}={getattr(asked, name)}" for name in ("n", "seed", "steps", "guidance", "batch")]
    line = [
        sys.executable,
        "-m",
        "synth",
        "generate",
        f"--model={model}",
        *flags,
        "--workers=2",
        f"--out={out}",
    ]
    command = None
    while kills:
        if command is None or command.poll() is not None:
            assert command is None or command.returncode in (None, -signal.SIGKILL), (
                "the run was over too soon"
            )
            command = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.5, 1.5) * pause)
        alive = workers(command.pid)
        if not alive:
            continue
        whole = kills % 5 == 0
        os.kill(command.pid if whole else chance.choice(alive), signal.SIGKILL)
        kills -= 1
        if whole:
            command.wait()
    assert command
    command.wait()
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)


def nodes(model: Path, asked: Plan, out: Path, kills: int, chance: random.Random) -> int:
    """Sample on 2 local Ray nodes; of each five kills four hit an actor and one its node, which is replaced.

    Returns the kills: one after each so many finished shards.
    """
    import ray
    from ray.cluster_utils import Cluster

    local = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = _node(local)
    ray.init(address=local.address, log_to_driver=False)
    todo, finished, hit = plan.shards(asked), 0, 0
    every = max(1, len(todo) // (kills + 1))
    try:
        for event in cluster(Sampling(asked, model, out), todo, 2, None):
            finished += isinstance(event, Shard)
            if isinstance(event, Shard) and finished % every == 0 and hit < kills:
                hit += 1
                if hit % 5 == 0:
                    local.remove_node(second, allow_graceful=False)
                    second = _node(local)
                elif actors := _actors():
                    os.kill(chance.choice(actors), signal.SIGKILL)
                else:
                    hit -= 1
    finally:
        ray.shutdown()
        local.shutdown()
    return hit


def _node(local: Any) -> Any:
    """One more node; Ray gives up on one that a busy machine has not started within half a minute."""
    for _ in range(20):
        try:
            return local.add_node(num_cpus=1)
        except Exception as error:  # Ray raises nothing narrower
            print(f"a Ray node did not start ({str(error).splitlines()[0][:60]}); again", file=sys.stderr)
    raise RuntimeError("no Ray node would start")


def _actors() -> list[int]:
    """The processes of our actors, which Ray names by class and method."""
    found = []
    for process in children(os.getpid()):
        try:
            title = Path(f"/proc/{process}/cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if title.startswith("ray::Actor"):
            found.append(process)
    return found


def flip(shard: Path) -> None:
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], None]] = {
    "flipped byte": flip,
    "truncated shard": lambda shard: os.truncate(shard, shard.stat().st_size // 2),
    "missing sidecar": lambda shard: shard.with_suffix(".json").unlink(),
}


def damage(whole: Path, scratch: Path, model: Path, asked: Plan, chance: random.Random) -> dict[str, str]:
    """Each kind of damage to a random shard: what `synth verify` said, once it is mended."""
    said = {}
    for name, harm in DAMAGE.items():
        out = scratch / name.replace(" ", "-")
        shutil.copytree(whole, out)
        shard = chance.choice(sorted((out / "data").glob("[!.]*.parquet")))
        harm(shard)
        said[name] = refused(out)
        assert shard.name in said[name], said[name]
        assert draw_shards(asked, model, out, workers=1) == 1
        assert hashes(out) == hashes(whole) and verify(out)
    return said


def refused(out: Path) -> str:
    try:
        verify(out)
    except UserError as error:
        return str(error)
    raise AssertionError(f"synth verify found nothing wrong with {out}")


@contextmanager
def small_disk(where: Path, size: int) -> Iterator[Path]:
    """A file system of `size` bytes at `where`."""
    where.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(where)], capture_output=True
    )
    if mounted.returncode:
        raise PermissionError(mounted.stderr.decode().strip())
    try:
        yield where
    finally:
        subprocess.run(["umount", str(where)], check=True)


def full_disk(whole: Path, scratch: Path, model: Path, asked: Plan) -> dict[str, str]:
    """Fill a disk half-way through, find what is missing, make room, repeat."""
    need = sum(path.stat().st_size for path in (whole / "data").iterdir()) + 4096 * len(asked.mix)
    with small_disk(scratch / "disk", 4 * need) as disk:
        ballast = disk / "ballast"
        free = shutil.disk_usage(disk).free
        ballast.write_bytes(b"\0" * max(0, free - need // 2))
        out, told = disk / "set", ""
        try:
            draw_shards(asked, model, out, workers=1)
        except UserError as error:
            told = str(error)
        assert "disk full" in told, f"nobody noticed: {told}"
        said = refused(out)
        ballast.unlink()
        draw_shards(asked, model, out, workers=1)
        assert hashes(out) == hashes(whole) and verify(out)
    return {"full disk": told.replace(str(disk), "DISK"), "verify": said.replace(str(disk), "DISK")}


def measure(model: Path, n: int, kills: int, parts: list[str], scratch: Path) -> dict[str, Any]:
    model = locate(model)
    asked, chance = plan.make(model, n, steps=STEPS, batch=8), random.Random(0)
    whole, found = scratch / "whole", {}
    start = time.perf_counter()
    draw_shards(asked, model, whole, workers=1)
    seconds = time.perf_counter() - start
    print(f"{n} images in {len(hashes(whole))} shards, uninterrupted by one process: {seconds:.0f} s")

    if "processes" in parts:
        killed = scratch / "processes"
        processes(model, asked, killed, kills, seconds / kills / 3, chance)
        assert hashes(killed) == hashes(whole) and verify(killed), "the bytes differ"
        print(f"{kills} kills with 2 processes: every sha256 equal")
        found["processes"] = {"kills": kills, "equal": True}
    if "ray" in parts and find_spec("ray"):
        hit = nodes(model, asked, scratch / "ray", kills, chance)
        assert hashes(scratch / "ray") == hashes(whole), "the bytes differ"
        print(f"{hit} kills on 2 Ray nodes: every sha256 equal")
        found["ray"] = {"kills": hit, "equal": True}
    elif "ray" in parts:
        print("ray is not installed (pip install 'visionclip[cluster]'): left out")
    if "damage" in parts:
        found["damage"] = harmed(whole, scratch, model, asked, chance)
    return {"images": n, "shards": len(hashes(whole)), "seconds_whole": seconds, **found}


def harmed(whole: Path, scratch: Path, model: Path, asked: Plan, chance: random.Random) -> dict[str, str]:
    said = damage(whole, scratch, model, asked, chance)
    try:
        said |= full_disk(whole, scratch, model, asked)
    except PermissionError as error:
        print(f"full disk left out, a small file system needs root: {error}")
    for name, line in said.items():
        print(f"{name}: {line.replace(str(scratch), 'SCRATCH')}")
    return said


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a tiny untrained generator, 5 kills")
    parser.add_argument("--model", type=Path, help="a generator; the shipped one by default")
    parser.add_argument("--n", type=int, help="images")
    parser.add_argument("--only", action="append", choices=PARTS, help="a part; may repeat")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        model, kills = given.model or SHIPPED, 5 if given.quick else 20
        if given.quick or (not (model / "model_index.json").exists() and given.model is None):
            from generators import untrained

            model = untrained(scratch / "untrained")
        found = measure(model, given.n or (400 if given.quick else 1600), kills, given.only or PARTS, scratch)
    found |= {"damage": sorted(set(found["damage"]) - {"verify"})} if "damage" in found else {}
    print(json.dumps({"benchmark": "kill", "model": model.name, "cores": os.cpu_count(), **found}))


if __name__ == "__main__":
    main()
