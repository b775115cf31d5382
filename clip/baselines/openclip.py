"""Models of open_clip: OpenAI's CLIP, BiomedCLIP and whatever else carries an open_clip configuration."""

import json
import pickle
from pathlib import Path
from typing import Any

from clip.baselines.foreign import Foreign, ForeignConfig
from clip.baselines.preprocessing import ForeignPreprocessing
from synth.base.errors import UserError

TEMPLATE = "A fundus photograph of [CLS]"
"""FLAIR's, with which CLIP and BiomedCLIP were measured beside it."""


def load(source: str, weights: str = "") -> Foreign:
    """A model by the name of its architecture and its weights (a file or a tag), a folder, or a hub id.

    Raises:
        UserError: open_clip is not installed, does not know the name, or the weights are of another model.
    """
    try:
        import open_clip
    except ImportError:
        raise UserError("open_clip is not installed; run pip install 'visionclip[baselines]'") from None
    folder = Path(source)
    name, options = source, {}
    if folder.is_dir():
        name, options = f"local-dir:{source}", _local_text(folder)
    elif not source.startswith("hf-hub:"):
        if source not in open_clip.list_models():
            raise UserError(
                f"open_clip:{source}: neither a folder nor a model of open_clip; see open_clip.list_models()"
            )
        if not weights:
            raise UserError(f"open_clip:{source}: name its weights too, open_clip:{source}=FILE")
    # Of these libraries' errors on a foreign file or an unreachable hub, one line each.
    known = (RuntimeError, OSError, ValueError, KeyError, AssertionError, pickle.UnpicklingError)
    try:
        model: Any = open_clip.create_model(
            name, pretrained=weights or None, require_pretrained=True, **options
        )
        tokenizer: Any = open_clip.get_tokenizer(name)
    except known as error:
        told = " ".join(str(error).split())[:300]
        raise UserError(f"open_clip:{source}{weights and '='}{weights}: cannot be loaded ({told})") from None
    return Foreign(
        ForeignConfig(
            kind="open_clip",
            name=source.removeprefix("hf-hub:") if not folder.is_dir() else folder.name,
            embedding=_embedding(model),
            context=tokenizer.context_length,
            languages=("en",),
            template=TEMPLATE,
            preprocessing=_preprocessing(model, source),
        ),
        model.visual,
        model,
        tokenizer,
        model.logit_scale,
        _file(folder, weights),
    )


def _file(folder: Path, weights: str) -> Path | None:
    """The file of weights, where it is known: hub ids and tags tell a version of their own."""
    inside = sorted(folder.glob("open_clip*model.safetensors")) + sorted(folder.glob("open_clip*model.bin"))
    places = inside if folder.is_dir() else [Path(weights)]
    return next((path for path in places if path.is_file()), None)


def _local_text(folder: Path) -> dict[str, Any]:
    """What makes open_clip take the text tower's configuration from the folder too, not from the hub."""
    path = folder / "open_clip_config.json"
    if not path.is_file():
        raise UserError(
            f"{folder}: no open_clip_config.json in it; give open_clip:NAME=FILE for bare weights"
        )
    text = json.loads(path.read_text(encoding="utf-8")).get("model_cfg", {}).get("text_cfg", {})
    if "hf_model_name" not in text or not (folder / "config.json").is_file():
        return {}
    return {"text_cfg": text | {"hf_model_name": str(folder), "hf_model_pretrained": False}}


def _preprocessing(model: Any, source: str) -> ForeignPreprocessing:
    said = model.visual.preprocess_cfg
    sizes = {said["size"]} if isinstance(said["size"], int) else set(said["size"])
    names = {"shortest": "shortest-side", "squash": "squash"}
    if (
        said["resize_mode"] not in names
        or len(sizes) > 1
        or said["interpolation"] not in ("bicubic", "bilinear")
    ):
        raise UserError(
            f"open_clip:{source}: wants pictures by {said['resize_mode']} and {said['interpolation']} at "
            f"{said['size']}, which is not supported; shortest or squash to a square is"
        )
    return ForeignPreprocessing.model_validate(
        {
            "name": names[said["resize_mode"]],
            "size": sizes.pop(),
            "interpolation": said["interpolation"],
            "mean": said["mean"],
            "std": said["std"],
        }
    )


def _embedding(model: Any) -> int:
    import torch

    size = model.visual.image_size
    side = size if isinstance(size, int) else size[0]
    with torch.inference_mode():
        return model.eval().encode_image(torch.zeros(1, 3, side, side)).shape[1]
