"""Masked reconstruction: a vision transformer sees a fifth of a photograph, a light decoder paints the rest.

He et al. 2022 (2111.06377), for any timm `VisionTransformer`.  EyeCLIP's paper asks for this; its published code
(Michi-3000/EyeCLIP 7b3f2bc) does something else, which `after_encoder` reproduces so that the two can be compared:
there the encoder sees every patch, without class token and positions; four fifths of its *outputs* are dropped;
and the decoder has no positions either, so that it can only paint all removed patches of a photograph alike.
"""

from typing import Self

import torch
from pydantic import Field, PositiveInt, model_validator
from timm.layers.pos_embed_sincos import build_sincos2d_pos_embed
from timm.models import checkpoint_seq
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from synth.base.config import Config
from synth.base.errors import UserError


class Masking(Config):
    """What is removed from a photograph, and what paints it; the sizes are those of EyeCLIP's code."""

    ratio: float = Field(default=0.8, gt=0, lt=1)
    """Share of the patches that is removed; He et al. take 0.75."""
    normalised: bool = False
    """Paint each patch less its mean and over its spread: features gain, what is painted cannot be looked at."""
    depth: PositiveInt = 8
    """Transformer blocks of the decoder."""
    width: PositiveInt = 512
    """Size of a token in the decoder; a multiple of 4 and of `heads`."""
    heads: PositiveInt = 16
    """Attention heads per block of the decoder."""
    after_encoder: bool = False
    """Remove outputs of the encoder, not patches of the picture, as EyeCLIP's code does; for comparison only."""

    @model_validator(mode="after")
    def heads_divide(self) -> Self:
        if self.width % self.heads or self.width % 4:
            raise ValueError(f"width={self.width} must be a multiple of 4 and of heads={self.heads}")
        return self


class Decoder(nn.Module):
    """The patches that were removed, from the encoder's tokens of those that were kept."""

    positions: Tensor

    def __init__(self, tower: nn.Module, settings: Masking) -> None:
        """
        Raises:
            UserError: the image tower cuts nothing into patches, or into a single one.
        """
        super().__init__()
        tower, self.settings = _transformer(tower), settings
        grid, (height, width) = tower.patch_embed.grid_size, tower.patch_embed.patch_size
        self.patches: int = tower.patch_embed.num_patches
        # What floats lose, 0.99999 of a patch, is given back.
        self.kept = min(max(1, int(self.patches * (1 - settings.ratio) + 1e-9)), self.patches - 1)
        self.embed = nn.Linear(tower.embed_dim, settings.width)
        self.mask = nn.Parameter(torch.randn(settings.width) * 0.02)
        self.blocks = nn.Sequential(
            *(Block(settings.width, settings.heads, qkv_bias=True) for _ in range(settings.depth))
        )
        self.norm = nn.LayerNorm(settings.width)
        self.paint = nn.Linear(settings.width, height * width * 3)
        positions = build_sincos2d_pos_embed(list(grid), settings.width)
        self.register_buffer("positions", positions * (not settings.after_encoder), persistent=False)

    def forward(self, tokens: Tensor, order: Tensor) -> Tensor:
        """(B, R, 3 P P): the R removed patches in the sequence of `order`.

        Args:
            tokens: (B, C + K, W) of the encoder: class token and registers, then the K kept patches.
            order: (B, L) int64 permutations of the patches: what is kept stands first.
        """
        tokens = self.embed(tokens)
        front = tokens.shape[1] - self.kept
        if self.settings.after_encoder:
            front += 1  # the first patch that is kept passes for the class token
        given = tokens[:, front:]
        masks = self.mask.expand(len(tokens), self.patches - given.shape[1], -1)
        patches = torch.cat([given, masks.to(given.dtype)], dim=1) + self.positions[order]
        painted = self.norm(self.blocks(torch.cat([tokens[:, :front], patches], dim=1)))
        return self.paint(painted[:, front + self.kept :])


def build(tower: nn.Module, settings: Masking, seed: int = 0) -> Decoder:
    """A decoder with random weights that depend only on its sizes and `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Decoder(tower, settings)


def shuffled(pictures: int, patches: int, generator: torch.Generator | None = None) -> Tensor:
    """(B, L) int64: for each picture a permutation of its patches, on the CPU; the last ones are removed."""
    return torch.rand(pictures, patches, generator=generator).argsort(dim=1)


def reconstruction(tower: nn.Module, decoder: Decoder, images: Tensor, order: Tensor) -> Tensor:
    """(B,) how far the removed patches of each picture are from what is painted: the mean squared error.

    Args:
        images: (B, 3, S, S) as the tower takes them.
        order:  (B, L) int64 of `shuffled`.
    """
    tower, settings = _transformer(tower), decoder.settings
    kept, removed = order[:, : decoder.kept], order[:, decoder.kept :]
    tokens = _of(outputs(tower, images), kept) if settings.after_encoder else visible(tower, images, kept)
    target = _of(cut(images, *tower.patch_embed.patch_size), removed)
    if settings.normalised:
        mean, variance = target.mean(dim=2, keepdim=True), target.var(dim=2, keepdim=True)
        target = (target - mean) / (variance + 1e-6).sqrt()
    return (decoder(tokens, order).float() - target.float()).square().mean(dim=(1, 2))


def visible(tower: VisionTransformer, images: Tensor, kept: Tensor) -> Tensor:
    """(B, C + K, W): class token and registers, and the kept patches, which see one another and nothing else.

    (B, K) `kept` numbers the patches row by row.
    """
    tokens = tower._pos_embed(tower.patch_embed(images))
    front = tower.num_prefix_tokens
    tokens = torch.cat([tokens[:, :front], _of(tokens[:, front:], kept)], dim=1)
    return tower.norm(_blocks(tower, tower.norm_pre(tokens)))


def outputs(tower: VisionTransformer, images: Tensor) -> Tensor:
    """(B, L, W) of every patch, without class token, positions and last norm, as in EyeCLIP's code."""
    tokens = tower.patch_embed(images)
    return _blocks(tower, tower.norm_pre(tokens.flatten(1, -2)))


def cut(images: Tensor, height: int, width: int) -> Tensor:
    """(B, L, H W 3) patches row by row from (B, 3, S, S)."""
    rows = images.unfold(2, height, height).unfold(3, width, width)  # (B, 3, S / H, S / W, H, W)
    return rows.permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(1, 2)


def _of(tokens: Tensor, chosen: Tensor) -> Tensor:
    """(B, K, W) the tokens that (B, K) `chosen` numbers, out of (B, L, W)."""
    return tokens.gather(1, chosen[:, :, None].expand(-1, -1, tokens.shape[2]))


def _blocks(tower: VisionTransformer, tokens: Tensor) -> Tensor:
    if tower.grad_checkpointing and tower.training:
        return checkpoint_seq(tower.blocks, tokens)
    return tower.blocks(tokens)


def _transformer(tower: nn.Module) -> VisionTransformer:
    if not isinstance(tower, VisionTransformer):
        raise UserError(
            "model.image is no vision transformer, so it has no patches to remove; "
            "set model.image.name=vit_base_patch32_clip_224, or weights.reconstruction=0"
        )
    if tower.patch_embed.num_patches < 2:
        raise UserError(
            "model.image sees its picture as a single patch, so none can be removed; "
            "lower model.image.kwargs.patch_size"
        )
    return tower
