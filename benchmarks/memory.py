"""Peak memory of `synth generate`: it must not grow with the number of images.

    python benchmarks/memory.py --quick
    python benchmarks/memory.py --model runs/odir --precision fp32

One `synth generate --workers 1` after another draws each number of images in a process of its own; its peak is the
largest resident set that the kernel saw of it (ru_maxrss).  That of the most images may be at most 10 % above that
of the fewest.  The last line is JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

# Nothing heavier: a process starts with the peak of the one that started it.

TOLERATED = 1.10


def generate(model: str, precision: str, n: int, out: Path) -> dict[str, Any]:
    """Draw `n` images; the peak of the process in bytes, and its seconds by the wall clock and of the processor."""
    line = [sys.executable, "-m", "synth", "generate", f"--model={model}", f"--n={n}", f"--out={out}"]
    start = time.perf_counter()
    process = subprocess.Popen([*line, f"--precision={precision}", "--workers=1"], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"'{' '.join(line)}' ended with status {process.returncode}"
    rows = sum(json.loads(path.read_text())["rows"] for path in out.glob("data/*.json"))
    assert rows == n, f"{rows} rows of {n}"
    return {
        "images": n,
        "peak_bytes": used.ru_maxrss * 1024,
        "seconds": round(time.perf_counter() - start, 1),
        "core_seconds": round(used.ru_utime + used.ru_stime, 1),
    }


def measure(model: str, precision: str, numbers: list[int]) -> list[dict[str, Any]]:
    found = []
    for n in numbers:
        with tempfile.TemporaryDirectory() as scratch:
            found.append(generate(model, precision, n, Path(scratch) / "set"))
        peak = found[-1]["peak_bytes"] / 2**20
        print(f"{n:,} images: {peak:.0f} MiB, {found[-1]['core_seconds']:.0f} core-seconds", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="200 and 2,000 images, not 500 and 20,000")
    parser.add_argument("--model", default="fundus256-4", help="a generator; the shipped student by default")
    parser.add_argument("--precision", default="bf16", help="of the network, fp32 or bf16")
    given = parser.parse_args()
    found = measure(given.model, given.precision, [200, 2_000] if given.quick else [500, 20_000])
    ratio = found[-1]["peak_bytes"] / found[0]["peak_bytes"]
    facts = {
        "benchmark": "memory",
        "model": Path(given.model).name,
        "precision": given.precision,
        "runs": found,
        "ratio": round(ratio, 4),
        "within_tolerance": ratio <= TOLERATED,
        "versions": {name: version(name) for name in ("visionclip", "torch", "pyarrow")},
    }
    print(json.dumps(facts))
    sys.exit(0 if facts["within_tolerance"] else 1)


if __name__ == "__main__":
    main()
