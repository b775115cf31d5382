"""What a training resumes from: weights, optimiser and averages at a number of images seen, in one file."""

from pathlib import Path

from torch import nn
from torch.optim import Optimizer

from synth.base import checkpoint
from synth.base.device import load_optimizer
from synth.base.runs import append_metrics
from synth.training.averages import PowerAverages


def resume(
    run: Path, kind: tuple[str, int], network: nn.Module, optimizer: Optimizer, averages: PowerAverages
) -> int:
    """Restore `run/state.pt`, if there is one; returns the images seen.

    Args:
        kind: name and version of the format.

    Raises:
        UserError: the file is of another kind, damaged, or of a later version.
    """
    path = run / "state.pt"
    if not path.exists():
        return 0
    state = checkpoint.read(path, *kind)
    with checkpoint.fitting(path):
        network.load_state_dict(state["weights"])
        load_optimizer(optimizer, state["optimizer"])
        averages.load_state_dict(state["averages"])
        return int(state["images"])


def save(
    run: Path,
    kind: tuple[str, int],
    n_images: int,
    loss: float,
    network: nn.Module,
    optimizer: Optimizer,
    averages: PowerAverages,
) -> None:
    """Write `run/state.pt` whole or not at all, and one line of metrics before it."""
    parts = {"weights": network, "optimizer": optimizer, "averages": averages}
    state = {"images": n_images} | {name: part.state_dict() for name, part in parts.items()}
    append_metrics(run / "metrics.jsonl", images=n_images, loss=round(loss, 6))
    checkpoint.save(run / "state.pt", checkpoint.header(*kind, **state))
