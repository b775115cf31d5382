"""LoRA: matrices of low rank beside the layers of an image tower, a tower that has taken them in, and its file."""

from copy import deepcopy
from typing import Any

from torch import nn

from clip.evaluation.provenance import ModelProvenance
from clip.model import checkpoints
from clip.model.encoders import CLIP
from synth.base import extras


def added(model: CLIP, rank: int) -> CLIP:
    """A copy whose weights are frozen, with matrices beside every layer of its image tower that learn.

    LoRA adds B A x to W x, A of `rank` rows, B zero at first (Hu et al. 2021, 2106.09685).
    """
    extras.require("LoRA", "peft")
    from peft import LoraConfig, inject_adapter_in_model

    copy = deepcopy(model).requires_grad_(False)
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=_layers(copy.visual))
    inject_adapter_in_model(config, copy.visual)
    return copy


def merged(model: CLIP) -> CLIP:
    """A copy that computes the same with W + B A for W, and has the layers of a model without LoRA."""
    copy = deepcopy(model)
    for name, each in list(copy.visual.named_modules()):
        if not hasattr(each, "lora_A"):
            continue
        parent, _, last = name.rpartition(".")
        setattr(copy.visual.get_submodule(parent), last, _taken_in(each))
    return copy


def content(model: CLIP, head: nn.Module, metadata: dict[str, Any], base: ModelProvenance) -> dict[str, Any]:
    """What a checkpoint of ours holds of a tuned tower: it stands wherever the one that it was made from did.

    The text tower is as it was.  `finetuned` says from which file, for which classes, and keeps the head on the
    embedding of length 1: logits are weight @ (embedding * sqrt(size)) + bias.
    """
    model = merged(model).cpu()
    kept = {name: value.cpu() for name, value in head.state_dict().items()}
    metadata = metadata | {"from": {"path": base.path, "sha256": base.sha256}, "head": kept}
    return checkpoints.header(model, images=base.images, finetuned=metadata) | {"weights": model.state_dict()}


def _taken_in(layer: Any) -> nn.Module:
    if hasattr(layer, "unload_and_optionally_merge_module"):  # attention, whose weights torch reads itself
        return layer.unload_and_optionally_merge_module(merge=True, safe_merge=False, adapter_names=None)
    layer.merge()
    return layer.get_base_layer()


def _layers(tower: nn.Module) -> list[str]:
    """The linear layers and filters beside which LoRA's matrices stand."""
    attention = [name for name, each in tower.named_modules() if isinstance(each, nn.MultiheadAttention)]
    return attention + [
        name
        for name, each in tower.named_modules()
        if (isinstance(each, nn.Linear) or (isinstance(each, nn.Conv2d) and each.groups == 1))
        and not any(
            name.startswith(f"{inside}.") for inside in attention
        )  # torch reads its weights, not its layers
    ]
