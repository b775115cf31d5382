"""Which values of an audit are drawn on one scale."""

from collections.abc import Callable, Sequence

from privacy.report.schema import Bounds, CurvePoint, ProbeRow, ResultEntry
from synth.base.forest import Forest, Row
from synth.base.forest import forest as draw

Say = Callable[[str], str]
"""A text in the language of the page."""

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


def chart(rows: Sequence[ProbeRow], metric: str, say: Say) -> Forest:
    """One metric of an attribute by what the attacker sees, the audited encoder first; other rows are quiet."""
    shown = [(say(row.name), row.person[metric]) for row in rows if metric in row.person]
    return _chart(shown, metric)


def curve(points: Sequence[CurvePoint], patients: str) -> Forest:
    """The learning curve as a chart whose rows are numbers of training patients."""
    return _chart([(f"{p.training_patients:,} {patients}", p.person) for p in points], "curve")


def forest(
    results: Sequence[ResultEntry], scale: str, name: Callable[[ResultEntry], str], say: Say
) -> Forest:
    """All results on one scale, each in the colour of its verdict, with chance and margin."""
    shown = [each for each in results if each.estimate and each.statistic.name == scale]
    statistic = shown[0].statistic
    marks = {say("chance"): statistic.chance}
    if statistic.margin is not None:
        marks[say("margin")] = statistic.margin
    rows = [_row(name(each), each.estimate, each.verdict.word.split()[0]) for each in shown if each.estimate]
    return draw(rows, marks)


def _chart(shown: Sequence[tuple[str, Bounds]], metric: str) -> Forest:
    rows = [_row(name, each, "quiet" if place else "") for place, (name, each) in enumerate(shown)]
    return draw(rows, low=0.45, high=1.0) if metric == "auc" else draw(rows)


def _row(name: str, bounds: Bounds, kind: str) -> Row:
    assert bounds.value is not None  # what has no value is no row
    return Row(name, bounds.value, bounds.low, bounds.high, kind)
