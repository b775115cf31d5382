"""Distil a generator: a student that draws in 4 steps, or in 2, what its teacher draws in 20.

Multistep consistency distillation (Heek et al. 2024, 2403.06807).  The way from noise to picture is cut into as many
segments as the student has steps; from anywhere in a segment the student learns to land, in one step of DDIM, where
the teacher's solver would leave it.  The student starts from the teacher's weights, as in consistency tuning (Geng et
al. 2024, 2406.14548), the teacher's guidance is learnt with the rest (Luo et al. 2023, 2310.04378), and nothing
random is drawn between segments: a picture stays a function of labels and noise.
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from synth import pipeline
from synth.base import checkpoint, device
from synth.base.config import check
from synth.base.documents import read_mapping
from synth.base.errors import UserError
from synth.base.runs import Tell, announced, claim, quiet, read_json
from synth.data.records import data_fingerprint
from synth.data.tensors import as_tensor
from synth.diffusion.process import saved_as
from synth.model.card import WEIGHTS, GeneratorCard, weights_fingerprint
from synth.model.denoiser import Denoiser, NetworkConfig
from synth.model.labels import LabelEncoding
from synth.pipeline import FundusPipeline
from synth.provenance.training_data import training_sources, with_more
from synth.training.ahead import Ahead
from synth.training.averages import PowerAverages
from synth.training.distill_config import DistillConfig
from synth.training.examples import Examples, Step
from synth.training.loop import accumulate, optimise
from synth.training.start import add_steps
from synth.training.teacher import TeacherTargets

FORMAT, VERSION = "visionclip-student-state", 1
_SEEN = 256  # pictures through which spaces are compared


def distill(
    config: DistillConfig,
    model: Path,
    data: Sequence[Path],
    run: Path,
    start: Path | None = None,
    tell: Tell = quiet,
) -> Path:
    """Tune a student of the generator `model` until it has seen `config.images`; the same call again resumes.

    It begins with the weights of its teacher, or of `start`: another student of the same teacher, or of the generator that
    the teacher's training began with.  Reads split `train` of the records in `data`.  Writes `run/config.json`, `run/metrics.jsonl`, `run/state.pt` (to
    resume) and `run/model/`, a generator as any other.  Returns that folder.
    """
    accelerator = _accelerator(config)
    chunk, folder = accumulate(accelerator, config.batch, config.micro_batch), pipeline.locate(model)
    teacher, card = pipeline.load(folder)
    _check_private(folder, card, data)
    student = _untuned(folder, teacher, card)
    targets = _targets(config, student, teacher, accelerator)
    provenance, trained_on = _provenance(card, folder, data, start)
    learnt = sorted({*card.learnt_from(), *map(data_fingerprint, data)})
    card = card.replaced(records=learnt, trained_on=trained_on, distilled=provenance | targets.student)
    mix = read_json(folder / "mix.json")
    with accelerator.main_process_first():
        examples = _examples(config, card, provenance, data, run, teacher.conditioning.labels)
    if start:
        _begin(student, start, provenance["teacher"], card, teacher, examples)
    tell([announced(run, "the student", config.images, config.save_every)])
    teacher.space.to(accelerator.device)  # type: ignore[call-arg]

    def rate(n_images: int) -> float:
        return config.share(n_images, chunk)

    def shown(positions: np.ndarray) -> Step:
        return examples.step(positions, student.shape, config.flip, config.label_dropout)

    steps = Ahead(shown, chunk, accelerator.device)

    def error(network: nn.Module, positions: np.ndarray) -> Tensor:
        images, codes, noise, time = steps(positions)
        with accelerator.autocast(), torch.no_grad():
            clean = teacher.encode(images)
        with accelerator.autocast():
            return targets.loss(network, clean, noise, codes, time)

    def keep(n_images: int, averages: PowerAverages) -> None:
        _export(run, n_images, student, averages, teacher, card, mix)

    kind, lengths = (FORMAT, VERSION), [config.average]
    optimise("distilling", config, chunk, accelerator, run, kind, student, lengths, rate, error, keep)
    return run / "model"


def _targets(
    config: DistillConfig, student: Denoiser, teacher: FundusPipeline, accelerator: Accelerator
) -> TeacherTargets:
    """What the student learns from: its teacher's network, which it is as yet a copy of, frozen."""
    frozen = (
        copy.deepcopy(student)
        .eval()
        .to(memory_format=device.layout(accelerator.device))
        .to(accelerator.device)
    )  # type: ignore[call-overload]
    steps = (config.steps, config.teacher_steps, config.guidance, config.target_steps, config.split)
    process, labels = teacher.process, teacher.conditioning.labels
    return TeacherTargets(frozen, teacher.config["student"], *steps, process, labels)


def _provenance(
    card: GeneratorCard, folder: Path, data: Sequence[Path], start: Path | None
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """What names teacher, data and start, and all that they were trained on.

    Raises:
        UserError: `start` is no student of this teacher, nor of the generator that its training began with.
    """
    provenance = {"teacher": weights_fingerprint(folder), "data": data_fingerprint(*data)}
    trained_on = with_more(card.trained_on, training_sources(data))
    if start:
        begun = pipeline.read_card(pipeline.locate(start))
        if begun.distilled is None or begun.distilled.teacher not in (provenance["teacher"], card.start):
            raise UserError(f"--start {start}: no student of this --model; leave it out, or name one that is")
        provenance["start"] = weights_fingerprint(pipeline.locate(start))
        trained_on = with_more(trained_on, begun.trained_on)
    return provenance, [each.to_json() for each in trained_on]


def _accelerator(config: DistillConfig) -> Accelerator:
    device.settle(deterministic=False)
    on_gpu = torch.cuda.is_available()
    precision = config.precision if config.precision != "auto" else "bf16" if device.has_bf16() else "no"
    # Without `cpu`, several processes on a machine without a GPU would each train alone.
    return Accelerator(mixed_precision=precision, cpu=not on_gpu)


def _examples(
    config: DistillConfig,
    card: GeneratorCard,
    provenance: dict[str, str],
    data: Sequence[Path],
    run: Path,
    vocabulary: LabelEncoding,
) -> Examples:
    """What the student is shown, prepared as its teacher saw it, once `run` is known to be this one."""
    wanted = {"config": config.model_dump(mode="json"), **provenance}
    claim(run, "config.json", wanted, "run", free=("config.images", "config.save_every", "config.on_nan"))
    return Examples(data, card.preprocessing, run / "cache", config.seed, 0, vocabulary)


def _untuned(folder: Path, teacher: FundusPipeline, card: GeneratorCard) -> Denoiser:
    """A student that knows what its teacher, of `folder`, knows.

    Raises:
        UserError: the card there tells another network than the one that lies there.
    """
    network = check(NetworkConfig, card.config.get("network", {}), str(folder / "visionclip.json"))
    student = Denoiser(network, teacher.size, teacher.conditioning.labels)
    with checkpoint.fitting(folder / "visionclip.json"):
        student.unet.load_state_dict(teacher.unet.state_dict())
        student.conditioning.load_state_dict(teacher.conditioning.state_dict())
    return student


def _begin(
    student: Denoiser,
    start: Path,
    fingerprint: str,
    card: GeneratorCard,
    teacher: FundusPipeline,
    examples: Examples,
) -> None:
    """Give the student the weights of `start`; of a student of the generator that the teacher's training began with, what
    that learnt beyond its own teacher.

    Args:
        fingerprint, card: of the teacher.
    """
    begun, told = pipeline.load(start)
    assert told.distilled
    if told.distilled.teacher == fingerprint:
        student.unet.load_state_dict(begun.unet.state_dict())
        student.conditioning.load_state_dict(begun.conditioning.state_dict())
        return
    first, _ = pipeline.load(_generator(told.distilled.teacher, start))
    images = as_tensor(examples[np.arange(min(len(examples), _SEEN))])
    add_steps(student, teacher.space, begun, first, images)


def _generator(fingerprint: str, start: Path) -> Path:
    """The teacher of `start`: it comes with the package, or lies beside it.

    Raises:
        UserError: it is not there.
    """
    beside = start.absolute().parent
    for each in (*WEIGHTS.iterdir(), *beside.iterdir()):
        for folder in (each, each / "model"):
            if (folder / "model_index.json").exists() and weights_fingerprint(folder) == fingerprint:
                return folder
    raise UserError(f"--start {start}: its teacher neither ships nor lies in {beside}; copy it there")


def _check_private(teacher: Path, card: GeneratorCard, data: Sequence[Path]) -> None:
    """A teacher that learnt within a budget of privacy must not show its student patients whom nothing protects."""
    if card.differential_privacy is None:
        return
    for folder in data:
        plan = read_mapping(folder / "plan.json")
        if plan.get("kind") != "synthetic" or plan.get("model") != weights_fingerprint(teacher):
            raise UserError(
                f"{folder}: photographs would void the differential privacy of {teacher}; "
                "give records that 'synth generate' drew from it"
            )


def _export(
    run: Path,
    n_images: int,
    student: Denoiser,
    averages: PowerAverages,
    teacher: FundusPipeline,
    card: GeneratorCard,
    mix: list[dict[str, Any]],
) -> None:
    """Write the averaged student as a generator's folder, unless it is there already."""
    process, folder, before = teacher.process, run / "model", run / "model" / "visionclip.json"
    assert card.distilled
    if before.exists() and (there := pipeline.read_card(folder).distilled) and there.images == n_images:
        return
    distilled = card.distilled.to_json() | {"images": n_images}
    averaged = copy.deepcopy(student)
    averaged.load_state_dict(student.state_dict() | averages.mean(averages.lengths[0]))
    averaged.eval().cpu()
    made = FundusPipeline(
        averaged.unet,
        process.student_scheduler(),
        averaged.conditioning,
        copy.deepcopy(teacher.space).cpu(),
        student={key: distilled[key] for key in ("steps", "guidance", "times") if key in distilled},
        process=saved_as(process),
    )
    pipeline.save(made, folder, card.replaced(libraries=checkpoint.versions(), distilled=distilled), mix)
