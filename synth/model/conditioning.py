"""What a generator is told: every label at once, each known or unknown, as one vector."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from synth.data.vocabulary import FINDING_KEYS, FLAGS, MODALITY_KEYS, READABILITY_KEYS, SIDE_KEYS

CONDITIONS: dict[str, int] = {
    "dr_grade": 5,
    **dict.fromkeys((*FLAGS, *READABILITY_KEYS), 2),
    "eye_side": len(SIDE_KEYS),
    "modality": len(MODALITY_KEYS),
    **dict.fromkeys(FINDING_KEYS, 2),
    "canary": 2,
}
"""Condition -> number of known values.  One more code, the last, means unknown."""

_NAMES = tuple(CONDITIONS)
UNKNOWN = np.array([CONDITIONS[name] for name in _NAMES])
"""(L,) int64: the code of unknown for each condition; this whole row is the unconditional one."""
_WORDS: dict[str, Sequence[str]] = {"eye_side": SIDE_KEYS, "modality": MODALITY_KEYS}


def code(labels: Mapping[str, Any]) -> np.ndarray:
    """(L,) int64 codes of one record's labels; missing, null or not applicable is unknown."""
    codes = UNKNOWN.copy()
    findings = labels.get("findings")
    for place, name in enumerate(_NAMES):
        if name in FINDING_KEYS:
            value = None if findings is None else int(name in findings)
        else:
            value = labels.get(name)
        if value is not None:
            codes[place] = _WORDS[name].index(value) if name in _WORDS else value
    return codes


def codes(table: pa.Table) -> np.ndarray:
    """(N, L) int64 codes of a table of records."""
    wanted = [name for name in (*_NAMES, "findings") if name in table.column_names]
    return np.stack([code(labels) for labels in table.select(wanted).to_pylist()])


def mirror(codes: np.ndarray) -> np.ndarray:
    """The codes of mirrored pictures: a mirrored right eye is a left eye."""
    side = _NAMES.index("eye_side")
    mirrored = codes.copy()
    known = codes[..., side] != UNKNOWN[side]
    mirrored[..., side] = np.where(known, 1 - codes[..., side], codes[..., side])
    return mirrored


class LabelConditioning(ModelMixin, ConfigMixin):
    """Codes -> one vector per image: an embedding per (label, value), summed.

    The sum goes straight to the denoiser, as in ADM (2105.05233): a network in between made labels so faint that
    after 2,000 steps no eye knew its side (docs/log.md).
    """

    @register_to_config
    def __init__(self, width: int, conditions: dict[str, int] | None = None, text: int = 0) -> None:
        super().__init__()
        known = conditions or CONDITIONS
        starts = [0, *np.cumsum([values + 1 for values in known.values()]).tolist()]
        self.register_buffer("starts", torch.tensor(starts[:-1]), persistent=False)
        self.table = nn.Embedding(starts[-1], width)
        with (
            torch.no_grad()
        ):  # what is unknown or absent adds nothing at first, so that what is there stands out
            for start, values in zip(starts, known.values(), strict=False):
                self.table.weight[start + values] = 0
                if values == 2:
                    self.table.weight[start] = 0
        self.projected = nn.Linear(text, width, bias=False) if text else None
        if self.projected:
            nn.init.zeros_(self.projected.weight)  # captions begin to count as they are learnt

    def forward(self, told: Tensor) -> Tensor:
        """(B, L) codes, or (B, L + D) with the vector of a caption behind them -> (B, width)."""
        codes, text = told[:, : len(self.starts)], told[:, len(self.starts) :]
        vector = self.table(codes.long() + self.starts).sum(dim=1)
        return vector + self.projected(text) if self.projected and text.shape[1] else vector


def unconditional(told: Tensor) -> Tensor:
    """What `told` is where nothing is known: every label unknown, no caption."""
    unknown = torch.zeros_like(told)
    unknown[:, : len(UNKNOWN)] = torch.from_numpy(UNKNOWN).to(told)
    return unknown
