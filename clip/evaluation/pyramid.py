"""An image tower with a U-Net's decoder: what the encoder sees at several scales becomes a class for each pixel."""

from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from clip.model.encoders import CLIP
from clip.zoo.foreign import Foreign
from synth.base.errors import UserError

SCALES = (4.0, 2.0, 1.0, 0.5)
"""Of the levels made from a transformer, whose blocks all have one scale, relative to its grid of patches."""
_GROUPS = 8


class Decoder(nn.Module):
    """The way up of a U-Net: the coarsest level, widened step by step and joined with the next finer one.

    Ronneberger et al. 2015 (1505.04597), with levels narrowed to one width, and norms of groups, which a small batch
    does not disturb.
    """

    def __init__(self, channels: list[int], classes: int, width: int = 64) -> None:
        """`channels` of the levels, finest first; `width` is a multiple of 8."""
        super().__init__()
        self.narrow = nn.ModuleList(_block(each, width, 1) for each in channels)
        self.join = nn.ModuleList(
            nn.Sequential(_block(2 * width, width, 3), _block(width, width, 3)) for _ in channels[1:]
        )
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, levels: list[Tensor], size: int) -> Tensor:
        """(B, K, size, size) logits of levels (B, C, h, w), finest first."""
        *finer, seen = (narrow(level) for narrow, level in zip(self.narrow, levels, strict=True))
        for join, level in zip(self.join, reversed(finer), strict=True):
            wider = interpolate(seen, level.shape[-2:], mode="bilinear")
            seen = join(torch.cat([wider, level], dim=1))
        return interpolate(self.head(seen), (size, size), mode="bilinear")


class Segmenter(nn.Module):
    """An image tower of timm, whole or frozen, with a decoder on its levels.

    Of a network with stages the levels are what each stage gives; of a transformer they are four blocks, evenly spaced,
    resized to four scales (the plain pyramid of Li et al. 2022, 2203.16527).
    """

    def __init__(self, model: CLIP, classes: int, width: int = 64, frozen: bool = False) -> None:
        """`model` is taken as it is, not copied; its text tower is not used."""
        super().__init__()
        self.model = model.requires_grad_(False)
        self.frozen = frozen
        tower: Any = model.visual
        tower.requires_grad_(not frozen)
        info = [(each["num_chs"], each["reduction"]) for each in tower.feature_info]
        self.scales = SCALES if len({reduction for _, reduction in info}) == 1 else None
        count = len(info)
        self.levels = [ceil((k + 1) * count / 4) - 1 for k in range(4)] if self.scales else [*range(count)]
        self.decoder = Decoder([info[level][0] for level in self.levels], classes, width)

    def train(self, mode: bool = True) -> "Segmenter":
        """A frozen tower keeps the statistics of its norms."""
        super().train(mode)
        self.model.train(mode and not self.frozen)
        return self

    def forward(self, images: Tensor) -> Tensor:
        """(B, K, S, S) logits of (B, 3, S, S) pictures in the scale of `clip.model.encoders.normalise`."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            levels = self.pyramid(images)
        return self.decoder(levels, images.shape[-1])

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """The levels (B, C, h, w), finest first."""
        tower: Any = self.model.visual
        if isinstance(self.model, Foreign):
            own: Any = self.model.factor, self.model.offset
            images = images * own[0] + own[1]
        wanted = sorted(set(self.levels))  # a transformer of fewer than four blocks gives some of them twice
        given = tower.forward_intermediates(images, indices=wanted, intermediates_only=True)
        found = [given[wanted.index(level)] for level in self.levels]
        if self.scales is None:
            return found
        return [
            interpolate(level, scale_factor=scale, mode="bilinear") if scale != 1 else level
            for level, scale in zip(found, self.scales, strict=True)
        ]


def fit(model: CLIP, size: int, name: str) -> None:
    """Let an image tower see squares of another size, in place; refuse one that is not timm's.

    Raises:
        UserError: a model whose tower has no levels, or cannot see that size.
    """
    tower: Any = model.visual
    if not hasattr(tower, "feature_info") or not hasattr(tower, "forward_intermediates"):
        raise UserError(
            f"{name}: its image tower ({type(tower).__name__}) is not timm's, so it has no levels to segment from; "
            "--task segmentation takes checkpoints of 'clip train', retfound:FILE and visionfm:FILE"
        )
    if size == model.config.preprocessing.size:
        return
    patch = getattr(getattr(tower, "patch_embed", None), "patch_size", None)
    if patch and size % patch[0]:
        raise UserError(
            f"--set size={size}: the tower's patches have {patch[0]} pixels; choose a multiple of that"
        )
    if hasattr(tower, "set_input_size"):
        tower.set_input_size(img_size=size)


def _block(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
        nn.GroupNorm(_GROUPS, outputs),
        nn.ReLU(inplace=True),
    )
