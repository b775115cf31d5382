"""The folder of a training run: what resumes it, what is left when it is done."""

import shutil
from pathlib import Path
from typing import Any

import torch

from clip import embed
from clip.training.objective import Learner
from synth.base import checkpoint

STATE_FORMAT, STATE_VERSION = "visionclip-clip-training", 2


def save(run: Path, learner: Learner, optimizer: Any, told: dict[str, Any], images: int) -> None:
    """Write the checkpoint for everyone, the CLIP alone with what is `told` of its training, then what resumes the run.

    In this order a kill between the two costs nothing: at the end of a run the checkpoint is all that counts,
    and before, it is written again.
    """
    weights, everything = (
        {name: tensor.cpu().contiguous() for name, tensor in module.state_dict().items()}
        for module in (learner.clip, learner)
    )
    state = checkpoint.header(
        STATE_FORMAT, STATE_VERSION, images=images, weights=everything, optimizer=optimizer.state_dict()
    )
    checkpoint.save(run / "ckpt.pt", embed.header(learner.clip, **told, images=images) | {"weights": weights})
    checkpoint.save(run / "state.pt", state)


def load(run: Path, learner: Learner, optimizer: torch.optim.Optimizer) -> int:
    """Load what `save` wrote, if it did; returns the images seen."""
    path = run / "state.pt"
    if not path.exists():
        return 0
    state = checkpoint.check_header(path, checkpoint.load(path), STATE_FORMAT, STATE_VERSION)
    learner.load_state_dict(state["weights"])
    optimizer.load_state_dict(state["optimizer"])
    return state["images"]


def clear(run: Path) -> None:
    """Remove what only a run under way needs: the optimizer's state, the decoded photographs, and half-written files."""
    (run / "state.pt").unlink(missing_ok=True)
    for path in run.glob(".*.tmp"):
        path.unlink()
    shutil.rmtree(run / "cache", ignore_errors=True)
