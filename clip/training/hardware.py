"""What a training runs on, and what makes it faster or smaller there."""

from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs

from clip.model.encoders import CLIP
from clip.training.config import TrainConfig
from synth.base import extras
from synth.base.device import has_bf16, settle
from synth.base.errors import UserError


def accelerator(config: TrainConfig, run: Path) -> Accelerator:
    """Processes, precision, compilation and trackers as the config wants them.

    Raises:
        UserError: the batch cannot be shared by the processes, or what is wanted is not here.
    """
    extras.require("trackers", *config.trackers)
    if config.compile and not torch.cuda.is_available():
        raise UserError("compile=true needs a GPU: on the CPU it takes minutes and gains nothing")
    settle(config.deterministic)
    made = Accelerator(
        mixed_precision=_precision(config.precision),
        dynamo_backend="inductor" if config.compile else None,
        # Without `cpu`, several processes on a machine without a GPU would each train alone.
        cpu=not torch.cuda.is_available(),
        log_with=list(config.trackers) or None,
        # Without that loss, parameters that no other reaches would be waited for.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=not config.weights.image_text)],
        project_dir=run / "trackers",
    )
    ranks = made.num_processes
    if config.batch % ranks:
        raise UserError(
            f"batch={config.batch} must be a multiple of the {ranks} GPUs; set batch={config.batch // ranks * ranks}"
        )
    return made


def checkpoint_towers(model: CLIP) -> None:
    """Compute activations again for the gradients instead of keeping them, block by block in both towers.

    Raises:
        UserError: the image tower cannot.
    """
    image, text = cast(Any, model.visual), cast(Any, model.bert)
    # What transformers 5.0 called otherwise.
    named = ("activation_checkpointing_enable", "gradient_checkpointing_enable")
    next(getattr(text, name) for name in named if hasattr(text, name))({"use_reentrant": False})
    try:
        image.set_grad_checkpointing(True)
    except (AssertionError, AttributeError):
        name = model.config.image.name
        raise UserError(f"gradient_checkpointing=true: timm's '{name}' cannot; set it to false") from None


def flat(line: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of nested metrics under names like `zero_shot/dr5/kappa/value`, as trackers take them."""
    found: dict[str, float] = {}
    for name, value in line.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            found[prefix + name] = value
    return found


def _precision(wanted: str) -> str:
    return "bf16" if wanted == "bf16" or (wanted == "auto" and has_bf16()) else "no"
