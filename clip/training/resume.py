"""The folder of a training run: what resumes it, what is left when it is done."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clip.model import checkpoints
from clip.training.objective import Learner
from clip.training.watching import BEST
from synth.base import checkpoint, device

STATE_FORMAT, STATE_VERSION = "visionclip-clip-training", 2


class Progress:
    """How far a run has come, and what it takes to go on from there."""

    def __init__(
        self, run: Path, learner: Learner, optimizer: torch.optim.Optimizer, metadata: dict[str, Any]
    ) -> None:
        """Take up what `run` holds; `metadata` is what its checkpoint says of its training."""
        self.images, self.history = load(run, learner, optimizer)
        """Images seen, and the losses of each step since the last line of metrics."""
        self.kept = time.monotonic()
        self._run, self._learner, self._optimizer, self._metadata = run, learner, optimizer, metadata
        self._norms = self._copied()

    def step(self, losses: dict[str, Tensor], count: int) -> None:
        """Note a finished step of so many images."""
        self.history.append(losses)
        self.images += count
        self._norms = self._copied()

    def save(self) -> None:
        """Write the last finished step, whatever has been begun since."""
        self._learner.load_state_dict(self._norms, strict=False)
        save(self._run, self._learner, self._optimizer, self._metadata, self.images, self.history)
        self.kept = time.monotonic()

    def save_best(self, why: dict[str, Any]) -> None:
        """Write the CLIP of the last finished step as the best so far."""
        save_best(self._run, self._learner, self._metadata, self.images, why)

    def _copied(self) -> dict[str, Tensor]:
        """All that a forward pass changes: the running means of batch norms."""
        return {name: buffer.clone() for name, buffer in self._learner.named_buffers()}


def save(
    run: Path,
    learner: Learner,
    optimizer: Any,
    metadata: dict[str, Any],
    images: int,
    history: Sequence[dict[str, Tensor]] = (),
) -> None:
    """Write the checkpoint for everyone, the CLIP alone with `metadata` of its training, then what resumes the run.

    In this order a kill between the two costs nothing: at the end of a run the checkpoint is all that counts,
    and before, it is written again.

    Args:
        history: the losses of each step since the last line of metrics.
    """
    weights, everything = (
        {name: tensor.cpu().contiguous() for name, tensor in module.state_dict().items()}
        for module in (learner.clip, learner)
    )
    names = history[0] if history else ()
    lost = {name: torch.stack([step[name].cpu() for step in history]) for name in names}
    parts = {"weights": everything, "optimizer": optimizer.state_dict(), "history": lost}
    state = checkpoint.header(STATE_FORMAT, STATE_VERSION, images=images, **parts)
    checkpoint.save(
        run / "ckpt.pt", checkpoints.header(learner.clip, **metadata, images=images) | {"weights": weights}
    )
    checkpoint.save(run / "state.pt", state)


def save_best(
    run: Path, learner: Learner, metadata: dict[str, Any], images: int, why: dict[str, Any]
) -> None:
    """Write the CLIP as the best so far, beside the last, with what it is best by."""
    weights = {name: tensor.cpu().contiguous() for name, tensor in learner.clip.state_dict().items()}
    head = checkpoints.header(learner.clip, **metadata, images=images, best=why)
    checkpoint.save(run / BEST, head | {"weights": weights})


def trained_images(run: Path) -> int:
    """Images that the checkpoint of a run has seen; 0 without one."""
    path = run / "ckpt.pt"
    if not path.exists():
        return 0
    with checkpoint.fitting(path):
        return int(checkpoint.load(path, mapped=True)["images"])


def load(
    run: Path, learner: Learner, optimizer: torch.optim.Optimizer
) -> tuple[int, list[dict[str, Tensor]]]:
    """Load what `save` wrote, if it did; returns the images seen and the history."""
    path = run / "state.pt"
    if not path.exists():
        return 0, []
    state = checkpoint.read(path, STATE_FORMAT, STATE_VERSION)
    with checkpoint.fitting(path):
        learner.load_state_dict(state["weights"])
        device.load_optimizer(optimizer, state["optimizer"])
        lost = state.get("history", {})
        steps = [dict(zip(lost, step, strict=True)) for step in zip(*lost.values(), strict=True)]
        return int(state["images"]), steps


def clear(run: Path) -> None:
    """Remove what only a run under way needs: the optimizer's state, the decoded photographs, and half-written files."""
    (run / "state.pt").unlink(missing_ok=True)
    for path in run.glob(".*.tmp"):
        path.unlink()
    shutil.rmtree(run / "cache", ignore_errors=True)
