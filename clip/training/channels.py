"""Image statistics of initial weights: a tower that learnt with others than CLIP's gets them in its first convolution."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from clip.model.encoders import MEAN, STD
from clip.zoo.foreign import rescaling
from clip.zoo.preprocessing import IMAGENET_MEAN, IMAGENET_STD, VISIONFM_MEAN, VISIONFM_STD, Three
from synth.base.documents import read_mapping
from synth.base.errors import UserError

_RETFOUND = ("decoder_", "mask_token", "backbone.")
"""What names of RETFound's MAE or a teacher of DINOv2 begin with, and names of timm do not."""


def of(content: Any, tensors: dict[str, Tensor], path: Path, tower: nn.Module) -> tuple[Three, Three]:
    """Mean and deviation of the pictures, in [0, 1], that a file without texts learnt from.

    VisionFM's and RETFound's (ImageNet's) are known; of others `config.json` beside the file tells, as timm writes it, or
    else timm by the name of the network.
    """
    teacher = any(name.startswith("backbone.") for name in tensors)
    if "visionfm_state_dict" in content or (teacher and not any(".ls1." in name for name in tensors)):
        return VISIONFM_MEAN, VISIONFM_STD
    if any(name.startswith(_RETFOUND) for name in tensors):
        return IMAGENET_MEAN, IMAGENET_STD
    beside = path.parent / "config.json"
    said: Any = read_mapping(beside).get("pretrained_cfg") if beside.is_file() else None
    known: Any = said if isinstance(said, dict) and {"mean", "std"} <= said.keys() else tower.pretrained_cfg
    return tuple(known["mean"]), tuple(known["std"])


def in_clips_scale(
    tensors: dict[str, Tensor], tower: nn.Module, mean: Three, std: Three
) -> dict[str, Tensor]:
    """The weights of a tower with which pictures in CLIP's scale give what pictures in theirs gave.

        W (f x + o) + b = (f W) x + (b + W o)

    with f and o of `rescaling`.  Without a bias, the batch norm that follows takes W o off its mean.  Exact where the
    first convolution does not pad; where it does, but for a rim of padding, which is grey of CLIP's mean then.

    Raises:
        UserError: the first layer has neither a bias nor a batch norm.
    """
    if (tuple(mean), tuple(std)) == (MEAN, STD):
        return tensors
    first = str(tower.pretrained_cfg["first_conv"])  # type: ignore[index]
    matrix = tensors.get(f"{first}.weight")
    if matrix is None:
        return tensors  # of another network, which is told when it is fitted
    factor, offset = rescaling(mean, std)
    shift, taken = (matrix * offset).sum((1, 2, 3)), {f"{first}.weight": matrix * factor}
    names = [name for name, _ in tower.named_modules()]
    later = [tower.get_submodule(name) for name in names[names.index(first) + 1 :]]
    if f"{first}.bias" in tensors:
        taken[f"{first}.bias"] = tensors[f"{first}.bias"] + shift
    elif later and isinstance(later[0], nn.BatchNorm2d):
        norm = f"{names[names.index(first) + 1]}.running_mean"
        taken[norm] = tensors[norm] - shift
    else:
        raise UserError(
            f"'{first}' has no bias that could take its statistics (mean {mean}); start from a network of another stem"
        )
    return tensors | taken
