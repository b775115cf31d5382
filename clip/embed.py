"""Embeddings of photographs and of texts, by a model that `clip.loading` opened."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from clip.model.checkpoints import weights_fingerprint
from clip.model.encoders import CLIP, normalise
from synth.base.runs import atomic
from synth.data.pictures import Pictures
from synth.data.records import SPLITS, read_table

MODEL = "visionclip.model"
"""Key of a file's metadata under which it tells what embedded its photographs."""


def device() -> torch.device:
    """The accelerator if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@torch.inference_mode()
def pixels(model: CLIP, batch: np.ndarray) -> np.ndarray:
    """(B, D) float32 of unit length from (B, S, S, 3) uint8, already preprocessed."""
    place = next(model.parameters()).device
    images = normalise(torch.from_numpy(np.array(batch)).to(place))
    return nn.functional.normalize(model.encode_image(images).float(), dim=-1).cpu().numpy()


def images(model: CLIP, folder: Path, splits: Sequence[str] = SPLITS, batch: int = 64) -> np.ndarray:
    """(N, D) float32 of unit length: the pictures of some splits, in the row order of `read_table`.

    Raises:
        UserError: no records, or a damaged picture.
    """
    pictures, size = Pictures(folder, splits), model.config.preprocessing.size
    model = model.to(device()).eval()
    parts = [np.zeros((0, model.config.embedding), np.float32)]
    for start in range(0, len(pictures), batch):
        rows = range(start, min(start + batch, len(pictures)))
        squares = np.zeros((len(rows), size, size, 3), np.uint8)
        for square, row in zip(squares, rows, strict=True):
            square[:] = model.config.preprocessing(pictures[row], pictures.where(row))
        parts.append(pixels(model, squares))
    return np.concatenate(parts)


def embed(
    model: CLIP, folder: Path, splits: Sequence[str] = SPLITS
) -> tuple[list[str], list[str], np.ndarray]:
    """The ids, the subjects and the (N, D) embeddings of some splits of a folder of records."""
    table = read_table(folder, splits, ["id", "subject_id"])
    return table["id"].to_pylist(), table["subject_id"].to_pylist(), images(model, folder, splits)


@torch.inference_mode()
def texts(model: CLIP, captions: Sequence[str]) -> np.ndarray:
    """(N, D) float32 of unit length from texts in either language."""
    place = next(model.parameters()).device
    read = [model.encode_text(part) for part in model.tokenize(captions).to(place).split(256)]
    return nn.functional.normalize(torch.cat(read).float(), dim=-1).cpu().numpy()


def write(path: Path, model: CLIP, folder: Path, splits: Sequence[str] = SPLITS) -> int:
    """Write id, subject_id and embedding of some splits to a parquet file; returns the number of rows.

    The file's metadata tell the fingerprint of the model's weights.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids, subjects, embeddings = embed(model, folder, splits)
    columns = {"id": ids, "subject_id": subjects, "embedding": list(embeddings)}
    table = pa.table(columns).replace_schema_metadata({MODEL: weights_fingerprint(model)})
    with atomic(path) as temporary:
        pq.write_table(table, temporary, write_page_checksum=True)
    return len(ids)
