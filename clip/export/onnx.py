"""Both towers as ONNX, for any number of photographs or texts at a time, checked against torch before they are kept."""

import json
import logging
import shutil
import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from clip.export import metadata, tokenizer
from clip.model import checkpoints
from clip.model.encoders import CLIP, normalise
from clip.model.wordpiece import PAD
from synth.base import runs
from synth.base.errors import UserError
from synth.base.scratch import scratch

BATCHES = (1, 7)
"""Sizes at which torch and onnxruntime are compared."""


class Seeing(nn.Module):
    """(B, S, S, 3) uint8, preprocessed -> (B, D) embeddings of length 1; the scaling of colours is part of it."""

    def __init__(self, model: CLIP) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        return nn.functional.normalize(self.model.encode_image(normalise(pixels)), dim=-1)


class Reading(nn.Module):
    """(B, context) token ids, 0 where the text has ended -> (B, D) embeddings of length 1."""

    def __init__(self, model: CLIP) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        # encode_text cuts off padding that no text of the batch needs: a length that depends on the values.
        state = self.model.bert(tokens, attention_mask=tokens.ne(PAD).long()).last_hidden_state
        return nn.functional.normalize(state[:, 0] @ self.model.text_projection, dim=-1)


def to_onnx(path: Path, out: Path) -> dict[str, float]:
    """Write `out/image.onnx`, `out/text.onnx` and the tokenizer; returns the largest difference to torch by file.

    Raises:
        UserError: a tower that this torch cannot say in ONNX (2.6 no batch norm, so no ResNet), or that onnxruntime computes otherwise by more than `facts.TOLERANCE`.
    """
    model, head = checkpoints.load(path)
    said = json.dumps(metadata.of(model, path, head), ensure_ascii=False)
    photographs = torch.from_numpy(metadata.squares(model))
    towers = {
        "image.onnx": (Seeing(model), photographs, "pixels"),
        "text.onnx": (Reading(model), model.tokenize(metadata.TEXTS), "tokens"),
    }
    found = {}
    with scratch(out) as folder:
        for name, (tower, batch, given) in towers.items():
            _write(Path(folder) / name, tower.eval(), batch, given, said)
            found[name] = difference(Path(folder) / name, tower, batch)
            if not found[name] <= metadata.TOLERANCE:
                raise UserError(
                    f"{path}: {name} differs from torch by {found[name]:.1e}; nothing was written"
                )
        for name in towers:
            with runs.atomic(out / name) as temporary:
                shutil.copyfile(Path(folder) / name, temporary)
    tokenizer.write(out, model.config.context)
    metadata.write(out, model, path, head)
    return found


@torch.inference_mode()
def difference(file: Path, tower: nn.Module, batch: Tensor, sizes: Sequence[int] = BATCHES) -> float:
    """The largest difference between onnxruntime and torch, over batches of several sizes.

    Raises:
        UserError: the file takes batches of one size alone, as torch 2.6 writes it.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    given, size = session.get_inputs()[0].name, session.get_inputs()[0].shape[0]
    if isinstance(size, int):
        raise UserError(
            f"{file.name}: torch {torch.__version__} makes it take {size} at a time; install a newer torch, or choose another --to"
        )
    return max(
        float(np.abs(session.run(None, {given: part.numpy()})[0] - tower(part).numpy()).max())
        for part in (batch[:size] for size in sizes)
    )


def _write(file: Path, tower: nn.Module, batch: Tensor, given: str, said: str) -> None:
    import onnx

    try:
        with _quiet():
            torch.onnx.export(
                tower,
                (batch[:2],),
                str(file),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
                input_names=[given],
                output_names=["features"],
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        line = str(error).strip().splitlines()[0]
        raise UserError(
            f"{file.name}: torch {torch.__version__} cannot say this tower in ONNX ({line}); "
            "choose another --to, or a newer torch"
        ) from None
    made = onnx.load(file)
    onnx.helper.set_model_props(made, {"visionclip": said})
    onnx.save(made, file)


@contextmanager
def _quiet():
    """The exporter tells of every step that it leaves out; what matters is measured afterwards."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "torch.onnx")]
    levels = [each.level for each in loggers]
    try:
        for each in loggers:
            each.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
