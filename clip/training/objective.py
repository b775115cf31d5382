"""What is trained, and the losses that it is trained by.

A loss is added in three places: what it needs of a forward pass becomes an entry of `Learner.forward`, what it makes
of a whole batch an entry of `named_losses`, what it counts a field of `Weights`.
"""

import torch
from torch import Tensor, nn

from clip import losses
from clip.encoders import build, standardise
from clip.training.caching import Features
from clip.training.config import TrainConfig


class Learner(nn.Module):
    """A CLIP, and what only its training needs; its weights depend on `config.model` and `config.seed` alone."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.clip = build(config.model, config.seed)

    def forward(self, pictures: Tensor, tokens: Tensor) -> Features:
        """What the losses need of (B, 3, S, S) pictures in [0, 1] and their (B, L) tokens.

        Every entry of the same number is of the same picture, so that parts of a batch can be joined.
        """
        seen, read, scale = self.clip(standardise(pictures), tokens)
        return {"seen": seen, "read": read, "scale": scale}


def named_losses(config: TrainConfig, features: Features, meaning: Tensor) -> dict[str, Tensor]:
    """Each loss by the name of its weight, over one batch of all processes; those of weight 0 are left out."""
    found: dict[str, Tensor] = {}
    if config.weights.image_text:
        found["image_text"] = image_text(config, features, meaning)
    return found


def total(config: TrainConfig, found: dict[str, Tensor]) -> Tensor:
    """The weighted sum that is made small."""
    return torch.stack([getattr(config.weights, name) * loss for name, loss in found.items()]).sum()


def image_text(config: TrainConfig, features: Features, meaning: Tensor) -> Tensor:
    """How far pictures and texts are from finding one another."""
    seen, read, scale = (features[key] for key in ("seen", "read", "scale"))
    if config.loss == "multi-positive":
        return losses.multi_positive(seen, read, scale, meaning)
    return losses.infonce(seen, read, scale)
