"""The script for a borrowed GPU runs through everything on a CPU, and makes a page of what it wrote."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks/gpu.py"


def call(*arguments: object) -> None:
    done = subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_every_part_finds_something_at_toy_sizes(tmp_path):
    call("--device", "cpu", "--minutes", 20, "--out", tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out/gpu.jsonl").read_text().splitlines()]
    failed = [line for line in lines if "failed" in line or "skipped" in line]
    assert [line["what"] for line in failed] == ([] if find_spec("xformers") else ["attention"]), failed
    assert {"machine", "writing", "sampling", "training", "use"} <= {line["what"] for line in lines}
    agreed = {line["what"]: line for line in lines if line["what"].startswith("agreement")}
    assert agreed["agreement: noise"]["equal"] and agreed["agreement: resume"]["equal"]
    assert agreed["agreement: results"]["within"]
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert max(path.stat().st_size for path in files) <= 16 * 2**20
    assert {"sheet.png", "samples.png", "training.jsonl", "model_index.json"} <= {path.name for path in files}


def test_a_page_says_that_toy_figures_are_no_figures(tmp_path):
    machine = {
        "what": "machine",
        "card": "x",
        "cores": 2,
        "python": "3.12",
        "versions": {"torch": "2"},
        "toy": True,
    }
    lines = [machine, {"what": "sampling", "at": 3, "images_per_second": 12.345678}]
    (tmp_path / "gpu.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    call("--summary", tmp_path / "gpu.jsonl", "--page", tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    assert "| sampling | images_per_second 12.35 |" in page and "and nothing else" in page
