"""The real photographs that samples lie nearest to, beside those that held-out photographs lie nearest to."""

from typing import Any, NamedTuple

import numpy as np

from synth.base import ties
from synth.base.stats import wilson
from synth.sampling.filters import copies


class Nearest(NamedTuple):
    """For each of N photographs, its nearest training photograph."""

    closeness: np.ndarray
    """(N,) in [0, 1]: 0 is the photograph itself; see `copies.Search`."""
    row: np.ndarray
    """(N,) int."""


class Pair(NamedTuple):
    """A photograph, (S, S, 3) uint8, its nearest training photograph, and how close they are."""

    picture: np.ndarray
    neighbour: np.ndarray
    closeness: float


def nearest(pictures: list[np.ndarray], training: np.ndarray, patients: np.ndarray) -> list[Nearest]:
    """The nearest training photograph to each photograph of several (N, S, S, 3) uint8 sets.

    Compared is what a copy keeps, vessels and lesions, whatever its colours, and mirrored too (`synth.sampling.filters.copies`).

    Args:
        training: (R, S, S, 3) uint8.
        patients: (R,) int: whose they are.
    """
    search = copies.Search(copies.descriptor(training), patients)
    return [Nearest(*search.closeness(copies.descriptor(each))) for each in pictures]


def compare(synthetic: Nearest, held_out: Nearest, searched: int, tail: float = 0.01) -> dict[str, Any]:
    """How near samples come to training photographs, beside how near photographs of other people do.

    `closer` is the share of samples nearer than the nearest `tail` of the held-out: `tail` if the generator
    copies no more than another patient resembles.
    """
    cut = float(np.quantile(held_out.closeness, tail))
    hits = int(ties.above(cut, synthetic.closeness, 1.0).sum())
    low, high = wilson(hits, len(synthetic.closeness))
    points = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75)
    return {
        "searched": searched,
        "quantiles": [
            {
                "share": share,
                "synthetic": float(np.quantile(synthetic.closeness, share)),
                "held_out": float(np.quantile(held_out.closeness, share)),
            }
            for share in points
        ],
        "tail": tail,
        "cut": cut,
        "n": len(synthetic.closeness),
        "held_out_n": len(held_out.closeness),
        "closer": {"value": hits / len(synthetic.closeness), "low": low, "high": high},
    }


def closest(nearest_of: Nearest, pictures: np.ndarray, among: np.ndarray, count: int) -> list[Pair]:
    """The `count` photographs that lie nearest to a training photograph, nearest first."""
    chosen = np.argsort(ties.levelled(nearest_of.closeness), kind="stable")[:count].tolist()
    return [
        Pair(np.array(pictures[i]), np.array(among[nearest_of.row[i]]), float(nearest_of.closeness[i]))
        for i in chosen
    ]
