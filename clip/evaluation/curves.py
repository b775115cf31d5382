"""Pictures of a report as SVG: metrics against the number of shots, calls against their confidence, who is taken for whom."""

import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from clip.evaluation.results import ClassificationResult

METRICS = ("balanced_accuracy", "macro_auc")
"""What is drawn."""
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
"""Of Okabe and Ito, which colour-blind people tell apart."""


def svg(result: ClassificationResult, headings: dict[str, str], say: Callable[[str], str] = str) -> Any:
    """The curves of a result, with intervals, as markup; `say` translates.

    A line with the only point 0 is drawn across, dashed, as are the baselines that see no picture.
    """
    from matplotlib.figure import Figure

    assert result.curve is not None
    lines = result.curve.lines
    places = sorted({x for points in lines.values() for x in points if x})
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    for axis, key in zip(figure.subplots(1, len(METRICS)), METRICS, strict=True):
        colours = iter(_COLOURS)
        for name, points in lines.items():
            values = [result.metrics[row][key] for row in points.values()]
            if set(points) == {0}:
                axis.axhline(values[0].value, color="#444", linestyle="--", linewidth=1, label=say(name))
                axis.axhspan(values[0].low, values[0].high, color="#444", alpha=0.07, linewidth=0)
                continue
            colour, xs = next(colours), [places.index(x) for x in points]
            axis.plot(
                xs, [value.value for value in values], "o-", color=colour, markersize=4, label=say(name)
            )
            low, high = [value.low for value in values], [value.high for value in values]
            axis.fill_between(xs, low, high, color=colour, alpha=0.12, linewidth=0)
        axis.axhline(result.baselines["chance"][key], color="#999", linestyle=":", label=say("chance"))
        axis.set_xticks(range(len(places)), [str(x) for x in places])
        axis.set(xlabel=say(result.curve.x), ylabel=say(headings[key]))
        axis.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(frameon=False, fontsize="small")
    return _markup(figure, f"{result.task} {result.name}")


def reliability(result: ClassificationResult, say: Callable[[str], str] = str) -> Any:
    """The reliability diagrams of a result, as markup: the share called correctly against mean confidence, a dot for each bin.

    A dot's area tells its photographs.
    """
    from matplotlib.figure import Figure

    rows = result.reliability or {}
    figure = Figure(figsize=(10, 3), layout="constrained")
    axes = figure.subplots(1, max(4, len(rows)), sharey=True)
    for axis, (name, bins) in zip(axes, rows.items(), strict=False):
        largest = max(each.n for each in bins)
        axis.plot([0, 1], [0, 1], color="#999", linestyle=":", linewidth=1)
        axis.plot(
            [each.confidence for each in bins],
            [each.accuracy for each in bins],
            color=_COLOURS[0],
            linewidth=1,
        )
        axis.scatter(
            [each.confidence for each in bins],
            [each.accuracy for each in bins],
            [40 * each.n / largest for each in bins],
            color=_COLOURS[0],
        )
        axis.set(title=say(name), xlabel=say("confidence"), xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel(say("share called correctly"))
    for axis in axes[len(rows) :]:
        axis.set_visible(False)
    return _markup(figure, f"reliability {result.task} {result.name}")


def confusions(result: ClassificationResult, say: Callable[[str], str] = str) -> Any:
    """The confusion matrix of each row, as markup; colours are shares of the true class, numbers photographs."""
    from matplotlib.figure import Figure

    assert result.confusion is not None
    rows, classes = result.confusion, [say(name) for name in result.classes]
    count = len(classes)
    side = max(3.2, 0.55 * count + 1.6)
    figure = Figure(figsize=(side * len(rows), side), layout="constrained")
    for axis, (row, counts) in zip(np.atleast_1d(figure.subplots(1, len(rows))), rows.items(), strict=True):
        found = np.array(counts)
        share = found / np.maximum(found.sum(axis=1, keepdims=True), 1)
        axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for (true, called), photographs in np.ndenumerate(found):
            colour = "white" if share[true, called] > 0.5 else "black"
            axis.text(called, true, str(photographs), ha="center", va="center", color=colour)
        axis.set_xticks(range(count), classes, rotation=90)
        axis.set_yticks(range(count), classes)
        axis.set(title=say(row), xlabel=say("called class"), ylabel=say("true class"))
    return _markup(figure, f"confusion {result.task} {result.name}")


def _markup(figure: Any, salt: str) -> Any:
    """A figure as markup; the salt keeps the ids of two pictures in one page apart, and the same from run to run."""
    import matplotlib
    from markupsafe import Markup

    page = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}), warnings.catch_warnings():
        # Text stays text, and whoever shows it has Chinese characters, which matplotlib's own font has not.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(page, format="svg", metadata={"Date": None})
    return Markup(page.getvalue()[page.getvalue().index("<svg") :])
