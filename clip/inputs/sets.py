"""What a user gives as `--data`: one set, or several with weights; by which columns a list is read, and what is skipped."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import NamedTuple

from synth.base.disk_errors import check_file
from synth.base.errors import UserError


class Columns(NamedTuple):
    """The columns of a list of pictures, where they are not called as ours or open_clip's."""

    image: str | None = None
    caption: str | None = None


USUAL = Columns()
"""Those that `clip.inputs.tables` knows."""


@dataclass(frozen=True)
class Sets:
    """Several sets, taken as one."""

    paths: tuple[Path, ...]
    weights: tuple[Fraction, ...]
    """How often a pair of each is seen in training, relative to the others."""
    columns: Columns = USUAL
    skip_damaged: float = 0.0
    """At most this share of the pictures of each may be damaged, and is left out; 0 refuses the first."""

    def __str__(self) -> str:
        return ", ".join(map(str, self.paths))

    def exists(self) -> bool:
        return all(path.exists() for path in self.paths)

    def times(self) -> tuple[int, ...]:
        """How often an epoch holds each pair of each set: the smallest whole numbers in the ratio of the weights."""
        whole = lcm(*(each.denominator for each in self.weights))
        counts = [int(each * whole) for each in self.weights]
        return tuple(counts) if len(counts) > 1 else (1,)


Data = Path | Sets
"""What `inputs.opened` takes."""

_LARGEST = 1000
"""Of a weight, and of its denominator."""


def given(texts: Sequence[str], columns: Columns = USUAL, skip_damaged: float = 0.0) -> Data:
    """What the words of a command mean: `PATH`, or `PATH=WEIGHT`, once or more.

    Raises:
        UserError: a weight that is none, or one set given twice.
    """
    named = [_weighted(text) for text in texts]
    paths = [path for path, _ in named]
    for k, path in enumerate(paths):
        check_file(path)
        if path.resolve() in [other.resolve() for other in paths[:k]]:
            raise UserError(
                f"--data {path} is given twice; give it once, and {path}=2 to see its pairs twice"
            )
    if len(paths) == 1 and columns == USUAL and not skip_damaged:
        return paths[0]
    if not 0 <= skip_damaged < 1:
        raise UserError(f"--skip-damaged {skip_damaged:g}: a share from 0 to below 1, for example 0.01")
    return Sets(tuple(paths), tuple(weight for _, weight in named), columns, skip_damaged)


def unweighted(texts: Sequence[str], columns: Columns = USUAL) -> list[Data]:
    """The same for sets that are judged one by one.

    Raises:
        UserError: a weight, which nothing would be done with, or one set given twice.
    """
    joined(texts, columns)
    return [given([str(path)], columns) for path in _plain(texts)]


def joined(texts: Sequence[str], columns: Columns = USUAL) -> Data:
    """The same for sets that are taken as one without weights.

    Raises:
        UserError: a weight, or one set given twice.
    """
    return given([str(each) for each in _plain(texts)], columns)


def _plain(texts: Sequence[str]) -> list[Path]:
    found = [_weighted(text)[0] for text in texts]
    for text, path in zip(texts, found, strict=True):
        if path != Path(text):
            raise UserError(f"--data {text}: weights are for training; give --data {path}")
    return found


def _weighted(text: str) -> tuple[Path, Fraction]:
    path, equals, weight = text.rpartition("=")
    if not equals or Path(text).exists():
        return Path(text), Fraction(1)
    try:
        found = Fraction(weight)
    except (ValueError, ZeroDivisionError):
        raise UserError(
            f"--data {text}: no such file or folder; a weight is a number, as in {path}=2"
        ) from None
    if not 0 < found <= _LARGEST or found.denominator > _LARGEST:
        raise UserError(
            f"--data {text}: a weight is above 0 and at most {_LARGEST}, as in {path}=2 or {path}=0.5"
        )
    return Path(path), found
