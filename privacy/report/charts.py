"""Where dots and whiskers go."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from privacy.report.schema import Bounds, CurvePoint, ProbeRow, ResultEntry

METRICS = {
    "auc": "AUC",
    "balanced_accuracy": "balanced accuracy",
    "mae": "MAE (years)",
    "r2": "R²",
    "bits": "codelength (bits per patient)",
}


def number(value: float | None) -> str:
    """Three decimals; a dash for what is not known."""
    return "–" if value is None else f"{value:.3f}"


class Place(NamedTuple):
    """Pixels from the left of a dot and of the ends of its whiskers."""

    value: float
    low: float
    high: float


class Chart(NamedTuple):
    """A picture of one metric; `low` and `high` are its ends."""

    low: float
    high: float
    rows: list[tuple[str, Place]]
    marks: tuple[float, ...] = ()
    """Pixels from the left of chance and margin."""


def chart(rows: Sequence[ProbeRow], metric: str, width: int = 330) -> Chart:
    """Where dots and whiskers of one metric go on a picture `width` pixels wide."""
    return _chart([(row.name, row.person[metric]) for row in rows if metric in row.person], metric, width)


def curve(points: Sequence[CurvePoint], width: int = 330) -> Chart:
    """The learning curve as a chart whose rows are numbers of training patients."""
    return _chart([(f"{p.training_patients:,} patients", p.person) for p in points], "curve", width)


def forest(results: Sequence[ResultEntry], scale: str, width: int = 330) -> Chart:
    """All results on one scale as a chart, with the places of chance and margin."""
    shown = [(each, each.estimate) for each in results if each.estimate and each.statistic.name == scale]
    statistic = shown[0][0].statistic
    fixed = {"chance": statistic.chance} | ({} if statistic.margin is None else {"margin": statistic.margin})
    ends = [end for _, each in shown for end in (each.low, each.high) if end is not None]
    low, high = min(*fixed.values(), *ends), max(*fixed.values(), *ends)
    room = (high - low) * width and width / (high - low)
    marks = tuple(round((value - low) * room, 1) for value in fixed.values())
    rows = [(f"{one.threat} {one.attack}", _place(each, low, high, width)) for one, each in shown]
    return Chart(low, high, rows, marks)


def _chart(shown: Sequence[tuple[str, Bounds]], metric: str, width: int) -> Chart:
    ends = list(_ends(each for _, each in shown))
    low, high = (min([0.45, *ends]), 1.0) if metric == "auc" else (min(ends), max(ends))
    return Chart(low, high, [(name, _place(each, low, high, width)) for name, each in shown])


def _ends(bounds: Iterable[Bounds]) -> Iterable[float]:
    return (end for each in bounds for end in (each.low, each.high, each.value) if end is not None)


def _place(bounds: Bounds, low: float, high: float, width: int) -> Place:
    scale, middle = width / (high - low) if high > low else 0.0, bounds.value
    assert middle is not None  # what has no value is no row
    ends = (middle if end is None else end for end in (middle, bounds.low, bounds.high))
    return Place(*(round((end - low) * scale, 1) for end in ends))
