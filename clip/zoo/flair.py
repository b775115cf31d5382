"""FLAIR: torchvision's ResNet-50 and a clinical BERT, built under the names of its published weights."""

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clip.zoo import weights
from clip.zoo.foreign import Foreign, ForeignConfig, fetch
from clip.zoo.preprocessing import ForeignPreprocessing
from synth.base import pretrained
from synth.base.errors import UserError

TEMPLATE = "A fundus photograph of [CLS]"
TOKENIZER = "emilyalsentzer/Bio_ClinicalBERT"
SIZE = 512
CONTEXT = 77
_HEADS = {768: 12}
"""Of Bio_ClinicalBERT by its width; no weight tells them."""


class Projection(nn.Module):
    """Linear, from unit length to unit length."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.projection = nn.Linear(width, embedding, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(B, embedding) of length 1 from (B, width)."""
        return nn.functional.normalize(self.projection(nn.functional.normalize(features, dim=-1)), dim=-1)


class Vision(nn.Module):
    """ResNet-50 without its classifier, and a projection."""

    def __init__(self, embedding: int) -> None:
        from torchvision.models import resnet50

        super().__init__()
        self.model = resnet50()
        self.model.fc = nn.Identity()  # type: ignore[assignment]
        self.projection_head_vision = Projection(2048, embedding)

    def forward(self, images: Tensor) -> Tensor:
        """(B, embedding) from (B, 3, S, S) in [0, 1]."""
        return self.projection_head_vision(self.model(images))


class Text(nn.Module):
    """BERT, of which three hidden states are averaged over all positions, and a projection."""

    def __init__(self, shape: dict[str, Any], embedding: int) -> None:
        from transformers import BertConfig, BertModel

        super().__init__()
        self.model = BertModel(BertConfig(**shape))
        self.projection_head_text = Projection(shape["hidden_size"], embedding)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, embedding) from (B, L) token ids, 0 where a text has ended.

        States 1, 2 and the last, averaged over the positions, padding included: an embedding depends on the
        longest text that it is encoded with, so texts of one class go together, as FLAIR's own code has it.
        """
        attention = tokens.ne(0).long()
        states: Any = self.model(tokens, attention_mask=attention, output_hidden_states=True).hidden_states
        return self.projection_head_text(torch.stack([states[1], states[2], states[-1]]).mean(dim=(0, 2)))


class Flair(nn.Module):
    """Both towers; parameters are named as in jusiro/FLAIR, `flair/modeling/model.py`, commit d6652d5."""

    def __init__(self, shape: dict[str, Any], embedding: int) -> None:
        super().__init__()
        self.vision_model = Vision(embedding)
        self.text_model = Text(shape, embedding)
        self.logit_scale = nn.Parameter(torch.zeros(()))

    def encode_text(self, tokens: Tensor) -> Tensor:
        """(B, embedding) from (B, L) token ids."""
        return self.text_model(tokens)


def load(source: str, tokenizer: str = "") -> Foreign:
    """FLAIR from its file of weights; `tokenizer` is a folder with Bio_ClinicalBERT's, or a hub id.

    Without texts no tokenizer is opened.

    Raises:
        UserError: no such file, or not FLAIR's.
    """
    path = fetch(source, ("model.safetensors", "pytorch_model.bin"))
    found = {name: value for name, value in weights.read(path).items() if not name.endswith(".position_ids")}
    head = "vision_model.projection_head_vision.projection.weight"
    words = "text_model.model.embeddings.word_embeddings.weight"
    lacking = [name for name in (head, words, "logit_scale") if name not in found]
    if lacking:
        raise UserError(f"{path}: not FLAIR's weights: {', '.join(lacking)} missing")
    embedding = found[head].shape[0]
    if (width := found[words].shape[1]) not in _HEADS:
        raise UserError(
            f"{path}: a text tower {width} wide, whose attention heads no weight tells; FLAIR's is 768 wide"
        )
    model = Flair(_bert(found), embedding)
    weights.fit(model, found, str(path), may_lack=("text_model.model.pooler.",))
    return Foreign(
        ForeignConfig(
            kind="flair",
            name="ResNet-50, Bio_ClinicalBERT",
            embedding=embedding,
            context=CONTEXT,
            languages=("en",),
            template=TEMPLATE,
            preprocessing=ForeignPreprocessing(
                name="flair-canvas", size=SIZE, interpolation="bilinear", mean=(0, 0, 0), std=(1, 1, 1)
            ),
        ),
        model.vision_model,
        model,
        lambda texts: _tokens(tokenizer or TOKENIZER, texts),
        model.logit_scale,
        path,
    )


def _bert(found: dict[str, Tensor]) -> dict[str, Any]:
    prefix = "text_model.model."
    words, width = found[f"{prefix}embeddings.word_embeddings.weight"].shape
    layers = {name.split(".")[4] for name in found if name.startswith(f"{prefix}encoder.layer.")}
    return {
        "vocab_size": words,
        "hidden_size": width,
        "num_hidden_layers": len(layers),
        "num_attention_heads": _HEADS[width],
        "intermediate_size": found[f"{prefix}encoder.layer.0.intermediate.dense.weight"].shape[0],
        "max_position_embeddings": found[f"{prefix}embeddings.position_embeddings.weight"].shape[0],
        "type_vocab_size": found[f"{prefix}embeddings.token_type_embeddings.weight"].shape[0],
    }


def _tokens(source: str, texts: list[str]) -> Tensor:
    return _tokenizer(source)(texts, truncation=True, max_length=CONTEXT, padding=True, return_tensors="pt")[
        "input_ids"
    ]


@cache
def _tokenizer(source: str) -> Any:
    try:
        folder = Path(source)
        folder = pretrained.check_folder(folder) if folder.is_dir() else pretrained.fetched(source)
        return pretrained.tokenizer(folder)
    except (UserError, *pretrained.errors()) as error:
        raise UserError(
            f"{source}: no tokenizer to be had ({pretrained.reason(error)}); "
            "give the folder of one: flair:FILE=FOLDER"
        ) from None
