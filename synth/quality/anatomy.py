"""Rates of anatomy: how many photographs show one disc, on the right side, a macula where one lies, vessels that hang together.

The measures are `synth.anatomy`'s, at 128 pixels.  Only photographs that are said to be readable count.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from synth.anatomy.measures import Anatomy, measure
from synth.anatomy.plausibility import CONNECTED, DISTANCE, within
from synth.base import stats
from synth.base.runs import progress
from synth.data.vocabulary import READABILITY_KEYS
from synth.quality.samples import Sample


class Rate(NamedTuple):
    """A mean over photographs."""

    name: str
    """What the report calls it."""
    of: Callable[[Anatomy, np.ndarray], np.ndarray]
    """(N,) values of measures and told sides (1 right, -1 left, 0 unknown); NaN where a photograph does not count."""


def _only(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    return np.where(counted, values, np.nan)


RATES: dict[str, Rate] = {
    "one_disc": Rate("exactly one optic disc", lambda a, _: (a.discs == 1).astype(float)),
    "no_disc": Rate("no optic disc", lambda a, _: (a.discs == 0).astype(float)),
    "more_discs": Rate("two optic discs or more", lambda a, _: (a.discs > 1).astype(float)),
    "side": Rate(
        "the disc on the side that the label tells, where one disc is found",
        lambda a, told: _only(a.side == told, (told != 0) & (a.discs == 1)),
    ),
    "macula": Rate(
        f"a macula {DISTANCE[0]:g} to {DISTANCE[1]:g} of the width from the disc, where one disc is found",
        lambda a, _: _only(within(a.distance, DISTANCE), a.discs == 1),
    ),
    "connected": Rate(
        f"at least {CONNECTED:.0%} of the vessels hang together", lambda a, _: (a.connected >= CONNECTED).astype(float)
    ),
    "vessel_share": Rate("mean share of the field of view that vessels cover", lambda a, _: a.vessel_share),
    "field_share": Rate("mean share of the picture that the camera saw", lambda a, _: a.field_share),
}  # fmt: skip


def readable(sample: Sample) -> np.ndarray:
    """(N,) bool: colour photographs of a fundus of which no part is said to be unreadable."""
    table = sample.table
    no = [np.array([value == 0 for value in table[key].to_pylist()]) for key in READABILITY_KEYS]
    colour = np.array([kind in ("cfp", None) for kind in table["modality"].to_pylist()])
    return colour & ~np.any(no, axis=0)


def rates(sample: Sample, max_count: int, n_bootstrap: int, seed: int) -> dict[str, Any]:
    """Every rate of the first `max_count` readable photographs, with its interval over patients.

    Returns:
        `n`, the photographs measured; `patients`; and for each of `RATES` value, low, high and the `n` that it is of.
    """
    rows = np.flatnonzero(readable(sample))[:max_count]
    if not len(rows):
        return {"n": 0, "patients": 0, "rates": {}}
    with progress("measuring anatomy", len(rows)) as bar:
        found, told = measure(sample.pictures, rows, bar.update), _told(sample)[rows]
    patients = np.unique(sample.patients[rows], return_inverse=True)[1]
    drawn = stats.draws(int(patients.max()) + 1, n_bootstrap, seed)
    return {
        "n": len(rows),
        "patients": drawn.shape[1],
        "rates": {key: _mean(rate.of(found, told), drawn, patients) for key, rate in RATES.items()},
    }


def _told(sample: Sample) -> np.ndarray:
    sides = {"right": 1, "left": -1}
    return np.array([sides.get(side, 0) for side in sample.table["eye_side"].to_pylist()])


def _mean(values: np.ndarray, drawn: np.ndarray, patients: np.ndarray) -> dict[str, float | int | None]:
    """The mean of what is no NaN; of a share of 0 or 1 Wilson's interval over patients, for no resampling moves it."""
    counted = np.isfinite(values)
    n, total = int(counted.sum()), float(values[counted].sum())
    if not n:
        return {"value": None, "low": None, "high": None, "n": 0}
    if total in (0, n):
        people = len(np.unique(patients[counted]))
        low, high = stats.wilson(people if total else 0, people)
        return {"value": total / n, "low": low, "high": high, "n": n}

    def mean(weights: np.ndarray) -> np.ndarray:
        number = weights @ counted
        return np.divide(
            weights @ np.nan_to_num(values), number, out=np.full(len(number), np.nan), where=number > 0
        )

    estimate = stats.estimate(stats.over(drawn, patients, mean), drawn.shape[1])
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": n}
