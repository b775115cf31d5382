"""Many phantoms: who they are, what they have, and how often each picture turns out unreadable."""

from typing import Any, Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, field_validator

from synth.base.config import Config
from synth.data.vocabulary import FINDING_KEYS, FLAGS, RACES, READABILITY_KEYS
from synth.phantom.anatomy import Attributes, Strengths
from synth.phantom.chance import chance

_COMMON: dict[str, float] = {
    "normal": 25, "dr_grade": 20, "is_amd": 6, "is_aon": 5, "is_crp": 5, "is_dm": 6, "is_dme": 6, "is_em": 5,
    "is_gc": 7, "is_htr": 5, "is_pm": 6, "is_rvo": 6,
}  # fmt: skip
_GRADES = (0.22, 0.28, 0.25, 0.25)
_PLACES = (
    ("is_gc", "is_aon"),
    ("is_dm", "is_pm"),
    ("is_amd", "is_dme", "is_em"),
    ("dr_grade", "is_htr", "is_rvo"),
    ("is_crp",),
)
"""Diseases that would paint over each other; a person with two has them in two places."""
_HIDDEN = {"optic_disc": (0, 1), "macular": (1, 2), "retinal_region": (3, 4)}
"""What an unreadable part would hide: no picture is labelled with a disease that nobody could see in it."""
_PER_BLOCK = (2, 1, 4, 2, 3, 2)
"""Pictures of six subjects in a row, in an order of their own per block."""


class PhantomConfig(Config):
    """A population of digital phantoms.  The picture shows an attribute only as far as its strength says."""

    size: int = Field(default=256, ge=32, le=1024)
    """Pixels a side."""
    seed: NonNegativeInt = 0
    """Another seed is another population."""
    age_strength: float = Field(default=0.0, ge=0, le=1)
    """How far age decides the yellow of the lens, the reflexes and the winding of vessels; 0: not at all."""
    sex_strength: float = Field(default=0.0, ge=0, le=1)
    """How far sex decides the size of the disc, the calibre of vessels and the depth of the macula."""
    race_strength: float = Field(default=0.0, ge=0, le=1)
    """How far race decides pigmentation."""
    prevalence: dict[str, NonNegativeFloat] = _COMMON
    """Weight of `normal` and of each disease among people, in any unit; what is left out does not occur."""
    second: float = Field(default=0.12, ge=0, le=1)
    """Share of the diseased who have a second disease."""
    fellow_healthy: float = Field(default=0.15, ge=0, le=1)
    """Chance that a disease of a person spares an eye."""
    cataract: float = Field(default=0.10, ge=0, le=1)
    """Share of eyes with a cataract."""
    finding: float = Field(default=0.06, ge=0, le=1)
    """Share of eyes with another finding beyond the eleven diseases."""
    unreadable: float = Field(default=0.15, ge=0, le=1)
    """Share of pictures with a readability label of 0."""
    quality: PositiveInt = Field(default=95, le=100)
    """Of the JPEG."""

    @field_validator("prevalence")
    @classmethod
    def prevalence_is_of_labels(cls, value: dict[str, float]) -> dict[str, float]:
        """Weights belong to terms of the vocabulary, and some weight is positive."""
        unknown = set(value) - set(_COMMON)
        if unknown:
            raise ValueError(f"unknown disease '{min(unknown)}'; known: {', '.join(_COMMON)}")
        if not sum(value.values()):
            raise ValueError("every weight is 0; raise one")
        return value

    @property
    def strengths(self) -> Strengths:
        """The three strengths."""
        return Strengths(self.age_strength, self.sex_strength, self.race_strength)


def place(config: PhantomConfig, index: int) -> tuple[int, int, int]:
    """Subject of picture `index`, the picture's number among the subject's, and how many the subject has."""
    block, within = divmod(index, sum(_PER_BLOCK))
    counts = chance(config.seed, "block", block).permutation(_PER_BLOCK)
    ends = np.cumsum(counts)
    member = int(np.searchsorted(ends, within, side="right"))
    nth = within - int(ends[member] - counts[member])
    return block * len(_PER_BLOCK) + member, nth, int(counts[member])


def sitting(config: PhantomConfig, subject: int, nth: int) -> tuple[Literal["left", "right"], int]:
    """Side and visit of a subject's picture: one eye, its fellow, then both again at a second visit."""
    first = int(chance(config.seed, subject, "side").integers(2))
    return ("left" if (first + nth) % 2 else "right"), nth // 2


def attributes(config: PhantomConfig, subject: int) -> Attributes:
    """Age, sex and race of a subject, independent of each other and of every disease."""
    rng = chance(config.seed, subject, "attributes")
    race = RACES[int(rng.integers(len(RACES)))].key
    return Attributes(float(rng.integers(20, 86)), ("F", "M")[int(rng.integers(2))], race)


def labels(config: PhantomConfig, subject: int, nth: int) -> dict[str, Any]:
    """All of `records.LABELS` for one picture."""
    side, visit = sitting(config, subject, nth)
    found: dict[str, Any] = {"dr_grade": 0, **dict.fromkeys(FLAGS, 0), **dict.fromkeys(READABILITY_KEYS, 1)}
    found |= {"eye_side": side, "modality": "cfp", "findings": _findings(config, subject, side)}
    found |= _diseases(config, subject, side)
    rng = chance(config.seed, subject, side, visit, "readable")
    if rng.uniform() < config.unreadable:
        _spoil(found, rng)
    return found


def _diseases(config: PhantomConfig, subject: int, side: str) -> dict[str, int]:
    """What one eye of a subject has; eyes of a person mostly share it."""
    rng, own = chance(config.seed, subject, "diseases"), chance(config.seed, subject, side, "diseases")
    first = _pick(rng, config.prevalence)
    if first == "normal":
        return {}
    here = [first]
    rest = {
        key: w for key, w in config.prevalence.items() if key != "normal" and _where(key) != _where(first)
    }
    if rng.uniform() < config.second and sum(rest.values()):
        here.append(_pick(rng, rest))
    grade = 1 + int(rng.choice(4, p=_GRADES))
    found = {}
    for key in here:
        if own.uniform() < config.fellow_healthy:
            continue
        if key == "dr_grade":
            found[key] = int(np.clip(grade + own.choice([-1, 0, 1], p=[0.1, 0.8, 0.1]), 1, 4))
        else:
            found[key] = 1
    if "is_dme" in found and "dr_grade" not in found and own.uniform() < 0.5:
        found["dr_grade"] = int(own.integers(1, 4))
    return found


def _pick(rng: np.random.Generator, weights: dict[str, float]) -> str:
    total = sum(weights.values())
    return list(weights)[int(rng.choice(len(weights), p=[w / total for w in weights.values()]))]


def _where(key: str) -> int:
    return next(number for number, keys in enumerate(_PLACES) if key in keys)


def _findings(config: PhantomConfig, subject: int, side: str) -> list[str]:
    """Findings of one eye beyond the eleven diseases."""
    rng = chance(config.seed, subject, side, "findings")
    found = ["cataract"] if rng.uniform() < config.cataract else []
    others = [key for key in FINDING_KEYS if key != "cataract"]
    if not found and rng.uniform() < config.finding:
        found.append(others[int(rng.integers(len(others)))])
    return found


def _spoil(found: dict[str, Any], rng: np.random.Generator) -> None:
    """Make a picture unreadable in part or whole; what nobody can see in it becomes unknown."""
    ill = {_where(key) for key in ("dr_grade", *FLAGS) if found[key]}
    ill |= {2, 3} if found["findings"] not in ([], ["cataract"]) else set()
    fine = [part for part, hides in _HIDDEN.items() if not ill & set(hides)]
    kind = rng.uniform()
    if kind < 0.7 and fine:
        found[f"is_{fine[int(rng.integers(len(fine)))]}_readable"] = 0
        return
    parts = READABILITY_KEYS[1:] if kind < 0.85 else READABILITY_KEYS
    found |= dict.fromkeys(parts, 0) | dict.fromkeys(("dr_grade", *FLAGS, "findings"))
    if not found["is_fundus"]:
        found |= {"eye_side": None, "modality": None}
