"""What there is to choose when a generator is distilled."""

from typing import Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from synth.base.config import Config
from synth.base.returns import OnNan
from synth.diffusion.schedulers import STEPS
from synth.training.averages import LONGEST


class DistillConfig(Config):
    """How one student is tuned.  Durations count images, as in training."""

    steps: PositiveInt = 4
    """Of the student."""
    images: PositiveInt = 48_000
    """Stop after this many; raise it and repeat the command to go on, at a rate that rises again."""
    batch: PositiveInt = 32
    """Images per optimiser step, over all processes."""
    micro_batch: PositiveInt = 16
    """Images per forward pass of one process; lower it when memory runs out."""
    lr: PositiveFloat = 1e-4
    """AdamW's, after warm-up; a fraction of the teacher's, since the student is nearly there."""
    warmup: NonNegativeInt = 640
    """Images over which the rate rises from 0."""
    cooldown: float = Field(default=0.275, ge=0, le=1)
    """Share of `images`, at the end, over which the rate falls to 0."""
    average: float = Field(default=0.15, gt=0, le=LONGEST)
    """Length of the weight average that is sampled from, as a share of tuning so far."""
    teacher_steps: PositiveInt | None = None
    """Steps of the teacher from noise to picture; null is 40, or the steps of a teacher that is a student itself."""
    target_steps: PositiveInt | None = Field(
        default=None, validation_alias="hops", serialization_alias="hops"
    )
    """Steps of the teacher before the student itself finishes its step; null is half of them, or all if they
    are odd.  More cost time and are exacter, which pays (docs/log.md)."""
    split: tuple[PositiveInt, ...] | None = None
    """Steps of the teacher in each step of the student, first to last; null is as many in each.  A short first step
    keeps what is lost when a picture's outline is guessed from noise in one go."""
    guidance: float | None = Field(default=None, ge=1)
    """The teacher's guidance, which the student then holds; null is 2, or 1 of a teacher that is a student itself."""
    label_dropout: float = Field(default=0.1, ge=0, le=1)
    """Share of pictures shown with every label unknown."""
    flip: bool = True
    """Mirror half of the pictures, and swap their eye side."""
    precision: Literal["auto", "no", "bf16"] = "auto"
    """`auto` is bf16 on a GPU and fp32 on the CPU."""
    on_nan: OnNan = "stop"
    """What a loss that is no number does: `stop` ends the training; `return` goes back to the last checkpoint and on from there
    with half the rate, five times at most."""
    save_every: PositiveInt = 3_200
    """Images between checkpoints; a killed run loses at most this many."""
    seed: NonNegativeInt = 0
    """Seeds the order and the noise."""

    @model_validator(mode="after")
    def durations_divide(self) -> Self:
        if self.batch % self.micro_batch:
            raise ValueError(f"batch={self.batch} must be a multiple of micro_batch={self.micro_batch}")
        for name in ("images", "save_every"):
            if getattr(self, name) % self.batch:
                raise ValueError(f"{name}={getattr(self, name)} must be a multiple of batch={self.batch}")
        if STEPS % self.steps:
            raise ValueError(f"steps={self.steps} must divide {STEPS}")
        return self

    def share(self, n_images: int, chunk: int) -> float:
        """Of the rate, for the next `chunk` images after `n_images`."""
        rising = (n_images + chunk) / max(self.warmup, 1)
        falling = (self.images - n_images) / max(self.cooldown * self.images, 1)
        return min(1.0, rising, falling)
