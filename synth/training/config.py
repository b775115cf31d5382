"""What there is to choose when a generator is trained."""

from typing import ClassVar, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator, model_validator

from synth.base.config import Config
from synth.base.returns import OnNan
from synth.data.images import Preprocessing
from synth.diffusion.process import PROCESSES, VPrediction
from synth.model.denoiser import NetworkConfig
from synth.training.autoencoder import AutoencoderConfig
from synth.training.averages import LONGEST
from synth.training.dp_budget import DpConfig


class TrainConfig(Config):
    """How one DDPM is trained.  Durations count images, so a run means the same on 1 GPU and on 8."""

    RECIPES: ClassVar = "synth"

    images: PositiveInt = 20_000_000
    """Stop after this many; raise it and repeat the command to train longer."""
    batch: PositiveInt = 256
    """Images per optimiser step, over all processes."""
    micro_batch: PositiveInt | Literal["auto"] = "auto"
    """Images per forward pass of one process; lower it when memory runs out.  `auto` is 32 on the CPU, and on a GPU the whole
    batch if half of the free memory is counted to hold it."""
    lr: PositiveFloat = 8e-4
    """AdamW's, after warm-up."""
    warmup: NonNegativeInt = 3_200
    """Images over which the rate rises from 0."""
    averages: tuple[PositiveFloat, ...] = (0.05, 0.10)
    """Lengths of the weight averages, as a share of training so far; the last is sampled from, `synth average` makes
    any other."""
    balance: float = Field(default=0, ge=0, le=1)
    """Pictures with a label rarer than this share are seen more often, by sqrt(balance / share); 0 is as they come."""
    label_dropout: float = Field(default=0.15, ge=0, le=1)
    """Share of pictures shown with every label unknown: what classifier-free guidance needs."""
    flip: bool = True
    """Mirror half of the pictures, and swap their eye side."""
    precision: Literal["auto", "no", "bf16"] = "auto"
    """`auto` is bf16 on a GPU and fp32 on the CPU; bf16 is faster on CPUs that compute in it, and slower on others."""
    gradient_checkpointing: bool = False
    """Compute activations again for the gradients instead of keeping them: less memory, a slower step."""
    compile: bool = False
    """torch.compile what is trained: a GPU is faster after some minutes; refused on the CPU, which gains nothing."""
    deterministic: bool = Field(default=False, exclude_if=lambda on: not on)
    """Take on a GPU the kernels that give the same bits each time, so that a resumed run equals an uninterrupted one there
    too; slower, and what has no such kernel is refused.  A CPU is so anyway."""
    on_nan: OnNan = "stop"
    """What a loss that is no number does: `stop` ends the training; `return` goes back to the last checkpoint and on from there
    with half the rate, five times at most."""
    save_every: PositiveInt = 102_400
    """Images between checkpoints; a killed run loses at most this many."""
    snapshot_every: PositiveInt = 1_024_000
    """Images between snapshots of the averages and sheets of samples, taken at the checkpoint that follows."""
    sheet: NonNegativeInt = 16
    """Pictures on a sheet of samples; 0 makes none."""
    objective: str = Field(default=VPrediction.name, exclude_if=lambda name: name == VPrediction.name)
    """The generative process that is learnt, by its name in `synth.diffusion.process.PROCESSES`."""
    snr_floor: float = Field(default=0, ge=0, le=5, exclude_if=lambda floor: not floor)
    """Lower bound of the signal-to-noise ratio by which errors are weighted, beside the upper one of 5.  With 1, the noisiest
    times, at which disc, vessels and outline find their places, count in full; with 0 hardly (min-SNR)."""
    channel_power: float = Field(default=0, ge=0, le=2, exclude_if=lambda power: not power)
    """Errors are weighted by this power of how far their channel moves pixels; with 0 each channel counts alike, with 2 each
    pixel does.  Coarse light and colour are few channels among many of fine detail."""
    trackers: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Where else the loss goes; `pip install 'visionclip[track]'`."""
    seed: NonNegativeInt = 0
    """Seeds the weights, the order and the noise."""
    dp: DpConfig | None = None
    """A budget of differential privacy; null trains without."""
    preprocessing: Preprocessing = Preprocessing()
    """What is done to a photograph first; its size is that of the pictures that come out."""
    network: NetworkConfig = NetworkConfig()
    """The size of the denoiser."""
    autoencoder: AutoencoderConfig | None = None
    """How the autoencoder of `network.latent` is trained; null where there is none."""

    @field_validator("objective")
    @classmethod
    def _objective_exists(cls, name: str) -> str:
        if name not in PROCESSES:
            raise ValueError(f"'{name}' is no process; known: {', '.join(PROCESSES)}")
        return name

    @model_validator(mode="after")
    def durations_divide(self) -> Self:
        if self.micro_batch != "auto" and self.batch % self.micro_batch:
            raise ValueError(f"batch={self.batch} must be a multiple of micro_batch={self.micro_batch}")
        for name in ("images", "save_every"):
            if getattr(self, name) % self.batch:
                raise ValueError(f"{name}={getattr(self, name)} must be a multiple of batch={self.batch}")
        if not self.averages or max(self.averages) > LONGEST:
            raise ValueError(f"averages={list(self.averages)}: one or more lengths of at most {LONGEST}")
        if self.dp:
            self._check_private()
        if (self.autoencoder is None) != (self.network.latent is None):
            raise ValueError("'network.latent' and 'autoencoder' need one another; give both or neither")
        coarsest = self.network.factor * 2 ** (len(self.network.channels) - 1)
        if self.preprocessing.size % coarsest:
            raise ValueError(f"preprocessing.size={self.preprocessing.size} must be a multiple of {coarsest}")
        return self

    def _check_private(self) -> None:
        if self.on_nan == "return":
            raise ValueError(
                "on_nan=return would show gradients of patients twice under one noise; with dp it must be 'stop'"
            )
        if self.balance:
            raise ValueError(f"balance={self.balance:g} counts labels of patients; with dp it must be 0")
        if self.precision == "bf16":
            raise ValueError("precision=bf16 cannot measure gradients for dp; it must be 'auto' or 'no'")
        for name in ("compile", "gradient_checkpointing"):
            if getattr(self, name):
                raise ValueError(f"{name}=true is not for dp, which takes gradients picture by picture")
        if self.autoencoder:
            raise ValueError("autoencoder would learn without dp; with dp it must be null")
        if self.trackers:
            raise ValueError("trackers would be told losses of patients; with dp there must be none")
