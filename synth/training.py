"""Train a generator: resumable to the bit on the CPU, on one process or many."""

import copy
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from accelerate import Accelerator
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from synth import autoencoder, diffusion, pipeline, samples, state
from synth.autoencoder import AutoencoderConfig
from synth.averages import LONGEST, PowerAverages
from synth.base import checkpoint
from synth.base.config import Config
from synth.base.errors import UserError
from synth.base.runs import claim, progress, rewind_metrics
from synth.budget import DpConfig
from synth.examples import Examples, as_tensor, mix_of
from synth.fundus.images import Preprocessing
from synth.fundus.records import data_fingerprint
from synth.fundus.vocabulary import VERSION as VOCABULARY
from synth.latent import LatentSpace
from synth.network import Denoiser, NetworkConfig
from synth.prompts import captions
from synth.provenance import origins
from synth.wavelet import WaveletSpace

_FITTED_ON = 2048  # pictures from which the deviation of the bands is measured
_FREE = tuple(f"config.{key}" for key in ("images", "save_every", "gradient_checkpointing", "compile"))
FORMAT, VERSION = "visionclip-generator-state", 2


class TrainConfig(Config):
    """How one DDPM is trained.  Durations count images, so a run means the same on 1 GPU and on 8."""

    images: PositiveInt = 20_000_000
    """Stop after this many; raise it and repeat the command to train longer."""
    batch: PositiveInt = 256
    """Images per optimiser step, over all processes."""
    micro_batch: PositiveInt = 32
    """Images per forward pass of one process; lower it when memory runs out."""
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
    save_every: PositiveInt = 102_400
    """Images between checkpoints; a killed run loses at most this many."""
    snapshot_every: PositiveInt = 1_024_000
    """Images between snapshots of the averages and sheets of samples, taken at the checkpoint that follows."""
    sheet: NonNegativeInt = 16
    """Pictures on a sheet of samples; 0 makes none."""
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

    @model_validator(mode="after")
    def durations_divide(self) -> Self:
        if self.batch % self.micro_batch:
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


def train(config: TrainConfig, data: Sequence[Path], run: Path) -> Path:
    """Train until `config.images` pictures were seen; the same call again resumes.  Returns the model's folder.

    Reads split `train` of the folders of records in `data`.  Writes `run/config.json`, `run/metrics.jsonl`,
    `run/state.pt` (to resume), `run/model/` (to sample: averaged weights), `run/averages/` (to choose another
    length of the average) and `run/samples/`.
    """
    if config.dp:
        from synth import private  # needs Opacus, an extra

        return private.train(config, data, run)
    accelerator = _accelerator(config, run)
    processes, chunk = accelerator.num_processes, config.micro_batch * accelerator.num_processes
    if config.batch % chunk:
        raise UserError(f"batch={config.batch} must be a multiple of micro_batch x processes = {chunk}")
    accelerator.gradient_accumulation_steps = config.batch // chunk
    wanted = {"config": config.model_dump(mode="json"), "data": data_fingerprint(*data)}
    with accelerator.main_process_first():
        claim(run, "config.json", wanted, "run", free=_FREE)
        texts = captions(config.network.captions, data, run / "cache")
        examples = Examples(data, config.preprocessing, run / "cache", config.seed, config.balance, texts)

    accelerator.init_trackers("visionclip")
    torch.manual_seed(config.seed)
    denoiser = Denoiser(config.network, config.preprocessing.size)
    if config.gradient_checkpointing:
        denoiser.unet.enable_gradient_checkpointing()
    space, quality = _space(config, data, examples, accelerator, run)
    schedule = diffusion.noising()
    behind = {"data": data_fingerprint(*data), "trained_on": origins(data), **quality}
    if texts:
        behind["captions"] = texts.said
    averages = PowerAverages(denoiser, config.averages)
    optimizer = torch.optim.AdamW(denoiser.parameters(), lr=config.lr)
    seen = state.resume(run, (FORMAT, VERSION), denoiser, optimizer, averages)
    if accelerator.is_main_process:
        rewind_metrics(run / "metrics.jsonl", seen)
    space.to(accelerator.device)
    model, optimizer = accelerator.prepare(denoiser.to(memory_format=torch.channels_last), optimizer)
    averages.to(accelerator.device)
    losses: list[torch.Tensor] = []

    with progress("training", config.images, seen) as bar:
        while seen < config.images:
            for group in optimizer.param_groups:
                group["lr"] = config.lr * min(1.0, (seen + chunk) / max(config.warmup, 1))
            mine = np.arange(seen + accelerator.process_index, seen + chunk, processes)
            images, told, noise, time = (
                part.to(accelerator.device)
                for part in examples.step(mine, denoiser.shape, config.flip, config.label_dropout)
            )
            with accelerator.autocast():
                clean = space.encode(images).contiguous(memory_format=torch.channels_last)

            with accelerator.accumulate(model):
                loss = diffusion.loss(model, schedule, clean, noise, time, told)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()

            losses.append(loss.detach())
            seen += chunk
            bar.update(chunk)
            if accelerator.sync_gradients:
                averages.step(seen, config.batch)
            if seen % config.save_every == 0 or seen == config.images:
                mean = float(accelerator.reduce(torch.stack(losses).mean(), "mean"))  # type: ignore[arg-type]
                losses.clear()
                accelerator.log({"loss": mean}, step=seen)
                if accelerator.is_main_process:
                    state.save(run, (FORMAT, VERSION), seen, mean, denoiser, optimizer, averages)
                    export(run, seen, config, denoiser, averages, space, behind, mix_of(data))
                accelerator.wait_for_everyone()

    if accelerator.is_main_process:
        export(run, seen, config, denoiser, averages, space, behind, mix_of(data))
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return run / "model"


def _accelerator(config: TrainConfig, run: Path) -> Accelerator:
    for tracker in config.trackers:
        if find_spec(tracker) is None:
            raise UserError(f"trackers: '{tracker}' is not installed; pip install 'visionclip[track]'")
    precision = config.precision
    if precision == "auto":
        precision = "bf16" if torch.cuda.is_available() else "no"
    if config.compile and not torch.cuda.is_available():
        raise UserError("compile=true needs a GPU: on the CPU it takes minutes and gains nothing")
    return Accelerator(
        mixed_precision=precision,
        dynamo_backend="inductor" if config.compile else None,
        # Without `cpu`, several processes on a machine without a GPU would each train alone.
        cpu=not torch.cuda.is_available(),
        log_with=list(config.trackers) or None,
        project_dir=run / "trackers",
    )


def _space(
    config: TrainConfig, data: Sequence[Path], examples: Examples, accelerator: Accelerator, run: Path
) -> tuple[WaveletSpace | LatentSpace, dict[str, Any]]:
    """The space of the denoiser, fitted to the pictures or trained on them, and what is known of its quality."""
    space = config.network.space()
    if isinstance(space, LatentSpace) and config.autoencoder:
        with accelerator.main_process_first():
            judged = autoencoder.held_out(data, config.preprocessing, run / "cache")
        found = autoencoder.train(config.autoencoder, space, examples, judged, accelerator, run)
        return space, {"reconstruction": found}
    space.fit(as_tensor(examples[np.unique(examples.visited(np.arange(min(len(examples), _FITTED_ON))))]))
    return space, {}


def export(
    run: Path,
    seen: int,
    config: TrainConfig,
    denoiser: Denoiser,
    averages: PowerAverages,
    space: WaveletSpace | LatentSpace,
    told: dict[str, Any],
    mix: list[dict[str, Any]],
) -> None:
    """Write the averaged weights as a diffusers folder, unless it is there already; at a snapshot, keep the
    averages and look at some samples too.  `told` is what the folder says of its data."""
    folder = run / "model"
    if (folder / "visionclip.json").exists() and pipeline.facts(folder)["images"] == seen:
        return
    averaged = Denoiser(config.network, config.preprocessing.size)
    averaged.load_state_dict(denoiser.state_dict() | averages.mean(config.averages[-1]))
    made = pipeline.FundusPipeline(
        averaged.unet.eval(), diffusion.solver(), averaged.conditioning, copy.deepcopy(space).cpu()
    )
    known = checkpoint.header(
        pipeline.FORMAT,
        pipeline.VERSION,
        images=seen,
        average=config.averages[-1],
        config=config.model_dump(mode="json"),
        preprocessing=config.preprocessing.model_dump(),
        vocabulary=VOCABULARY,
        **told,
    )
    if seen % config.snapshot_every < config.save_every or seen == config.images:
        averages.snapshot(run / "averages", seen)
        if config.sheet and mix:
            samples.draw(made, mix, run / "samples" / f"{seen:012d}.png", config.sheet, config.seed)
    pipeline.save(made, folder, known, mix)
