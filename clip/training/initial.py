"""What a training starts from: others' weights in either tower, towers that stay as they are, and slower early layers."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from clip.model.encoders import CLIP
from clip.training import channels, heads
from clip.zoo import retfound, weights
from synth.base import runs
from synth.base.config import Config
from synth.base.errors import UserError

Tower = Literal["image", "text"]

_REMEDY = {
    "image": "let model.image and model.preprocessing.size name the architecture of the file",
    "text": "let model.text name the architecture of the file",
}
_BERT_PREFIXES = ("bert.", "text.transformer.", "text_model.")
"""Under which a BERT stands in files of Chinese-CLIP and transformers, of open_clip, and of transformers' Chinese-CLIP."""
_BERT_UNUSED = ("pooler.", "cls.", "embeddings.position_ids")


class Initial(Config):
    """What a training starts from, and which of it may change."""

    image: Path | None = None
    """Weights of the image tower: a file of Chinese-CLIP, open_clip, OpenAI, timm, RETFound, VisionFM or ours; null is
    random."""
    text: Path | None = None
    """Weights of the text tower: a folder of a Hugging Face BERT with the vocabulary of bert-base-chinese, or a file of
    Chinese-CLIP, of open_clip with such a BERT, or ours; null is random."""
    freeze: tuple[Tower, ...] = ()
    """Towers that stay as they were loaded, batch norms and dropout too (locked-image tuning, arXiv 2111.07991).  The
    projection of a frozen tower is trained if its file did not bring one."""
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    """By this factor a layer's rate is less than that of the layer above it; projections and the scale have the whole."""

    @model_validator(mode="after")
    def only_what_was_learnt_is_kept(self) -> Self:
        for tower in self.freeze:
            if getattr(self, tower) is None:
                raise ValueError(f"freeze={tower} would keep random weights; give initial.{tower}=FILE")
        return self


def start(config: Initial, model: CLIP) -> None:
    """Load what `config` names into `model`, in place, and exclude frozen towers from learning.

    A projection is taken from a CLIP's file whose embedding has the size of ours; the scale, if both towers come from
    one file.

    Raises:
        UserError: no such file, or weights of another architecture; each name and shape that does not fit is told.
    """
    brought = {"image": config.image is not None and _image(config.image, model),
               "text": config.text is not None and _text(config.text, model)}  # fmt: skip
    if config.image and config.image == config.text:
        scale = weights.read(config.image).get("logit_scale")
        if scale is not None:
            model.logit_scale.data.copy_(scale.reshape(()))
    for tower in config.freeze:
        for name, parameter in _parameters(tower, model):
            parameter.requires_grad_(not brought[tower] and name in _projection(tower, model))


def keep_still(config: Initial, model: CLIP) -> None:
    """Set frozen towers to evaluation: their batch norms keep their statistics, and nothing is dropped out."""
    for tower in config.freeze:
        (model.visual if tower == "image" else model.bert).eval()


def provenance(config: Initial) -> dict[str, str]:
    """The sha256 of each file that weights come from, by `image` and `text`."""
    files = {"image": config.image, "text": config.text and _text_file(config.text)}
    return {tower: runs.sha256(path) for tower, path in files.items() if path and path.is_file()}


def groups(config: Initial, module: nn.Module, model: CLIP, weight_decay: float) -> list[dict[str, Any]]:
    """AdamW's parameters: of norms, biases and the scale without decay, and with a `scale` of the learning rate.

    scale = layer_decay ** (layers above)     ELECTRA (arXiv 2003.10555), BEiT (arXiv 2106.08254)

    Args:
        module: all that is trained; what does not belong to `model` has the whole rate.
    """
    above = _layers_above(model) if config.layer_decay < 1 else {}
    found: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for decays in (True, False):
        for parameter in module.parameters():
            if parameter.requires_grad and (parameter.ndim >= 2) == decays:
                found.setdefault((above.get(id(parameter), 0), decays), []).append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": weight_decay if decays else 0.0,
            "scale": config.layer_decay**depth,
        }
        for (depth, decays), parameters in found.items()
    ]


def _layers_above(model: CLIP) -> dict[int, int]:
    """How many layers stand above each parameter of the towers, by its id."""
    from timm.models import group_parameters

    visual: Any = model.visual
    layer: Any = group_parameters(visual, visual.group_matcher(coarse=False), reverse=True)
    top = max(layer.values())  # the projection
    above = {id(parameter): top - layer[name] for name, parameter in visual.named_parameters()}
    depth = len(model.bert.encoder.layer)  # type: ignore[union-attr, arg-type]
    for name, parameter in model.bert.named_parameters():
        number = int(name.split(".")[2]) + 1 if name.startswith("encoder.layer.") else 0
        above[id(parameter)] = depth + 1 - number
    return above


def _parameters(tower: Tower, model: CLIP) -> Iterator[tuple[str, nn.Parameter]]:
    yield from (model.visual if tower == "image" else model.bert).named_parameters()
    if tower == "text":
        yield "text_projection", model.text_projection


def _projection(tower: Tower, model: CLIP) -> set[str]:
    """The names, in `_parameters`, of what maps a tower into the common space."""
    if tower == "text":
        return {"text_projection"}
    classifier: Any = model.visual.pretrained_cfg["classifier"]  # type: ignore[index]
    return {name for name, _ in model.visual.named_parameters() if name.startswith(f"{classifier}.")}


def _image(path: Path, model: CLIP) -> bool:
    """Load the image tower; returns whether the file had a projection of our size."""
    content = weights.content(path)
    found, own = weights.tensors(content, path), model.visual.state_dict()
    named = {
        name.removeprefix("visual."): value for name, value in found.items() if name.startswith("visual.")
    }
    convert: Any = getattr(sys.modules[type(model.visual).__module__], "checkpoint_filter_fn", None)
    if named.keys() & own.keys():  # ours
        taken = named
    elif named:  # a CLIP
        taken = _trunk(named, model) or (convert(found, model.visual) if convert else named)
    else:
        plain = retfound.plain(found)
        taken = convert(plain, model.visual) if convert else plain
    if taken is not named:  # ours see pictures in CLIP's scale
        scale = channels.of(content, found, path, model.visual)
        taken = channels.in_clips_scale(taken, model.visual, scale, path)
    head = _projection("image", model)
    classifier = str(model.visual.pretrained_cfg["classifier"])  # type: ignore[index]
    fits = bool(named) and all(name in taken and taken[name].shape == own[name].shape for name in head)
    if not fits:
        taken = {name: value for name, value in taken.items() if not name.startswith(f"{classifier}.")}
    pooled = (
        "fc_norm.weight" in own and "fc_norm.weight" not in taken
    )  # begins fresh, as RETFound's fine-tuning does
    if pooled:
        taken = {name: value for name, value in taken.items() if not name.startswith("norm.")}
    may_lack = (*([] if fits else [f"{classifier}."]), *(["fc_norm."] if pooled else []))
    weights.fit(model.visual, taken, str(path), may_lack, _REMEDY["image"])
    told, ours = heads.of_image(content, model.config.image.name), heads.of(model.visual)
    if ours and told not in (None, ours):
        raise UserError(
            f"{path}: its image tower has {told} attention heads, that of model.image {ours}; set "
            f"model.image.kwargs.num_heads={told}"
        )
    return fits


def _trunk(named: dict[str, Tensor], model: CLIP) -> dict[str, Tensor]:
    """The timm tower inside a CLIP of open_clip, under timm's names; empty if it has none."""
    taken = {name.removeprefix("trunk."): value for name, value in named.items() if name.startswith("trunk.")}
    classifier = str(model.visual.pretrained_cfg["classifier"])  # type: ignore[index]
    if taken and "head.proj.weight" in named:
        matrix = named["head.proj.weight"]
        taken[f"{classifier}.weight"] = matrix
        taken[f"{classifier}.bias"] = named.get("head.proj.bias", matrix.new_zeros(len(matrix)))
    return taken


def _text(path: Path, model: CLIP) -> bool:
    """Load the text tower; returns whether the file had a projection of our size."""
    content = weights.content(_text_file(path))
    found = weights.tensors(content, _text_file(path))
    prefix = next((each for each in _BERT_PREFIXES if any(name.startswith(each) for name in found)), "")
    named = {
        name.removeprefix(prefix).replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias"): value
        for name, value in found.items()
        if name.startswith(prefix)
    }  # fmt: skip
    if "embeddings.word_embeddings.weight" not in named:
        raise UserError(
            f"{path}: no BERT in it, which model.text is; give a BERT's folder, or a Chinese-CLIP"
        )
    bert = {name: value for name, value in named.items() if not name.startswith(_BERT_UNUSED)}
    weights.fit(model.bert, bert, str(path), remedy=_REMEDY["text"])
    if (told := heads.of_text(path, content)) not in (None, model.config.text.heads):
        raise UserError(
            f"{path}: its text tower has {told} attention heads, where model.text.heads={model.config.text.heads}; set "
            f"model.text.heads={told}"
        )
    linear = next(
        (found[name] for name in ("text_projection.weight", "text.proj.weight") if name in found), None
    )
    matrix = found.get("text_projection", None if linear is None else linear.T)
    if matrix is None or matrix.shape != model.text_projection.shape:
        return False
    model.text_projection.data.copy_(matrix)
    return True


def _text_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (path / name).is_file():
            return path / name
    raise UserError(
        f"{path}: neither model.safetensors nor pytorch_model.bin in it; give the folder of a BERT"
    )
