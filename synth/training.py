"""Train a generator: resumable to the bit on the CPU, on one process or many."""

import copy
import json
from collections import Counter
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from synth import diffusion, pipeline
from synth.base import checkpoint
from synth.base.config import Config
from synth.base.errors import UserError
from synth.base.order import step_seed, visited
from synth.base.runs import append_metrics, claim, progress, rewind_metrics
from synth.conditioning import UNKNOWN, codes, mirror
from synth.fundus.images import Preprocessing
from synth.fundus.pictures import pixels
from synth.fundus.records import LABELS, data_fingerprint, read_table
from synth.fundus.vocabulary import VERSION as VOCABULARY
from synth.network import Denoiser, NetworkConfig
from synth.wavelet import WaveletSpace

_FEWEST = 5  # subjects behind a label combination before a generator tells that it exists
_FITTED_ON = 2048  # pictures from which the deviation of the bands is measured
FORMAT, VERSION = "visionclip-generator-state", 1


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
    ema_halflife: PositiveInt = 50_000
    """Images after which a weight counts half in the average that is sampled from; shorter while the run is young."""
    label_dropout: float = Field(default=0.15, ge=0, le=1)
    """Share of pictures shown with every label unknown: what classifier-free guidance needs."""
    flip: bool = True
    """Mirror half of the pictures, and swap their eye side."""
    precision: Literal["auto", "no", "bf16"] = "auto"
    """`auto` is bf16 on a GPU and fp32 on the CPU, where bf16 is slower."""
    save_every: PositiveInt = 102_400
    """Images between checkpoints; a killed run loses at most this many."""
    seed: NonNegativeInt = 0
    """Seeds the weights, the order and the noise."""
    preprocessing: Preprocessing = Preprocessing()
    """What is done to a photograph first; its size is that of the pictures that come out."""
    network: NetworkConfig = NetworkConfig()
    """The size of the denoiser."""

    @model_validator(mode="after")
    def durations_divide(self) -> Self:
        if self.batch % self.micro_batch:
            raise ValueError(f"batch={self.batch} must be a multiple of micro_batch={self.micro_batch}")
        for name in ("images", "save_every"):
            if getattr(self, name) % self.batch:
                raise ValueError(f"{name}={getattr(self, name)} must be a multiple of batch={self.batch}")
        coarsest = 2 ** (self.network.levels + len(self.network.channels) - 1)
        if self.preprocessing.size % coarsest:
            raise ValueError(f"preprocessing.size={self.preprocessing.size} must be a multiple of {coarsest}")
        return self


def train(config: TrainConfig, data: Path, run: Path) -> Path:
    """Train until `config.images` pictures were seen; the same call again resumes.  Returns the model's folder.

    Reads split `train` of the records in `data`.  Writes `run/config.json`, `run/metrics.jsonl`,
    `run/state.pt` (to resume) and `run/model/` (to sample, EMA weights).
    """
    # Without `cpu`, several processes on a machine without a GPU would each train alone.
    accelerator = Accelerator(mixed_precision=_precision(config), cpu=not torch.cuda.is_available())
    rank, chunk = accelerator.process_index, config.micro_batch * accelerator.num_processes
    if config.batch % chunk:
        raise UserError(f"batch={config.batch} must be a multiple of micro_batch x processes = {chunk}")
    accelerator.gradient_accumulation_steps = config.batch // chunk
    table = read_table(data, ["train"])
    wanted = {"config": config.model_dump(mode="json"), "data": data_fingerprint(data)}
    with accelerator.main_process_first():
        claim(run, "config.json", wanted, "run", free=("config.images", "config.save_every"))
        pictures = pixels(data, ["train"], config.preprocessing, run / "cache")
    labels = codes(table)

    torch.manual_seed(config.seed)
    denoiser = Denoiser(config.network, config.preprocessing.size)
    space = WaveletSpace(config.network.levels)
    space.fit(_tensor(pictures[visited(len(pictures), config.seed, 0, min(_FITTED_ON, len(pictures)))]))
    schedule = diffusion.noising()
    ema = EMAModel(denoiser.parameters(), 0.5 ** (config.batch / config.ema_halflife), use_ema_warmup=True)
    optimizer = torch.optim.AdamW(denoiser.parameters(), lr=config.lr)
    seen = _resume(run, denoiser, optimizer, ema)
    if accelerator.is_main_process:
        rewind_metrics(run / "metrics.jsonl", seen)
    space.to(accelerator.device)
    ema.to(accelerator.device)
    model, optimizer = accelerator.prepare(denoiser.to(memory_format=torch.channels_last), optimizer)
    losses: list[torch.Tensor] = []

    with progress("training", config.images, seen) as bar:
        while seen < config.images:
            # Randomness is a function of position, so a resumed run draws what an uninterrupted one would.
            torch.manual_seed(step_seed(config.seed, rank, seen))
            for group in optimizer.param_groups:
                group["lr"] = config.lr * min(1.0, (seen + chunk) / max(config.warmup, 1))
            mine = visited(len(pictures), config.seed, seen, chunk)[rank :: accelerator.num_processes]
            images, told = _augment(pictures[mine], labels[mine], config)
            clean = space.encode(images.to(accelerator.device)).contiguous(memory_format=torch.channels_last)
            noise = torch.randn(clean.shape).to(clean)
            step = torch.randint(0, diffusion.STEPS, (len(clean),)).to(clean.device)

            with accelerator.accumulate(model):
                loss = diffusion.loss(model, schedule, clean, noise, step, told.to(clean.device))
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()

            losses.append(loss.detach())
            seen += chunk
            bar.update(chunk)
            if accelerator.sync_gradients:
                ema.step(denoiser.parameters())
            if seen % config.save_every == 0 or seen == config.images:
                mean = float(accelerator.reduce(torch.stack(losses).mean(), "mean"))  # type: ignore[arg-type]
                losses.clear()
                if accelerator.is_main_process:
                    _save(run, seen, mean, denoiser, optimizer, ema)
                    _export(run, seen, config, data, denoiser, ema, space)
                accelerator.wait_for_everyone()

    if accelerator.is_main_process:
        _export(run, seen, config, data, denoiser, ema, space)
    accelerator.wait_for_everyone()
    return run / "model"


def _precision(config: TrainConfig) -> str:
    if config.precision == "auto":
        return "bf16" if torch.cuda.is_available() else "no"
    return config.precision


def _tensor(pictures: np.ndarray) -> torch.Tensor:
    """(B, 3, S, S) float in [-1, 1] from (B, S, S, 3) uint8."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def _augment(
    pictures: np.ndarray, labels: np.ndarray, config: TrainConfig
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mirror half of the pictures with their eye side, and forget all labels of some."""
    flipped = (torch.rand(len(pictures)) < 0.5).numpy() & config.flip
    untold = (torch.rand(len(pictures)) < config.label_dropout).numpy()
    pictures = np.where(flipped[:, None, None, None], pictures[:, :, ::-1], pictures)
    labels = np.where(flipped[:, None], mirror(labels), labels)
    labels = np.where(untold[:, None], UNKNOWN, labels)
    return _tensor(pictures), torch.from_numpy(labels)


def _resume(run: Path, denoiser: Denoiser, optimizer: torch.optim.Optimizer, ema: EMAModel) -> int:
    """Restore the last checkpoint, if there is one; returns the images seen."""
    if not (run / "state.pt").exists():
        return 0
    state = checkpoint.load(run / "state.pt")
    checkpoint.check_header(run / "state.pt", state, FORMAT, VERSION)
    denoiser.load_state_dict(state["weights"])
    optimizer.load_state_dict(state["optimizer"])
    ema.load_state_dict(state["ema"])
    return state["images"]


def _save(run: Path, seen: int, loss: float, denoiser: Denoiser, optimizer: Any, ema: EMAModel) -> None:
    state = {
        "images": seen,
        "weights": denoiser.state_dict(),
        "optimizer": optimizer.state_dict(),
        "ema": ema.state_dict(),
    }
    append_metrics(run / "metrics.jsonl", images=seen, loss=round(loss, 6))
    checkpoint.save(run / "state.pt", checkpoint.header(FORMAT, VERSION, **state))


def _export(
    run: Path,
    seen: int,
    config: TrainConfig,
    data: Path,
    denoiser: Denoiser,
    ema: EMAModel,
    space: WaveletSpace,
) -> None:
    """Write the averaged weights as a diffusers folder, unless it is there already."""
    folder = run / "model"
    if (folder / "visionclip.json").exists() and pipeline.facts(folder)["images"] == seen:
        return
    averaged = Denoiser(config.network, config.preprocessing.size)
    averaged.load_state_dict(denoiser.state_dict())
    ema.copy_to(averaged.parameters())
    made = pipeline.FundusPipeline(
        averaged.unet, diffusion.solver(), averaged.conditioning, copy.deepcopy(space).cpu()
    )
    known = checkpoint.header(
        pipeline.FORMAT,
        pipeline.VERSION,
        images=seen,
        config=config.model_dump(mode="json"),
        preprocessing=config.preprocessing.model_dump(),
        vocabulary=VOCABULARY,
        data=data_fingerprint(data),
    )
    pipeline.save(made, folder, known, mix_of(data))


def mix_of(data: Path) -> list[dict[str, Any]]:
    """The label combinations of the training split with their number of pictures, commonest first.

    A combination that fewer than 5 subjects share is left out: rare ones are what gets memorised.
    """
    rows = read_table(data, ["train"], ["subject_id", *LABELS]).to_pylist()
    subjects: dict[str, set[str]] = {}
    pictures: Counter[str] = Counter()
    for labels in rows:
        subject = labels.pop("subject_id")
        key = json.dumps({k: v for k, v in labels.items() if v is not None}, sort_keys=True)
        subjects.setdefault(key, set()).add(subject)
        pictures[key] += 1
    kept = [(key, n) for key, n in pictures.most_common() if len(subjects[key]) >= _FEWEST]
    return [{"weight": n, "labels": json.loads(key)} for key, n in kept]
