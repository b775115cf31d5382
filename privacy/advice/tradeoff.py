"""Leak against usefulness along the training of a generator: where to stop so that nothing is told of patients yet.

At every snapshot members are attacked as an audit would: by membership (T3), or, for whoever holds the key, by the
canary bits that were planted (T2c), which need no non-members.  What the pictures of a snapshot are worth is read from reports
of `synth evaluate`.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from privacy.attacks import membership
from privacy.canaries import release_stages
from privacy.canaries.planting import Key
from privacy.config import AuditConfig
from privacy.data.inputs import Inputs
from privacy.decisions.results import AUC, Scale
from privacy.statistics.inference import Tested
from privacy.targets import snapshots
from synth.base import checksums, runs
from synth.base.errors import UserError
from synth.base.stats import Estimate

SCHEMA, VERSION = "visionclip-privacy-tradeoff", 1
NAME, PICTURE = "tradeoff.json", "tradeoff.svg"
_EVALUATION = "visionclip-evaluation"


class Point(NamedTuple):
    """One snapshot."""

    images: int
    """Seen in training."""
    leak: Tested
    utility: Estimate | None
    """Mean AUC of a classifier that its pictures taught, on real photographs; None where nobody evaluated it."""


def trace(
    run: Path,
    out: Path,
    inputs: Inputs,
    key: Key | None,
    evaluated: Mapping[int, Path],
    config: AuditConfig,
) -> dict[str, Any]:
    """Attack every snapshot and write `out/tradeoff.json` and `out/tradeoff.svg`; the same call again continues.

    Args:
        run:       of `synth train`.
        inputs:    members, and non-members unless there is a `key`; no model.
        evaluated: images seen -> report.json of `synth evaluate` on pictures of that snapshot, or its folder.

    Raises:
        UserError: no snapshots, groups are missing or not comparable, or a report is foreign or of no snapshot.
    """
    places = snapshots.places(run)
    if odd := sorted(evaluated.keys() - set(places)):
        raise UserError(f"--evaluated {odd[0]}: no snapshot there; there are {', '.join(map(str, places))}")
    if missing := inputs.missing(["members"] if key else ["members", "nonmembers"]):
        raise UserError(
            f"--run needs {missing}" + ("" if key else ", or --key and the records of its canary bits")
        )
    utility = {images: utility_of(path) for images, path in evaluated.items()}
    points = [Point(images, leak(run, images, inputs, key, config), utility.get(images)) for images in places]
    made = as_dict(points, release_stages.GUESSED if key else AUC, str(run))
    runs.write_json(out / NAME, made)
    runs.write_text(out / PICTURE, picture(points, release_stages.GUESSED if key else AUC))
    shutil.rmtree(inputs.kept, ignore_errors=True)
    return made


def leak(run: Path, images: int, inputs: Inputs, key: Key | None, config: AuditConfig) -> Tested:
    """What a snapshot tells of members."""
    generator = snapshots.at(run, images, inputs.kept)
    if key is None:
        return membership.by_generator(inputs, generator, config)
    assert inputs.members
    asked = Inputs(inputs.kept, generator=generator, members=inputs.members)
    margin = release_stages.margins(asked, config)["generator"]
    tested = release_stages.evaluate(
        "generator", margin, release_stages.canary_bits(key, inputs.members)
    ).tested
    assert tested
    return tested


def _schema(report: dict[str, Any]) -> object:
    found = report.get("schema")
    return found.get("name") if isinstance(found, dict) else None


def utility_of(path: Path) -> Estimate:
    """The mean AUC that synthetic pictures taught, from a report of `synth evaluate`.

    Raises:
        UserError: another kind of file, or one in which no disease had patients enough for a mean.
    """
    file = path / "report.json" if path.is_dir() else path
    report = checksums.read_json(file)
    if not isinstance(report, dict) or _schema(report) != _EVALUATION:
        raise UserError(f"{file}: no report of 'synth evaluate'")
    try:
        utility = report["utility"]
        if utility["headline"] is None:
            raise UserError(f"{file}: no disease has held-out patients enough for a mean AUC; test on more")
        mean = utility["headline"]["mean_auc"]["synthetic"]
        return Estimate(mean["value"], mean["low"], mean["high"], utility["patients"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{file}: damaged report ({error} is missing); evaluate again") from None


def proposed(points: Sequence[Point], scale: Scale) -> Point | None:
    """The latest snapshot up to which every leak's lower bound is still at chance; None where the first is above."""
    latest = None
    for point in points:
        if point.leak.estimate.low > scale.chance:
            break
        latest = point
    return latest


def as_dict(points: Sequence[Point], scale: Scale, run: str) -> dict[str, Any]:
    """Everything as plain values; nothing in it is of a single patient."""
    best = proposed(points, scale)
    return {
        "schema": {"name": SCHEMA, "version": VERSION},
        "run": run,
        "leak": {"name": scale.name, "chance": scale.chance},
        "points": [
            {
                "images": point.images,
                "leak": point.leak.estimate._asdict(),
                "p": point.leak.p,
                "utility": point.utility._asdict() if point.utility else None,
            }
            for point in points
        ],
        "proposed": best.images if best else None,
        "why": _why(points, best, scale),
    }


def lines(made: Mapping[str, Any]) -> str:
    """The same in lines for a terminal."""
    lines = [f"{'images':>12}  {made['leak']['name']:<28}  train-on-synthetic AUC"]
    for point in made["points"]:
        mark = "*" if point["images"] == made["proposed"] else " "
        worth = _interval(point["utility"]) if point["utility"] else "not evaluated"
        lines.append(f"{point['images']:>12,}{mark} {_interval(point['leak']):<28}  {worth}")
    return "\n".join([*lines, made["why"]])


def picture(points: Sequence[Point], scale: Scale) -> str:
    """Leak along training, and train-on-synthetic AUC below it on the same axis, as SVG."""
    import io

    import matplotlib
    from matplotlib.figure import Figure

    best = proposed(points, scale)
    figure = Figure(figsize=(7, 5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    _line(above, [(point.images, point.leak.estimate) for point in points], "#d55e00")
    above.axhline(scale.chance, color="#999", linestyle=":", linewidth=1)
    above.set_ylabel(f"leak: {scale.name}")
    _line(below, [(point.images, point.utility) for point in points if point.utility], "#0072b2")
    below.set(xlabel="images seen in training", ylabel="train-on-synthetic AUC")
    for axis in (above, below):
        axis.spines[["top", "right"]].set_visible(False)
        if best:
            axis.axvline(best.images, color="#009e73", linestyle="--", linewidth=1)
    page = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": NAME}):
        figure.savefig(page, format="svg", metadata={"Date": None})
    return page.getvalue()


def _line(axis: Any, values: Sequence[tuple[int, Estimate]], colour: str) -> None:
    places = [images for images, _ in values]
    axis.plot(places, [each.value for _, each in values], "o-", color=colour, markersize=4)
    ends = [each.low for _, each in values], [each.high for _, each in values]
    axis.vlines(places, *ends, color=colour, linewidth=1)


def _why(points: Sequence[Point], best: Point | None, scale: Scale) -> str:
    if best is None:
        first = points[0]
        return (
            f"the first snapshot, at {first.images:,} images, tells of members already ({scale.name} "
            f"{_interval(first.leak.estimate._asdict())}); train with differential privacy, or keep earlier snapshots"
        )
    upper = f"a leak of {scale.name} {best.leak.estimate.high:.3f} would not have shown"
    if best is points[-1]:
        return f"no snapshot is above chance; {upper}"
    return f"{best.images:,} images is the latest snapshot before one is above chance; {upper}"


def _interval(estimate: Mapping[str, float]) -> str:
    return f"{estimate['value']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"
