"""What an export says of itself, and how it is checked: by the embeddings of the same photographs and texts."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clip import embed
from clip.model.checkpoints import Header
from clip.model.encoders import CLIP, MEAN, STD, normalise
from clip.model.folders import FILE, SUM
from synth.base import checkpoint, runs
from synth.base.config import fingerprint
from synth.base.errors import UserError

TOLERANCE = 1e-4
"""Largest difference of a component of an embedding of length 1 that is accepted."""
TEXTS = [
    "疑似青光眼。",
    "未见明显异常。",
    "疑似糖尿病视网膜病变（重度），疑似糖尿病性黄斑水肿。",
    "No abnormality.",
    "Suspected glaucoma.",
    "Suspected moderate diabetic retinopathy, left eye.",
    "眼",
]
"""Of very different length, in both languages."""


def squares(model: CLIP) -> np.ndarray:
    """(7, S, S, 3) uint8: noise, which reaches every value."""
    side = model.config.preprocessing.size
    return np.random.default_rng(0).integers(0, 256, (len(TEXTS), side, side, 3), dtype=np.uint8)


def pictures(model: CLIP) -> Tensor:
    """`squares` as the image tower takes them."""
    return normalise(torch.from_numpy(squares(model)))


def check(model: CLIP, image_features: Tensor, text_features: Tensor, out: Path) -> float:
    """The largest difference between embeddings of length 1, of `squares` and of `TEXTS`, and those of `model`.

    Raises:
        UserError: it is more than `TOLERANCE`.
    """
    ours = embed.pixels(model, squares(model)), embed.texts(model, TEXTS)
    largest = max(
        float(np.abs(a - b.cpu().numpy()).max())
        for a, b in zip(ours, (image_features, text_features), strict=True)
    )
    if not largest <= TOLERANCE:
        raise UserError(f"{out}: embeddings differ from ours by {largest:.1e}; do not use what is there")
    return largest


def of(model: CLIP, path: Path, head: Header) -> dict[str, Any]:
    """What somebody needs who has the weights and not us."""
    return {
        "format": "visionclip-export",
        "version": 1,
        "model": model.config.model_dump(mode="json"),
        "preprocessing": model.config.preprocessing.model_dump(mode="json"),
        "mean": MEAN,
        "std": STD,
        "context": model.config.context,
        "tokenizer": "WordPiece, lower-cased, vocab.txt of bert-base-chinese: [CLS] text [SEP], cut, or filled with 0",
        "logit_scale": model.logit_scale.exp().item(),
        "logit_bias": None if model.logit_bias is None else model.logit_bias.item(),
        "checkpoint": runs.sha256(path),
        "images_seen_in_training": head.images,
        "training_data": head.data,
        "libraries": checkpoint.versions(),
        "use": "research only, no diagnosis",
    }


def write(folder: Path, model: CLIP, path: Path, head: Header) -> None:
    """Write `of`, and its checksum, to `visionclip.json`."""
    content = of(model, path, head)
    runs.write_json(folder / FILE, content | {SUM: fingerprint(content)})
