"""Containers, Slurm and Ray: what the examples say can be built, and what can be run here runs."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
DIGEST = r"sha256:[0-9a-f]{64}"


def copied(text: str) -> set[str]:
    """What a Dockerfile takes from the repository."""
    found = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    return {name for names in found for name in names.split()}


def test_the_images_are_of_one_pinned_base_and_hold_what_the_wheel_needs():
    docker = (ROOT / "Dockerfile").read_text()
    apptainer = (ROOT / "examples/containers/visionclip.def").read_text()
    assert set(re.findall(DIGEST, docker)) == set(re.findall(DIGEST, apptainer)) != set()
    assert copied(docker) == set(re.findall(r"^    (\S+) /src/", apptainer, re.MULTILINE))
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied(docker) == allowed
    assert all((ROOT / name).exists() for name in allowed)
    packages = re.findall(r"^include = \[(.+)\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[0]
    assert {name for name in re.findall(r'"(\w+)"', packages)} <= allowed


def test_the_image_runs_as_nobody_in_particular():
    last = (ROOT / "Dockerfile").read_text().rpartition("FROM ")[2]
    assert re.search(r"^USER (?!root|0)\w+$", last, re.MULTILINE)


@pytest.mark.parametrize(
    "script", sorted((ROOT / "examples/slurm").glob("*.sbatch")), ids=lambda path: path.stem
)
def test_a_script_of_slurm_is_bash_and_stops_at_the_first_error(script):
    subprocess.run(["bash", "-n", script], check=True)
    assert "set -euo pipefail" in script.read_text()


def test_the_ray_cluster_is_one_by_rays_own_schema():
    config = yaml.safe_load((ROOT / "examples/ray/cluster.yaml").read_text())
    util = pytest.importorskip("ray.autoscaler._private.util")
    util.validate_config(util.prepare_config(config))
