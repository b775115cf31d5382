"""Train a generator: resumable to the bit on the CPU, on one process or many."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from synth.base.errors import UserError
from synth.base.runs import Tell, claim, progress, quiet, rewind_metrics
from synth.data.records import data_fingerprint
from synth.data.tensors import as_tensor
from synth.diffusion.losses import loss
from synth.diffusion.process import create
from synth.model import labels
from synth.model.denoiser import Denoiser
from synth.model.latent import LatentSpace
from synth.model.text_encoder import captions
from synth.model.wavelet import WaveletSpace
from synth.provenance.training_data import commitments, training_sources
from synth.training import autoencoder, cost, state
from synth.training.averages import PowerAverages
from synth.training.config import TrainConfig
from synth.training.examples import Examples, mix_of
from synth.training.export import export

_FITTED_ON = 2048  # pictures from which the deviation of the bands is measured
_FREE = tuple(f"config.{key}" for key in ("images", "save_every", "gradient_checkpointing", "compile"))
FORMAT, VERSION = "visionclip-generator-state", 2


def train(config: TrainConfig, data: Sequence[Path], run: Path, tell: Tell = quiet) -> Path:
    """Train until `config.images` pictures were seen; the same call again resumes.  Returns the model's folder.

    Reads split `train` of the folders of records in `data`.  Writes `run/config.json`, `run/metrics.jsonl`,
    `run/state.pt` (to resume), `run/model/` (to sample: averaged weights), `run/averages/` (to choose another
    length of the average) and `run/samples/`.

    Args:
        tell: is given the lines that say what the training will take, before it begins.
    """
    if config.dp:
        from synth.training import dp_trainer  # needs Opacus, an extra

        return dp_trainer.train(config, data, run, tell)
    accelerator = _accelerator(config, run)
    processes, chunk = accelerator.num_processes, config.micro_batch * accelerator.num_processes
    if config.batch % chunk:
        raise UserError(f"batch={config.batch} must be a multiple of micro_batch x processes = {chunk}")
    accelerator.gradient_accumulation_steps = config.batch // chunk
    vocabulary = labels.of_run(run)
    wanted = {"config": config.model_dump(mode="json"), "data": data_fingerprint(*data)} | vocabulary.claim()
    with accelerator.main_process_first():
        claim(run, "config.json", wanted, "run", free=_FREE)
        tell(cost.lines(config, run))
        texts = captions(config.network.captions, data, run / "cache")
        examples = Examples(
            data, config.preprocessing, run / "cache", config.seed, config.balance, vocabulary, texts
        )

    accelerator.init_trackers("visionclip")
    torch.manual_seed(config.seed)
    denoiser = Denoiser(config.network, config.preprocessing.size, vocabulary)
    if config.gradient_checkpointing:
        denoiser.unet.enable_gradient_checkpointing()
    space, quality = _space(config, data, examples, accelerator, run)
    process = create(config.objective)
    provenance = {"data": data_fingerprint(*data), "trained_on": training_sources(data), **quality}
    if planted := commitments(data):
        provenance["canary"] = planted
    if texts:
        provenance["captions"] = texts.encoder
    averages = PowerAverages(denoiser, config.averages)
    optimizer = torch.optim.AdamW(denoiser.parameters(), lr=config.lr)
    n_images = state.resume(run, (FORMAT, VERSION), denoiser, optimizer, averages)
    if accelerator.is_main_process:
        rewind_metrics(run / "metrics.jsonl", n_images)
    space.to(accelerator.device)
    model, optimizer = accelerator.prepare(denoiser.to(memory_format=torch.channels_last), optimizer)
    averages.to(accelerator.device)
    losses: list[torch.Tensor] = []

    with progress("training", config.images, n_images) as bar:
        while n_images < config.images:
            for group in optimizer.param_groups:
                group["lr"] = config.lr * min(1.0, (n_images + chunk) / max(config.warmup, 1))
            mine = np.arange(n_images + accelerator.process_index, n_images + chunk, processes)
            images, codes, noise, time = (
                part.to(accelerator.device)
                for part in examples.step(mine, denoiser.shape, config.flip, config.label_dropout)
            )
            with accelerator.autocast():
                clean = space.encode(images).contiguous(memory_format=torch.channels_last)

            with accelerator.accumulate(model):
                error = loss(model, process, clean, noise, time, codes)
                accelerator.backward(error)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()

            losses.append(error.detach())
            n_images += chunk
            bar.update(chunk)
            if accelerator.sync_gradients:
                averages.step(n_images, config.batch)
            if n_images % config.save_every == 0 or n_images == config.images:
                mean = float(accelerator.reduce(torch.stack(losses).mean(), "mean"))  # type: ignore[arg-type]
                losses.clear()
                accelerator.log({"loss": mean}, step=n_images)
                if accelerator.is_main_process:
                    state.save(run, (FORMAT, VERSION), n_images, mean, denoiser, optimizer, averages)
                    export(
                        run, n_images, config, process, denoiser, averages, space, provenance, mix_of(data)
                    )
                accelerator.wait_for_everyone()

    if accelerator.is_main_process:
        export(run, n_images, config, process, denoiser, averages, space, provenance, mix_of(data))
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
            photographs = autoencoder.held_out(data, config.preprocessing, run / "cache")
        quality = autoencoder.train(config.autoencoder, space, examples, photographs, accelerator, run)
        return space, {"reconstruction": quality}
    space.fit(as_tensor(examples[np.unique(examples.visited(np.arange(min(len(examples), _FITTED_ON))))]))
    return space, {}
