"""Models of open_clip: OpenAI's CLIP, BiomedCLIP and whatever else carries an open_clip configuration."""

from dataclasses import fields
from inspect import signature
from pathlib import Path
from typing import Any

from clip.model import folders
from clip.zoo.foreign import Foreign, ForeignConfig, fetch
from clip.zoo.preprocessing import ForeignPreprocessing
from synth.base import arguments, documents, extras, pretrained
from synth.base.config import check
from synth.base.errors import UserError
from synth.data.images import Preprocessing

TEMPLATE = "A fundus photograph of [CLS]"
"""FLAIR's, with which CLIP and BiomedCLIP were measured beside it."""


_WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
)
_TOKENIZER = frozenset({"clean", "strip_sep_token", "language", "reduction_mask"})
"""Arguments of a tokenizer that a folder may give."""


def load(source: str, weights: str = "") -> Foreign:
    """A model by the name of its architecture and its weights (a file or a tag), a folder, or a hub id.

    Raises:
        UserError: open_clip is not installed, does not know the name, the weights are of another model, or the folder
            asks for more than a network and a tokenizer.
    """
    extras.require(f"open_clip:{source}", "open_clip")
    import open_clip

    folder, options = Path(source), {}
    if source.startswith("hf-hub:"):
        folder, options = _fetched(source.removeprefix("hf-hub:"))
    elif folder.is_dir():
        options = _local_text(folder, _configuration(folder))
    elif source not in open_clip.list_models():
        raise UserError(
            f"open_clip:{source}: neither a folder nor a model of open_clip; see open_clip.list_models()"
        )
    elif not weights:
        raise UserError(f"open_clip:{source}: name its weights too, open_clip:{source}=FILE")
    name = f"local-dir:{folder}" if folder.is_dir() else source
    text = (open_clip.get_model_config(name) or {}).get("text_cfg", {})
    only_data: Any = {"trust_remote_code": False} if text.get("hf_tokenizer_name") else {}
    try:
        model: Any = open_clip.create_model(
            name, pretrained=weights or None, require_pretrained=True, pretrained_text=False, **options
        )
        tokenizer: Any = open_clip.get_tokenizer(name, **only_data)
    except pretrained.errors() as error:
        told = pretrained.reason(error, 300)
        raise UserError(
            f"open_clip:{source}{weights and '='}{weights}: cannot be loaded ({told}); "
            "give the folder, or the weights, of a model that open_clip opens"
        ) from None
    return Foreign(
        ForeignConfig(
            kind="open_clip",
            name=folder.name if Path(source).is_dir() else source.removeprefix("hf-hub:"),
            embedding=_embedding(model),
            context=tokenizer.context_length,
            languages=("en",),
            template=TEMPLATE,
            preprocessing=_own(folder) or _preprocessing(model, source),
        ),
        model.visual,
        model,
        tokenizer,
        model.logit_scale,
        _file(folder, weights),
    )


def _fetched(repository: str) -> tuple[Path, dict[str, Any]]:
    """The folder of a hub's repository, and what completes its text tower's configuration."""
    folder = pretrained.fetched(repository)
    text = _configuration(folder)
    fetch(f"hf-hub:{repository}", _WEIGHTS)
    named = text.get("hf_model_name")
    if named and not (folder / "config.json").is_file():  # as BiomedCLIP's does
        place = fetch(f"hf-hub:{named}", ("config.json",)).parent
        return folder, _text_tower(text, pretrained.check_folder(place))
    return folder, _local_text(folder, text)


def _configuration(folder: Path) -> dict[str, Any]:
    """The checked `text_cfg` of a folder's open_clip_config.json: shapes and names, no code and no places.

    Raises:
        UserError: no such file, or it says something else.
    """
    from open_clip.coca_model import CoCa, MultimodalCfg
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg, CustomTextCLIP

    path = folder / "open_clip_config.json"
    if not path.is_file():
        raise UserError(
            f"{folder}: no open_clip_config.json in it; give open_clip:NAME=FILE for bare weights"
        )
    pretrained.check_folder(folder)
    found = documents.read_mapping(path)
    sections = {"vision_cfg": CLIPVisionCfg, "text_cfg": CLIPTextCfg, "multimodal_cfg": MultimodalCfg}
    try:
        arguments.check_no_code(found)
        model = _mapping(found, "model_cfg")
        known = {"custom_text", *signature(CoCa).parameters, *signature(CustomTextCLIP).parameters}
        arguments.check_arguments(
            {k: v for k, v in model.items() if k not in sections}, known - {"cast_dtype"}
        )
        for name, kind in sections.items():
            section = _mapping(model, name)
            # Followed nowhere: a folder brings its own tokenizer and its own text tower.
            plain = {k: v for k, v in section.items() if k not in ("hf_model_name", "hf_tokenizer_name")}
            arguments.check_arguments(plain, {field.name for field in fields(kind)})
            arguments.check_arguments(_mapping(section, "tokenizer_kwargs"), _TOKENIZER)
        if network := _mapping(model, "vision_cfg").get("timm_model_name"):
            arguments.check_network_name(network)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    return _mapping(model, "text_cfg")


def _mapping(found: dict[str, Any], name: str) -> dict[str, Any]:
    value = found.get(name) or {}
    if not isinstance(value, dict):
        raise ValueError(f"{name}={value!r}: an object is needed; copy the folder again")
    return value


def _file(folder: Path, weights: str) -> Path | None:
    """The file of weights, where it is known: hub ids and tags tell a version of their own."""
    inside = sorted(folder.glob("open_clip*model.safetensors")) + sorted(folder.glob("open_clip*model.bin"))
    places = inside if folder.is_dir() else [Path(weights)]
    return next((path for path in places if path.is_file()), None)


def _local_text(folder: Path, text: dict[str, Any]) -> dict[str, Any]:
    """What makes open_clip take the text tower's configuration from the folder too, not from the hub."""
    if not text.get("hf_model_name"):
        return {}
    if not (folder / "config.json").is_file():
        raise UserError(
            f"{folder}/open_clip_config.json: text_cfg.hf_model_name={text['hf_model_name']!r}: a folder sends nobody "
            "to a hub; put the config.json and the tokenizer of that model beside it"
        )
    return _text_tower(text, folder)


def _text_tower(text: dict[str, Any], place: Path) -> dict[str, Any]:
    return {"text_cfg": text | {"hf_model_name": str(place), "hf_model_pretrained": False}}


def _own(folder: Path) -> Preprocessing | None:
    """How an encoder of ours takes a photograph, where `clip export` wrote the folder; open_clip cannot crop to the field of view.

    Raises:
        UserError: the file says something else.
    """
    path = folder / folders.FILE
    if not path.is_file():
        return None
    told = folders.metadata_of(folder).get("preprocessing")
    return check(Preprocessing, told if isinstance(told, dict) else {}, f"{path}: preprocessing")


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
