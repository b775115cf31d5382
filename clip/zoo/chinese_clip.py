"""Chinese-CLIP: every tower that its trainer writes, ResNet or ViT, built by cn_clip itself."""

from pathlib import Path
from typing import Any

from pydantic import PositiveInt
from torch import Tensor

from clip.model.wordpiece import tokenize
from clip.zoo import weights
from clip.zoo.foreign import Foreign, ForeignConfig, fetch
from clip.zoo.preprocessing import ForeignPreprocessing
from synth.base import extras
from synth.base.config import check
from synth.base.errors import UserError
from synth.base.stored import Stored
from synth.data.images import Preprocessing

CONTEXT = 52
HEADS = "text_num_attention_heads"
"""Key of a file that tells what no shape does; Chinese-CLIP's loader takes no notice of it."""
HEAD_WIDTH = "vision_head_width"
"""The same of a ViT."""
OURS = "visionclip"
"""Key of a file that `clip export` wrote: what its encoder takes, see `Input`."""
_HEAD_WIDTH = {768: 64, 1024: 64, 1280: 80}
"""Of the published image towers by width: ViT-B, L and H."""
_TEXT_HEADS = {768: 12, 1024: 16}
"""Of the published text towers by width: RBT3 and RoBERTa-wwm-ext base, large."""
_FILES = {
    "OFA-Sys/chinese-clip-rn50": "clip_cn_rn50.pt",
    "OFA-Sys/chinese-clip-vit-base-patch16": "clip_cn_vit-b-16.pt",
    "OFA-Sys/chinese-clip-vit-large-patch14": "clip_cn_vit-l-14.pt",
    "OFA-Sys/chinese-clip-vit-large-patch14-336px": "clip_cn_vit-l-14-336.pt",
    "OFA-Sys/chinese-clip-vit-huge-patch14": "clip_cn_vit-h-14.pt",
}


class Input(Stored):
    """What an encoder of ours takes that is kept in Chinese-CLIP's form."""

    preprocessing: Preprocessing
    """How a photograph becomes its square."""
    context: PositiveInt
    """Tokens per text."""


def load(source: str) -> Foreign:
    """A Chinese-CLIP from a file with `state_dict`; names and shapes of the weights tell the architecture.

    Raises:
        UserError: no such file, or not Chinese-CLIP's.
    """
    path = fetch(
        source, tuple(_FILES.get(source.removeprefix("hf-hub:"), f"{source.rpartition('/')[2]}.pt").split())
    )
    content = weights.content(path)
    tensors = {
        name: value
        for name, value in weights.tensors(content, path).items()
        if not name.startswith("bert.pooler.")
    }
    lacking = [
        name
        for name in ("visual.conv1.weight", "text_projection", "bert.embeddings.word_embeddings.weight")
        if name not in tensors
    ]
    if lacking:
        raise UserError(f"{path}: not Chinese-CLIP's weights: {', '.join(lacking)} missing")
    extras.require(f"cn_clip:{path}", "cn_clip.clip.model")
    from cn_clip.clip.model import CLIP as ChineseCLIP

    shape = architecture(tensors, text_heads(content, tensors, path))
    if "vision_head_width" in shape:
        told = content.get(HEAD_WIDTH) if isinstance(content, dict) else None
        width = shape["vision_width"]
        if told is not None and (not isinstance(told, int) or told < 1 or width % told):
            raise UserError(
                f"{path}: {HEAD_WIDTH}={told!r} does not divide its width of {width}; export it again"
            )
        shape["vision_head_width"] = told or head_width(tensors, str(path))
    model: Any = ChineseCLIP(**shape)
    weights.fit(model, tensors, str(path), may_lack=("bert.pooler.",))
    patch, told = shape["vision_patch_size"], content.get(OURS) if isinstance(content, dict) else None
    own = check(Input, told, f"{path}: {OURS}") if isinstance(told, dict) else None
    if own and own.preprocessing.size != shape["image_resolution"]:
        raise UserError(
            f"{path}: {OURS} tells of {own.preprocessing.size} px, its weights of {shape['image_resolution']}"
        )
    context = own.context if own else CONTEXT
    return Foreign(
        ForeignConfig(
            kind="cn_clip",
            name=f"{f'ViT, {patch} px patches' if patch else 'ResNet'}, {shape['text_num_hidden_layers']}-layer BERT",
            embedding=shape["embed_dim"],
            context=context,
            languages=("zh",),
            template="[CLS]的眼底照片",
            preprocessing=own.preprocessing
            if own
            else ForeignPreprocessing(name="squash", size=shape["image_resolution"]),
        ),
        model.visual,
        model,
        lambda texts: tokenize(texts, context),
        model.logit_scale,
        path,
    )


def text_heads(content: Any, tensors: dict[str, Tensor], path: Path) -> int:
    """The attention heads of the text tower, which no shape tells.

    Raises:
        UserError: the file does not say, and the tower is none that was published.
    """
    told = content.get(HEADS) if isinstance(content, dict) else None
    width = tensors["bert.embeddings.word_embeddings.weight"].shape[1]
    if isinstance(told, int) and told > 0 and width % told == 0:
        return told
    if told is not None:
        raise UserError(f"{path}: {HEADS}={told!r} does not divide the width of its text tower, {width}")
    if width not in _TEXT_HEADS:
        raise UserError(
            f"{path}: a text tower of width {width}, whose attention heads the file does not tell; give the "
            "ckpt.pt that it was exported from, or make one of it with 'clip export --to visionclip --config'"
        )
    return _TEXT_HEADS[width]


def head_width(tensors: dict[str, Tensor], where: str) -> int:
    """The width of a head of the ViT of a file that does not tell it.

    Raises:
        UserError: it is none that was published.
    """
    named = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    width = named["visual.conv1.weight"].shape[0]
    if width not in _HEAD_WIDTH:
        raise UserError(
            f"{where}: a ViT {width} wide, and nothing tells how many heads it has; give the ckpt.pt that it was exported "
            f"from, or write {HEAD_WIDTH} into the file"
        )
    return _HEAD_WIDTH[width]


def architecture(tensors: dict[str, Tensor], text_heads: int) -> dict[str, Any]:
    """What `cn_clip.clip.model.CLIP` is built with, read off the weights but for the heads of the text tower."""
    words, width = tensors["bert.embeddings.word_embeddings.weight"].shape
    text = {
        "embed_dim": tensors["text_projection"].shape[1],
        "vocab_size": words,
        "text_hidden_size": width,
        "text_num_attention_heads": text_heads,
        "text_num_hidden_layers": _layers(tensors, "bert.encoder.layer."),
        "text_intermediate_size": tensors["bert.encoder.layer.0.intermediate.dense.weight"].shape[0],
        "text_max_position_embeddings": tensors["bert.embeddings.position_embeddings.weight"].shape[0],
        "text_type_vocab_size": tensors["bert.embeddings.token_type_embeddings.weight"].shape[0],
        "text_attention_probs_dropout_prob": 0.1,
        "text_hidden_dropout_prob": 0.1,
        "text_hidden_act": "gelu",
        "text_initializer_range": 0.02,
    }
    return text | (_vit(tensors) if "visual.class_embedding" in tensors else _resnet(tensors))


def _vit(tensors: dict[str, Tensor]) -> dict[str, Any]:
    width, _, patch, _ = tensors["visual.conv1.weight"].shape
    grid = round((tensors["visual.positional_embedding"].shape[0] - 1) ** 0.5)
    return {
        "image_resolution": grid * patch,
        "vision_layers": _layers(tensors, "visual.transformer.resblocks."),
        "vision_width": width,
        "vision_patch_size": patch,
        "vision_head_width": _HEAD_WIDTH.get(width, 64),
    }


def _resnet(tensors: dict[str, Tensor]) -> dict[str, Any]:
    grid = round((tensors["visual.attnpool.positional_embedding"].shape[0] - 1) ** 0.5)
    return {
        "image_resolution": grid * 32,
        "vision_layers": tuple(_layers(tensors, f"visual.layer{stage}.") for stage in (1, 2, 3, 4)),
        "vision_width": tensors["visual.conv1.weight"].shape[0] * 2,
        "vision_patch_size": None,
    }


def _layers(tensors: dict[str, Tensor], prefix: str) -> int:
    return 1 + max(
        int(name.removeprefix(prefix).split(".")[0]) for name in tensors if name.startswith(prefix)
    )
