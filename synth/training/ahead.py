"""What the next step is shown, made ready on the host while a GPU computes this one."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from synth.training.examples import Step


class Ahead:
    """The input of each forward pass on the device; on a GPU the next one is made in a thread meanwhile.

    What is shown is a function of positions, so that making it earlier changes nothing.

    Args:
        make:   positions of a run -> what is shown there.
        stride: by which positions rise from one forward pass to the next.
    """

    def __init__(self, make: Callable[[np.ndarray], Step], stride: int, device: torch.device) -> None:
        self._make, self._stride, self._device = make, stride, device
        self._thread = ThreadPoolExecutor(1, "ahead") if device.type == "cuda" else None
        self._next: tuple[list[int], Future[Step]] | None = None

    def __call__(self, positions: np.ndarray) -> Step:
        """What is shown at some positions, on the device."""
        if self._thread is None:
            return self._make(positions).on(self._device)
        waiting = self._next
        ready = waiting[1] if waiting and waiting[0] == positions.tolist() else self._begin(positions)
        following = positions + self._stride
        self._next = following.tolist(), self._begin(following)
        return ready.result().on(self._device)

    def _begin(self, positions: np.ndarray) -> Future[Step]:
        assert self._thread
        return self._thread.submit(lambda: self._make(positions).pinned())
