"""Weights of ours under Chinese-CLIP's names, and back.

Chinese-CLIP's `ModifiedResNet` is timm's `resnet50_clip` by other names, its ViT is `cn_clip_vit`'s; BERT, projection and scale
share theirs.
"""

import re
from pathlib import Path
from typing import Any

from torch import Tensor

from clip.export import cn_clip_vit
from clip.model import checkpoints
from clip.model.encoders import CLIP, ClipConfig, build
from clip.zoo import chinese_clip
from clip.zoo.chinese_clip import HEAD_WIDTH, HEADS, OURS
from synth.base import checkpoint
from synth.base.errors import UserError

_RENAMED = (  # ours, theirs; {1} is a stage, which they count from 1
    (r"visual\.stem\.conv(\d)\.conv\.", r"visual.conv\1."),
    (r"visual\.stem\.conv(\d)\.bn\.", r"visual.bn\1."),
    (r"visual\.stages\.(\d)\.(\d+)\.shortcut\.conv\.conv\.", r"visual.layer{\1}.\2.downsample.0."),
    (r"visual\.stages\.(\d)\.(\d+)\.shortcut\.conv\.bn\.", r"visual.layer{\1}.\2.downsample.1."),
    (r"visual\.stages\.(\d)\.(\d+)\.conv(\d)_(?:1x1|kxk)\.conv\.", r"visual.layer{\1}.\2.conv\3."),
    (r"visual\.stages\.(\d)\.(\d+)\.conv(\d)_(?:1x1|kxk)\.bn\.", r"visual.layer{\1}.\2.bn\3."),
    (r"visual\.head\.pos_embed$", r"visual.attnpool.positional_embedding"),
    (r"visual\.head\.([qkv])\.", r"visual.attnpool.\1_proj."),
    (r"visual\.head\.proj\.", r"visual.attnpool.c_proj."),
)


def cn_clip_name(name: str) -> str:
    """What Chinese-CLIP calls a parameter of ours."""
    for ours, theirs in _RENAMED:
        renamed, count = re.subn(ours, theirs, name)
        if count:  # stages count from 0, layers from 1
            return re.sub(r"\{(\d)\}", lambda found: str(int(found[1]) + 1), renamed)
    return name


def cn_clip_weights(model: CLIP) -> dict[str, Tensor]:
    """The state dict of Chinese-CLIP's `CLIP` that computes what `model` does.

    It has no place for a bias; that changes no embedding and no order.

    Raises:
        UserError: the image tower is neither CLIP's ResNet nor its ViT.
    """
    weights = model.state_dict()
    weights.pop("logit_bias", None)
    if _is_resnet(model.config):
        _check_size(model.config)
        return {cn_clip_name(name): tensor for name, tensor in weights.items()}
    return _without_tower(weights) | cn_clip_vit.weights(model)[0]


def ours(config: ClipConfig, weights: dict[str, Tensor], where: str) -> CLIP:
    """A model of ours, in evaluation mode, with the state dict of Chinese-CLIP's `CLIP`.

    Raises:
        UserError: the weights are of another architecture than `config`.
    """
    model = build(config.model_copy(update={"bias": False}))
    plain = {name.removeprefix("module."): tensor.float() for name, tensor in weights.items()}
    if _is_resnet(config):
        _check_size(config)
        wanted = {cn_clip_name(name): name for name in model.state_dict()}
    else:
        plain = _without_tower(plain) | cn_clip_vit.ours(model, plain, where)
        wanted = {name: name for name in model.state_dict()}
    missing = sorted(set(wanted) - set(plain))
    if missing:
        raise UserError(f"{where}: '{missing[0]}' is missing; does --config name its architecture?")
    # Chinese-CLIP's own trainer leaves a pooler behind that nothing uses.
    left = sorted(name for name in set(plain) - set(wanted) if not name.startswith("bert.pooler."))
    if left:
        raise UserError(
            f"{where}: '{left[0]}' has no place in the model; does --config name its architecture?"
        )
    try:
        model.load_state_dict({name: plain[theirs] for theirs, name in wanted.items()})
    except RuntimeError as error:
        line = str(error).splitlines()[-1].strip()
        raise UserError(f"{where}: {line}; does --config name its architecture and size?") from None
    return model.eval()


def _without_tower(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in weights.items() if not name.startswith("visual.")}


def to_cn_clip(path: Path, out: Path) -> None:
    """Write a checkpoint of ours as a file that Chinese-CLIP loads."""
    model, head = checkpoints.load(path)
    # Chinese-CLIP's loader expects the prefix that DistributedDataParallel leaves, and these three keys.
    weights = {f"module.{name}": tensor for name, tensor in cn_clip_weights(model).items()}
    checkpoint.save(
        out,
        {
            "epoch": 0,
            "step": head.images if "images" in head.model_fields_set else 0,
            "name": "visionclip",
            HEADS: model.config.text.heads,
            OURS: model.config.model_dump(mode="json", include={"preprocessing", "context"}),
            **({} if _is_resnet(model.config) else {HEAD_WIDTH: cn_clip_vit.weights(model)[1]}),
            "state_dict": weights,
        },
    )


def from_cn_clip(path: Path, config: ClipConfig, out: Path) -> None:
    """Write a checkpoint of Chinese-CLIP as one of ours.

    Raises:
        UserError: not such a checkpoint, or of another architecture than `config`.
    """
    content: Any = checkpoint.load(path)
    weights = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(weights, dict):
        raise UserError(f"{path}: no 'state_dict' in it; give a checkpoint that Chinese-CLIP's trainer wrote")
    heads = content.get(HEADS, config.text.heads)
    if heads != config.text.heads:
        raise UserError(
            f"{path}: {HEADS}={heads!r}, where --config says model.text.heads={config.text.heads}; give the config "
            "that it was trained with"
        )
    model = ours(config, weights, str(path))
    if not _is_resnet(config):
        _, own = cn_clip_vit.weights(model)
        if own != (content.get(HEAD_WIDTH) or chinese_clip.head_width(weights, str(path))):
            raise UserError(
                f"{path}: an image tower with other heads than --config's, which are {own} wide; give the config that it "
                "was trained with"
            )
    checkpoint.save(out, checkpoints.header(model, images=None, data=None) | {"weights": model.state_dict()})


def _is_resnet(config: ClipConfig) -> bool:
    return config.image.name.endswith("_clip")


def _check_size(config: ClipConfig) -> None:
    if config.preprocessing.size % 32:
        raise UserError(
            f"model.preprocessing.size={config.preprocessing.size}: Chinese-CLIP needs a multiple of 32"
        )
