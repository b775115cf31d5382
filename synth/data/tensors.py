"""Pictures as networks take them: uint8 arrays to floats in [-1, 1], and back."""

import numpy as np
import torch
from torch import Tensor


def as_tensor(pictures: np.ndarray, device: torch.device | str | None = None) -> Tensor:
    """(B, 3, S, S) float in [-1, 1] from (B, S, S, 3) uint8."""
    owned = np.require(pictures, requirements=["C", "W"])  # a mapped file cannot be written to
    return as_floats(torch.from_numpy(owned).to(device))


def as_floats(pictures: Tensor) -> Tensor:
    """(B, 3, S, S) float in [-1, 1] from (B, S, S, 3) uint8, wherever they are."""
    return pictures.permute(0, 3, 1, 2).float() / 127.5 - 1


def as_pictures(images: Tensor) -> Tensor:
    """(B, S, S, 3) uint8 from (B, 3, S, S) float; what lies beyond [-1, 1] is cut off."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
