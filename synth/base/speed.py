"""What work will take on this machine: operations that were counted, over the speed that a short probe finds.

One multiplication with its addition counts as two operations.  Every estimate in this project is made here, so that a
dry run, a training and an audit are told in the same words and are wrong by the same factor.
"""

import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

PASS, STEP = 0.72, 0.55
"""Share of the speed of matrix products that a forward pass and a training step reach on a CPU; measured on one core: a
generator of 64 pixels in batches of 16; CLIPs of 64 and 224 pixels in batches of 64, 32 and 4 (.5 to .65)."""
BACKWARD = 3
"""Operations of a training step, over those of its forward pass."""
_GPU_SHARE = 0.25  # of a GPU's matrix products in bf16 that networks of this size are assumed to reach
_PROBE, _PRODUCTS = (
    64,
    100,
)  # rows of the matrices, so few that no library shares a product between cores; products
_GPU_ROWS = 4096
_SPANS = (
    ("minute", 1 / 60, 100),
    ("hour", 1, 48),
    ("day", 24, 60),
    ("month", 730, 24),
    ("year", 8760, math.inf),
)
"""Units of time, their hours, and how many of them are told in the unit."""


class Cost(NamedTuple):
    """What some work will take."""

    hours: float
    bytes: int
    """On the disk."""
    basis: str
    """What the hours were estimated from, and what they leave out."""

    def words(self) -> str:
        """As in "about 3 hours and 0.2 GB of disk"."""
        return f"{span(self.hours)} and {size(self.bytes)} of disk"


class Speed(NamedTuple):
    """How fast this machine multiplies matrices."""

    rate: float
    """Operations per second, of all that works at once."""
    gpu: bool
    basis: str

    def hours(self, operations: float, share: float = PASS) -> float:
        """Of so many operations at a share (`PASS`, `STEP`) of a CPU's speed."""
        return operations / (self.rate * (_GPU_SHARE if self.gpu else share)) / 3600


def measured(workers: int | None = None) -> Speed:
    """The speed of all that works on one task: a GPU a process where there are any, else cores.

    Takes a fifth of a second, and touches no generator of random numbers.

    Args:
        workers: cores that a process computes with, under `torchrun` each of them, and one GPU where there are any; None
            is all that there are.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if Path("/dev/nvidiactl").exists():
        import torch

        if gpus := torch.cuda.device_count():
            many, rate = (gpus if workers is None else 1) * processes, _gpu()
            found = f"{rate / 1e12:.0f} TFLOP/s a GPU by a probe just now, at {_GPU_SHARE:.0%}, {_many(many, 'GPU')}"
            return Speed(many * rate, True, found)
    many, rate = (workers or len(os.sched_getaffinity(0))) * processes, _core()
    found = (
        f"{rate / 1e9:.0f} GFLOP/s a core by a probe just now, {_many(many, 'core')} with nothing else to do"
    )
    return Speed(many * rate, False, found)


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def operations(call: Callable[..., object], *arguments: Any) -> int:
    """Of one call, by torch's FlopCounterMode: convolutions, matrix products, attention; on the meta device it costs nothing."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    # Attention as its two matrix products: torch 2.6 counts nothing of the CPU's own kernel.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        call(*arguments)
    return counter.get_total_flops()


def span(hours: float) -> str:
    """A time for people, as in "about 3 hours"."""
    unit, length, _ = next(each for each in _SPANS if hours / each[1] < each[2])
    value = float(f"{hours / length:.2g}")
    if value < 1:
        return f"less than a {unit}"
    return f"about {value:g} {unit}{'' if value == 1 else 's'}"


def size(bytes: float) -> str:
    """A number of bytes for people."""
    unit, name = (1e9, "GB") if bytes >= 1e8 else (1e6, "MB")
    return f"about {float(f'{bytes / unit:.2g}'):g} {name}"


def _core() -> float:
    """Of one core with numpy's matrix products: the best of a fifth of a second, in time of this thread."""
    import numpy as np

    matrix, product = (np.ones((_PROBE, _PROBE), np.float32) for _ in range(2))
    best, end = math.inf, time.perf_counter() + 0.2
    while time.perf_counter() < end or best == math.inf:
        start = time.thread_time()
        for _ in range(_PRODUCTS):
            np.matmul(matrix, matrix, out=product)
        best = min(best, (time.thread_time() - start) / _PRODUCTS)
    return 2 * _PROBE**3 / best


def _gpu() -> float:
    """Of the first GPU with matrix products in bf16: the best of five, by the clock."""
    import torch

    matrix = torch.ones(_GPU_ROWS, _GPU_ROWS, dtype=torch.bfloat16, device="cuda")
    best = math.inf
    for _ in range(6):  # the first loads what it takes
        torch.cuda.synchronize()
        start = time.perf_counter()
        torch.mm(matrix, matrix)
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * _GPU_ROWS**3 / best
