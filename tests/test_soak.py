"""Faults while commands work: what `make soak` does for half an hour, for a minute."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from faults import FAULTS

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_disturbed_commands_end_in_the_bytes_of_undisturbed_ones(tmp_path):
    line = [sys.executable, ROOT / "tools/soak.py", "--out", tmp_path, "--minutes", "1", "--only", "synth"]
    run = subprocess.run(line, capture_output=True, text=True)
    found = json.loads(run.stdout.splitlines()[-1])
    assert run.returncode == 0, run.stderr[-2000:]
    assert found["different"] == found["unexpected"] == []
    assert found["finished"] and found["faults"] > 0 and set(found["by_kind"]) <= set(FAULTS)
