"""Checkpoints to models, photographs to embeddings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from clip.model.encoders import CLIP, ClipConfig, build, normalise
from synth.base import checkpoint, config
from synth.base.errors import UserError
from synth.base.runs import atomic, sha256
from synth.data.pictures import Pictures
from synth.data.records import SPLITS, read_table
from synth.data.vocabulary import VERSION as VOCABULARY

FORMAT = "visionclip-clip"
VERSION = 1
HUB = "hub:"
"""What stands before the NAME/REPO of a checkpoint of ours on the Hugging Face Hub."""


def header(model: CLIP, **facts: Any) -> dict[str, Any]:
    """What a checkpoint of ours says about itself; `facts` are added."""
    return checkpoint.header(
        FORMAT, VERSION, model=model.config.model_dump(mode="json"), vocabulary=VOCABULARY, **facts
    )


def load_checkpoint(path: Path) -> tuple[CLIP, dict[str, Any]]:
    """The model in evaluation mode, and what the file says about itself.

    Raises:
        UserError: not a checkpoint of ours, damaged, or holding objects that could run code.
    """
    content = checkpoint.check_header(path, checkpoint.load(path), FORMAT, VERSION)
    if content.get("vocabulary", 0) > VOCABULARY:
        raise UserError(
            f"{path}: vocabulary version {content['vocabulary']}, this visionclip knows {VOCABULARY}; "
            "update with 'pip install -U visionclip'"
        )
    model = build(config.check(ClipConfig, content.get("model", {}), str(path)))
    try:
        model.load_state_dict(content.pop("weights"))
    except (KeyError, RuntimeError, AttributeError, TypeError) as error:
        line = str(error).splitlines()[-1].strip()
        raise UserError(
            f"{path}: weights do not fit the model that it names ({line}); train it again"
        ) from None
    return model.eval(), content


def load(spec: Path | str) -> tuple[CLIP, dict[str, Any]]:
    """A model in evaluation mode, on the CPU, and what is known of it: a checkpoint of ours, or another's (`clip.zoo`).

    `hub:NAME/REPO` is a checkpoint of ours that `clip push` sent to the Hugging Face Hub.

    Raises:
        UserError: no such file, or not what its name says.
    """
    from clip import zoo

    if str(spec).startswith(HUB) and not Path(spec).exists():
        from clip.export.hub import CHECKPOINT
        from clip.zoo.foreign import fetch

        path = fetch(str(spec).removeprefix(HUB), [CHECKPOINT])
        model, head = load_checkpoint(path)
        return model, head | {"sha256": sha256(path)}
    if zoo.split(spec) is None:
        return load_checkpoint(Path(spec))
    model = zoo.load(spec)
    file = model.file and sha256(model.file)
    return model, {"format": model.config.kind, "model": model.config.model_dump(mode="json"), "sha256": file}


def load_model(spec: Path | str) -> CLIP:
    """The model of a checkpoint of ours, or another's by `KIND:FILE`, in evaluation mode, on the CPU."""
    return load(spec)[0]


def untrained(model: CLIP, seed: int) -> CLIP:
    """A model of the same architecture with fresh random weights, in evaluation mode."""
    return build(model.config, seed).eval()


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
    """Write id, subject_id and embedding of some splits to a parquet file; returns the number of rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids, subjects, embeddings = embed(model, folder, splits)
    columns = {"id": ids, "subject_id": subjects, "embedding": list(embeddings)}
    with atomic(path) as temporary:
        pq.write_table(pa.table(columns), temporary)
    return len(ids)
