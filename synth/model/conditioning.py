"""What a generator is conditioned on: every label at once, each known or unknown, as one vector."""

import numpy as np
import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from synth.model.labels import Conditions, LabelEncoding


class LabelConditioning(ModelMixin, ConfigMixin):
    """Codes -> one vector per image: an embedding per (label, value), summed.

    The sum goes straight to the denoiser, as in ADM (2105.05233): a network in between made labels so faint that
    after 2,000 steps no eye knew its side (docs/log.md).

    Args:
        width:      of the vector.
        conditions: the labels and the order of their values, which are saved with the weights; None is the mapping of
                    the first generators.
        text:       numbers in the vector of a caption; 0 without captions.
    """

    @register_to_config
    def __init__(self, width: int, conditions: Conditions | None = None, text: int = 0) -> None:
        super().__init__()
        self.labels = LabelEncoding(conditions)
        """Encodes records by the mapping of this checkpoint."""
        sizes = list(self.labels.sizes.values())
        starts = [0, *np.cumsum([values + 1 for values in sizes]).tolist()]
        self.register_buffer("starts", torch.tensor(starts[:-1]), persistent=False)
        self.table = nn.Embedding(starts[-1], width)
        with (
            torch.no_grad()
        ):  # what is unknown or absent adds nothing at first, so that what is there stands out
            for start, values in zip(starts, sizes, strict=False):
                self.table.weight[start + values] = 0
                if values == 2:
                    self.table.weight[start] = 0
        self.projected = nn.Linear(text, width, bias=False) if text else None
        if self.projected:
            nn.init.zeros_(self.projected.weight)  # captions begin to count as they are learnt

    def forward(self, codes: Tensor) -> Tensor:
        """(B, L) codes, or (B, L + D) with the vector of a caption behind them -> (B, width)."""
        labels, text = codes[:, : len(self.labels)], codes[:, len(self.labels) :]
        vector = self.table(labels.long() + self.starts).sum(dim=1)
        return vector + self.projected(text) if self.projected and text.shape[1] else vector

    def unconditional(self, codes: Tensor) -> Tensor:
        """What (B, L) or (B, L + D) `codes` are where nothing is known: every label unknown, no caption."""
        unknown = torch.zeros_like(codes)
        unknown[:, : len(self.labels)] = torch.from_numpy(self.labels.unknown).to(codes)
        return unknown
