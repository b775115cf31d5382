"""What there is to choose when a CLIP is trained."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from clip.augmentation.augment import Augment
from clip.model.encoders import ClipConfig
from clip.training import batches
from clip.training.decoding import Decode
from clip.training.initial import Initial
from clip.training.masking import Masking
from clip.training.views import Relation
from synth.base.config import Config
from synth.base.returns import OnNan

_Decay = Annotated[float, Field(ge=0, lt=1)]


class Weights(Config):
    """What each loss counts in the sum that is made small; 0 leaves it out."""

    image_text: NonNegativeFloat = 1.0
    """Pictures and their texts find one another; `loss` says how."""
    image_image: NonNegativeFloat = 0.0
    """Two pictures of one person find one another; `relations` says which two.  Pictures need no captions."""
    reconstruction: NonNegativeFloat = 0.0
    """Removed patches are painted from those that are left; `masking` says how.  Pictures need no captions."""
    distillation: NonNegativeFloat = 0.0
    """Pictures and texts are as near one another as `teacher` holds them."""

    @model_validator(mode="after")
    def something_counts(self) -> Self:
        if not any(self.model_dump().values()):
            raise ValueError(f"all of {', '.join(self.model_dump())} are 0; let one count")
        return self


class Watch(Config):
    """A labelled set that a training is judged on at each checkpoint: real photographs, while synthetic pairs are learnt."""

    data: str
    """Records, or any other form that `--data` takes; captions are not needed."""
    split: str = "validation"
    """Which of its photographs: train, validation, test, several with commas, or all."""
    tasks: tuple[str, ...] = ()
    """Tasks of `clip/prompts/`, or FILE.yaml with yours; one that cannot be judged is refused.  Empty is all that can."""


class TrainConfig(Config):
    """How one CLIP is trained; durations count images.  The defaults are those of Chinese-CLIP for RN50."""

    RECIPES: ClassVar = "clip"

    model: ClipConfig = ClipConfig()
    """Architecture and input."""
    initial: Initial = Initial()
    """What the towers start from, and which of them stay as they are."""
    caption: batches.Language = "zh"
    """Language of the captions; `both` draws one per image and epoch."""
    loss: Literal["infonce", "siglip", "multi-positive", "multi-positive-siglip"] = "infonce"
    """`infonce`: softmax over the batch; `siglip`: each pair for itself; `multi-positive*`: several texts may be right."""
    positives: Literal["captions", "labels"] = "captions"
    """Which texts are right for a picture, for `multi-positive*`: those whose caption says the same, or those of records
    with the same diseases and findings, to the degree to which they overlap.  Captions may tell less than labels."""
    ordinal: NonNegativeFloat = 0.0
    """For `multi-positive*`: records that differ in nothing but the grade of retinopathy are right for one another to
    exp(-distance / ordinal), in grades; 0 is not at all."""
    weights: Weights = Weights()
    """Which losses are trained on, and how much each counts."""
    relations: tuple[Relation, ...] = Field(
        default=("augmented", "visits", "eyes", "modalities"), min_length=1
    )
    """Which pictures attract each other under `weights.image_image`: a picture and itself changed in another way, one eye
    photographed twice, the two eyes of a person, one eye in two modalities."""
    masking: Masking = Masking()
    """What is removed under `weights.reconstruction`, and what paints it."""
    teacher: str | None = None
    """Whose similarities count under `weights.distillation`: a ckpt.pt of ours, or what else `clip eval --model` takes
    and reads texts, by `KIND:FILE`.  It is frozen, and sees the student's pictures at its own size."""
    augment: Augment = Augment()
    """Changes to the photographs in training."""
    decode: Decode = "auto"
    """`once` keeps every photograph decoded under the run while it is trained, 150 GB for a million of 224 px; `always`
    decodes each time a photograph's turn comes; `auto` is `once` where that fills at most half of the free disk.  The weights
    are the same."""
    workers: NonNegativeInt = 0
    """Processes that decode, for each GPU; 0 is the training process itself, and for `auto` that does not keep photographs one
    for each core but one.  `always` needs some."""
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
    betas: tuple[_Decay, _Decay] = (0.9, 0.999)
    """AdamW's memories of gradient and of its square."""
    eps: PositiveFloat = 1e-8
    """AdamW's guard against division by 0."""
    on_nan: OnNan = "stop"
    """What a loss that is no number does: `stop` ends the training; `return` goes back to the last checkpoint and on from there
    with half the rate, five times at most."""
    save_every: PositiveInt = 64_000
    """Images between checkpoints; each validates too."""
    validation: NonNegativeInt = 2_000
    """At most this many pictures of the validation split are judged."""
    zero_shot: tuple[str, ...] = ()
    """Tasks of `clip/prompts/` that each validation judges too, with intervals: for example dr5, or diseases for all."""
    watch: Watch | None = None
    """Another set that each validation judges, by its labels.  The checkpoint with the best mean macro AUC of its tasks, or
    else of `zero_shot`, is kept as ckpt-best.pt beside the last."""
    patience: PositiveInt | None = None
    """Stop after this many checkpoints that are no better than the best, as `watch` says; null never."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto` is bf16 on a GPU that has it, fp32 elsewhere."""
    gradient_checkpointing: bool = False
    """Compute activations again for the gradients instead of keeping them: less memory, a slower step."""
    compile: bool = False
    """torch.compile what is trained: a GPU is faster after some minutes; refused on the CPU, which gains nothing."""
    deterministic: bool = Field(default=False, exclude_if=lambda on: not on)
    """Take on a GPU the kernels that give the same bits each time, so that a resumed run equals an uninterrupted one there
    too; slower, and what has no such kernel is refused.  A CPU is so anyway."""
    trackers: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Where else the metrics go; `pip install 'visionclip[track]'`."""
    seed: int = Field(default=0, ge=0)
    """Of the first weights, the order and everything drawn."""

    @field_validator("watch", mode="before")
    @classmethod
    def a_folder_is_watched_as_it_is(cls, watch: Any) -> Any:
        return {"data": watch} if isinstance(watch, str) else watch

    @model_validator(mode="after")
    def patience_needs_a_metric(self) -> Self:
        if self.patience and not (self.watch or self.zero_shot):
            raise ValueError(
                f"patience={self.patience} needs what tells better from worse; set watch=RECORDS or zero_shot"
            )
        if self.watch and not self.validation:
            raise ValueError("watch needs photographs to judge; set validation to how many at most")
        return self

    @field_validator("teacher")
    @classmethod
    def a_teacher_is_a_file(cls, teacher: str | None) -> str | None:
        if teacher and teacher.startswith(("hub:", "hf-hub:")):
            raise ValueError(f"'{teacher}' would be fetched; fetch it with 'hf download' and name its file")
        return teacher

    @model_validator(mode="after")
    def one_right_text_has_no_degrees(self) -> Self:
        if not self.loss.startswith("multi-positive"):
            for name, off in (("positives", "captions"), ("ordinal", 0.0)):
                if getattr(self, name) != off:
                    raise ValueError(
                        f"{name}={getattr(self, name)} needs a loss with several right texts; "
                        f"set loss=multi-positive, not {self.loss}"
                    )
        return self

    @model_validator(mode="after")
    def a_teacher_is_listened_to(self) -> Self:
        if self.weights.distillation and self.teacher is None:
            raise ValueError(
                f"weights.distillation={self.weights.distillation:g} needs a teacher; set teacher=FILE"
            )
        if self.teacher is not None and not self.weights.distillation:
            raise ValueError(
                f"teacher={self.teacher} would teach nothing; set weights.distillation=1, or teacher=null"
            )
        return self
