"""Whole audits and evaluations give the same numbers whichever instructions a processor has for matrices.

OpenBLAS chooses its kernels by the processor, and adds in another order in each of them; the name of one in the
environment has them taken elsewhere.  The kernels of torch change with the processor as well, which is in no one's hands:
docs/audit.md says how far a number moves by that.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import releases
from pictures import folder
from typer.testing import CliRunner

KERNEL = "Nehalem"  # those of SSE4.2, which every x86-64 has, and in which fused multiplication is not
EXACTLY = 1e-8
"""By which numbers may differ, of themselves or of 1: a thousand times what rounding makes of them, and far below any
digit that a report prints.  Words, counts and p-values of permutations may not differ at all: a tie that rounding broke
would be a whole step."""
AUDIT = {
    "folds": 3,
    "permutations": 60,
    "bootstrap": 100,
    "untrained_seeds": 1,
    "detection_rounds": 50,
    "copies_steps": 10,
    "copies_permutations": 999,
    "likelihood_labels": 1,
    "likelihood_steps": [500],
}
JUDGE = {
    "held_out": "validation,test",
    "reported": 5,
    "headline": 5,
    "compared": 60,
    "k": 3,
    "halves": 5,
    "rounds": 30,
    "closest": 3,
    "captions": 40,
    "classifier.architecture": "test_resnet",
    "classifier.images": 96,
    "classifier.batch": 16,
    "classifier.warmup": 64,
    "classifier.min_count": 5,
    "classifier.preprocessing.size": 16,
}
RUN = """
import json, sys
from tests.test_processors import run
run(json.loads(sys.argv[1]))
"""


def settings(changes: dict[str, Any]) -> list[str]:
    return [
        part
        for key, value in changes.items()
        for part in ("--set", f"{key}={json.dumps(value).strip(chr(34))}")
    ]


def commands(root: Path, out: Path) -> list[list[str]]:
    """An audit of all but completion, whose models nobody trained, and one of codes that only tell photographs apart;
    evaluations of the encoder of the first; synthetic discs judged by real ones."""
    groups = ("attackers", "members", "nonmembers", "synthetic", "generator")
    options = [part for name in groups for part in (f"--{name}", str(root / name))]
    options += ["--members-split", "all", "--nonmembers-split", "all", "--model", str(root / "ckpt.pt")]
    codes = ["--model", str(root / "codes.npy"), "--attackers", str(root / "attackers")]
    discs = ["--data", str(root / "fake"), "--real", str(root / "real")]
    evaluated = ["clip", "eval", *options[-2:], "--data", str(root / "real")]
    return [
        ["privacy", "audit", *options, "--out", str(out / "audit"), *settings(AUDIT)],
        ["privacy", "audit", *codes, "--out", str(out / "codes"), *settings(AUDIT)],
        *(
            [*evaluated, "--task", task, "--set", "rounds=50", "--out", str(out / task)]
            for task in ("zero-shot", "linear", "retrieval")
        ),
        ["synth", "evaluate", *discs, "--out", str(out / "judged"), "--workers", "1", *settings(JUDGE)],
    ]


def run(told: list[list[str]]) -> None:
    for command, *arguments in told:
        result = CliRunner().invoke(import_module(f"{command}.commands.app").app, arguments)
        assert result.exit_code in (0, 3, 4), result.output


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("given")
    for seed, (group, count) in enumerate({"attackers": 48, "members": 20, "nonmembers": 20}.items(), 1):
        people = releases.people(root / group, count, seed)
        if group == "attackers":
            releases.released(root / "synthetic", people.photographs(releases.SMALL)[:40])
            np.save(root / "codes.npy", np.eye(len(people.ids), dtype=np.float32))
            (root / "codes.ids.txt").write_text("\n".join(people.ids))
    releases.encoder(root / "ckpt.pt")
    releases.generator(root / "generator", None, 0)
    folder(root / "fake", 60, seed=2)
    folder(root / "real", 80, seed=1, shares=(5, 2, 3))
    return root


def numbers(found: Any, place: str = "") -> dict[str, Any]:
    """Place in a report -> the value that stands there."""
    if isinstance(found, dict):
        parts = [
            numbers(each, f"{place}/{key}")
            for key, each in found.items()
            if key not in ("command", "finished")
        ]
    elif isinstance(found, list):
        parts = [numbers(each, f"{place}/{i}") for i, each in enumerate(found)]
    else:
        return {place: found}
    return {key: value for part in parts for key, value in part.items()}


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason=f"{KERNEL} is a kernel of x86-64")
def test_a_report_is_the_same_with_another_processors_matrix_products(given, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    run(commands(given, here))
    for name in ("private", "evaluation.json"):  # its classifiers: torch is asked nothing
        copy = shutil.copytree if name == "private" else shutil.copy
        copy(here / "judged" / name, there / "judged" / name)
    environment = os.environ | {"OPENBLAS_CORETYPE": KERNEL, "PYTHONPATH": os.pathsep.join(sys.path)}
    line = [sys.executable, "-c", RUN, json.dumps(commands(given, there))]
    done = subprocess.run(line, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    compared = 0
    for path in sorted(here.glob("*/report.json")):
        one, other = (
            numbers(json.loads((side / path.parent.name / path.name).read_text())) for side in (here, there)
        )
        assert one.keys() == other.keys()
        compared += len(one)
        for place, value in one.items():
            if isinstance(value, float):
                assert other[place] == pytest.approx(value, rel=EXACTLY, abs=EXACTLY, nan_ok=True), place
            else:
                assert other[place] == value, place
    assert compared > 1000
