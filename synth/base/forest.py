"""Values with their intervals on one scale, as the percents of a width that a page draws them at."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from synth.base.words import with_minus


class Row(NamedTuple):
    """One value to draw; without ends it is a dot."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    kind: str = ""
    """A class of the stylesheet: the first word of a verdict, or `quiet`."""


class Bar(NamedTuple):
    """One row as it is drawn: percents of the width from the left, and what is written beside it."""

    name: str
    kind: str
    value: float
    low: float
    high: float
    text: str
    interval: str


class Forest(NamedTuple):
    """A picture of rows on one scale from `left` to `right`."""

    left: str
    right: str
    bars: list[Bar]
    marks: list[tuple[str, float]]
    """Name and place of the dashed lines, such as chance."""


def forest(
    rows: Sequence[Row],
    marks: Mapping[str, float] = {},
    low: float | None = None,
    high: float | None = None,
    digits: int = 3,
) -> Forest:
    """Place rows and marks between the least and the largest of them; `low` and `high` widen that."""
    ends = [each for row in rows for each in (row.value, row.low, row.high) if each is not None]
    ends += [*marks.values(), *(each for each in (low, high) if each is not None)]
    left, right = min(ends), max(ends)

    def place(value: float) -> float:
        return round(100 * (value - left) / (right - left), 1) if right > left else 50.0

    def bar(row: Row) -> Bar:
        at = [row.value if end is None else end for end in (row.low, row.high)]
        shown = "" if at[0] == at[1] else f"{written(at[0])} – {written(at[1])}"
        return Bar(
            row.name, row.kind, place(row.value), place(at[0]), place(at[1]), written(row.value), shown
        )

    def written(value: float) -> str:
        return with_minus(f"{value:z.{digits}f}")

    found = [(name, place(value)) for name, value in marks.items()]
    return Forest(written(left), written(right), [bar(row) for row in rows], found)
