"""The two towers of a CLIP: timm for pictures, BERT for text, with the vocabulary of Chinese-CLIP.

With the default towers and equal weights it computes what Chinese-CLIP's RN50 + RoBERTa-wwm-ext-base-chinese
does, to 1e-5; `clip.export.cn_clip` renames the weights.  Chinese and English share the tokenizer: its vocabulary,
that of bert-base-chinese, holds lower-cased English word pieces.
"""

from collections.abc import Sequence
from math import log
from typing import Annotated, Any, Self

import torch
from pydantic import Field, PositiveInt, field_validator, model_validator
from torch import Tensor, nn

from clip.model.wordpiece import PAD, VOCABULARY_SIZE, tokenize
from synth.base import arguments, networks, pretrained
from synth.base.config import Config
from synth.base.device import constant
from synth.base.errors import UserError
from synth.data.images import Preprocessing

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""Channel statistics of OpenAI's CLIP, which Chinese-CLIP kept."""

LOG_SCALE_START = log(1 / 0.07)
SIGMOID_START = (log(10.0), -10.0)
"""Log scale and bias at which the sigmoid losses start: nearly all pairs are wrong ones (2303.15343, sec. 3.2)."""
LOG_SCALE_LIMITS = (0.0, log(100.0))


Blocks = Annotated[int, Field(gt=0, le=arguments.MOST_BLOCKS)]
Width = Annotated[int, Field(gt=0, le=2**16)]


class ImageTower(Config):
    """A timm network whose last layer is the projection."""

    name: str = "resnet50_clip"
    """A timm model; `*_clip` ones are the ModifiedResNet of CLIP, and can be exported to Chinese-CLIP."""
    layers: tuple[Blocks, Blocks, Blocks, Blocks] | None = None
    """Blocks per stage of a `*_clip` network, for one smaller than its name says."""
    width: Width = 64
    """Channels after the stem of a `*_clip` network whose `layers` are given; a multiple of 2."""
    kwargs: dict[str, Any] = Field(default={})
    """What else gives the network its shape (`synth.base.arguments.TIMM`): numbers, booleans and short names."""

    @field_validator("name")
    @classmethod
    def name_is_of_a_network(cls, name: str) -> str:
        arguments.check_network_name(name)
        return name

    @field_validator("kwargs")
    @classmethod
    def kwargs_are_a_shape(cls, kwargs: dict[str, Any]) -> dict[str, Any]:
        arguments.check_arguments(
            kwargs, arguments.TIMM, "leave it out; weights to start from are initial.image=FILE"
        )
        return kwargs

    @model_validator(mode="after")
    def layers_are_for_clip(self) -> Self:
        if self.layers and not self.name.endswith("_clip"):
            raise ValueError(
                f"layers={self.layers} reshapes '*_clip' networks, not '{self.name}'; leave it out"
            )
        if self.width % 2:
            raise ValueError(f"width={self.width} must be even")
        return self


class TextTower(Config):
    """A BERT whose last [CLS] state is projected; the default is RoBERTa-wwm-ext-base-chinese."""

    layers: Blocks = 12
    """Transformer blocks."""
    width: Width = 768
    """Size of a token's state; a multiple of `heads`."""
    heads: PositiveInt = 12
    """Attention heads per block."""
    feedforward: Width = 3072
    """Size of the hidden layer in each block."""
    positions: Width = 512
    """Longest text that position embeddings are kept for, in tokens."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Of states and of attention, in training."""

    @model_validator(mode="after")
    def heads_divide(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width={self.width} must be a multiple of heads={self.heads}")
        return self


class ClipConfig(Config):
    """Architecture and input of a CLIP; the defaults are those of VisionCLIP (arXiv 2403.10823)."""

    image: ImageTower = ImageTower()
    """The tower that sees."""
    text: TextTower = TextTower()
    """The tower that reads."""
    embedding: Width = 1024
    """Size of the space in which pictures and texts meet."""
    context: PositiveInt = 52
    """Tokens per text with [CLS] and [SEP]; longer texts are cut."""
    preprocessing: Preprocessing = Preprocessing(size=224)
    """How a photograph becomes the square that the image tower sees."""
    bias: bool = False
    """A learned summand of the products of embeddings, which the sigmoid losses need; training by one sets it."""

    @model_validator(mode="after")
    def positions_suffice(self) -> Self:
        if self.context > self.text.positions:
            raise ValueError(f"context={self.context} is more than text.positions={self.text.positions}")
        return self


class CLIP(nn.Module):
    """Image and text encoder with a common space.

    Parameters are `visual.*` (timm), `bert.*` (transformers), `text_projection`, `logit_scale`, and `logit_bias` if
    `config.bias`.
    """

    source = "the model"
    """Where it was opened from, for errors."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.config = config
        self.visual = _image_tower(config)
        self.bert = _text_tower(config.text)
        width = config.text.width
        self.text_projection = nn.Parameter(torch.randn(width, config.embedding) * width**-0.5)
        scale, bias = SIGMOID_START if config.bias else (LOG_SCALE_START, None)
        self.logit_scale = nn.Parameter(torch.tensor(scale))
        self.logit_bias = None if bias is None else nn.Parameter(torch.tensor(bias))

    def encode_image(self, images: Tensor) -> Tensor:
        """(B, D) from (B, 3, S, S) normalised by `normalise`; not of unit length."""
        return self.visual(images)

    def encode_text(self, tokens: Tensor) -> Tensor:
        """(B, D) from (B, L) token ids, `PAD` where the text has ended; not of unit length."""
        tokens = tokens if tokens.is_cuda else trimmed(tokens)  # a GPU would be waited for
        present = tokens.ne(PAD)
        # transformers looks whether a mask of two axes leaves out nothing, for which a GPU would be waited for too.
        mask = present[:, None, None].expand(-1, 1, tokens.shape[1], -1) if tokens.is_cuda else present.long()
        state = self.bert(tokens, attention_mask=mask).last_hidden_state
        return state[:, 0] @ self.text_projection

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """(N, L) token ids that `encode_text` takes."""
        return tokenize(texts, self.config.context)

    def forward(self, images: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, D) image and text embeddings of unit length, and the factor of their products."""
        seen = nn.functional.normalize(self.encode_image(images), dim=-1)
        read = nn.functional.normalize(self.encode_text(tokens), dim=-1)
        return seen, read, self.logit_scale.exp()


def build(config: ClipConfig, seed: int = 0) -> CLIP:
    """A CLIP with random weights that depend only on `config` and `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CLIP(config)


def untrained(model: CLIP, seed: int) -> CLIP:
    """A model of the same architecture with fresh random weights, in evaluation mode."""
    return build(model.config, seed).eval()


def normalise(pixels: Tensor) -> Tensor:
    """(B, 3, H, W) float32 in CLIP's scale from (B, H, W, 3) uint8 RGB."""
    return standardise(pixels.permute(0, 3, 1, 2).float() / 255)


def standardise(images: Tensor) -> Tensor:
    """(B, 3, H, W) in CLIP's scale from the same in [0, 1]."""
    if images.is_contiguous(memory_format=torch.channels_last):  # by rows: by threes it takes twice as long
        rows = images.permute(0, 2, 3, 1).flatten(2)
        mean, std = (
            constant(values, images.device).to(images.dtype).repeat(images.shape[3]) for values in (MEAN, STD)
        )
        return torch.addcmul(-mean / std, rows, 1 / std).unflatten(2, (-1, 3)).permute(0, 3, 1, 2)
    mean, std = (constant(values, images.device).to(images.dtype).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (images - mean).div_(std)


def trimmed(tokens: Tensor) -> Tensor:
    """(B, L) tokens without the padding at the end that no text of the batch needs, which is only work."""
    return tokens[:, : int(tokens.ne(PAD).sum(dim=1).max())]


def _image_tower(config: ClipConfig) -> nn.Module:
    import timm

    tower, kwargs = config.image, dict(config.image.kwargs)
    if tower.name not in timm.list_models():
        near = timm.list_models(f"*{tower.name.split('_')[0]}*")[:3]
        hint = f"; near: {', '.join(near)}" if near else ""
        raise UserError(f"model.image.name='{tower.name}' is no timm model{hint}")
    if tower.name.endswith("_clip"):
        kwargs["img_size"] = config.preprocessing.size
    ours = _modified_resnet(tower.layers, tower.width) if tower.layers else {}
    try:
        return networks.build(tower.name, config.embedding, kwargs, **ours)
    except pretrained.errors() as error:
        raise UserError(
            f"model.image.kwargs={tower.kwargs}: '{tower.name}' does not take them ({pretrained.reason(error)}); "
            "leave out what it does not know, and give sizes that divide"
        ) from None


def _modified_resnet(layers: Sequence[int], width: int) -> dict[str, Any]:
    """What makes timm's `resnet50_clip` another ModifiedResNet of CLIP."""
    from timm.models.byobnet import ByoBlockCfg

    blocks = tuple(
        ByoBlockCfg(type="bottle", d=depth, c=width * 4 * 2**stage, s=1 if stage == 0 else 2, br=0.25)
        for stage, depth in enumerate(layers)
    )
    return {"blocks": blocks, "stem_chs": (width // 2, width // 2, width)}


def _text_tower(tower: TextTower) -> nn.Module:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=VOCABULARY_SIZE,
        hidden_size=tower.width,
        num_hidden_layers=tower.layers,
        num_attention_heads=tower.heads,
        intermediate_size=tower.feedforward,
        max_position_embeddings=tower.positions,
        hidden_dropout_prob=tower.dropout,
        attention_probs_dropout_prob=tower.dropout,
        pad_token_id=PAD,
    )
    return BertModel(config, add_pooling_layer=False)
