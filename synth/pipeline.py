"""A trained generator: a diffusers pipeline that is saved as a diffusers folder.

folder/model_index.json  unet/  scheduler/  conditioning/  space/      what diffusers opens
folder/visionclip.json                                                what we add: format, config, provenance
folder/mix.json                                                       label combinations to sample from
"""

import shutil
from os import PathLike
from pathlib import Path
from typing import Any

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

from synth.base import documents, pretrained
from synth.base.device import layout
from synth.base.disk_errors import disk_error, writing
from synth.base.errors import UserError
from synth.base.runs import read_json, write_json
from synth.base.weights import check_finite, share
from synth.data.tensors import as_pictures
from synth.diffusion.process import PROCESSES, Prediction, Process, Timestep, opened
from synth.diffusion.samplers import SAMPLERS, Sampler, guided
from synth.model import folders
from synth.model.card import FORMAT as FORMAT
from synth.model.card import INTERVAL as INTERVAL
from synth.model.card import VERSION as VERSION
from synth.model.card import GeneratorCard, check_sums, locate, read_card, sampling_defaults, sums
from synth.model.conditioning import LabelConditioning
from synth.model.denoiser import add_coordinates
from synth.model.latent import LatentSpace
from synth.model.wavelet import WaveletSpace
from synth.provenance import publication
from synth.provenance.model_card import write_model_card


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
        process: dict[str, Any] | None = None,
    ) -> None:
        """
        Args:
            student: of a distilled generator, the `steps` that it was made for, the `guidance` that it holds, and
                     the `times` of its steps where they are uneven.
            process: name and version of the generative process, where `scheduler` does not say it (`saved_as`).
        """
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler, conditioning=conditioning, space=space)
        self.register_to_config(student=student, **({"process": process} if process else {}))
        self._process: Process | None = None
        self._recorded = False

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | PathLike[str], **_: Any
    ) -> "FundusPipeline":
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

    @property
    def process(self) -> Process:
        """The generative process, from the scheduler and what the folder says beside it."""
        if self._process is None or self._process.scheduler is not self.scheduler:
            self._process = opened(self.scheduler, self.config.get("process"))
        return self._process

    def encode(self, images: Tensor) -> Tensor:
        """(B, C, H, W) float32, what the denoiser works on, of (B, 3, S, S) images in [-1, 1]."""
        return self.space.encode(images).float().contiguous(memory_format=layout(images.device))

    def to(self, *arguments: Any, **settings: Any) -> "FundusPipeline":
        """Move it, as diffusers does; weights that come to a GPU lie there as suits it."""
        super().to(*arguments, **settings)
        if self.device.type == "cuda":
            for module in (self.unet, self.space):
                module.to(memory_format=layout(self.device))  # type: ignore[call-arg]
        return self

    def compile(self) -> None:
        """Have the denoiser compiled for the batch that comes first, on a GPU with its launches recorded once (CUDA graphs).

        The first pass takes minutes; each is then in one piece, and another batch is compiled anew.  Sampled pictures differ in the
        last digits from those of the network as it is.
        """
        self.unet.compile(mode="reduce-overhead", dynamic=False)
        self._recorded = True

    def decode(self, clean: Tensor) -> Tensor:
        """(B, 3, S, S) images in [-1, 1] of (B, C, H, W) that the denoiser works on."""
        return self.space.decode(clean).clamp(-1, 1)

    def predict(
        self,
        noisy: Tensor,
        timestep: Timestep,
        codes: Tensor,
        guidance: float = 1.0,
        interval: tuple[float, float] = INTERVAL,
    ) -> Prediction:
        """What the network says of noisy pictures: its output, and the noise and the image that follow from it.

        Args:
            noisy:    (B, C, H, W).
            timestep: one for all, or (B,) int64 in [0, 1000).
            codes:    (B, L) int64, or (B, L + D) float32; `conditioning.labels` makes them.
            guidance: scale of classifier-free guidance, 1 is none.
            interval: guidance acts while the share of diffusion time left lies within.
        """
        times = torch.as_tensor(timestep)
        output = guided(self._network, noisy, times, *self._conditions(codes), guidance, interval)
        return Prediction(self.process, noisy, timestep, output)

    def untrained(self, seed: int) -> "FundusPipeline":
        """The same architecture and space with fresh random weights, drawn from torch's seed `seed`."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            unet, conditioning = _fresh(self.unet), _fresh(self.conditioning)
        return FundusPipeline(
            unet, self.scheduler, conditioning, self.space, self.config["student"], self.config.get("process")
        )

    @torch.inference_mode()
    def __call__(
        self,
        codes: Tensor,
        noise: Tensor,
        steps: int | None = None,
        guidance: float | None = None,
        interval: tuple[float, float] = INTERVAL,
        sampler: Sampler | None = None,
    ) -> Tensor:
        """Draw one picture per row.

        Args:
            codes:    (B, L) int64 label codes, or (B, L + D) float32 with the vectors of captions behind them.
            noise:    (B, C, H, W) standard normal; the picture is a function of codes and noise.
            steps:    sampler steps; None is 20, or those of a student.
            guidance: scale of classifier-free guidance (2207.12598), 1 is none; None is 2, or a student's 1.
            interval: guidance acts while the share of diffusion time left lies within (2404.07724).
            sampler:  one of `samplers.SAMPLERS`, or another; None is what the process is sampled by.

        Returns:
            (B, S, S, 3) uint8.

        Raises:
            UserError: a student is asked for other steps than its own, or for more guidance; or what is drawn is no number.
        """
        steps, guidance = sampling_defaults(self.config["student"], steps, guidance)
        uneven = (self.config["student"] or {}).get("times")
        process, vectors = self.process, self._conditions(codes)

        def predict(noisy: Tensor, timestep: Tensor) -> Tensor:
            return guided(self._network, noisy, timestep, *vectors, guidance, interval)

        draw = sampler or SAMPLERS["ddim" if uneven else process.sampler]
        images = self.decode(draw(process, predict, noise, uneven or steps))
        if not images.isfinite().all():
            raise UserError(
                "the generator draws no numbers (NaN or infinity): its weights are damaged, or its training diverged; "
                "take an earlier one, or train again with a lower lr"
            )
        return as_pictures(images).contiguous()

    def _conditions(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) what the network is told of `codes`, and where nothing is known."""
        free = self.conditioning.unconditional(codes)
        return self.conditioning(codes).to(self.unet.dtype), self.conditioning(free).to(self.unet.dtype)

    def _network(self, noisy: Tensor, timestep: Tensor, vectors: Tensor) -> Tensor:
        noisy = add_coordinates(noisy).to(self.unet.dtype)
        if not timestep.ndim and noisy.device.type != "cpu":  # written there: a copy would be waited for
            timestep = torch.full((len(noisy),), int(timestep), device=noisy.device)
        output = self.unet(noisy, timestep, class_labels=vectors).sample
        return output.clone() if self._recorded else output  # the next pass would write over it


def _fresh(part: Any) -> Any:
    """A network of the same settings, with weights of its own."""
    return type(part).from_config(part.config).eval().to(part.device)


def save(pipeline: FundusPipeline, folder: Path, card: GeneratorCard, mix: list[dict[str, Any]]) -> None:
    """Write the folder beside its final place, then swap it in; a kill leaves the old one or none.

    Raises:
        UserError: weights are no numbers, or the disk is full.
    """
    check_finite(_parts(pipeline), str(folder))
    fresh = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        with writing(folder):
            pipeline.save_pretrained(fresh, safe_serialization=True)
        for config in fresh.glob("*/config.json"):  # diffusers notes where each part was read from
            write_json(config, {k: v for k, v in read_json(config).items() if k != "_name_or_path"})
        write_json(fresh / "mix.json", mix)
        share(fresh, fresh / "mix.json")
        write_json(fresh / "visionclip.json", card.replaced(files=sums(fresh)).to_json())
        if (folder / publication.FILE).exists():
            shutil.copy(folder / publication.FILE, fresh)
        write_model_card(fresh)
        if folder.exists():
            shutil.rmtree(folder)
        fresh.replace(folder)
    except OSError as error:
        raise disk_error(folder, error) from error


def _parts(pipeline: FundusPipeline) -> dict[str, Any]:
    """What is trained of a generator."""
    return {"unet": pipeline.unet, "conditioning": pipeline.conditioning, "space": pipeline.space}


def _schedulers(folder: Path, index: dict[str, Any]) -> tuple[Any, ...]:
    """Those that a new generator of the process, and a student, would have; none of a process that is not known."""
    path = folder / "scheduler/scheduler_config.json"
    name = (index.get("process") or {}).get("name") or documents.read_mapping(path).get("prediction_type")
    if name not in PROCESSES:
        return ()
    process = PROCESSES[name]()
    return process.new_scheduler(), process.student_scheduler()


def load(model: Path) -> tuple[FundusPipeline, GeneratorCard]:
    """Open a generator and what it says of itself; nothing that the folder holds is executed.

    Raises:
        UserError: absent, foreign or damaged.
    """
    folder = locate(model)
    card = read_card(folder)
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    index: dict[str, Any] = folders.read_index(folder)
    folders.check_index(
        folder / "model_index.json", index, (*FundusPipeline.__annotations__, "student", "process")
    )
    kinds = folders.kinds_of(folder, index, FundusPipeline.__annotations__)
    folders.check_size(folder, card.preprocessing.size)
    folders.check_schedule(folder, kinds["scheduler"], _schedulers(folder, index))
    check_sums(folder, card)
    weights = {"use_safetensors": True, "torch_dtype": torch.float32}
    try:
        pipeline = FundusPipeline(
            **{
                part: pretrained.part(
                    kind, folder / part, **(weights if issubclass(kind, ModelMixin) else {})
                )
                for part, kind in kinds.items()
            },
            student=index.get("student"),
            process=index.get("process"),
        )
        assert pipeline.process  # is known, and of no later version
    except UserError as error:
        raise UserError(f"{folder}: {error}") from None
    except pretrained.errors() as error:
        raise UserError(
            f"{folder}: damaged generator ({pretrained.reason(error)}); copy or train it again"
        ) from None
    check_finite(_parts(pipeline), str(folder))
    bands = pipeline.space.channels
    if (pipeline.unet.config["in_channels"], pipeline.unet.config["out_channels"]) != (bands + 2, bands):
        raise UserError(f"{folder}: its unet does not take {bands} bands and 2 coordinates; train it again")
    for module in (pipeline.unet, pipeline.space):
        module.eval().to(memory_format=torch.channels_last)  # type: ignore[call-arg]
    return pipeline, card
