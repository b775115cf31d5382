"""A folder of transformers' `ChineseCLIPModel` or `SiglipModel`, as the Hugging Face Hub has them."""

import string
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from clip.model.encoders import MEAN, STD
from clip.zoo.foreign import Foreign, ForeignConfig, Tokenizer
from clip.zoo.openclip import TEMPLATE
from clip.zoo.preprocessing import ForeignPreprocessing, Three
from synth.base import pretrained
from synth.base import weights as safetensors
from synth.base.config import check
from synth.base.documents import read_mapping
from synth.base.errors import UserError

_CONTEXT = 52
"""Tokens that Chinese-CLIP was trained with, where the folder tells no fewer."""
_BICUBIC, _BILINEAR = 3, 2
_HALF = (0.5, 0.5, 0.5)
"""Mean and deviation of SigLIP's pictures, where its processor tells none."""
_FIRST = ("SiglipTokenizer", "SiglipTokenizerFast")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


class Pictures(nn.Module):
    """(B, D) from (B, 3, S, S): the image tower alone."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.vision_model = model.vision_model
        self.visual_projection = getattr(model, "visual_projection", nn.Identity())  # SigLIP has none

    def forward(self, images: Tensor) -> Tensor:
        return self.visual_projection(self.vision_model(pixel_values=images).pooler_output)


class Texts(nn.Module):
    """(B, D) from (B, L) token ids: Chinese-CLIP's text tower alone."""

    def __init__(self, model: Any, pad: int) -> None:
        super().__init__()
        self.text_model, self.text_projection, self._pad = model.text_model, model.text_projection, pad

    def encode_text(self, tokens: Tensor) -> Tensor:
        read = self.text_model(input_ids=tokens, attention_mask=tokens.ne(self._pad).long())
        return self.text_projection(read.last_hidden_state[:, 0])


class SiglipTexts(nn.Module):
    """(B, D) from (B, L) token ids: SigLIP's text tower alone, which sees the padding, as in its training."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.text_model = model.text_model

    def encode_text(self, tokens: Tensor) -> Tensor:
        return self.text_model(input_ids=tokens).pooler_output


def load(source: str) -> Foreign:
    """The model of a folder with `config.json`, weights, the files of its tokenizer and `preprocessor_config.json`.

    Raises:
        UserError: no such folder, another kind of model, or a part of it is absent or damaged.
    """
    folder = Path(source)
    if not folder.is_dir():
        raise UserError(f"hf:{source}: no such folder; fetch it with 'hf download NAME --local-dir FOLDER'")
    kind = read_mapping(pretrained.check_folder(folder) / "config.json").get("model_type")
    loaders = {"chinese_clip": _chinese_clip, "siglip": _siglip}
    if kind not in loaders:
        raise UserError(
            f"{folder}: a '{kind}', where a ChineseCLIPModel or a SiglipModel is needed; open_clip's folders are "
            "open_clip:FOLDER, and of SigLIP-2 take one of fixed resolution"
        )
    try:
        return loaders[kind](folder)
    except pretrained.errors() as error:
        raise UserError(f"{folder}: cannot be opened ({pretrained.reason(error)}); fetch it again") from None


def _chinese_clip(folder: Path) -> Foreign:
    """Chinese-CLIP, as OFA-Sys has it on the Hugging Face Hub."""
    from transformers import BertTokenizer, ChineseCLIPModel

    model, tokenizer = _opened(ChineseCLIPModel, folder), pretrained.part(BertTokenizer, folder)
    longest = min(_CONTEXT, int(tokenizer.model_max_length))
    config = ForeignConfig(
        kind="hf",
        name=f"ChineseCLIPModel, {model.config.vision_config.patch_size} px patches",
        embedding=model.config.projection_dim,
        context=longest,
        languages=("zh",),
        template="[CLS]的眼底照片",
        preprocessing=_preprocessing(folder, model.config.vision_config.image_size),
    )
    reader = Texts(model, int(tokenizer.pad_token_id))
    return Foreign(
        config, Pictures(model), reader, _padding(tokenizer, longest), model.logit_scale, _file(folder)
    )


def _siglip(folder: Path) -> Foreign:
    """SigLIP (2303.15343), SigLIP-2 of fixed resolution (2502.14786), MedSigLIP (2507.05201); google/* on the hub.

    Without texts no tokenizer is opened: that of MedSigLIP may need sentencepiece.
    """
    from transformers import SiglipModel

    model = _opened(SiglipModel, folder)
    config = ForeignConfig(
        kind="hf",
        name=f"SiglipModel, {model.config.vision_config.patch_size} px patches",
        embedding=model.config.vision_config.hidden_size,
        context=model.config.text_config.max_position_embeddings,
        languages=("en",),
        template=TEMPLATE,
        preprocessing=_preprocessing(folder, model.config.vision_config.image_size, _HALF, _HALF),
    )

    def tokenize(texts: list[str]) -> Tensor:
        tokenizer, first = _tokenizer(folder)
        return _padding(tokenizer, config.context or 0)([_canonical(text, first) for text in texts])

    return Foreign(config, Pictures(model), SiglipTexts(model), tokenize, model.logit_scale, _file(folder))


@cache
def _tokenizer(folder: Path) -> tuple[Any, bool]:
    """The tokenizer of a SigLIP, and whether it is that of the first version.

    Raises:
        UserError: it is not there, or a library that reads it is not.
    """
    told = folder / "tokenizer_config.json"
    first = told.is_file() and read_mapping(told).get("tokenizer_class") in _FIRST
    try:
        return pretrained.tokenizer(folder), first
    except pretrained.errors() as error:
        raise UserError(
            f"{folder}: its tokenizer cannot be opened ({pretrained.reason(error)}); put its tokenizer.json there, "
            "or 'pip install sentencepiece' for a spiece.model"
        ) from None


def _canonical(text: str, first: bool) -> str:
    """A text as SigLIP was taught: in lower case, of the first version without ASCII punctuation too (big_vision)."""
    return " ".join(text.lower().translate(_NO_PUNCTUATION).split()) if first else text.lower()


def _padding(tokenizer: Any, longest: int) -> Tokenizer:
    """(N, `longest`) ids of texts, padded or cut."""

    def tokenize(texts: list[str]) -> Tensor:
        words = tokenizer(
            texts, padding="max_length", truncation=True, max_length=longest, return_tensors="pt"
        )
        return words["input_ids"]

    return tokenize


def _opened(kind: Any, folder: Path) -> Any:
    """A network of finite weights, all of which the folder holds, in evaluation mode."""
    model, told = pretrained.part(kind, folder, output_loading_info=True)
    lacking = [
        name
        for name in told["missing_keys"]
        if "position_ids" not in name and not name.startswith("text_model.pooler")
    ]
    if lacking:
        raise UserError(f"{folder}: its weights lack '{sorted(lacking)[0]}'; fetch it again")
    safetensors.check_finite(model, str(folder))
    return model.float().eval()


def _file(folder: Path) -> Path | None:
    """Its file of weights, where it is one."""
    names = ("model.safetensors", "pytorch_model.bin")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _preprocessing(folder: Path, size: int, mean: Three = MEAN, std: Three = STD) -> ForeignPreprocessing:
    """What its processor does to a picture; how it is resized, cropped and scaled (by `mean`, `std` if it does not say).

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
    how |= {"mean": said.get("image_mean") or mean, "std": said.get("image_std") or std}
    how["interpolation"] = "bicubic" if resample == _BICUBIC else "bilinear"
    return check(ForeignPreprocessing, how | {"size": size}, str(path))
