"""Fit and calibrate the score of readability, on phantoms and drawn pictures alone; `tools/readability.py` wrote the rule that ships."""

import numpy as np
from pydantic import Field, NonNegativeInt, PositiveInt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict

from synth.anatomy import other_pictures
from synth.anatomy.network import SIDE
from synth.anatomy.readability import ReadabilityRule, Weight, features
from synth.base.config import Config
from synth.base.runs import progress
from synth.data.images import crop, resize
from synth.phantom import PhantomConfig, record

LIMITS: dict[str, tuple[float, float]] = {
    "disc": (0, 1),
    "disc_area": (0, 5),
    "macula": (0, 1),
    "vessels": (-4, -2.3),
    "connected": (0, 0.6),
    "red_over_green": (-0.5, 0.4),
    "green_over_blue": (-0.5, 0.3),
    "brightness": (2, 4),
    "field": (0.7, 1),
}
"""Feature -> the range within which it counts; cameras differ beyond."""


class ReadabilityFit(Config):
    """How the score of readability is fitted."""

    phantoms: PositiveInt = 600
    """Drawn to be readable, but for what `PhantomConfig.unreadable` spoils."""
    others: PositiveInt = 40
    """Pictures of each kind of `synth.anatomy.other_pictures`."""
    false_alarms: float = Field(default=0.02, gt=0, lt=1)
    """The share of readable phantoms that may be called unreadable."""
    seed: NonNegativeInt = 4711
    """Of phantoms and drawn pictures: not that of phantoms which others learn from."""


def shown(picture: np.ndarray) -> np.ndarray:
    """(128, 128, 3) uint8: what the check looks at of a whole picture."""
    return resize(crop(picture), SIDE)


def others(count: int, seed: int, side: int = 160) -> tuple[np.ndarray, list[str]]:
    """(N, 128, 128, 3) pictures of other things, `count` of each kind, and their kinds."""
    rng = np.random.default_rng(seed)
    drawn = [(name, draw(rng, side)) for name, draw in other_pictures.KINDS.items() for _ in range(count)]
    return np.stack([shown(picture) for _, picture in drawn]), [name for name, _ in drawn]


def phantoms(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, 128, 128, 3) phantoms, and (N,) bool whether their retina can be seen."""
    config = PhantomConfig(size=SIDE, seed=seed)
    pictures, seen = np.empty((count, SIDE, SIDE, 3), np.uint8), np.empty(count, bool)
    with progress("phantoms", count) as bar:
        for index in range(count):
            labels, phantom = record(config, index)
            pictures[index] = shown(phantom.image)
            seen[index] = labels["is_fundus"] != 0 and labels["is_retinal_region_readable"] != 0
            bar.update()
    return pictures, seen


def fit(config: ReadabilityFit) -> ReadabilityRule:
    """The rule; its threshold comes from scores of phantoms that were not fitted on, in five folds."""
    pictures, seen = phantoms(config.phantoms, config.seed)
    foreign, _ = others(config.others, config.seed)
    columns = features(np.concatenate([pictures, foreign]))
    values = np.stack([np.clip(columns[name], *limits) for name, limits in LIMITS.items()], axis=1)
    unreadable = np.concatenate([~seen, np.ones(len(foreign), bool)])
    mean, scale = values.mean(axis=0), values.std(axis=0)
    model = LogisticRegression(max_iter=2000, class_weight="balanced")
    scaled = (values - mean) / scale
    scores: np.ndarray = np.asarray(
        cross_val_predict(model, scaled, unreadable, cv=5, method="decision_function")
    )
    model.fit(scaled, unreadable)
    weights = {
        name: Weight(mean=m, scale=s, weight=w, low=low, high=high)
        for (name, (low, high)), m, s, w in zip(
            LIMITS.items(), _rounded(mean), _rounded(scale), _rounded(model.coef_[0]), strict=True
        )
    }
    return ReadabilityRule(
        weights=weights,
        intercept=round(float(np.ravel(model.intercept_)[0]), 4),
        threshold=round(float(np.quantile(scores[: len(seen)][seen], 1 - config.false_alarms)), 4),
        false_alarms=config.false_alarms,
        phantoms=int(seen.sum()),
    )


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in values]
