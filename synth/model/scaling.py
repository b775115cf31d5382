"""Pixels as a network takes them, and back: 0 to 255 is -1 to 1."""

import numpy as np
import torch
from torch import Tensor


def to_tensor(pixels: np.ndarray) -> Tensor:
    """(B, 3, S, S) float32 in [-1, 1] from (B, S, S, 3) uint8."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pixels(images: Tensor) -> Tensor:
    """(B, S, S, 3) uint8 from (B, 3, S, S) in [-1, 1]."""
    return ((images + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
