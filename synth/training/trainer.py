"""Train a generator: resumable to the bit on the CPU, on one process or many."""

import copy
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from synth import pipeline
from synth.base.errors import UserError
from synth.base.runs import Tell, claim, progress, quiet, rewind_metrics
from synth.data.records import data_fingerprint
from synth.data.vocabulary import VERSION as VOCABULARY
from synth.diffusion import process
from synth.model.card import GeneratorCard
from synth.model.denoiser import Denoiser
from synth.model.latent import LatentSpace
from synth.model.text_encoder import captions
from synth.model.wavelet import WaveletSpace
from synth.provenance.training_data import commitments, training_sources
from synth.training import autoencoder, cost, samples, state
from synth.training.averages import PowerAverages
from synth.training.config import TrainConfig
from synth.training.examples import Examples, as_tensor, mix_of

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
        from synth.training import dp_trainer as private  # needs Opacus, an extra

        return private.train(config, data, run, tell)
    accelerator = _accelerator(config, run)
    processes, chunk = accelerator.num_processes, config.micro_batch * accelerator.num_processes
    if config.batch % chunk:
        raise UserError(f"batch={config.batch} must be a multiple of micro_batch x processes = {chunk}")
    accelerator.gradient_accumulation_steps = config.batch // chunk
    wanted = {"config": config.model_dump(mode="json"), "data": data_fingerprint(*data)}
    with accelerator.main_process_first():
        claim(run, "config.json", wanted, "run", free=_FREE)
        tell(cost.lines(config, run))
        texts = captions(config.network.captions, data, run / "cache")
        examples = Examples(data, config.preprocessing, run / "cache", config.seed, config.balance, texts)

    accelerator.init_trackers("visionclip")
    torch.manual_seed(config.seed)
    denoiser = Denoiser(config.network, config.preprocessing.size)
    if config.gradient_checkpointing:
        denoiser.unet.enable_gradient_checkpointing()
    space, quality = _space(config, data, examples, accelerator, run)
    schedule = process.noising()
    behind = {"data": data_fingerprint(*data), "trained_on": training_sources(data), **quality}
    if planted := commitments(data):
        behind["canary"] = planted
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
                loss = process.loss(model, schedule, clean, noise, time, told)
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
    if (folder / "visionclip.json").exists() and pipeline.read_card(folder).images == seen:
        return
    averaged = Denoiser(config.network, config.preprocessing.size)
    averaged.load_state_dict(denoiser.state_dict() | averages.mean(config.averages[-1]))
    made = pipeline.FundusPipeline(
        averaged.unet.eval(), process.solver(), averaged.conditioning, copy.deepcopy(space).cpu()
    )
    card = GeneratorCard.of(
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
    pipeline.save(made, folder, card, mix)
