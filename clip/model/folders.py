"""Folders that `clip export --to hf` wrote, read again as models of ours."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clip.model.checkpoints import Header, built
from clip.model.encoders import CLIP
from synth.base import config as configs
from synth.base import weights as safetensors
from synth.base.documents import read_mapping
from synth.base.errors import UserError

FILE = "visionclip.json"
"""In the folder of an export: what the checkpoint said, and how photographs become squares."""
SUM = "sum"
"""Its key for the checksum of all others."""
_PARTS = ("text/model.safetensors", "image/model.safetensors", "projection.safetensors")
_WHOLE = "model.safetensors"
BLOCK = {
    "norm1.": "layer_norm1.",
    "norm2.": "layer_norm2.",
    "attn.proj.": "self_attn.out_proj.",
    "mlp.": "mlp.",
}
"""timm's names within a block, and those of transformers; `attn.qkv` is cut into three."""


def metadata_of(folder: Path) -> dict[str, Any]:
    """What `FILE` of a folder says, as it was written; one of an earlier version has no checksum.

    Raises:
        UserError: no such file, or damaged.
    """
    found = read_mapping(folder / FILE)
    noted = found.pop(SUM, None)
    if noted is not None and noted != configs.fingerprint(found):
        raise UserError(f"{folder / FILE}: damaged, its sum is not that of what it says; export it again")
    return found


def read(folder: Path) -> Header:
    """What an export says of the checkpoint that it was made of.

    Raises:
        UserError: no such file, or not ours.
    """
    found = metadata_of(folder)
    known = {
        "format": found.get("format", ""),
        "model": found.get("model", {}),
        "sha256": found.get("checkpoint"),
    }
    known |= {"images": found.get("images_seen_in_training"), "data": found.get("training_data")}
    return configs.check(Header, known, str(folder / FILE))


def load(folder: Path) -> CLIP:
    """The model of a folder that `to_huggingface` wrote, in evaluation mode.

    Raises:
        UserError: it is no such folder, or its weights do not fit.
    """
    found = metadata_of(folder)
    if (folder / _WHOLE).is_file():
        return _from_whole(folder, found)
    if missing := [part for part in _PARTS if not (folder / part).is_file()]:
        raise UserError(f"{folder}: no '{missing[0]}'; give a folder that 'clip export --to hf' made")
    model = built(found.get("model", {}), str(folder / FILE))
    try:
        text, image, rest = (safetensors.read(folder / part) for part in _PARTS)
        named = {f"bert.{name}": tensor for name, tensor in text.items()}
        named |= {f"visual.{name}": tensor for name, tensor in image.items()}
        safetensors.check_kinds(model, named | rest, str(folder))
        model.load_state_dict(named | rest)
    except RuntimeError as error:
        line = str(error).splitlines()[-1].strip()[-200:]
        raise UserError(
            f"{folder}: weights do not fit its visionclip.json ({line}); export it again"
        ) from None
    return model.eval()


def _from_whole(folder: Path, told: dict[str, Any]) -> CLIP:
    """A ChineseCLIPModel of ours under our names; `told` is in its `visionclip.json`."""
    found, model = safetensors.read(folder / _WHOLE), built(told.get("model", {}), str(folder / FILE))
    own = model.state_dict()
    named = {
        f"bert.{k.removeprefix('text_model.')}": v for k, v in found.items() if k.startswith("text_model.")
    }
    try:
        named |= _timm(found, own) | {"text_projection": found["text_projection.weight"].T}
        bias = {"logit_bias": torch.tensor(told["logit_bias"])} if "logit_bias" in own else {}
        named |= {"logit_scale": found["logit_scale"], **bias}
        safetensors.check_kinds(model, named, str(folder))
        model.load_state_dict(named)
    except (KeyError, RuntimeError, TypeError, StopIteration) as error:
        line = str(error).splitlines()[-1].strip()[-200:]
        raise UserError(
            f"{folder}: weights do not fit its visionclip.json ({line}); export it again"
        ) from None
    return model.eval()


def _timm(found: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """The ViT of a ChineseCLIPModel under timm's names; what `vit.read` has moved elsewhere is 0."""
    vision = "vision_model."
    named = {
        "visual.cls_token": found[f"{vision}embeddings.class_embedding"][None, None],
        "visual.pos_embed": found[f"{vision}embeddings.position_embedding.weight"][None],
        "visual.patch_embed.proj.weight": found[f"{vision}embeddings.patch_embedding.weight"],
        "visual.head.weight": found["visual_projection.weight"],
    }
    for kind in ("weight", "bias"):
        named[f"visual.norm_pre.{kind}"] = found[f"{vision}pre_layrnorm.{kind}"]
        named[f"visual.norm.{kind}"] = found[f"{vision}post_layernorm.{kind}"]
    for name, tensor in found.items():
        if not name.startswith(f"{vision}encoder.layers."):
            continue
        number, _, inner = name.removeprefix(f"{vision}encoder.layers.").partition(".")
        if inner.startswith("self_attn.q_proj."):
            thirds = [found[name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            named[f"visual.blocks.{number}.attn.qkv.{inner.rpartition('.')[2]}"] = torch.cat(thirds)
        elif not inner.startswith(("self_attn.k_proj.", "self_attn.v_proj.")):
            theirs = next(each for each in BLOCK.values() if inner.startswith(each))
            ours = next(each for each in BLOCK if BLOCK[each] == theirs)
            named[f"visual.blocks.{number}.{ours}{inner.removeprefix(theirs)}"] = tensor
    moved = ("visual.patch_embed.proj.bias", "visual.head.bias")
    return named | {name: torch.zeros_like(own[name]) for name in moved if name in own}
