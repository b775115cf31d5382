"""How thoroughly any attack is done; what one attack alone is asked stands beside it, as a class of its own over this one."""

from typing import ClassVar

from pydantic import Field

from synth.base.config import Config


class AttackConfig(Config):
    """What all attacks have in common; `privacy.config.AuditConfig` is that of all attacks together."""

    RECIPES: ClassVar = "privacy"

    folds: int = Field(default=5, ge=2, le=20)
    """Groups of patients that take turns as the unseen ones."""
    permutations: int = Field(default=200, ge=60)
    """Of labels over patients; p cannot be below 1 / (1 + permutations), and three attributes are asked for."""
    bootstrap: int = Field(default=2000, ge=100)
    """Resamples of patients behind each interval."""
    untrained_seeds: int = Field(default=5, ge=1)
    """Untrained encoders; each costs one pass over the photographs."""
    seed: int = Field(default=0, ge=0)
    """Of folds, permutations, resamples and untrained weights."""
    detection_rounds: int = Field(default=200, ge=50)
    """Planted leaks of each size, behind what an audit says it could have found."""
