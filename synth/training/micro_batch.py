"""How many images one forward pass of a training sees."""

import torch

from synth.base.device import has_bf16
from synth.base.errors import UserError
from synth.training import cost
from synth.training.config import TrainConfig

ON_CPU = 32
"""At most, where nobody says it, as it was before there was a choice."""


def size(config: TrainConfig, processes: int, place: torch.device) -> int:
    """Images of a forward pass of one process: those of the config, or as many as suit the device.

    "auto" is on a GPU as much of a batch as half of its free memory is counted to hold, at best all of it in one pass.

    Raises:
        UserError: the processes cannot share the batch.
    """
    if config.micro_batch != "auto":
        return config.micro_batch
    if config.batch % processes:
        raise UserError(f"batch={config.batch} must be a multiple of the {processes} processes")
    share = config.batch // processes
    if place.type != "cuda":
        return _divisor(share, ON_CPU)
    counted = cost.cost(config.network, config.preprocessing.size)
    half = config.precision == "bf16" or (config.precision == "auto" and has_bf16())
    each = counted.kept * 1e9 / (2 if half else 1)
    return fitting(torch.cuda.mem_get_info(place)[0], counted.parameters * cost.STATE, each, share)


def fitting(free: int, fixed: float, each: float, batch: int) -> int:
    """The largest divisor of `batch` images that take, with `each` bytes beside `fixed` ones, half of `free` bytes; at least one."""
    return _divisor(batch, max(1, int((free / 2 - fixed) // each)))


def _divisor(whole: int, max_count: int) -> int:
    return max(part for part in range(1, min(whole, max_count) + 1) if whole % part == 0)
