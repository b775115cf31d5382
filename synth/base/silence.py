"""Whether people want to hear of progress: `--quiet` of every verb."""

from collections.abc import Iterator
from contextlib import contextmanager

_silent = False


@contextmanager
def silent(wanted: bool) -> Iterator[None]:
    """Tell people results and errors alone within, where that is wanted."""
    global _silent
    before, _silent = _silent, wanted or _silent
    try:
        yield
    finally:
        _silent = before


def is_silent() -> bool:
    """Whether people are to be told results and errors alone."""
    return _silent
