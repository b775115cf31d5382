"""A folder that transformers opens, without code of ours.

A plain Vision Transformer becomes a `ChineseCLIPModel`.  transformers has no CLIP with a ResNet: that becomes a folder
of parts, each in its own library's format,

    text/                   transformers.BertModel.from_pretrained("FOLDER/text", add_pooling_layer=False), and the tokenizer
    image/                  timm.create_model("local-dir:FOLDER/image", pretrained=True)
    projection.safetensors  text_projection (width, D), logit_scale (), and logit_bias () where there is one

which `load` opens as a model of ours.
"""

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from clip import embed
from clip.export import metadata, tokenizer, vit
from clip.model import checkpoints
from clip.model.encoders import CLIP, MEAN, STD
from clip.model.folders import BLOCK, FILE, load
from synth.base import pretrained
from synth.base import weights as safetensors

_NORMS = {"before": "pre_layrnorm", "after": "post_layernorm"}


def to_huggingface(path: Path, out: Path) -> tuple[str, float]:
    """Write the folder and open it again; returns what opens it, and the largest difference of the embeddings.

    Raises:
        UserError: the embeddings differ by more than `facts.TOLERANCE`.
    """
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # a folder is written in a moment
    model, head = checkpoints.load(path)
    metadata.write(out, model, path, head)
    try:
        shape, weights = vit.read(model.visual)
        if not shape.norm_before:
            raise ValueError("it does not norm its tokens before the first block")
    except ValueError:
        kind, image_features, text_features = "folder of parts", *_parts(model, out)
    else:
        kind, image_features, text_features = "ChineseCLIPModel", *_whole(model, shape, weights, out)
    _preprocessor(model).save_pretrained(out)
    safetensors.share(out, out / FILE)
    return kind, metadata.check(model, image_features, text_features, out)


def from_huggingface(folder: Path, out: Path) -> None:
    """Write the model of a folder that `to_huggingface` wrote as a checkpoint of ours."""
    from synth.base import checkpoint

    model = load(folder)
    checkpoint.save(out, checkpoints.header(model, images=None, data=None) | {"weights": model.state_dict()})


def _parts(model: CLIP, out: Path) -> tuple[Tensor, Tensor]:
    """Write the folder of parts; the embeddings of `facts` by what was written."""
    from timm.models import save_for_hf

    for part in ("text", "image"):
        (out / part).mkdir(parents=True, exist_ok=True)
    model.bert.save_pretrained(out / "text")  # type: ignore[operator]
    tokenizer.write(out / "text", model.config.context)
    if model.config.image.layers is None:
        size = model.config.preprocessing.size
        visual = cast(Any, model.visual)
        own = {name: each for name, each in visual.pretrained_cfg.items() if not name.startswith("test_")}
        # By this attribute, since `save_for_hf` of timm 1.0.26 takes no data_config.
        visual.pretrained_cfg = own | {
            "input_size": (3, size, size),
            "mean": MEAN,
            "std": STD,
            "crop_pct": 1.0,
        }
        save_for_hf(visual, str(out / "image"), safe_serialization=True)
    else:  # a ResNet of other depth than its name says; timm cannot be told in JSON, `load` can
        safetensors.write(out / "image" / "model.safetensors", model.visual.state_dict())
    rest = {name: each for name, each in model.state_dict().items() if "." not in name}
    safetensors.write(out / "projection.safetensors", rest)
    again = load(out)
    return (
        torch.from_numpy(embed.pixels(again, metadata.squares(model))),
        torch.from_numpy(embed.texts(again, metadata.TEXTS)),
    )


@torch.inference_mode()
def _whole(model: CLIP, shape: vit.Shape, weights: dict[str, Tensor], out: Path) -> tuple[Tensor, Tensor]:
    """Write a ChineseCLIPModel; the embeddings of `facts` by it, opened again, and by its own tokenizer."""
    from transformers import BertTokenizer, ChineseCLIPConfig, ChineseCLIPModel

    vision = {
        "hidden_size": shape.width,
        "intermediate_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "image_size": shape.size,
        "patch_size": shape.patch,
        "layer_norm_eps": shape.epsilon,
        "hidden_act": "quick_gelu" if shape.quick else "gelu",
        "projection_dim": model.config.embedding,
    }
    text = {k: v for k, v in model.bert.config.to_dict().items() if k not in ("model_type", "architectures")}  # type: ignore[operator,union-attr]
    made = ChineseCLIPModel(
        ChineseCLIPConfig(text_config=text, vision_config=vision, projection_dim=model.config.embedding)
    )
    made.load_state_dict(chinese_clip_weights(model, weights))
    made.save_pretrained(out)
    tokenizer.write(out, model.config.context)
    texts = pretrained.part(BertTokenizer, out)(
        metadata.TEXTS, padding=True, truncation=True, return_tensors="pt"
    )
    again = pretrained.part(ChineseCLIPModel, out).eval()
    found = again(pixel_values=metadata.pictures(model), **texts)
    return found.image_embeds, found.text_embeds


def chinese_clip_weights(model: CLIP, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of transformers' `ChineseCLIPModel`; `weights` are those of `vit.read`."""
    named = {f"text_model.{name}": each for name, each in model.bert.state_dict().items()}
    named |= {"text_projection.weight": model.text_projection.T, "logit_scale": model.logit_scale}
    named |= {
        "visual_projection.weight": weights["projection"],
        "vision_model.embeddings.class_embedding": weights["class"],
        "vision_model.embeddings.position_embedding.weight": weights["positions"],
        "vision_model.embeddings.patch_embedding.weight": weights["patch.weight"],
    }
    for name, tensor in weights.items():
        first, _, rest = name.partition(".")
        if first in _NORMS:
            named[f"vision_model.{_NORMS[first]}.{rest}"] = tensor
        elif first == "blocks":
            number, _, inner = rest.partition(".")
            block = f"vision_model.encoder.layers.{number}."
            if inner.startswith("attn.qkv."):
                for part, third in zip("qkv", tensor.chunk(3), strict=True):
                    named[f"{block}self_attn.{part}_proj.{inner.removeprefix('attn.qkv.')}"] = third
            else:
                ours = next(each for each in BLOCK if inner.startswith(each))
                named[f"{block}{BLOCK[ours]}{inner.removeprefix(ours)}"] = tensor
    return {name: each.detach().contiguous() for name, each in named.items()}


def _preprocessor(model: CLIP) -> Any:
    """What transformers does to a photograph; cropping to the field of view, where ours does, comes before it."""
    from transformers import ChineseCLIPImageProcessor

    side = model.config.preprocessing.size
    return ChineseCLIPImageProcessor(
        do_resize=True,
        size={"height": side, "width": side},
        resample=3,  # bicubic
        do_center_crop=False,
        image_mean=list(MEAN),
        image_std=list(STD),
        do_convert_rgb=True,
    )
