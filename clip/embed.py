"""Embeddings of photographs and of texts, by a model that `clip.loading` opened."""

import logging
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from clip.inputs import photographs
from clip.inputs.sets import Data
from clip.model.checkpoints import weights_fingerprint
from clip.model.encoders import CLIP, normalise
from synth.base.device import accelerator
from synth.base.errors import UserError
from synth.base.runs import atomic
from synth.data.pictures import decoded
from synth.data.records import SPLITS

MODEL = "visionclip.model"
"""Key of a file's metadata under which it tells what embedded its photographs."""


@torch.inference_mode()
def pixels(model: CLIP, batch: np.ndarray) -> np.ndarray:
    """(B, D) float32 of unit length from (B, S, S, 3) uint8, already preprocessed.

    Raises:
        UserError: what the model gives are no numbers.
    """
    place = next(model.parameters()).device
    images = normalise(torch.from_numpy(np.array(batch)).to(place))
    return _unit(model, model.encode_image(images))


def images(model: CLIP, folder: Data, splits: Sequence[str] = SPLITS, batch: int = 64) -> np.ndarray:
    """(N, D) float32 of unit length: the pictures of some splits, in the row order of `photographs.table`.

    Raises:
        UserError: no records, or a damaged picture.
    """
    found, preprocessing = photographs.pictures(folder, splits), model.config.preprocessing
    model = model.to(accelerator()).eval()
    made = decoded(found, preprocessing, portion=batch)
    empty = np.zeros((0, model.config.embedding), np.float32)
    return np.concatenate([empty, *(pixels(model, squares) for _, squares in made)])


def embed(
    model: CLIP, folder: Data, splits: Sequence[str] = SPLITS
) -> tuple[list[str], list[str], np.ndarray]:
    """The ids, the subjects and the (N, D) embeddings of some splits of what `inputs.opened` takes."""
    table = photographs.table(folder, splits, ["id", "subject_id"])
    return table["id"].to_pylist(), table["subject_id"].to_pylist(), images(model, folder, splits)


@torch.inference_mode()
def texts(model: CLIP, captions: Sequence[str]) -> np.ndarray:
    """(N, D) float32 of unit length from texts in either language.

    Raises:
        UserError: what the model gives are no numbers.
    """
    place, tokens = next(model.parameters()).device, model.tokenize(captions)
    if cut := [captions[row] for row in _cut(model, list(captions), tokens)]:
        _warn(
            f"{len(cut):,} of {len(captions):,} texts are longer than the {tokens.shape[1]} tokens that the model reads, and their "
            f"ends are not seen; the first is '{cut[0][:40]}...'; shorten them"
        )
    read = [model.encode_text(part) for part in tokens.to(place).split(256)]
    return _unit(model, torch.cat(read))


def _unit(model: CLIP, features: torch.Tensor) -> np.ndarray:
    """(B, D) float32 of length 1.

    Raises:
        UserError: they are no numbers.
    """
    found = nn.functional.normalize(features.float(), dim=-1).cpu().numpy()
    if not np.isfinite(found).all():
        raise UserError(
            f"{model.source}: its embeddings are no numbers (NaN or infinity): the weights are damaged, or their training "
            "diverged; copy them again, or train with a lower lr"
        )
    return found


def _cut(model: CLIP, captions: list[str], tokens: torch.Tensor) -> list[int]:
    """The rows of texts whose last character changes nothing, because the tokens end before it."""
    full = torch.nonzero(tokens[:, -1] != model.tokenize([""])[0, -1]).flatten().tolist()
    shorter = model.tokenize([captions[row].rstrip()[:-1] for row in full]) if full else tokens[:0]
    return [row for row, other in zip(full, shorter, strict=True) if torch.equal(tokens[row], other)]


@cache
def _warn(line: str) -> None:
    """Say a line once: the same prompts are read for each language."""
    logging.getLogger("clip").warning(line)


def write(path: Path, model: CLIP, folder: Data, splits: Sequence[str] = SPLITS) -> int:
    """Write id, subject_id and embedding of some splits to a parquet file; returns the number of rows.

    The file's metadata tell the fingerprint of the model's weights.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids, subjects, embeddings = embed(model, folder, splits)
    if len(set(ids)) < len(ids):
        twice = next(each for each, count in Counter(ids).items() if count > 1)
        raise UserError(
            f"{folder}: id '{twice}' is in it more than once, so nobody could tell them apart; embed the sets one by one"
        )
    columns = {"id": ids, "subject_id": subjects, "embedding": list(embeddings)}
    table = pa.table(columns).replace_schema_metadata({MODEL: weights_fingerprint(model)})
    with atomic(path) as temporary:
        pq.write_table(table, temporary, write_page_checksum=True)
    return len(ids)
