"""A ViT under Chinese-CLIP's names, and back; its `VisualTransformer` is OpenAI's."""

from typing import Any

from torch import Tensor

from clip.export import vit
from clip.model.encoders import CLIP
from synth.base.errors import UserError

_EPSILON = 1e-5  # of torch's LayerNorm, which Chinese-CLIP takes as it is


def weights(model: CLIP) -> tuple[dict[str, Tensor], int]:
    """The image tower under `visual.` as Chinese-CLIP has it, and the width of a head.

    Raises:
        UserError: Chinese-CLIP's ViT computes something else.
    """
    try:
        shape, found = vit.read(model.visual)
        _check(shape)
    except ValueError as error:
        raise UserError(
            f"model.image.name='{model.config.image.name}': Chinese-CLIP has CLIP's ResNets and ViTs, and this is none: {error}"
        ) from None
    return vit.openai_names(found, "visual."), shape.width // shape.heads


def _check(shape: vit.Shape) -> None:
    """Refuse what has no place in Chinese-CLIP's ViT.

    Raises:
        ValueError: says what.
    """
    if not shape.quick:
        raise ValueError("its activation is GELU, not QuickGELU")
    if not shape.norm_before:
        raise ValueError("it does not norm its tokens before the first block")
    if shape.hidden != 4 * shape.width:
        raise ValueError(f"its hidden layers are {shape.hidden} wide, not {4 * shape.width}")
    if abs(shape.epsilon - _EPSILON) > 1e-9:
        raise ValueError(f"its norms add {shape.epsilon:g}, not {_EPSILON:g}")


def ours(model: CLIP, tensors: dict[str, Tensor], where: str) -> dict[str, Tensor]:
    """The image tower of Chinese-CLIP, `visual.*`, under our names in `model`.

    Raises:
        UserError: `model` is of another architecture.
    """
    from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn

    visual: Any = model.visual
    if "visual.class_embedding" not in tensors:
        raise UserError(
            f"{where}: holds CLIP's ResNet, where --config names '{model.config.image.name}'; use 'resnet50_clip'"
        )
    positions = tensors["visual.positional_embedding"]
    places = visual.pos_embed if isinstance(visual, VisionTransformer) else None
    if places is None or tuple(places.shape[1:]) != tuple(positions.shape):
        raise UserError(
            f"{where}: a ViT of {positions.shape[0] - 1} patches; does --config name its architecture and size?"
        )
    named = checkpoint_filter_fn({k: v for k, v in tensors.items() if k.startswith("visual.")}, visual)
    if "patch_embed.proj.bias" in visual.state_dict():
        named.setdefault("patch_embed.proj.bias", visual.patch_embed.proj.bias.detach() * 0)
    return {f"visual.{name}": tensor for name, tensor in named.items()}
