"""However a batch is split over processes and forward passes, the training is the same to float tolerance."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pictures import folder

from synth.base import checkpoint
from synth.base.runs import read_metrics
from synth.model.denoiser import NetworkConfig
from synth.training.config import TrainConfig
from synth.training.trainer import train

SETTINGS = {
    "images": 96,
    "batch": 16,
    "warmup": 64,
    "save_every": 16,
    "sheet": 0,
    "balance": 0.3,
    "preprocessing": {"size": 16},
    "network": {"channels": [16, 32], "attention_from": 1},
}


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("records"), 60)


@pytest.fixture(scope="module")
def whole(records, tmp_path_factory):
    """One process, one forward pass per step."""
    run = tmp_path_factory.mktemp("whole") / "run"
    train(_config(16), [records], run)
    return run


def _config(micro_batch: int) -> TrainConfig:
    network = NetworkConfig.model_validate(SETTINGS["network"])
    return TrainConfig.model_validate({**SETTINGS, "micro_batch": micro_batch, "network": network})


def losses(run: Path) -> list[float]:
    return [row["loss"] for row in read_metrics(run / "metrics.jsonl")]


def weights(run: Path) -> torch.Tensor:
    """All weights of the last checkpoint, in one vector."""
    return torch.cat([w.flatten() for w in checkpoint.load(run / "state.pt")["weights"].values()])


def assert_same(run: Path, whole: Path) -> None:
    assert len(losses(run)) == 6 and losses(run) == pytest.approx(losses(whole), rel=1e-5)
    distance = float((weights(run) - weights(whole)).norm() / weights(whole).norm())
    assert distance < 1e-3  # Adam makes whole steps out of the rounding of gradients that are zero


@pytest.mark.slow
def test_two_processes_train_what_one_does(records, whole, tmp_path):
    """Of a batch of 16, each of two processes sees 8; flips, dropped labels, noise and order are the same."""
    import yaml

    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**SETTINGS, "micro_batch": 8}))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["-m", "synth", "train", "--config", str(tmp_path / "config.yaml")]
    command += ["--data", str(records), "--out", str(tmp_path / "run")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert_same(tmp_path / "run", whole)


SRUN = """#!/bin/bash
# Two nodes, both on this machine, as srun starts a task on each.
"$@" & first=$!
"$@" & second=$!
wait $first && wait $second
"""


@pytest.mark.slow
def test_the_script_for_slurm_trains_on_two_nodes_what_one_process_does(records, whole, tmp_path):
    import yaml

    (tmp_path / "config.yaml").write_text(yaml.safe_dump({**SETTINGS, "micro_batch": 8}))
    (tmp_path / "srun").write_text(SRUN)
    (tmp_path / "srun").chmod(0o755)
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    told = {
        "PATH": f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "VERB": "synth train",
        "FLAGS": f"--config {tmp_path / 'config.yaml'} --data {records} --out {tmp_path / 'run'}",
        **{
            "SLURM_NNODES": "2",
            "SLURM_JOB_ID": "7",
            "PROCESSES": "1",
            "HEAD": "localhost",
            "PORT": str(port),
        },
        **{"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    }
    script = Path(__file__).parent.parent / "examples" / "slurm" / "train.sbatch"
    done = subprocess.run(["bash", script], env=os.environ | told, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert_same(tmp_path / "run", whole)


def test_accumulated_gradients_train_what_whole_batches_do(records, whole, tmp_path):
    """Four forward passes of 4 for one of 16."""
    train(_config(4), [records], tmp_path / "run")
    assert_same(tmp_path / "run", whole)


def test_another_seed_trains_something_else(records, whole, tmp_path):
    """Else the tests above would pass on a training that ignores its draws."""
    train(_config(16).model_copy(update={"seed": 1}), [records], tmp_path / "run")
    assert losses(tmp_path / "run") != pytest.approx(losses(whole), rel=1e-2)
