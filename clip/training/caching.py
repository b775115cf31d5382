"""Gradients of losses that compare a whole batch: over several processes, and in parts that fit into memory."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

Features = dict[str, Tensor]
"""By name: (B, D) embeddings or (B,) losses of single pictures; without dimensions, what all pictures share."""


def backward(
    accelerator: Accelerator,
    wrapped: torch.nn.Module,
    forwards: Sequence[Callable[[], Features]],
    loss: Callable[[Features], tuple[Tensor, Any]],
) -> Any:
    """Add the gradients of one batch's loss to the parameters; returns what `loss` tells beside its value.

    With one part this is a forward and a backward pass.  With several, the features of all parts are computed first and
    nothing else is kept; the loss is differentiated down to them; then each part is computed again and the gradients
    of its features are sent on to the parameters (Gao et al. 2021, 2101.06983, sec. 3).  The result is what one
    backward pass through all parts at once would give.  A batch norm sees one part, never the batch.

    Args:
        wrapped: what `accelerator.prepare` made of the module that the forward passes run.
        forwards: one per part of this process; called twice, each must give the same twice.
        loss: of the features of the whole batch, of all processes: the value, and what is to be returned.
    """
    if len(forwards) == 1:
        value, told = loss(everyones(forwards[0]()))
        accelerator.backward(value)
        return told
    with torch.no_grad(), _statistics_kept(wrapped):
        parts = [forward() for forward in forwards]
    sizes = [next(len(value) for value in part.values() if value.ndim) for part in parts]
    leaves = {
        name: (torch.cat([part[name] for part in parts]) if parts[0][name].ndim else parts[0][name])
        .detach()
        .requires_grad_()
        for name in parts[0]
    }
    del parts
    value, told = loss(everyones(leaves))
    accelerator.backward(value)
    start = 0
    for number, (forward, size) in enumerate(zip(forwards, sizes, strict=True)):
        last = number == len(forwards) - 1
        with nullcontext() if last else accelerator.no_sync(wrapped):
            again = forward()
            accelerator.backward(_linear(again, leaves, slice(start, start + size), len(forwards)))
        start += size
    return told


def everyones(features: Features) -> Features:
    """The features of all processes' parts of a batch, with gradients to each."""
    if not _several():
        return features
    from torch.distributed.nn.functional import all_gather

    return {name: torch.cat(all_gather(value)) if value.ndim else value for name, value in features.items()}


def gathered(values: Tensor) -> Tensor:
    """(B, ...) of all processes from (B / processes, ...) of each; without gradients."""
    if not _several():
        return values
    from torch.distributed import all_gather, get_world_size

    found = [torch.empty_like(values) for _ in range(get_world_size())]
    all_gather(found, values.contiguous())
    return torch.cat(found)


def _several() -> bool:
    from torch import distributed

    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def _linear(features: Features, leaves: Features, part: slice, parts: int) -> Tensor:
    """What has the gradient that the leaves have; what all pictures share counts once over all parts."""
    sums = [
        (value * grad[part]).sum() if value.ndim else value * grad / parts
        for name, value in features.items()
        if (grad := leaves[name].grad) is not None
    ]
    return torch.stack(sums).sum()


@contextmanager
def _statistics_kept(module: torch.nn.Module) -> Iterator[None]:
    """While it lasts, batch norms do not move their running statistics: the second pass moves them, once."""
    kinds = torch.nn.modules.batchnorm._BatchNorm
    moving = [each for each in module.modules() if isinstance(each, kinds) and each.track_running_stats]
    for norm in moving:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in moving:
            norm.track_running_stats = True
