"""Whether a picture is a readable colour photograph of a fundus at all: asked before anything is said about its diseases.

The score is a logistic regression on what the network of `synth.anatomy.network` marks, on colour, brightness and field of view.  It was fitted on
phantoms, and on phantoms whose retina nobody can see and drawn pictures of other things (`synth.anatomy.readability_fit`); no photograph was
needed.  Its threshold is the one that `false_alarms` of readable phantoms exceed.
"""

from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field
from scipy import ndimage

from synth.anatomy.measures import of_network
from synth.anatomy.network import DARK, mark, resized
from synth.base.config import Config, check, read_yaml

RULE = Path(__file__).parent / "readability.yaml"
_BLACK = 30  # of 255: a picture of which no hundredth is brighter shows nothing
_GREY = 4.0  # of 255: colours that lie no further apart are one
_RIM = 4  # pixels of 128 at the edge of the field, whose colours are not the retina's

Reason = Literal["", "black", "grey", "other"]
"""Why not: nothing is lit; it has no colour, as OCT, angiographies and raw frames have; it is no retina, or none that can be seen."""


class Weight(Config):
    """One feature of the score."""

    mean: float
    scale: float
    """Its standard deviation among the pictures of the fit."""
    weight: float
    """Log odds for each `scale` above `mean`."""
    low: float
    """What lies below counts as this: photographs differ there without being unreadable."""
    high: float
    """The same above."""


class ReadabilityRule(Config):
    """How a score is made of features, and above which a picture is unreadable; `tools/readability.py` writes it."""

    weights: dict[str, Weight]
    intercept: float
    threshold: float
    """Log odds."""
    false_alarms: float = Field(gt=0, lt=1)
    """The share of readable phantoms, of folds that were not fitted on, that lie above."""
    phantoms: int
    """Readable phantoms that it was calibrated on."""


class Readability(NamedTuple):
    """Of one picture."""

    readable: bool
    score: float
    """Log odds that it is no readable fundus photograph."""
    reason: Reason


@cache
def shipped() -> ReadabilityRule:
    """The rule that comes with the package."""
    return check(ReadabilityRule, read_yaml(RULE), str(RULE))


def assess(pictures: np.ndarray) -> list[Readability]:
    """Of each of (N, S, S, 3) uint8 pictures, cropped to their field of view as `Preprocessing` does it."""
    small = np.clip((resized(pictures).permute(0, 2, 3, 1).numpy() + 1) * 127.5, 0, 255)
    rule, columns = shipped(), features(pictures)
    scores = scored(rule, columns)
    reasons: list[Reason] = [
        _reason(picture, score > rule.threshold) for picture, score in zip(small, scores, strict=True)
    ]
    return [Readability(not why, float(score), why) for why, score in zip(reasons, scores, strict=True)]


def _reason(small: np.ndarray, unlike: bool) -> Reason:
    if np.quantile(small.max(axis=2), 0.99) < _BLACK:
        return "black"
    lit = small.max(axis=2) > DARK
    if np.ptp(small[lit], axis=1).mean() < _GREY:
        return "grey"
    return "other" if unlike else ""


def scored(rule: ReadabilityRule, columns: dict[str, np.ndarray]) -> np.ndarray:
    """(N,) log odds that pictures are no readable fundus photographs."""
    parts = [
        each.weight * (np.clip(columns[name], each.low, each.high) - each.mean) / each.scale
        for name, each in rule.weights.items()
    ]
    return np.sum(parts, axis=0) + rule.intercept


def features(pictures: np.ndarray) -> dict[str, np.ndarray]:
    """By name (N,) features of (N, S, S, 3) uint8 pictures, cropped to their field of view."""
    marks = mark(pictures)
    small = np.clip((resized(pictures).permute(0, 2, 3, 1).numpy() + 1) * 127.5, 0, 255).astype(np.uint8)
    found = of_network(small, marks)
    colours = np.array([_colour(each) for each in small]).reshape(-1, 3)
    red, green, blue = (colours + 8).T
    return {
        "disc": marks[:, 0].max(axis=(1, 2)).astype(float),
        "disc_area": np.log1p((marks[:, 0] > 0.5).sum(axis=(1, 2))),
        "macula": marks[:, 1].max(axis=(1, 2)).astype(float),
        "vessels": np.log(found.vessel_share + 0.003),
        "connected": np.nan_to_num(found.connected),
        "red_over_green": np.log(red / green),
        "green_over_blue": np.log(green / blue),
        "brightness": np.log(colours.mean(axis=1) + 8),
        "field": found.field_share,
    }


def _colour(picture: np.ndarray) -> np.ndarray:
    """(3,) the median colour within the field of view, away from its rim."""
    lit = picture.max(axis=2) > DARK
    inside = np.asarray(ndimage.binary_erosion(lit, iterations=_RIM), bool)
    chosen = inside if inside.sum() > 100 else lit if lit.sum() > 20 else np.ones_like(lit)
    return np.median(picture[chosen], axis=0)
