"""What there is to choose when a CLIP is trained."""

from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from clip.encoders import ClipConfig
from clip.training import batches
from clip.training.augment import Augment
from synth.base.config import Config


class Weights(Config):
    """What each loss counts in the sum that is made small; 0 leaves it out."""

    image_text: NonNegativeFloat = 1.0
    """Pictures and their texts find one another; `loss` says how."""

    @model_validator(mode="after")
    def something_counts(self) -> Self:
        if not any(self.model_dump().values()):
            raise ValueError(f"all of {', '.join(self.model_dump())} are 0; let one count")
        return self


class TrainConfig(Config):
    """How one CLIP is trained; durations count images.  The defaults are those of Chinese-CLIP for RN50."""

    model: ClipConfig = ClipConfig()
    """Architecture and input."""
    caption: batches.Language = "zh"
    """Language of the captions; `both` draws one per image and epoch."""
    loss: Literal["infonce", "multi-positive"] = "infonce"
    """`multi-positive` takes captions that say the same for equally right."""
    weights: Weights = Weights()
    """Which losses are trained on, and how much each counts."""
    augment: Augment = Augment()
    """Changes to the photographs in training."""
    images: PositiveInt = 1_000_000
    """Stop after this many."""
    batch: PositiveInt = 64
    """Images per step, over all GPUs; also the number of captions that a picture is compared with."""
    micro_batch: PositiveInt | None = None
    """Images per forward pass of one process; give it when `batch` does not fit into memory.  The gradient stays that of
    the whole batch, at the price of a second forward pass; batch norms see the part.  null is all at once."""
    lr: PositiveFloat = 5e-4
    """AdamW's, after warm-up; falls to 0 by a cosine."""
    warmup: NonNegativeInt = 32_000
    """Images over which lr rises from 0."""
    weight_decay: NonNegativeFloat = 0.2
    """Of matrices and filters; none of norms, biases and the scale."""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's memories of gradient and of its square."""
    eps: PositiveFloat = 1e-8
    """AdamW's guard against division by 0."""
    save_every: PositiveInt = 64_000
    """Images between checkpoints; each validates too."""
    validation: NonNegativeInt = 2_000
    """At most this many pictures of the validation split are judged."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto` is bf16 on a GPU that has it, fp32 elsewhere."""
    seed: int = Field(default=0, ge=0)
    """Of the first weights, the order and everything drawn."""
