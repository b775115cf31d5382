"""What is trained, and the losses that it is trained by.

A loss is added in three places: what it needs of a forward pass becomes an entry of `Learner.forward`, what it makes
of a whole batch an entry of `named_losses`, what it counts a field of `Weights`.  What is known of a batch without the
network that learns, from its records or from a teacher, is a field of `Targets`.
"""

from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from clip.model.encoders import build, standardise
from clip.training import distillation, initial, losses, masking, views
from clip.training.caching import Features
from clip.training.config import TrainConfig
from synth.base.device import moved


class Targets(NamedTuple):
    """What is known of the records of one batch, of all processes."""

    meaning: Tensor
    """(B,) int64; equal where captions say the same."""
    labels: Tensor
    """(B, L) int64, as `clip.training.labels.label_sets` has them."""
    subject: Tensor | None = None
    """(B,) int64; equal where the pictures `first` and `second` are of one person."""
    teacher_logits: Tensor | None = None
    """(B, B) a teacher's products of each picture with each text."""


class Learner(nn.Module):
    """A CLIP, and what only its training needs; it starts from `config.model`, `config.initial` and `config.seed` alone."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        sigmoid = config.loss.endswith("siglip")
        model = config.model.model_copy(update={"bias": True}) if sigmoid else config.model
        self.clip = build(model, config.seed)
        self.initial, self.weights = config.initial, config.weights
        initial.start(config.initial, self.clip)
        self.train()
        if config.weights.reconstruction:
            self.decoder = masking.build(self.clip.visual, config.masking, config.seed)

    def train(self, mode: bool = True) -> Self:
        """Set everything to training but frozen towers, or everything to evaluation."""
        super().train(mode)
        if mode:
            initial.keep_still(self.initial, self.clip)
        return self

    def forward(self, pictures: Tensor, tokens: Tensor, others: dict[str, Tensor] | None = None) -> Features:
        """What the losses need of (B, 3, S, S) pictures in [0, 1] and their (B, L) tokens.

        Every entry of the same number is of the same picture, so that parts of a batch can be joined.  `others` are as
        many pictures again for each use that `views.others` names.  In training, what no loss counts is left out:
        several processes wait for the gradient of all that is returned.
        """
        features: Features = {}
        if self.weights.image_text or self.weights.distillation or not self.training:
            features["image_features"], features["text_features"], features["scale"] = self.clip(
                standardise(pictures), tokens
            )
        if self.clip.logit_bias is not None and (self.weights.image_text or not self.training):
            features["bias"] = self.clip.logit_bias
        for use, images in (others or {}).items():
            if use == "whole":
                features["missed"] = self._missed(standardise(images))
            else:
                features[use] = nn.functional.normalize(self.clip.encode_image(standardise(images)), dim=-1)
                features["scale"] = self.clip.logit_scale.exp()
        return features

    def _missed(self, images: Tensor) -> Tensor:
        order = moved(masking.shuffled(len(images), self.decoder.patches), images.device)
        return masking.reconstruction(self.clip.visual, self.decoder, images, order)


def named_losses(config: TrainConfig, features: Features, targets: Targets) -> dict[str, Tensor]:
    """Each loss by the name of its weight, over one batch of all processes; those of weight 0 are left out."""
    named: dict[str, Tensor] = {}
    if config.weights.image_text:
        named["image_text"] = image_text(config, features, targets)
    if config.weights.image_image:
        assert targets.subject is not None
        first, second, scale = (features[key] for key in ("first", "second", "scale"))
        named["image_image"] = views.contrast(first, second, scale, targets.subject)
    if config.weights.reconstruction:
        named["reconstruction"] = features["missed"].mean()
    if config.weights.distillation:
        assert targets.teacher_logits is not None
        image_features, text_features, scale = (
            features[key] for key in ("image_features", "text_features", "scale")
        )
        named["distillation"] = distillation.relations(
            image_features, text_features, scale, targets.teacher_logits
        )
    return named


def total(config: TrainConfig, named: dict[str, Tensor]) -> Tensor:
    """The weighted sum that is made small."""
    return torch.stack([getattr(config.weights, name) * loss for name, loss in named.items()]).sum()


def image_text(config: TrainConfig, features: Features, targets: Targets) -> Tensor:
    """How far pictures and texts are from finding one another."""
    image_features, text_features, scale = (
        features[key] for key in ("image_features", "text_features", "scale")
    )
    match config.loss:
        case "infonce":
            return losses.infonce(image_features, text_features, scale)
        case "siglip":
            return losses.siglip(image_features, text_features, scale, features["bias"])
        case "multi-positive":
            return losses.multi_positive(image_features, text_features, scale, text_targets(config, targets))
        case "multi-positive-siglip":
            return losses.multi_positive_siglip(
                image_features, text_features, scale, features["bias"], text_targets(config, targets)
            )


def text_targets(config: TrainConfig, targets: Targets) -> Tensor:
    """(B, B) how right the text of each record is for the picture of each other."""
    weights = losses.overlap(targets.labels) if config.positives == "labels" else losses.same(targets.meaning)
    if config.ordinal:
        weights = torch.maximum(weights, losses.between_grades(targets.labels, config.ordinal))
    return weights
