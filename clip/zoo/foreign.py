"""Somebody else's model behind the interface of ours: every evaluation takes it as it takes a CLIP of `clip train`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from clip.model.encoders import CLIP, MEAN, STD
from clip.zoo.preprocessing import ForeignPreprocessing, Three
from synth.base.config import Config
from synth.base.errors import UserError
from synth.data.images import Preprocessing

Kind = Literal["open_clip", "flair", "cn_clip", "eyeclip", "retfound", "visionfm", "hf"]
Tokenizer = Callable[[list[str]], Tensor]


class ForeignConfig(Config):
    """What is known of somebody else's model."""

    kind: Kind
    """Whose format its file has."""
    name: str
    """Of the architecture, for people."""
    embedding: PositiveInt
    """Size of an embedding."""
    context: PositiveInt | None = None
    """Tokens per text; null without a text tower."""
    languages: tuple[Literal["zh", "en"], ...] = ()
    """That its text tower was trained on; none without one."""
    template: str = "[CLS]"
    """What stands around the name of a class at test, in each of `languages`."""
    preprocessing: ForeignPreprocessing | Preprocessing
    """How a photograph becomes the square that its image tower sees."""


class Foreign(CLIP):
    """A CLIP that others trained, or an image tower alone; stands wherever a CLIP of ours does.

    `encode_image` takes what `clip.model.encoders.normalise` gives and changes the scale to the tower's own, so that one
    way of feeding pictures fits all.
    """

    config: ForeignConfig  # type: ignore[assignment]

    def __init__(
        self,
        config: ForeignConfig,
        visual: nn.Module,
        reader: nn.Module | None = None,
        tokenizer: Tokenizer | None = None,
        logit_scale: Tensor | None = None,
        file: Path | None = None,
    ) -> None:
        """Wrap towers.

        Args:
            config:      what they are.
            visual:      (B, D) from (B, 3, S, S) pictures in the scale of `config.preprocessing`.
            reader:      has `encode_text`: (B, D) from what `tokenizer` gives.
            tokenizer:   (B, L) token ids of texts.
            logit_scale: scalar, the logarithm of the factor of cosines.
            file:        where the weights stand.
        """
        nn.Module.__init__(self)  # CLIP's own would build our towers
        self.config = config
        self.visual = visual
        self.reader = reader
        self.file = file
        self._tokenizer = tokenizer
        start = torch.zeros(()) if logit_scale is None else logit_scale.detach().reshape(()).float()
        self.logit_scale = nn.Parameter(start)
        scale = config.preprocessing
        foreign = (scale.mean, scale.std) if isinstance(scale, ForeignPreprocessing) else (MEAN, STD)
        factor, offset = rescaling(*foreign)
        self.logit_bias = None
        self.register_buffer("factor", factor, persistent=False)
        self.register_buffer("offset", offset, persistent=False)

    def encode_image(self, images: Tensor) -> Tensor:
        """(B, D) from (B, 3, S, S) normalised by `normalise`; not of unit length."""
        own: Any = self.factor, self.offset
        return self.visual(images * own[0] + own[1])

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """(N, L) token ids.

        Raises:
            UserError: the model has no text tower.
        """
        if self._tokenizer is None:
            raise UserError(
                f"{self.config.kind} ({self.config.name}) has no text tower; "
                "choose --task linear, few-shot or finetune"
            )
        return self._tokenizer(list(texts))

    def encode_text(self, tokens: Tensor) -> Tensor:
        """(B, D) from what `tokenize` gives; not of unit length."""
        assert self.reader is not None, "tokenize refuses first"
        return self.reader.encode_text(tokens)  # type: ignore[operator]


def rescaling(mean: Three, std: Three) -> tuple[Tensor, Tensor]:
    """The factor and the offset, (1, 3, 1, 1), that bring a picture from CLIP's scale to that of other statistics."""
    ours, theirs = torch.tensor([MEAN, STD]), torch.tensor([mean, std])
    factor, offset = ours[1] / theirs[1], (ours[0] - theirs[0]) / theirs[1]
    return factor.view(1, 3, 1, 1), offset.view(1, 3, 1, 1)


def fetch(source: str, names: Sequence[str]) -> Path:
    """A local file, or the first of `names` that a repository `ORG/NAME` of the Hugging Face hub has.

    Raises:
        UserError: neither.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError

    path, repository = Path(source), source.removeprefix("hf-hub:")
    if path.is_file():
        return path
    if repository.count("/") != 1 or path.suffix in (".pt", ".pth", ".bin", ".safetensors"):
        raise UserError(f"{source}: no such file; give a file of weights, or ORG/NAME of a hub repository")
    reason = ""
    for name in names:
        try:
            return Path(hf_hub_download(repository, name))
        except EntryNotFoundError as error:
            reason = str(error)
        except (HfHubHTTPError, HFValidationError, OSError) as error:
            reason = str(error)
            break
    line = " ".join(reason.split())[:160]
    raise UserError(f"{source}: neither a file nor to be had from the hub ({line}); give a local file")
