"""A trained generator: a diffusers pipeline that is saved as a diffusers folder.

folder/model_index.json  unet/  scheduler/  conditioning/  space/      what diffusers opens
folder/visionclip.json                                                what we add: format, config, provenance
folder/mix.json                                                       label combinations to sample from
"""

import shutil
from inspect import signature
from pathlib import Path
from typing import Any, get_args

import torch
from diffusers import (
    DDIMScheduler,  # type: ignore[attr-defined]
    DiffusionPipeline,  # type: ignore[attr-defined]
    DPMSolverMultistepScheduler,  # type: ignore[attr-defined]
    UNet2DModel,  # type: ignore[attr-defined]
)
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils import logging as diffusers_logging
from torch import Tensor

from synth.base import arguments, pretrained
from synth.base.errors import UserError
from synth.base.runs import disk_error, read_json, write_json
from synth.diffusion import process
from synth.model.card import FORMAT as FORMAT
from synth.model.card import INTERVAL as INTERVAL
from synth.model.card import VERSION as VERSION
from synth.model.card import GeneratorCard, locate, read_card, sampling_defaults
from synth.model.conditioning import LabelConditioning, unconditional
from synth.model.denoiser import placed
from synth.model.latent import LatentSpace
from synth.model.wavelet import WaveletSpace
from synth.provenance import publication
from synth.provenance.model_card import write_model_card

_NOTES = ("_class_name", "_diffusers_version", "_name_or_path", "_use_default_values")
"""What diffusers notes in a configuration beside the arguments of the class, and nothing is built from."""


class FundusPipeline(DiffusionPipeline):
    """Label codes and noise in, photographs out."""

    unet: UNet2DModel
    scheduler: DPMSolverMultistepScheduler | DDIMScheduler
    conditioning: LabelConditioning
    space: WaveletSpace | LatentSpace

    def __init__(
        self,
        unet: UNet2DModel,
        scheduler: DPMSolverMultistepScheduler | DDIMScheduler,
        conditioning: LabelConditioning,
        space: WaveletSpace | LatentSpace,
        student: dict[str, Any] | None = None,
    ) -> None:
        """`student`: of a distilled generator, the `steps` that it was made for, the `guidance` that it holds, and
        the `times` of its steps where they are uneven."""
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler, conditioning=conditioning, space=space)
        self.register_to_config(student=student)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **_: Any) -> "FundusPipeline":
        """Open a generator's folder, as `load` does; diffusers would import the modules that the folder names.

        Raises:
            UserError: absent, foreign or damaged.
        """
        return load(Path(pretrained_model_name_or_path))[0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the noise of one image."""
        side = self.unet.config["sample_size"]
        return self.unet.config["out_channels"], side, side

    @property
    def size(self) -> int:
        """Pixels a side of the pictures."""
        return self.shape[1] * self.space.factor

    @torch.inference_mode()
    def __call__(
        self,
        codes: Tensor,
        noise: Tensor,
        steps: int | None = None,
        guidance: float | None = None,
        interval: tuple[float, float] = INTERVAL,
    ) -> Tensor:
        """Draw one picture per row.

        Args:
            codes:    (B, L) int64 label codes, or (B, L + D) float32 with the vectors of captions behind them.
            noise:    (B, C, H, W) standard normal; the picture is a function of codes and noise.
            steps:    solver steps; None is 20, or those of a student.
            guidance: scale of classifier-free guidance (2207.12598), 1 is none; None is 2, or a student's 1.
            interval: guidance acts while the share of diffusion time left lies within (2404.07724).

        Returns:
            (B, S, S, 3) uint8.

        Raises:
            UserError: a student is asked for other steps than its own, or for more guidance.
        """
        steps, guidance = sampling_defaults(self.config["student"], steps, guidance)
        told, untold = (self.conditioning(c).to(self.unet.dtype) for c in (codes, unconditional(codes)))
        self.scheduler.set_timesteps(steps, device=noise.device)
        last = self.scheduler.config["num_train_timesteps"]
        uneven = (self.config["student"] or {}).get("times")
        angles = process.angles()
        sample = noise
        for number, step in enumerate(torch.tensor(uneven) if uneven else self.scheduler.timesteps):
            noisy = placed(sample).to(self.unet.dtype)
            velocity = self.unet(noisy, step, class_labels=told).sample.float()
            if guidance != 1 and interval[0] <= float(step) / last <= interval[1]:
                free = self.unet(noisy, step, class_labels=untold).sample.float()
                velocity = free + guidance * (velocity - free)
            if uneven:  # the scheduler knows even steps alone
                sample = process.jump(sample, velocity, angles[step] - angles[[*uneven, -1][number + 1]])
            else:
                sample = self.scheduler.step(velocity, step, sample, return_dict=False)[0]  # type: ignore[arg-type]
        images = self.space.decode(sample)
        return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def save(pipeline: FundusPipeline, folder: Path, card: GeneratorCard, mix: list[dict[str, Any]]) -> None:
    """Write the folder beside its final place, then swap it in; a kill leaves the old one or none."""
    fresh = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        pipeline.save_pretrained(fresh, safe_serialization=True)
        for config in fresh.glob("*/config.json"):  # diffusers notes where each part was read from
            write_json(config, {k: v for k, v in read_json(config).items() if k != "_name_or_path"})
        write_json(fresh / "mix.json", mix)
        write_json(fresh / "visionclip.json", card.to_json())
        if (folder / publication.FILE).exists():
            shutil.copy(folder / publication.FILE, fresh)
        write_model_card(fresh)
        if folder.exists():
            shutil.rmtree(folder)
        fresh.replace(folder)
    except OSError as error:
        raise disk_error(folder, error) from error


def load(model: Path) -> tuple[FundusPipeline, GeneratorCard]:
    """Open a generator and what it says of itself; nothing that the folder holds is executed.

    Raises:
        UserError: absent, foreign or damaged.
    """
    folder = locate(model)
    card = read_card(folder)
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    index = arguments.read_mapping(folder / "model_index.json")
    _check_index(folder / "model_index.json", index)
    kinds = {part: _kind(folder, part, index.get(part)) for part in FundusPipeline.__annotations__}
    for part, kind in kinds.items():
        _check_part(folder / part / kind.config_name, kind)
    weights = {"use_safetensors": True, "torch_dtype": torch.float32}
    try:
        pipeline = FundusPipeline(
            **{
                part: kind.from_pretrained(
                    folder / part, local_files_only=True, **(weights if issubclass(kind, ModelMixin) else {})
                )
                for part, kind in kinds.items()
            },
            student=index.get("student"),
        )
    except pretrained.errors() as error:
        raise UserError(
            f"{folder}: damaged generator ({pretrained.reason(error)}); copy or train it again"
        ) from None
    bands = pipeline.space.channels
    if (pipeline.unet.config["in_channels"], pipeline.unet.config["out_channels"]) != (bands + 2, bands):
        raise UserError(f"{folder}: its unet does not take {bands} bands and 2 coordinates; train it again")
    for module in (pipeline.unet, pipeline.space):
        module.eval().to(memory_format=torch.channels_last)  # type: ignore[call-arg]
    return pipeline, card


def _kind(folder: Path, part: str, found: Any) -> Any:
    """The class of one part of a generator, among those that the pipeline takes; no other is opened."""
    taken = FundusPipeline.__annotations__[part]
    known = {kind.__name__: kind for kind in get_args(taken) or (taken,)}
    library, name = found if isinstance(found, list) and len(found) == 2 else (None, None)
    kind = known.get(str(name))
    if kind is None or _package(str(library)) != _package(kind.__module__):  # a module may have moved since
        raise UserError(
            f"{folder}/model_index.json: '{part}' is {found}, not a {' or '.join(known)}; "
            "copy or train the generator again"
        )
    return kind


def _package(module: str) -> str:
    return module.partition(".")[0]


def _check_index(path: Path, index: dict[str, Any]) -> None:
    """Refuse parts that a generator of ours does not have: diffusers would import what they name."""
    known = (*FundusPipeline.__annotations__, "student", *_NOTES)
    other = next((name for name in index if name not in known), None)
    if index.get("_class_name", "FundusPipeline") != "FundusPipeline":
        other = "_class_name"
    if other:
        raise UserError(
            f"{path}: '{other}' is {index[other]!r}, which no generator of 'synth train' says; "
            "copy or train the generator again"
        )


def _check_part(path: Path, kind: Any) -> None:
    """Refuse a configuration that says more than its class's own constructor takes."""
    known = {name for name in signature(kind.__init__).parameters if name not in ("self", "kwargs")}
    try:
        arguments.check_arguments(
            {name: value for name, value in arguments.read_mapping(path).items() if name not in _NOTES},
            known,
            "copy or train the generator again",
        )
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
