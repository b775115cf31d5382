"""A timm Vision Transformer in the terms that transformers and open_clip share, both of which know fewer biases.

    patches:     (P x + c) + p_i  =  P x + (p_i + c)             c goes into the positions
    projection:  W n + c          =  W (n + W^+ c)               c goes into the last norm, if c = W W^+ c

With W^+ the pseudo-inverse of W (D, width) the second is exact wherever D <= width and W has full rank.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

_BLOCK = {
    "norm1": "ln_1.",
    "attn.qkv": "attn.in_proj_",
    "attn.proj": "attn.out_proj.",
    "norm2": "ln_2.",
    "mlp.fc1": "mlp.c_fc.",
    "mlp.fc2": "mlp.c_proj.",
}
"""timm's layers within a block, and how the names of their weights begin in OpenAI's."""
_NORMS = {"before": "ln_pre", "after": "ln_post"}


class Shape(NamedTuple):
    """What both libraries need to build the same network."""

    width: int
    layers: int
    heads: int
    hidden: int
    """Size of the hidden layer of a block."""
    patch: int
    """Pixels a side."""
    size: int
    """Pixels a side of a picture."""
    epsilon: float
    """Of the norms."""
    quick: bool
    """The activation is x sigmoid(1.702 x) instead of GELU."""
    norm_before: bool
    """Tokens are normed before the first block, as CLIP does."""


def read(visual: nn.Module) -> tuple[Shape, dict[str, Tensor]]:
    """The shape and the weights of a ViT: timm's names within `blocks.N.`, and besides `class` (width,),
    `positions` (1 + N, width), `patch.weight`, `before.*`, `after.*` and `projection` (D, width).

    Raises:
        ValueError: it is no ViT of this plain kind; says why.
    """
    from timm.layers.activations import QuickGELU
    from timm.models.vision_transformer import VisionTransformer

    if type(visual) is not VisionTransformer or visual.global_pool != "token" or visual.no_embed_class:
        raise ValueError("the image tower is no Vision Transformer with a class token")
    weights = visual.state_dict()
    norm_before = isinstance(visual.norm_pre, nn.LayerNorm)
    _check_names(weights, len(visual.blocks))
    act, norm = visual.blocks[0].mlp.act, visual.blocks[0].norm1  # type: ignore[union-attr]
    if not isinstance(act, QuickGELU) and not (isinstance(act, nn.GELU) and act.approximate == "none"):
        raise ValueError(f"its activation is {type(act).__name__}")
    width, patch = weights["patch_embed.proj.weight"].shape[0], weights["patch_embed.proj.weight"].shape[-1]
    positions = weights["pos_embed"][0].clone()
    if "patch_embed.proj.bias" in weights:
        positions[1:] += weights["patch_embed.proj.bias"]
    shape = Shape(
        width=width,
        layers=len(visual.blocks),
        heads=visual.blocks[0].attn.num_heads,  # type: ignore[union-attr,arg-type]
        hidden=weights["blocks.0.mlp.fc1.weight"].shape[0],
        patch=patch,
        size=round((len(positions) - 1) ** 0.5) * patch,
        epsilon=norm.eps,  # type: ignore[union-attr,arg-type]
        quick=isinstance(act, QuickGELU),
        norm_before=norm_before,
    )
    plain = {name: tensor for name, tensor in weights.items() if name.startswith("blocks.")}
    plain |= {"class": weights["cls_token"][0, 0], "positions": positions}
    plain["patch.weight"] = weights["patch_embed.proj.weight"]
    if norm_before:
        plain |= {f"before.{kind}": weights[f"norm_pre.{kind}"] for kind in ("weight", "bias")}
    plain |= {"after.weight": weights["norm.weight"], "projection": weights["head.weight"]}
    return shape, plain | {"after.bias": weights["norm.bias"] + _before(weights)}


def openai_names(weights: dict[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """What `read` gives, under the names of OpenAI's Vision Transformer, which open_clip and Chinese-CLIP took over."""
    named = {
        "class_embedding": weights["class"],
        "positional_embedding": weights["positions"],
        "conv1.weight": weights["patch.weight"],
        "proj": weights["projection"].T,
    }
    for name, tensor in weights.items():
        layer, _, kind = name.rpartition(".")
        if layer in _NORMS:
            named[f"{_NORMS[layer]}.{kind}"] = tensor
        elif layer.startswith("blocks."):
            _, number, inner = layer.split(".", 2)
            named[f"transformer.resblocks.{number}.{_BLOCK[inner]}{kind}"] = tensor
    return {f"{prefix}{name}": tensor.detach().contiguous() for name, tensor in named.items()}


def _check_names(weights: dict[str, Tensor], layers: int) -> None:
    allowed = {"cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"}
    allowed |= {f"{name}.{kind}" for name in ("norm_pre", "norm", "head") for kind in ("weight", "bias")}
    allowed |= {
        f"blocks.{k}.{name}.{kind}" for k in range(layers) for name in _BLOCK for kind in ("weight", "bias")
    }
    if unknown := sorted(set(weights) - allowed):
        raise ValueError(f"its '{unknown[0]}' has no place there")


def _before(weights: dict[str, Tensor]) -> Tensor:
    """(width,) what, added before the projection, adds the bias of the projection after it."""
    projection, bias = weights["head.weight"].double(), weights["head.bias"].double()
    moved = torch.linalg.pinv(projection) @ bias
    if not torch.allclose(projection @ moved, bias, atol=1e-6):
        raise ValueError(
            f"the bias of its projection to {len(bias)} numbers from {projection.shape[1]} has no place there"
        )
    return moved.float()
