"""Image statistics of initial weights: a tower that learnt with others than CLIP's gets them in its first convolution."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from clip.model.encoders import MEAN, STD
from clip.zoo.foreign import rescaling
from clip.zoo.preprocessing import IMAGENET_MEAN, IMAGENET_STD, VISIONFM_MEAN, VISIONFM_STD, Deviations, Three
from synth.base.config import check
from synth.base.documents import read_mapping
from synth.base.errors import UserError
from synth.base.stored import Stored

_BESIDE = {"config.json": "pretrained_cfg", "open_clip_config.json": "preprocess_cfg"}
"""Files beside weights that tell the statistics, and where in them: timm's and open_clip's."""
_RETFOUND = ("decoder_", "mask_token", "backbone.")
"""What names of RETFound's MAE or a teacher of DINOv2 begin with, and names of timm do not."""


class Statistics(Stored):
    """By what the pictures of a tower were scaled."""

    mean: Three
    """Subtracted from channels in [0, 1]."""
    std: Deviations
    """What the difference was divided by."""


def of(content: Any, tensors: dict[str, Tensor], path: Path, tower: nn.Module) -> Statistics:
    """The statistics of somebody else's file.

    Its folder tells them, as timm and open_clip write it; else those of VisionFM and RETFound (ImageNet's) are known, a CLIP's
    are CLIP's, and of others timm tells them by the name of the network.

    Raises:
        UserError: the folder says what no statistics are.
    """
    for name, section in _BESIDE.items():
        beside = path.parent / name
        said: Any = read_mapping(beside).get(section) if beside.is_file() else None
        if isinstance(said, dict) and {"mean", "std"} <= said.keys():
            return check(Statistics, {key: said[key] for key in ("mean", "std")}, f"{beside}: {section}")
    if any(name.startswith("visual.") for name in tensors):
        return Statistics(mean=MEAN, std=STD)
    teacher = any(name.startswith("backbone.") for name in tensors)
    if "visionfm_state_dict" in content or (teacher and not any(".ls1." in name for name in tensors)):
        return Statistics(mean=VISIONFM_MEAN, std=VISIONFM_STD)
    if any(name.startswith(_RETFOUND) for name in tensors):
        return Statistics(mean=IMAGENET_MEAN, std=IMAGENET_STD)
    known: Any = tower.pretrained_cfg
    return Statistics(mean=known["mean"], std=known["std"])


def in_clips_scale(
    tensors: dict[str, Tensor], tower: nn.Module, own: Statistics, path: Path
) -> dict[str, Tensor]:
    """The weights of a tower with which pictures in CLIP's scale give what pictures in its own gave.

        W (f x + o) + b = (f W) x + (b + W o)

    with f and o of `rescaling`.  Without a bias, the batch norm that follows takes W o off its mean.  Exact where the
    first convolution does not pad; where it does, but for a rim of padding, which is grey of CLIP's mean then.
    Weights that lack this layer, or have another, are given back as they are; `weights.fit` refuses them.

    Raises:
        UserError: the first layer has neither a bias nor a batch norm.
    """
    if (own.mean, own.std) == (MEAN, STD):
        return tensors
    first = str(tower.pretrained_cfg["first_conv"])  # type: ignore[index]
    modules = [name for name, _ in tower.named_modules()]
    after = modules[modules.index(first) + 1] if first in modules[:-1] else ""
    norm = isinstance(tower.get_submodule(after), nn.BatchNorm2d)
    at = next(
        (name for name in (f"{first}.bias", *([f"{after}.running_mean"] * norm)) if name in tensors), None
    )
    if not after or (at is None and f"{first}.bias" not in tower.state_dict() and not norm):
        raise UserError(
            f"{path}: learnt from pictures of mean {own.mean}, for which '{first}' has no bias; start from a network of "
            "another stem"
        )
    matrix = tensors.get(f"{first}.weight")
    if (
        matrix is None
        or at is None
        or matrix.ndim != 4
        or matrix.shape[1] != 3
        or len(matrix) != len(tensors[at])
    ):
        return tensors
    factor, offset = rescaling(own.mean, own.std)
    shift = (matrix * offset).sum((1, 2, 3))
    moved = tensors[at] + shift if at.endswith("bias") else tensors[at] - shift
    return tensors | {f"{first}.weight": matrix * factor, at: moved}
