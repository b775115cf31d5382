"""What a training does whose loss is no number: it stops, or goes back to its last checkpoint and on with half the rate."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

from synth.base.errors import UserError
from synth.base.runs import Tell, read_json, write_json

OnNan = Literal["stop", "return"]
RETURNS = "returns.json"
"""In the folder of a run: by the file that was returned to, the images that it had seen, of each return."""
_MOST = 5
"""Returns of one run; its rate is a thirtieth then."""
T = TypeVar("T")


class Diverged(UserError):
    """A loss is no number."""

    def __init__(self, line: str, file: str, kept: int) -> None:
        super().__init__(line)
        self.file, self.kept = file, kept


def returning(run: Path, on_nan: OnNan, train: Callable[[], T], tell: Tell) -> T:
    """Do what `train` does, which goes on from the last checkpoint whenever it is called.

    Where it diverges, and `on_nan` is "return", it is called again and takes half the rate from that checkpoint on; that is
    kept in `run`, so that a run that is killed goes on as one that is not.

    Raises:
        UserError: it diverged and is to stop, has kept nothing yet, or has returned five times; of several processes too,
            which each see a loss of their own.
    """
    while True:
        try:
            return train()
        except Diverged as stop:
            before = read(run)
            if on_nan == "stop" or not stop.kept or os.environ.get("WORLD_SIZE", "1") != "1":
                raise
            if sum(map(len, before.values())) >= _MOST:
                raise UserError(f"{stop}; it has returned {_MOST} times") from None
            write_json(run / RETURNS, before | {stop.file: [*before.get(stop.file, []), stop.kept]})
            tell([f"{stop}", f"{run}: back to {stop.kept:,} images, with half the rate from there"])


def read(run: Path) -> dict[str, list[int]]:
    """The returns that a run has taken, as `RETURNS` holds them.

    Raises:
        UserError: the file is damaged.
    """
    path = run / RETURNS
    found = read_json(path) if path.exists() else {}
    kinds = isinstance(found, dict) and all(isinstance(each, list) for each in found.values())
    if not kinds or not all(isinstance(images, int) for each in found.values() for images in each):
        raise UserError(f"{path}: no numbers of images; copy it again, or delete it and the run")
    return found
