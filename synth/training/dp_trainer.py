"""Train a generator with differential privacy: what it tells of any one patient is bounded, and the bound is known.

DP-SGD by Opacus, as for diffusion models in Dockhorn et al. 2023 (2210.09929).  At each step every patient is drawn
with the same chance, one photograph of each; a patient's gradient, averaged over several noise draws, is clipped, and
Gaussian noise is added to the sum.  Nothing else of the photographs reaches the model's folder: bands are measured on
drawn phantoms, the label mix is a fixed one, and the data are not named by their hash.

The secret behind all randomness comes from the operating system and stays in `state.pt`, which only its owner can read.
"""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from opacus import GradSampleModule
from opacus.accountants import PRVAccountant
from torch import Tensor

from synth import phantom
from synth.base import checkpoint, checksums
from synth.base.device import accelerator, layout
from synth.base.divergence import LossWatch
from synth.base.errors import UserError
from synth.base.runs import Tell, append_metrics, claim, progress, quiet, rewind_metrics
from synth.data import classes
from synth.data.records import data_fingerprint
from synth.data.tensors import as_tensor
from synth.diffusion.losses import channel_weights, loss
from synth.diffusion.process import create
from synth.model import labels
from synth.model.card import TrainingSource
from synth.model.denoiser import Denoiser
from synth.model.text_encoder import Captions, captions
from synth.model.wavelet import WaveletSpace
from synth.provenance.training_data import commitments, training_sources
from synth.training import cost, dp_budget, micro_batch
from synth.training.averages import PowerAverages
from synth.training.dp_gradients import NoisyOptimizer, per_sample, randomness
from synth.training.dp_sampling import MIX, poisson_sample, rows_by_patient
from synth.training.examples import Examples
from synth.training.export import export

if TYPE_CHECKING:
    from synth.training.config import TrainConfig

FORMAT, VERSION = "visionclip-private-state", 1
_FITTED_ON = 32  # phantoms from which the deviation of the bands is measured


def train(config: "TrainConfig", data: Sequence[Path], run: Path, tell: Tell = quiet) -> Path:
    """Train within the budget `config.dp`; the same call again resumes.  Returns the model's folder.

    Reads and writes what `synth.training.trainer.train` does; `run/config.json` holds the mechanism too, and
    `run/model/visionclip.json` what was spent.  A step draws `batch` patients on average; `images` counts these.

    Raises:
        UserError: a setting would break the guarantee, or would go beyond the budget.
    """
    rows_of = rows_by_patient(data)
    vocabulary = labels.of_run(run)
    mechanism = _claim(config, data, run, len(rows_of), vocabulary)
    tell(cost.lines(config, run))
    tell(filter(None, [classes.few_patients(*data)]))
    texts = captions(config.network.captions, data, run / "cache")
    examples = Examples(data, config.preprocessing, run / "cache", config.seed, 0, vocabulary, texts)
    provenance = _provenance(training_sources(data), texts)
    if planted := commitments(data):
        provenance["canary"] = planted
    device = accelerator()

    torch.manual_seed(config.seed)
    process = create(config.objective)
    denoiser = Denoiser(config.network, config.preprocessing.size, vocabulary).to(device)
    accountant, space = PRVAccountant(), WaveletSpace(config.network.levels)
    averages = PowerAverages(denoiser, config.averages)
    optimizer = NoisyOptimizer(
        torch.optim.AdamW(denoiser.parameters(), lr=config.lr),
        noise_multiplier=mechanism["noise_multiplier"],
        max_grad_norm=mechanism["clipping_norm"],
        expected_batch_size=config.batch,
    )
    optimizer.attach_step_hook(accountant.get_optimizer_hook_fn(mechanism["sampling_rate"]))
    parts = {
        "weights": denoiser,
        "optimizer": optimizer,
        "averages": averages,
        "space": space,
        "accountant": accountant,
    }
    n_images, secret = _resume(run, config, parts)
    rewind_metrics(run / "metrics.jsonl", n_images)
    network, losses = per_sample(denoiser), list[float]()
    chunk = micro_batch.ON_CPU if config.micro_batch == "auto" else config.micro_batch
    watch = LossWatch(run, "state.pt", n_images)
    space.to(device)  # type: ignore[call-arg]

    with progress("training privately", config.images, n_images) as bar:
        while n_images < config.images:
            step = n_images // config.batch
            for group in optimizer.param_groups:
                group["lr"] = config.lr * min(1.0, (n_images + config.batch) / max(config.warmup, 1))
            drawn = poisson_sample(rows_of, mechanism["sampling_rate"], secret, step)
            optimizer.chance = randomness(secret, step, draw=1)
            for first in range(0, max(len(drawn), 1), chunk):
                part = drawn[first : first + chunk]
                errors = take_gradients(network, space, examples, part, config, (secret, step))
                for error in errors:
                    watch.step(error, n_images + config.batch, optimizer.param_groups[0]["lr"])
                losses += errors
                optimizer.signal_skip_step(first + chunk < len(drawn))
                optimizer.step()
                optimizer.zero_grad()

            n_images += config.batch
            bar.update(config.batch)
            averages.step(n_images, config.batch)
            if n_images % config.save_every == 0 or n_images == config.images:
                guaranteed = _guaranteed(accountant, mechanism, provenance)
                _save(run, n_images, secret, parts, losses, guaranteed)
                export(run, n_images, config, process, denoiser, averages, space, guaranteed, MIX)
                losses.clear()
                watch.kept = n_images

    guaranteed = _guaranteed(accountant, mechanism, provenance)
    export(run, n_images, config, process, denoiser, averages, space, guaranteed, MIX)
    return run / "model"


def _claim(
    config: "TrainConfig", data: Sequence[Path], run: Path, patients: int, vocabulary: labels.LabelEncoding
) -> dp_budget.Mechanism:
    """Make `run` the home of this training, or find that it is; returns its mechanism."""
    assert config.dp is not None
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise UserError("dp: trains in one process; start it without torchrun")
    path = run / "config.json"
    known = checksums.read_json(path).get("mechanism", {}).get("noise_multiplier") if path.exists() else None
    found = dp_budget.mechanism(config.dp, patients, config.batch, config.images, known)
    asked = {"config": config.model_dump(mode="json"), "data": data_fingerprint(*data), "mechanism": found}
    checksums.forget(path)  # of which `claim` may take other words
    try:
        claim(
            run,
            path.name,
            asked | vocabulary.claim(),
            "run, or the same with another budget",
            free=("config.save_every", "config.micro_batch", "config.on_nan"),
        )
    finally:  # a refusal too leaves it guarded: nothing else says what the noise was, on which the stated budget rests
        if path.exists():
            checksums.write(path)
    return found


def take_gradients(
    network: GradSampleModule,
    space: WaveletSpace,
    examples: Examples,
    drawn: list[tuple[int, int]],
    config: "TrainConfig",
    when: tuple[int, int],
) -> list[float]:
    """Leave in each parameter `grad_sample`, (patients, *shape): a patient's gradient, averaged over its draws.

    Args:
        drawn: (patient, row) of each; may be none.
        when:  (secret, step).

    Returns:
        The mean loss, of no or one element.
    """
    assert config.dp is not None
    if not drawn:
        for p in network.parameters():
            p.grad_sample = p.new_zeros((0, *p.shape))  # type: ignore[attr-defined]
        return []
    draws = range(1, config.dp.draws + 1)
    device = next(network.parameters()).device
    chances = [randomness(*when, patient, draw) for patient, _ in drawn for draw in draws]
    rows = np.repeat([row for _, row in drawn], len(draws))
    denoiser = cast(Denoiser, network._module)
    shown = examples.shown(rows, chances, denoiser.shape, config.flip, config.label_dropout)
    images, codes, noise, time = shown.on(device)
    clean = space.encode(images).contiguous(memory_format=layout(device))
    weights = channel_weights(space.scales, config.channel_power)
    process = create(config.objective)
    error = loss(network, process, clean, noise, time, codes, floor=config.snr_floor, channels=weights)
    error.backward()
    for p in network.parameters():
        p.grad_sample = p.grad_sample.unflatten(0, (len(drawn), len(draws))).mean(dim=1)  # type: ignore[attr-defined]
    return [float(error.detach())]


def _resume(run: Path, config: "TrainConfig", parts: dict[str, Any]) -> tuple[int, int]:
    """Restore the last checkpoint, or begin with a new secret; returns the images seen and the secret."""
    path = run / "state.pt"
    if not path.exists():
        parts["space"].fit(_phantoms(config))
        _write(run, 0, secrets.randbits(128), parts, {})
    state = checkpoint.read(path, FORMAT, VERSION)
    with checkpoint.fitting(path):
        for name, part in parts.items():
            part.load_state_dict(state[name])
        return int(state["images"]), int(state["secret"], 16)


def _phantoms(config: "TrainConfig") -> Tensor:
    """(B, 3, S, S) in [-1, 1]: drawn phantoms.  The bands of photographs would be released without noise."""
    drawn = phantom.PhantomConfig(size=max(32, config.preprocessing.size), seed=config.seed)
    pictures = [config.preprocessing(row["image"]["bytes"]) for row in phantom.records(drawn, _FITTED_ON)]
    return as_tensor(np.stack(pictures))


def _provenance(sources: list[TrainingSource], texts: Captions | None) -> dict[str, Any]:
    """What the model's folder says of its data: nothing that was measured on them."""
    named = [
        {name: value for name, value in origin.to_json().items() if name != "images"} for origin in sources
    ]
    return {"data": None, "trained_on": named, **({"captions": texts.encoder} if texts else {})}


def _guaranteed(
    accountant: PRVAccountant, mechanism: dp_budget.Mechanism, provenance: dict[str, Any]
) -> dict[str, Any]:
    """The same with the guarantee."""
    steps = sum(times for _, _, times in accountant.history)
    return {
        **provenance,
        "differential_privacy": {
            "epsilon": dp_budget.spent(accountant.history, mechanism["delta"]),
            **mechanism,
            "steps": steps,
            "steps_planned": mechanism["steps"],
            "bands": f"measured on {_FITTED_ON} drawn phantoms",
            "mix": "the same for any data",
        },
    }


def _save(
    run: Path,
    n_images: int,
    secret: int,
    parts: dict[str, Any],
    losses: list[float],
    provenance: dict[str, Any],
) -> None:
    loss = round(float(np.mean(losses)), 6) if losses else None  # of photographs: not for release
    epsilon = provenance["differential_privacy"]["epsilon"]
    append_metrics(run / "metrics.jsonl", images=n_images, loss=loss, epsilon=round(epsilon, 4))
    _write(run, n_images, secret, parts, provenance)


def _write(run: Path, n_images: int, secret: int, parts: dict[str, Any], provenance: dict[str, Any]) -> None:
    states = {name: part.state_dict() for name, part in parts.items()}
    state = {"images": n_images, "secret": f"{secret:032x}", **states, **provenance}
    checkpoint.save(run / "state.pt", checkpoint.header(FORMAT, VERSION, **state), secret=True)
