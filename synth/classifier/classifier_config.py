"""What there is to choose when a classifier is trained."""

import difflib
from pathlib import Path
from typing import Literal, Self

import timm
from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from synth.base import arguments
from synth.base.config import Config
from synth.classifier.augmentation import Augmentation
from synth.data.images import Preprocessing


class ClassifierConfig(Config):
    """How a classifier is trained.  Durations count images."""

    architecture: str = "resnet18"
    """A name that timm knows."""
    initial: Path | None = None
    """Weights of timm for that network, for example of ImageNet, to begin with, and its image statistics; null is random."""
    images: PositiveInt = 36_864
    """Stop after this many; at 64 px resnet18 sees about 70 a second on one core."""
    batch: PositiveInt = 64
    """Images per optimiser step."""
    lr: PositiveFloat = 1e-3
    """AdamW's, after warm-up; it falls to 0 along half a cosine."""
    weight_decay: NonNegativeFloat = 0.05
    """AdamW's."""
    warmup: NonNegativeInt = 1_920
    """Images over which the rate rises from 0."""
    heaviest: PositiveFloat = 10
    """A positive counts as many times as there are negatives to one, and at most this."""
    precision: Literal["bf16"] | None = None
    """Of the products of the training: bf16 where the processor has it (`lscpu`: avx512_bf16, amx_bf16), two to three times as
    fast; null is fp32."""
    min_count: PositiveInt = Field(default=20, validation_alias="least", serialization_alias="least")
    """Positives, and negatives, that a label needs among the training pictures to become a target."""
    save_every: PositiveInt = 12_800
    """Images between checkpoints; a killed run loses at most this many."""
    seed: NonNegativeInt = 0
    """Seeds the weights, the order and the changes to pictures."""
    augmentation: Augmentation = Augmentation()
    """How a picture is changed each time that it is shown."""
    preprocessing: Preprocessing = Preprocessing()
    """What is done to a photograph first."""

    @field_validator("architecture")
    @classmethod
    def architecture_exists(cls, name: str) -> str:
        arguments.check_network_name(name)
        if not timm.is_model(name):
            near = difflib.get_close_matches(name, timm.list_models(), 1)
            remedy = f"did you mean '{near[0]}'?" if near else "for example 'resnet18'"
            raise ValueError(f"'{name}' is unknown to timm; {remedy}")
        return name

    @model_validator(mode="after")
    def durations_divide(self) -> Self:
        for name in ("images", "save_every"):
            if getattr(self, name) % self.batch:
                raise ValueError(f"{name}={getattr(self, name)} must be a multiple of batch={self.batch}")
        return self
