"""Captions as a condition: sentences in any language as vectors of a text encoder that is not trained here.

A vector is the mean over the encoder's last layer, scaled to unit variance.  No text is a vector of zeros.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from synth.base import arrays, pretrained
from synth.base.config import fingerprint
from synth.base.errors import UserError
from synth.base.runs import progress
from synth.data.records import read_table

_BATCH = 32
_LONGEST = 128  # tokens; what follows is cut


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except (UserError, *pretrained.errors()) as error:
        raise UserError(
            f"network.captions: no text encoder '{name}' ({pretrained.reason(error, 300)}); "
            "give the folder of a BERT or the like"
        ) from None


class TextEncoder:
    """A frozen text encoder of `transformers`: RoBERTa-wwm, BERT or the like.

    Args:
        name: its folder, or its name on the hub if it was fetched already: configs and generators name it, and no
              file sends us to a hub.

    Raises:
        UserError: there is none, it is damaged, or it needs code of its own.
    """

    def __init__(self, name: str) -> None:
        with _named(name):
            folder = pretrained.local(name)
            self._tokenizer = pretrained.tokenizer(folder)
            self._model = pretrained.model(folder)
        self.sha256 = _sha256(self._model)

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """(B, D) float32."""
        tokens = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=_LONGEST, return_tensors="pt"
        )
        layer, kept = self._model(**tokens).last_hidden_state, tokens["attention_mask"][..., None]
        mean = (layer * kept).sum(dim=1) / kept.sum(dim=1)
        return (torch.nn.functional.normalize(mean, dim=1) * mean.shape[1] ** 0.5).numpy()


@lru_cache(maxsize=1)
def encoder(name: str) -> TextEncoder:
    """The text encoder of that name, opened once."""
    return TextEncoder(name)


def width(name: str | None) -> int:
    """Numbers in the vector of a text; 0 without an encoder."""
    if name is None:
        return 0
    with _named(name):
        return int(pretrained.configuration(pretrained.local(name)).hidden_size)


class Captions(NamedTuple):
    """The captions of some photographs as vectors."""

    vectors: np.ndarray
    """(M, D) float32: one per distinct caption; the last is zeros, for none."""
    places: np.ndarray
    """(N, 2) int64: the vector of each photograph's Chinese and English caption."""
    encoder: dict[str, Any]
    """{encoder, sha256, width}: what a generator's folder says of the encoder."""


def captions(name: str | None, folders: Sequence[Path], cache: Path) -> Captions | None:
    """The captions of the training splits of some folders, embedded once and kept in `cache`."""
    if name is None:
        return None
    columns = ["caption_zh", "caption_en"]
    rows = [row for folder in folders for row in read_table(folder, ["train"], columns).to_pylist()]
    texts = sorted({row[column] for row in rows for column in columns if row[column]})
    place = {text: i for i, text in enumerate(texts)}
    places = np.array([[place.get(row[column], len(texts)) for column in columns] for row in rows])
    known = encoder(name)
    path = cache / f"captions-{fingerprint([known.sha256, texts])[:16]}.npy"
    if not path.exists():
        with progress("reading captions", len(texts), unit="captions") as bar:
            parts = []
            for first in range(0, len(texts), _BATCH):
                parts.append(known(texts[first : first + _BATCH]))
                bar.update(len(parts[-1]))
        arrays.write(path, np.concatenate([*parts, np.zeros((1, width(name)), np.float32)]))
    vectors = arrays.read(path, (len(texts) + 1, None))
    metadata = {"encoder": name, "sha256": known.sha256, "width": vectors.shape[1]}
    return Captions(vectors, places, metadata)


def embedded(prompts: Sequence[str | None], metadata: dict[str, Any]) -> np.ndarray:
    """(B, D) float32 of prompts, zeros for none, by the encoder that a generator's folder names.

    Raises:
        UserError: the encoder is absent, or another than the generator was trained with.
    """
    vectors = np.zeros((len(prompts), metadata["width"]), np.float32)
    for i, prompt in enumerate(prompts):
        if prompt is not None:
            vectors[i] = _one(prompt, metadata["encoder"], metadata["sha256"])
    return vectors


@lru_cache(maxsize=1024)
def _one(prompt: str, name: str, sha256: str) -> np.ndarray:
    """One at a time: in a batch, a sentence is padded, and its last bits depend on its neighbours."""
    known = encoder(name)
    if known.sha256 != sha256:
        raise UserError(f"{name}: not the text encoder that the generator was trained with (sha256 differs)")
    return known([prompt])[0]


def _sha256(model: torch.nn.Module) -> str:
    """The hash of a network's weights, whatever file they came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
