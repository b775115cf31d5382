"""A folder that `open_clip.create_model("local-dir:FOLDER")` opens, and that computes what ours does.

CLIP's ResNet and plain Vision Transformers become open_clip's own towers; other timm networks are named, and open_clip
asks timm for them.  The text tower is a BERT of transformers, whose config stands in the same folder: open_clip looks
for it by the path in `open_clip_config.json`, `text_cfg.hf_model_name`, which must be changed when the folder moves.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clip.export import cn_clip, metadata, tokenizer, vit
from clip.model import checkpoints
from clip.model.encoders import CLIP, MEAN, STD
from synth.base import runs
from synth.base import weights as safetensors
from synth.base.errors import UserError


def to_open_clip(path: Path, out: Path) -> float:
    """Write the folder, open it with open_clip, and return the largest difference of the embeddings of length 1.

    Raises:
        UserError: a tower that open_clip cannot build, or embeddings that differ by more than `facts.TOLERANCE`.
    """
    from open_clip import create_model  # type: ignore[attr-defined]

    model, head = checkpoints.load(path)
    vision, weights = image_tower(model, str(path))
    weights |= {
        f"text.transformer.{name}": tensor.contiguous() for name, tensor in model.bert.state_dict().items()
    }
    weights |= {"text.proj.weight": model.text_projection.T.contiguous(), "logit_scale": model.logit_scale}
    if model.logit_bias is not None:
        weights["logit_bias"] = model.logit_bias
    safetensors.write(out / "open_clip_model.safetensors", weights)
    model.bert.config.save_pretrained(out)  # type: ignore[operator,union-attr]
    runs.write_json(out / "open_clip_config.json", settings(model, vision, out))
    tokenizer.write(out, model.config.context)
    metadata.write(out, model, path, head)
    other: Any = create_model(f"local-dir:{out}").eval()
    tokens = model.tokenize(
        metadata.TEXTS
    )  # open_clip's own tokenizer makes full-width punctuation narrow first
    with torch.inference_mode():
        text_features = nn.functional.normalize(other.encode_text(tokens), dim=-1)  # type: ignore[operator]
        image_features = nn.functional.normalize(other.encode_image(metadata.pictures(model)), dim=-1)  # type: ignore[operator]
    return metadata.check(model, image_features, text_features, out)


def settings(model: CLIP, vision: dict[str, Any], out: Path) -> dict[str, Any]:
    """What open_clip reads: the two towers, and how it would prepare a photograph."""
    config = model.config
    text = {
        "context_length": config.context,
        "vocab_size": model.bert.config.vocab_size,  # type: ignore[union-attr]
        "hf_model_name": str(out.resolve()),
        "hf_tokenizer_name": str(out.resolve()),
        "hf_model_pretrained": False,
        "hf_proj_type": "linear",
        "hf_pooler_type": "cls_last_hidden_state_pooler",
    }
    towers = {"embed_dim": config.embedding, "vision_cfg": vision, "text_cfg": text}
    if vision.pop("quick_gelu", False):
        towers["quick_gelu"] = True
    if config.bias:
        towers["init_logit_bias"] = 0.0
    scaled = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "squash"}
    return {"model_cfg": towers, "preprocess_cfg": {"size": config.preprocessing.size} | scaled}


def image_tower(model: CLIP, where: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """open_clip's `vision_cfg` and the weights under its names.

    Raises:
        UserError: open_clip has no such tower.
    """
    config, visual = model.config, model.visual
    if config.image.name.endswith("_clip"):
        stages: Any = visual.stages
        width = visual.stem.conv3.conv.out_channels  # type: ignore[union-attr]
        named = {cn_clip.cn_clip_name(f"visual.{name}"): each for name, each in visual.state_dict().items()}
        layers = [len(stage) for stage in stages]
        return {"layers": layers, "width": width, "image_size": config.preprocessing.size}, named
    try:
        shape, weights = vit.read(visual)
    except ValueError as error:
        if config.image.kwargs:
            raise UserError(
                f"{where}: model.image.name='{config.image.name}' with kwargs: {error}, and open_clip asks timm "
                "for networks by name alone; choose --to hf or onnx"
            ) from None
        pool = "token" if hasattr(visual, "cls_token") else "avg"
        named = {f"visual.trunk.{name}": tensor for name, tensor in visual.state_dict().items()}
        size = {"image_size": config.preprocessing.size}
        return {"timm_model_name": config.image.name, "timm_pool": pool, "timm_proj": ""} | size, named
    return _transformer(shape), vit.openai_names(weights, "visual.")


def _transformer(shape: vit.Shape) -> dict[str, Any]:
    return {
        "layers": shape.layers,
        "width": shape.width,
        "head_width": shape.width // shape.heads,
        "mlp_ratio": shape.hidden / shape.width,
        "patch_size": shape.patch,
        "image_size": shape.size,
        "no_ln_pre": not shape.norm_before,
        "norm_kwargs": {"eps": shape.epsilon},
        "quick_gelu": shape.quick,
    }
