"""Train a generator: resumable to the bit on the CPU, on one process or many."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor, nn

from synth.base import device, extras
from synth.base.errors import UserError
from synth.base.runs import Tell, claim, quiet
from synth.data import classes
from synth.data.records import data_fingerprint
from synth.data.tensors import as_tensor
from synth.diffusion.losses import channel_weights, loss
from synth.diffusion.process import create
from synth.model import labels
from synth.model.card import GeneratorCard, locate, weights_fingerprint
from synth.model.denoiser import Denoiser
from synth.model.latent import LatentSpace
from synth.model.text_encoder import Captions, captions
from synth.model.wavelet import WaveletSpace
from synth.provenance.training_data import commitments, training_sources, with_more
from synth.training import autoencoder, cost, micro_batch
from synth.training.ahead import Ahead
from synth.training.averages import PowerAverages
from synth.training.config import TrainConfig
from synth.training.examples import Examples, Step, mix_of
from synth.training.export import export
from synth.training.loop import accumulate, optimise
from synth.training.start import begin, opened

_FITTED_ON = 2048  # pictures from which the deviation of the bands is measured
_FREE = tuple(
    f"config.{key}"
    for key in (
        *(
            "images",
            "micro_batch",
            "save_every",
            "on_nan",
            "gradient_checkpointing",
            "compile",
            "deterministic",
        ),
        "network.attention",
    )
)
FORMAT, VERSION = "visionclip-generator-state", 2


def train(
    config: TrainConfig, data: Sequence[Path], run: Path, start: Path | None = None, tell: Tell = quiet
) -> Path:
    """Train until `config.images` pictures were seen; the same call again resumes.  Returns the model's folder.

    Reads split `train` of the folders of records in `data`.  Writes `run/config.json`, `run/metrics.jsonl`,
    `run/state.pt` (to resume), `run/model/` (to sample: averaged weights), `run/averages/` (to choose another
    length of the average) and `run/samples/`.

    Args:
        start: a generator whose weights this one begins with; None begins with random ones.
        tell:  is given the lines that say what the training will take, before it begins.
    """
    if config.dp:
        if start:
            raise UserError(
                f"--start {start}: differential privacy would not hold for its photographs; leave one out"
            )
        extras.require("dp", "opacus")
        from synth.training import dp_trainer

        return dp_trainer.train(config, data, run, tell)
    accelerator = _accelerator(config, run)
    each = micro_batch.size(config, accelerator.num_processes, accelerator.device)
    chunk = accumulate(accelerator, config.batch, min(gather_object([each])))  # GPUs may differ
    vocabulary = labels.of_run(run)
    wanted = {"config": config.model_dump(mode="json"), "data": data_fingerprint(*data)} | vocabulary.claim()
    known = opened(start, config.network) if start else None
    if start:
        wanted["start"] = weights_fingerprint(locate(start))
    with accelerator.main_process_first():
        claim(run, "config.json", wanted, "run", free=_FREE)
        tell(cost.lines(config, run))
        tell(filter(None, [classes.few_patients(*data)]))
        texts = captions(config.network.captions, data, run / "cache")
        settings = (config.preprocessing, run / "cache", config.seed, config.balance, vocabulary, texts)
        examples = Examples(data, *settings)
    accelerator.init_trackers("visionclip")
    torch.manual_seed(config.seed)
    denoiser = Denoiser(config.network, config.preprocessing.size, vocabulary)
    if config.gradient_checkpointing:
        denoiser.unet.enable_gradient_checkpointing()
    space, quality = _space(config, data, examples, accelerator, run)
    space.to(accelerator.device)  # type: ignore[call-arg]
    process, provenance = create(config.objective), _provenance(data, texts) | quality
    if known:
        begin(denoiser, space, known[0], _some(examples))
        provenance |= _since(known[1], wanted["start"], provenance)
    channels = channel_weights(space.scales, config.channel_power)

    def rate(n_images: int) -> float:
        return min(1.0, (n_images + chunk) / max(config.warmup, 1))

    def shown(positions: np.ndarray) -> Step:
        return examples.step(positions, denoiser.shape, config.flip, config.label_dropout)

    steps = Ahead(shown, chunk, accelerator.device)

    def error(model: nn.Module, positions: np.ndarray) -> Tensor:
        images, codes, noise, time = steps(positions)
        with accelerator.autocast():
            clean = space.encode(images).contiguous(memory_format=device.layout(accelerator.device))
        return loss(model, process, clean, noise, time, codes, floor=config.snr_floor, channels=channels)

    def keep(n_images: int, averages: PowerAverages) -> None:
        export(run, n_images, config, process, denoiser, averages, space, provenance, mix_of(data))

    kind = FORMAT, VERSION
    optimise("training", config, chunk, accelerator, run, kind, denoiser, config.averages, rate, error, keep)
    accelerator.end_training()
    return run / "model"


def _provenance(data: Sequence[Path], texts: Captions | None) -> dict[str, Any]:
    """What the generator's card says of its data."""
    provenance: dict[str, Any] = {
        "data": data_fingerprint(*data),
        "records": sorted(map(data_fingerprint, data)),
        "trained_on": training_sources(data),
    }
    if planted := commitments(data):
        provenance["canary"] = planted
    return provenance | ({"captions": texts.encoder} if texts else {})


def _since(card: GeneratorCard, start: str, provenance: dict[str, Any]) -> dict[str, Any]:
    """What the card says since the training began with a generator: whose photographs are in its weights too."""
    return {
        "start": start,
        "records": sorted({*card.learnt_from(), *provenance["records"]}),
        "trained_on": with_more(card.trained_on, provenance["trained_on"]),
        "canary": sorted({*card.canary, *provenance.get("canary", [])}),
    }


def _some(examples: Examples) -> Tensor:
    """(N, 3, S, S) in [-1, 1]: the first pictures of the run, through which spaces are measured."""
    return as_tensor(examples[np.unique(examples.visited(np.arange(min(len(examples), _FITTED_ON))))])


def _accelerator(config: TrainConfig, run: Path) -> Accelerator:
    extras.require("trackers", *config.trackers)
    precision = config.precision
    if precision == "auto":
        precision = "bf16" if device.has_bf16() else "no"
    if config.compile and not torch.cuda.is_available():
        raise UserError("compile=true needs a GPU: on the CPU it takes minutes and gains nothing")
    device.settle(config.deterministic)
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
    space.fit(_some(examples))
    return space, {}
