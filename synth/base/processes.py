"""Processes beside this one that make things ahead of time, in their order, and do not outlive it."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from synth.base.errors import UserError

T = TypeVar("T")

_REPAYS = 4  # spans of work that repay the start of one process more


def spare() -> int:
    """Processes that a machine has cores for beside this one; at least one."""
    return max(1, len(os.sched_getaffinity(0)) - 1)


def worth(spans: int) -> int:
    """Processes for so many spans of work: none where there are few, at most `spare()`."""
    return min(spare(), spans // _REPAYS)


def end_with_parent() -> None:
    """Have this process end when the one that started it has ended, in whatever way: killed, it cannot tell."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def end_children() -> None:
    """Stop the processes that this one started by `multiprocessing`, without waiting for what they are at."""
    for child in multiprocessing.active_children():
        child.terminate()


def in_turn(make: Callable[[range], T], spans: Iterable[range], workers: int) -> Iterator[T]:
    """What `make` makes of each span of positions, in their order, by `workers` processes ahead of time; 0 is this one.

    Raises:
        UserError: as `make` does, in whichever process; or one of them was killed.
    """
    if not workers:
        yield from map(make, spans)
        return
    import torch
    from torch.utils.data import DataLoader

    # With a generator of its own, the loader draws nothing from the one that training draws from.
    loader: Any = DataLoader(
        _Made(make),  # pyright: ignore[reportArgumentType]
        batch_size=None,
        sampler=spans,
        num_workers=workers,
        collate_fn=_unchanged,  # arrays go through a pipe: the shared memory of a container may hold 64 MB
        generator=torch.Generator(),
    )
    try:
        for made in loader:
            if isinstance(made, UserError):
                raise made
            yield made
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise UserError(
            "a process that works ahead was killed (out of memory?); repeat the command, with fewer workers where it has the setting"
        ) from None


class _Made:
    """What torch takes for a data set: a span of positions -> what is made of it."""

    def __init__(self, make: Callable[[range], Any]) -> None:
        self._make = make

    def __getitem__(self, span: range) -> Any:
        try:
            return self._make(span)
        except UserError as error:  # raised there, it would come with the traceback of the process
            return error


def _unchanged(made: Any) -> Any:
    return made
