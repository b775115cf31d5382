"""How thoroughly an audit is done."""

from typing import ClassVar

from pydantic import Field

from synth.base.config import Config


class AuditConfig(Config):
    """How thoroughly an audit is done; the thresholds of its verdicts are no options."""

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
    copies_patients: int = Field(default=1000, ge=20)
    """Of each group that are compared by how near released pictures come; copies are looked for among all patients."""
    copies_searched: int = Field(default=3000, ge=1)
    """Released pictures at most; with so many and no copy found, at most 0.12 % are copies that the search can tell."""
    copies_steps: int = Field(default=300, ge=1)
    """Of the embedding of identity, 64 photographs each."""
    copies_permutations: int = Field(default=9999, ge=999)
    """Of membership over patients; p cannot be below 1 / (1 + this)."""
    copies_shown: int = Field(default=0, ge=0)
    """Pairs in `private-nearest.png`, which shows patients and is readable by its owner alone; 0 writes none."""
    canary_steps: tuple[int, ...] = tuple(range(50, 1000, 100))
    """Diffusion steps at which a generator is asked for planted marks."""
    canary_draws: int = Field(default=4, ge=1)
    """Of noise at each of these steps."""
    membership_patients: int = Field(default=1000, ge=20)
    """Of each group, by whose photographs a generator is asked who was trained on."""
    membership_controls: int = Field(default=300, ge=20)
    """Of these, the patients by whom an untrained generator is asked too, and what stands beside the headline is."""
    membership_steps: tuple[int, ...] = (50, 100, 200, 300, 500)
    """Diffusion steps of the denoising error by which members are told, one pass over their photographs each."""
    membership_draws: int = Field(default=1, ge=1)
    """Of noise at each of these steps, the same for every photograph."""
    membership_queries: tuple[int, int, int] = (200, 400, 200)
    """Diffusion steps of SimA, PIA and SecMI; the last is a multiple of 4."""
    membership_released: int = Field(default=20_000, ge=1)
    """Released pictures, drawn at random, among which a photograph's nearest is sought."""
    linkage_patients: int = Field(default=1000, ge=20)
    """Of each group, with two photographs or more, whose photographs are to find each other."""
    likelihood_patients: int = Field(default=300, ge=20)
    """Of each group whose diagnoses are guessed; every candidate is a pass over their photographs at each step."""
    likelihood_labels: int = Field(default=3, ge=1)
    """Diseases at most whose label is guessed, those with the most patients in their second commonest class."""
    likelihood_steps: tuple[int, ...] = (100, 300, 500, 700)
    """Diffusion steps at which every candidate label is tried on every photograph."""
    likelihood_draws: int = Field(default=1, ge=1)
    """Of noise at each of these steps, the same for every candidate and photograph."""
    completion_patients: int = Field(default=100, ge=20)
    """Of each group, one photograph each, whose hidden half is completed; the slowest attack, its cost grows with this."""
    completion_draws: int = Field(default=2, ge=1)
    """Completions of each photograph."""
    completion_steps: int = Field(default=20, ge=2, le=500)
    """Noise levels of a completion."""
    completion_repeats: int = Field(default=2, ge=1)
    """Times that each noise level is walked through, so that both halves come to fit."""
    at_risk: bool = False
    """Also write `private-at-risk.csv`: the members whom attacks name.  Personal data, readable by its owner alone."""
