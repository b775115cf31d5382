"""Few-shot classifiers on frozen embeddings of pictures and prompts: Tip-Adapter(-F) and CLIP-Adapter."""

from typing import NamedTuple

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor, nn


class Text(NamedTuple):
    """The zero-shot classifier that an adapter starts from: logits = scale * f W^T."""

    prototypes: np.ndarray
    """(K, D) W: one vector per class."""
    scale: float
    """Factor of cosines, as the encoder learnt it."""

    def logits(self, features: np.ndarray) -> np.ndarray:
        """(N, K) of (N, D) embeddings of length 1."""
        return self.scale * features.astype(float) @ self.prototypes.T


class Tip(NamedTuple):
    """Tip-Adapter: zero-shot logits, and those of a cache of the shots.

        logits = weight * exp(-sharpness (1 - f F^T)) L + scale * f W^T       Zhang et al. 2022 (2111.03930), eq. 4-6

    Without weight it is the zero-shot classifier.  In Tip-Adapter-F the keys F are trained, see `tune_keys`.
    """

    text: Text
    keys: np.ndarray
    """(S, D) F: the embeddings of the shots."""
    values: np.ndarray
    """(S, K) L: their classes, one-hot."""
    weight: float
    """Alpha of the paper: how much the shots count beside the prompts."""
    sharpness: float
    """Beta of the paper: how near a shot must lie to count."""

    def probability(self, features: np.ndarray) -> np.ndarray:
        """(N, K) of (N, D) embeddings of length 1."""
        affinity = np.exp(-self.sharpness * (1 - features.astype(float) @ self.keys.T))
        return softmax(self.weight * affinity @ self.values + self.text.logits(features), axis=1)


def tip(
    text: Text, features: np.ndarray, truth: np.ndarray, weight: float = 1.0, sharpness: float = 5.5
) -> Tip:
    """Tip-Adapter with (S, D) shots as its cache; nothing is trained."""
    return Tip(text, features, np.eye(len(text.prototypes))[truth], weight, sharpness)


def tune_keys(start: Tip, truth: np.ndarray, steps: int, lr: float) -> Tip:
    """Tip-Adapter-F: the keys, trained on the shots by cross-entropy from where `start` has them.

    AdamW with eps 1e-4 and a cosine, as published; but whole batches of embeddings, without augmentation of pictures.
    """
    features = torch.from_numpy(start.keys).float()
    zero_shot = torch.from_numpy(start.text.logits(start.keys)).float()
    values, target = torch.from_numpy(start.values).float(), torch.from_numpy(truth)
    keys = nn.Parameter(features.clone())

    def loss() -> Tensor:
        affinity = torch.exp(-start.sharpness * (1 - features @ keys.T))
        return nn.functional.cross_entropy(start.weight * affinity @ values + zero_shot, target)

    _descend([keys], loss, steps, lr)
    return start._replace(keys=keys.detach().numpy())


class ClipAdapter(NamedTuple):
    """CLIP-Adapter: two layers that move an embedding, and a ratio that says how far.

    A(f) = ReLU(f W1) W2,   f' = ratio A(f) + (1 - ratio) f,   logits = scale * f' / |f'| W^T
                                                      Gao et al. 2021 (2110.04544), eq. 4-7; visual adapter only
    """

    text: Text
    first: np.ndarray
    """(D, D / 4) W1."""
    second: np.ndarray
    """(D / 4, D) W2."""
    ratio: float
    """Share of the adapted embedding; at 0 the adapter is the zero-shot classifier."""

    def probability(self, features: np.ndarray) -> np.ndarray:
        """(N, K) of (N, D) embeddings of length 1."""
        moved = np.maximum(features.astype(float) @ self.first, 0) @ self.second
        mixed = self.ratio * moved + (1 - self.ratio) * features
        return softmax(self.text.logits(mixed / np.linalg.norm(mixed, axis=1, keepdims=True)), axis=1)


def clip_adapter(
    text: Text, features: np.ndarray, truth: np.ndarray, ratio: float, steps: int, lr: float, seed: int
) -> ClipAdapter:
    """CLIP-Adapter trained on (S, D) shots by cross-entropy; AdamW with a cosine, whole batches.

    W2 starts at zero, unlike the authors', so that training sets out from the zero-shot classifier.
    """
    generator = torch.Generator().manual_seed(seed)
    wide, narrow = features.shape[1], max(1, features.shape[1] // 4)
    first = nn.Parameter(torch.randn(wide, narrow, generator=generator) * (2 / wide) ** 0.5)
    second = nn.Parameter(torch.zeros(narrow, wide))
    images, target = torch.from_numpy(features).float(), torch.from_numpy(truth)
    prototypes = torch.from_numpy(text.prototypes).float()

    def loss() -> Tensor:
        mixed = ratio * torch.relu(images @ first) @ second + (1 - ratio) * images
        logits = text.scale * nn.functional.normalize(mixed, dim=-1) @ prototypes.T
        return nn.functional.cross_entropy(logits, target)

    _descend([first, second], loss, steps, lr)
    return ClipAdapter(text, first.detach().numpy(), second.detach().numpy(), ratio)


def _descend(parameters: list[nn.Parameter], loss, steps: int, lr: float) -> None:
    """Train for whole-batch steps of AdamW whose rate falls to 0 by a cosine."""
    optimizer = torch.optim.AdamW(parameters, lr=lr, eps=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        schedule.step()
