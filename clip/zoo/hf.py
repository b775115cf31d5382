"""A folder of transformers' `ChineseCLIPModel`, as OFA-Sys has them on the Hugging Face Hub."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from clip.zoo.foreign import Foreign, ForeignConfig
from clip.zoo.preprocessing import ForeignPreprocessing
from synth.base import pretrained
from synth.base import weights as safetensors
from synth.base.config import check
from synth.base.documents import read_mapping
from synth.base.errors import UserError

_CONTEXT = 52
"""Tokens that Chinese-CLIP was trained with, where the folder tells no fewer."""
_BICUBIC, _BILINEAR = 3, 2


class Pictures(nn.Module):
    """(B, D) from (B, 3, S, S): the image tower alone."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.vision_model, self.visual_projection = model.vision_model, model.visual_projection

    def forward(self, images: Tensor) -> Tensor:
        return self.visual_projection(self.vision_model(pixel_values=images).pooler_output)


class Texts(nn.Module):
    """(B, D) from (B, L) token ids: the text tower alone."""

    def __init__(self, model: Any, pad: int) -> None:
        super().__init__()
        self.text_model, self.text_projection, self._pad = model.text_model, model.text_projection, pad

    def encode_text(self, tokens: Tensor) -> Tensor:
        read = self.text_model(input_ids=tokens, attention_mask=tokens.ne(self._pad).long())
        return self.text_projection(read.last_hidden_state[:, 0])


def load(source: str) -> Foreign:
    """The model of a folder with `config.json`, weights, `vocab.txt` and `preprocessor_config.json`.

    Raises:
        UserError: no such folder, not a ChineseCLIPModel, or a part of it is absent or damaged.
    """
    folder = Path(source)
    if not folder.is_dir():
        raise UserError(f"hf:{source}: no such folder; fetch it with 'hf download NAME --local-dir FOLDER'")
    said = read_mapping(pretrained.check_folder(folder) / "config.json")
    if said.get("model_type") != "chinese_clip":
        raise UserError(
            f"{folder}: a '{said.get('model_type')}', where a ChineseCLIPModel is needed; open_clip's folders are open_clip:FOLDER"
        )
    try:
        model, tokenizer = _opened(folder)
    except pretrained.errors() as error:
        raise UserError(f"{folder}: cannot be opened ({pretrained.reason(error)}); fetch it again") from None
    safetensors.check_finite(model, str(folder))
    longest = min(_CONTEXT, int(tokenizer.model_max_length))

    def tokenize(texts: list[str]) -> Tensor:
        words = tokenizer(
            texts, padding="max_length", truncation=True, max_length=longest, return_tensors="pt"
        )
        return words["input_ids"]

    return Foreign(
        ForeignConfig(
            kind="hf",
            name=f"ChineseCLIPModel, {model.config.vision_config.patch_size} px patches",
            embedding=model.config.projection_dim,
            context=longest,
            languages=("zh",),
            template="[CLS]的眼底照片",
            preprocessing=_preprocessing(folder, model.config.vision_config.image_size),
        ),
        Pictures(model),
        Texts(model, int(tokenizer.pad_token_id)),
        tokenize,
        model.logit_scale,
        next(
            (
                folder / name
                for name in ("model.safetensors", "pytorch_model.bin")
                if (folder / name).is_file()
            ),
            None,
        ),
    )


def _opened(folder: Path) -> tuple[Any, Any]:
    from transformers import BertTokenizer, ChineseCLIPModel

    model, told = pretrained.part(ChineseCLIPModel, folder, output_loading_info=True)
    lacking = [name for name in told["missing_keys"] if "pooler" not in name and "position_ids" not in name]
    if lacking:
        raise UserError(f"{folder}: its weights lack '{sorted(lacking)[0]}'; fetch it again")
    return model.float().eval(), pretrained.part(BertTokenizer, folder)


def _preprocessing(folder: Path, size: int) -> ForeignPreprocessing:
    """What its processor does to a picture; how it is resized, cropped and scaled.

    Raises:
        UserError: it does something else.
    """
    path = folder / "preprocessor_config.json"
    said = read_mapping(path)
    resample = said.get("resample", _BICUBIC)
    if (
        resample not in (_BICUBIC, _BILINEAR)
        or not said.get("do_resize", True)
        or not said.get("do_normalize", True)
    ):
        raise UserError(
            f"{path}: a preparation that is not known here; it needs do_resize, do_normalize, and resample 2 or 3"
        )
    asked = said.get("size", size)
    short = asked.get("shortest_edge") if isinstance(asked, dict) else None
    crop = bool(said.get("do_center_crop")) and short is not None
    how = {"name": "shortest-side", "resize": short} if crop else {"name": "squash"}
    how |= {"mean": said.get("image_mean"), "std": said.get("image_std")}
    how["interpolation"] = "bicubic" if resample == _BICUBIC else "bilinear"
    return check(
        ForeignPreprocessing, {k: v for k, v in how.items() if v is not None} | {"size": size}, str(path)
    )
