"""The real photographs that samples lie nearest to, beside those that held-out photographs lie nearest to."""

from typing import Any, NamedTuple

import numpy as np

from synth.base.stats import wilson

_ROWS = 500  # of the distance matrix at a time


class Nearest(NamedTuple):
    """For each of N photographs, its nearest training photograph."""

    distance: np.ndarray
    """(N,) Euclidean, between features."""
    index: np.ndarray
    """(N,) int."""


class Pair(NamedTuple):
    """A photograph, (S, S, 3) uint8, its nearest training photograph, and how far apart they are."""

    picture: np.ndarray
    neighbour: np.ndarray
    distance: float


def nearest(found: np.ndarray, among: np.ndarray) -> Nearest:
    """The nearest of (R, D) features to each of (N, D)."""
    from scipy.spatial.distance import cdist

    parts = [cdist(found[i : i + _ROWS], among) for i in range(0, len(found), _ROWS)]
    index = np.concatenate([part.argmin(axis=1) for part in parts])
    return Nearest(np.concatenate([part.min(axis=1) for part in parts]), index)


def judge(synthetic: Nearest, held_out: Nearest, searched: int, tail: float = 0.01) -> dict[str, Any]:
    """How near samples come to training photographs, beside how near photographs of other people do.

    `closer` is the share of samples nearer than the nearest `tail` of the held-out: `tail` if the generator
    copies no more than a stranger resembles.
    """
    cut = float(np.quantile(held_out.distance, tail))
    hits = int((synthetic.distance < cut).sum())
    low, high = wilson(hits, len(synthetic.distance))
    points = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75)
    return {
        "searched": searched,
        "quantiles": [
            {
                "share": share,
                "synthetic": float(np.quantile(synthetic.distance, share)),
                "held_out": float(np.quantile(held_out.distance, share)),
            }
            for share in points
        ],
        "tail": tail,
        "cut": cut,
        "n": len(synthetic.distance),
        "held_out_n": len(held_out.distance),
        "closer": {"value": hits / len(synthetic.distance), "low": low, "high": high},
    }


def closest(found: Nearest, pictures: np.ndarray, among: np.ndarray, count: int) -> list[Pair]:
    """The `count` photographs that lie nearest to a training photograph, nearest first."""
    chosen = np.argsort(found.distance, kind="stable")[:count].tolist()
    return [
        Pair(np.array(pictures[i]), np.array(among[found.index[i]]), float(found.distance[i])) for i in chosen
    ]
