"""RETFound: a vision transformer that learnt from retinal photographs without texts; an image tower alone."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clip.zoo import weights
from clip.zoo.foreign import Foreign, ForeignConfig, fetch
from clip.zoo.preprocessing import IMAGENET_MEAN, IMAGENET_STD, ForeignPreprocessing
from synth.base.errors import UserError

_TRAINING_ONLY = ("decoder_", "mask_token", "masked_embed", "head.", "dino_head.", "ibot_head.")
_MAE = ("decoder_", "mask_token", "fc_norm.")
"""What RETFound's MAE, or a fine-tuned one, has and a teacher of iBOT lacks."""
_HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16}
"""Of vision transformers from tiny to huge by width (2010.11929, 2012.12877); no weight tells them."""
_SIZE = 224
"""Pixels a side that its fine-tuning shows to either version, whatever DINOv2's grid of positions was."""


def load(source: str) -> Foreign:
    """RETFound from its authors' file (rmaphoh/RETFound_MAE): `model` of the MAE, `teacher` of the DINOv2 version.

    Features are those that its fine-tuning starts from: of the MAE the mean of the patch tokens, normalised; of
    DINOv2 the class token, over positions that are interpolated to 224 px as `util/pos_embed.py` does.

    Raises:
        UserError: no such file, not a vision transformer's, or VisionFM's.
    """
    name = source.rpartition("/")[2]
    path = fetch(source, (f"{name}.pth",))
    return from_weights(weights.read(path), path)


def plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of the encoder alone, under timm's names."""
    renamed = {"backbone.": "", "mlp.w12.": "mlp.fc1.", "mlp.w3.": "mlp.fc2."}  # as `main_finetune.py` does
    named = {}
    for name, value in tensors.items():
        for theirs, ours in renamed.items():
            name = name.replace(theirs, ours)
        named[name] = value
    return {name: value for name, value in named.items() if not name.startswith(_TRAINING_ONLY)}


def from_weights(tensors: dict[str, Tensor], path: Path) -> Foreign:
    """The tower whose shape the weights tell."""
    from timm.models.vision_transformer import VisionTransformer

    kept = plain(tensors)
    scaled = "blocks.0.ls1.gamma" in kept  # DINOv2
    shape: dict[str, Any] = architecture(kept, path, "RETFound") | {"init_values": 1e-5 if scaled else None}
    if not scaled and not any(name.startswith(_MAE) for name in tensors):
        raise UserError(
            f"{path}: neither the decoder of RETFound's MAE nor the layer scale of its DINOv2 is in it; "
            f"if it is VisionFM, write visionfm:{path}"
        )
    if not scaled:  # the MAE's own last norm is for its decoder; fine-tuning begins with a fresh one
        kept = {name: value for name, value in kept.items() if not name.startswith("norm.")}
    side = shape["img_size"]
    if scaled and side > _SIZE:
        side = shape["img_size"] = _SIZE // shape["patch_size"] * shape["patch_size"]
        kept["pos_embed"] = interpolated(kept["pos_embed"], side // shape["patch_size"])
    tower = VisionTransformer(**shape, global_pool="token" if scaled else "avg")
    weights.fit(tower, kept, str(path), may_lack=("fc_norm.",))
    config = ForeignConfig(
        kind="retfound",
        name=f"ViT, width {shape['embed_dim']}, {'DINOv2' if scaled else 'MAE'}",
        embedding=shape["embed_dim"],
        preprocessing=ForeignPreprocessing(
            name="shortest-side", size=side, resize=side * 256 // 224, mean=IMAGENET_MEAN, std=IMAGENET_STD
        ),
    )
    return Foreign(config, tower, file=path)


def architecture(kept: dict[str, Tensor], path: Path, model: str) -> dict[str, Any]:
    """What timm's `VisionTransformer` is built with, read off the weights but for the attention heads.

    Raises:
        UserError: the weights are of no vision transformer, or of a width that none of the known ones has.
    """
    needed = ("cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.mlp.fc1.weight")
    if absent := [name for name in needed if name not in kept]:
        raise UserError(f"{path}: not {model}'s weights: {', '.join(absent)} missing")
    width, _, patch, _ = kept["patch_embed.proj.weight"].shape
    if width not in _HEADS:
        raise UserError(
            f"{path}: a vision transformer {width} wide, whose attention heads no weight tells; known widths: "
            f"{', '.join(map(str, _HEADS))}"
        )
    return {
        "img_size": round((kept["pos_embed"].shape[1] - 1) ** 0.5) * patch,
        "patch_size": patch,
        "embed_dim": width,
        "depth": 1 + max(int(name.split(".")[1]) for name in kept if name.startswith("blocks.")),
        "num_heads": _HEADS[width],
        "mlp_ratio": kept["blocks.0.mlp.fc1.weight"].shape[0] / width,
        "num_classes": 0,
    }


def interpolated(positions: Tensor, side: int) -> Tensor:
    """(1, 1 + side², D) from (1, 1 + N², D): the grid is interpolated bicubically, without antialiasing."""
    first, grid = positions[:, :1], positions[:, 1:]
    old = round(grid.shape[1] ** 0.5)
    square = grid.reshape(1, old, old, -1).permute(0, 3, 1, 2)
    square = nn.functional.interpolate(square, size=(side, side), mode="bicubic", align_corners=False)
    return torch.cat([first, square.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)
