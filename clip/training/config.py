"""What there is to choose when a CLIP is trained."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from clip.encoders import ClipConfig
from clip.training import batches
from clip.training.augment import Augment
from synth.base.config import Config


class TrainConfig(Config):
    """How one CLIP is trained; durations count images.  The defaults are those of Chinese-CLIP for RN50."""

    model: ClipConfig = ClipConfig()
    """Architecture and input."""
    caption: batches.Language = "zh"
    """Language of the captions; `both` draws one per image and epoch."""
    loss: Literal["infonce", "multi-positive"] = "infonce"
    """`multi-positive` takes captions that say the same for equally right."""
    augment: Augment = Augment()
    """Changes to the photographs in training."""
    images: PositiveInt = 1_000_000
    """Stop after this many."""
    batch: PositiveInt = 64
    """Images per step, over all GPUs; also the number of captions that a picture is compared with."""
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
