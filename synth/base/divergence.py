"""One rule for every training: a loss that is no number ends it, at the step that has it."""

from collections import deque
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from synth.base import returns
from synth.base.returns import Diverged


class LossWatch:
    """Looks at each step's loss.  A CPU has it at once; a GPU is not waited for, its losses are read as they come."""

    def __init__(self, run: Path, file: str, kept: int = 0) -> None:
        """`file` of `run` holds the weights after `kept` images."""
        self.kept = kept
        """Images that the last checkpoint has seen."""
        self._run, self._file = run, file
        self._returns = returns.read(run).get(file, [])
        self._coming: deque[tuple[Tensor, Any, int, float]] = deque()

    def slowed(self, lr: float, images: int) -> float:
        """The rate after `images`: half of `lr` for each time that the run has returned to there, or to before."""
        return lr * 0.5 ** sum(images >= each for each in self._returns)

    def step(self, loss: Tensor | float, images: int, lr: float) -> None:
        """Take the loss of the step that ends at `images`, taken at the rate `lr`, and look at all that are known.

        Raises:
            Diverged: one is NaN or infinite; names the step, the rate and the last checkpoint.
        """
        value, event = torch.as_tensor(loss).detach(), None
        if value.device.type == "cuda":
            there = value
            value = torch.empty(there.shape, dtype=there.dtype, pin_memory=True)
            value.copy_(there, non_blocking=True)
            event = torch.cuda.Event()
            event.record()
        self._coming.append((value, event, images, lr))
        while self._coming and (self._coming[0][1] is None or self._coming[0][1].query()):
            self._look()

    def settle(self) -> None:
        """Look at all that were taken, and wait for them; before anything is written.

        Raises:
            Diverged: as `step`.
        """
        while self._coming:
            if self._coming[0][1] is not None:
                self._coming[0][1].synchronize()
            self._look()

    def _look(self) -> None:
        value, _, images, lr = self._coming.popleft()
        if not isfinite(found := value.item()):
            kept = f"{self._file} is of {self.kept} images" if self.kept else "nothing was kept before"
            raise Diverged(
                f"{self._run}: the loss is {found} at {images} images, with lr={lr:.3g}, the training has diverged ({kept}); "
                "train anew with a lower lr, or go on with --set on_nan=return",
                self._file,
                self.kept,
            )
