"""What a training leaves to sample from: averaged weights as a generator's folder."""

import copy
from pathlib import Path
from typing import Any

from synth import pipeline
from synth.data.vocabulary import VERSION as VOCABULARY
from synth.diffusion.process import Process, saved_as
from synth.model.card import GeneratorCard
from synth.model.denoiser import Denoiser
from synth.model.latent import LatentSpace
from synth.model.wavelet import WaveletSpace
from synth.training import samples
from synth.training.averages import PowerAverages
from synth.training.config import TrainConfig


def export(
    run: Path,
    n_images: int,
    config: TrainConfig,
    process: Process,
    denoiser: Denoiser,
    averages: PowerAverages,
    space: WaveletSpace | LatentSpace,
    provenance: dict[str, Any],
    mix: list[dict[str, Any]],
) -> None:
    """Write the averaged weights as a diffusers folder, unless it is there already; at a snapshot, keep the
    averages and look at some samples too.  `provenance` is what the card says of its data."""
    folder = run / "model"
    if (folder / "visionclip.json").exists() and pipeline.read_card(folder).images == n_images:
        return
    averaged = Denoiser(config.network, config.preprocessing.size, denoiser.conditioning.labels)
    averaged.load_state_dict(denoiser.state_dict() | averages.mean(config.averages[-1]))
    made = pipeline.FundusPipeline(
        averaged.unet.eval(),
        process.scheduler,
        averaged.conditioning,
        copy.deepcopy(space).cpu(),
        process=saved_as(process),
    )
    card = GeneratorCard.of(
        images=n_images,
        average=config.averages[-1],
        config=config.model_dump(mode="json"),
        preprocessing=config.preprocessing.model_dump(),
        vocabulary=VOCABULARY,
        **provenance,
    )
    if n_images % config.snapshot_every < config.save_every or n_images == config.images:
        averages.snapshot(run / "averages", n_images)
        if config.sheet and mix:
            made.to(next(denoiser.parameters()).device)
            samples.draw(made, mix, run / "samples" / f"{n_images:012d}.png", config.sheet, config.seed)
            made.to("cpu")
    pipeline.save(made, folder, card, mix)
