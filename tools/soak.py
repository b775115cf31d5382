"""Disturb commands for a while, again and again, and let each finish; then compare what it wrote with an undisturbed run.

    python tools/soak.py --minutes 30 --seed 0

A loop of `synth generate`, `synth verify`, `synth train`, `clip train` and `privacy audit` with tiny models.  Each command is
begun, disturbed by a fault drawn at random, and repeated; after a few faults it is left alone, and must end in the bytes
of a run that nobody disturbed.  Commands run in processes forked from this one, which has the libraries loaded, so that a
fault falls into work, not imports.

Last on stdout is one line of JSON; exit status 1 where bytes differ, a row is lost, a command ends otherwise than it may, or a
process that goes on grows.  The clock is not set: what is tried are files whose times lie years off, as a jump leaves them.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ |= {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "CUDA_VISIBLE_DEVICES": "",
}
ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

import artefacts  # noqa: E402
import forking  # noqa: E402
import fuzzing  # noqa: E402
from faults import FAULTS, RARE, Job, Place, begin, ended, used  # noqa: E402

MOST = 4
"""Faults that one command has before it is left alone."""
_DISK = 64 << 20  # bytes of the small disk, some ten times what a command writes
_MAY_END = {0, 2, 128 + signal.SIGINT, 128 + signal.SIGTERM, -signal.SIGKILL, -signal.SIGTERM}


_GENERATE = tuple(
    [
        "synth",
        "generate",
        "--model",
        "generator",
        "--n",
        "24",
        "--steps",
        "2",
        "--workers",
        "1",
        "--out",
        "set",
    ]
)
_SHEET = ("synth", "preview", "records", "--count", "4", "--out")
JOBS = {
    "synth generate": Job(_GENERATE, "set/data/*"),
    "synth verify": Job(("synth", "verify", "records", "--json"), ""),
    "synth train": Job(artefacts._LEARN, "run/model/*/*"),
    "clip train": Job(artefacts._TRAIN, "encoder/ckpt.pt"),
    "privacy audit": Job(artefacts.ARTEFACTS["caches of an audit"].line, "", artefacts._ANSWERS),
}  # fmt: skip


def result(job: Job, work: Path) -> str:
    """What must be the same, as one text."""
    told = (work / ".out").read_text(encoding="utf-8", errors="replace")
    return fuzzing._result(artefacts.Artefact("", job.line, job.written), work, told)


def attempt(
    name: str, place: Place, good: Path, chance: random.Random, whole: float, counts: "Counts"
) -> bool:
    """Disturb a command up to `MOST` times, finish it, and say whether it gave what is expected."""
    job = JOBS[name]
    _fresh(job, good, place.work)
    for _ in range(chance.randint(1, MOST)):
        known = [each for each in FAULTS if place.disk or each != "full disk"]
        fault = chance.choices(known, [RARE.get(each, 1) for each in known])[0]
        status = FAULTS[fault](job, place, chance, whole)
        counts.faults[fault] += 1
        counts.note(name, fault, status, job, place.work)
    status = ended(begin(job, place))
    if status not in job.exits:
        counts.note(name, "left alone", status, job, place.work, must=True)
        return False
    return result(job, place.work) == counts.expected[name]


class Counts:
    """What was done and found."""

    def __init__(self) -> None:
        self.faults: Counter[str] = Counter()
        self.finished: Counter[str] = Counter()
        self.different: list[str] = []
        self.unexpected: list[str] = []
        self.expected: dict[str, str] = {}

    def note(self, name: str, fault: str, status: int, job: Job, work: Path, must: bool = False) -> None:
        """Keep how a command ended, if it may not end so: a traceback, a signal that nobody sent, two lines."""
        text = (
            (work / ".err").read_text(encoding="utf-8", errors="replace") if (work / ".err").exists() else ""
        )
        if must or status not in _MAY_END | set(job.exits) or "Traceback" in text:
            self.unexpected.append(f"{name}, {fault}: {status}: {' '.join(text.split())[-300:]}")
            print(self.unexpected[-1], file=sys.stderr, flush=True)


def _fresh(job: Job, good: Path, work: Path) -> None:
    for path in work.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    for word in {word for word in job.line if (good / word).exists()}:
        (shutil.copytree if (good / word).is_dir() else shutil.copy)(good / word, work / word)


def _modules(job: Job, work: str) -> list[str]:
    os.chdir(work)
    fuzzing.invoke(*job.line)
    return sorted(sys.modules)


def _preload(modules: list[str]) -> None:
    """Import here what a command has imported, once for all of them."""
    for module in modules:
        if module not in sys.modules:
            with suppress(Exception):
                import_module(module)


@contextmanager
def small_disk(work: Path) -> Iterator[bool]:
    """A file system of its own, small enough to be filled, where one may be mounted."""
    line = ["mount", "-t", "tmpfs", "-o", f"size={_DISK}", "tmpfs", str(work)]
    mounted = shutil.which("mount") and not subprocess.run(line, capture_output=True).returncode
    try:
        yield bool(mounted)
    finally:
        if mounted:
            subprocess.run(["umount", str(work)], check=True)


def steady(place: Place, good: Path, times: int) -> dict[str, list[float]]:
    """MB in memory and open files of one process that verifies a set again and again: after a third, and at the end."""
    _fresh(JOBS["synth verify"], good, place.work)
    log = place.work / ".steady"

    def measured() -> None:
        for number in range(times):
            assert fuzzing.invoke(*JOBS["synth verify"].line).exit_code == 0
            assert fuzzing.invoke(*_SHEET, f"{number % 2}.png").exit_code == 0
            with open(log, "a") as file:
                print(used(1) / 2**20, len(os.listdir("/proc/self/fd")), file=file)  # noqa: PTH208
        os._exit(0)

    status = ended(begin(JOBS["synth verify"], place, measured))
    rows = [[float(x) for x in line.split()] for line in log.read_text().splitlines()] if log.exists() else []
    if status or len(rows) < times:
        return {"memory_mb": [], "open_files": []}
    third = rows[len(rows) // 3]
    return {"memory_mb": [round(third[0], 1), round(rows[-1][0], 1)], "open_files": [third[1], rows[-1][1]]}


def soak(out: Path, minutes: float, seed: int, names: list[str]) -> dict[str, Any]:
    """Disturb the commands `names` in turn for so long; returns counts."""
    chance, counts, started = random.Random(seed), Counts(), time.monotonic()
    good, work = out / "good", out / "work"
    if not good.exists():
        shutil.rmtree(out / "making", ignore_errors=True)
        (out / "making").mkdir(parents=True)
        os.chdir(out / "making")
        artefacts.make(out / "making", fuzzing.invoke, trained=False)
        (out / "making").rename(good)
    os.chdir("/")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    seconds: dict[str, float] = {}
    with small_disk(work) as disk:
        place = Place(work, disk)
        for name in names:
            _fresh(JOBS[name], good, work)
            _preload(forking.forked(_modules, JOBS[name], str(work)))
            for _ in range(2):
                _fresh(JOBS[name], good, work)
                before = time.monotonic()
                status = ended(begin(JOBS[name], place))
                seconds[name] = time.monotonic() - before
                assert status in JOBS[name].exits, (name, status, (work / ".err").read_text()[-800:])
                again = result(JOBS[name], work)
                assert counts.expected.setdefault(name, again) == again, (
                    f"{name}: two undisturbed runs differ"
                )
        begun, number = time.monotonic(), 0
        while time.monotonic() - begun < 60 * minutes:
            name = names[number % len(names)]
            number += 1
            if attempt(name, place, good, chance, seconds[name], counts):
                counts.finished[name] += 1
            else:
                counts.different.append(f"{name}, attempt {number}")
        grown = steady(place, good, 30)
    return {
        "minutes": round((time.monotonic() - started) / 60, 1),
        "seed": seed,
        "faults": sum(counts.faults.values()),
        "by_kind": dict(counts.faults.most_common()),
        "finished": dict(counts.finished),
        "different": counts.different,
        "unexpected": counts.unexpected,
        **grown,
    }


def is_flat(found: dict[str, Any]) -> bool:
    """Whether a process that went on used no more memory (5 % and 20 MB) and no more files at its end."""
    if not found["memory_mb"]:
        return False
    (before, after), (opened, left) = found["memory_mb"], found["open_files"]
    return after - before < max(20, before * 0.05) and left <= opened


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--out", type=Path, default=Path(".soak"))
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="commands whose name holds this")
    options = parser.parse_args()
    names = [name for name in JOBS if options.only in name]
    found = soak(options.out.absolute(), options.minutes, options.seed, names)
    print(*(f"{kind}: {count}" for kind, count in found["by_kind"].items()), sep="\n")
    print(json.dumps(found, ensure_ascii=False))
    return int(bool(found["different"] or found["unexpected"]) or not is_flat(found))


if __name__ == "__main__":
    sys.exit(main())
