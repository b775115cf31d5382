"""The whole path: synthetic pairs from the generator that ships, a CLIP, phantoms to test it on, its audit, one page.

    python examples/demo/run.py --out demo

Runs the three commands one after another, offline.  Repeating it continues where it stopped: every verb does.
"""

import argparse
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import page

from synth.base.runs import read_json, write_json

CONFIGS = os.path.relpath(Path(__file__).parent.parent.parent / "configs")


class Step(NamedTuple):
    """One command of the demo; `passing` are the exit statuses that mean it did its work."""

    name: str
    command: str
    passing: tuple[int, ...] = (0,)


def steps(folder: Path) -> list[Step]:
    """The commands, in order; each reads what those before it wrote."""
    out = shlex.quote(str(folder))
    return [
        Step(
            "phantoms with ground truth, to test on in place of patients",
            f"synth phantom --n 1000 --out {out}/phantoms --size 128"
            " --age-strength 0.6 --sex-strength 0.3 --race-strength 0.6",
        ),
        Step(
            "captioned synthetic photographs, from the generator that ships",
            f"synth generate --model fundus256-4 --n 1500 --seed 1 --out {out}/synthetic",
        ),
        Step("what they look like", f"synth preview {out}/synthetic --out {out}/sheet.png"),
        Step(
            "a Chinese-English CLIP, trained on nothing else",
            f"clip train --config {CONFIGS}/clip/demo.yaml --data {out}/synthetic --out {out}/clip",
        ),
        Step(
            "zero-shot, on phantoms that it never saw",
            f"clip eval --model {out}/clip/ckpt.pt --data {out}/phantoms --split all --out {out}/eval",
        ),
        Step(
            "what it reveals about age, sex and race",
            f"privacy audit --model {out}/clip/ckpt.pt --attackers {out}/phantoms --out {out}/audit",
            passing=(
                0,
                3,
                4,
                5,
            ),  # 3: a leak was found, 4: nothing was testable, 5: an answer is INVALID; all are results
        ),
    ]


def run(step: Step) -> dict[str, Any]:
    """Run one step, its output shown; returns its record.

    Raises:
        SystemExit: it failed.
    """
    print(f"\n== {step.name}\n$ {step.command}", flush=True)
    verb, *arguments = shlex.split(step.command)
    start = time.perf_counter()
    status = subprocess.run([str(Path(sys.executable).parent / verb), *arguments]).returncode
    seconds = time.perf_counter() - start
    if status not in step.passing:
        print(f"demo: '{step.command}' ended with status {status} after {seconds:.0f} s; "
              "mend it and repeat 'make demo', finished steps are kept", file=sys.stderr)  # fmt: skip
        sys.exit(1)
    print(f"== done in {seconds:.0f} s, status {status}", flush=True)
    return {"name": step.name, "command": step.command, "seconds": seconds, "status": status}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path("demo"), help="folder of everything that the demo makes"
    )
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    log = out / "commands.json"
    known = read_json(log) if log.exists() else {}
    for step in steps(out):
        record = run(step)
        # A finished command does nothing when it is repeated: what it took is what it took the first time.
        record["seconds"] = max(record["seconds"], known.get(step.command, record)["seconds"])
        known[step.command] = record
        write_json(log, known)
    done = [known[step.command] for step in steps(out)]
    page.build(out, done)
    print(
        f"\n{out}/report.html (Chinese: {out}/report.zh.html): open it in a browser ({sum(d['seconds'] for d in done) / 60:.1f} minutes of work)"
    )


if __name__ == "__main__":
    main()
