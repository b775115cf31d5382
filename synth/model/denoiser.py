"""The denoiser: a diffusers U-Net over wavelet bands or latents, told the noise level and the labels."""

from importlib.util import find_spec
from typing import Any, Literal, Self

import torch
from diffusers import UNet2DModel  # type: ignore[attr-defined]
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from synth.base.config import Config
from synth.base.device import layout
from synth.base.errors import UserError
from synth.model import text_encoder
from synth.model.conditioning import LabelConditioning
from synth.model.labels import LabelEncoding, current
from synth.model.latent import LatentConfig, LatentSpace
from synth.model.wavelet import WaveletSpace

GROUPS, HEAD = 16, 32
"""Channels of a group of normalisation, and of an attention head."""


class NetworkConfig(Config):
    """The size of a denoiser."""

    levels: NonNegativeInt = 1
    """Haar levels: each quarters the pixels and multiplies the channels by four; 0 works on pixels."""
    channels: tuple[PositiveInt, ...] = (64, 96, 128, 160)
    """Width at each resolution, finest first; multiples of 16."""
    layers: PositiveInt = 1
    """Residual blocks at each resolution."""
    attention_from: NonNegativeInt = 2
    """Self-attention from this resolution down, 0 being the finest."""
    captions: str | None = None
    """A text encoder of `transformers`, its folder, or its name on the hub if `hf download` has fetched it: captions are a
    condition beside labels."""
    attention: Literal["auto", "sdpa", "xformers", "flash"] = Field(
        default="auto", exclude_if=lambda kind: kind == "auto"
    )
    """What computes self-attention: `sdpa` is PyTorch's own and chooses its kernel, `flash` that kernel or nothing, `xformers`
    the package of that name, on a GPU; `auto` is `sdpa`.  The weights are the same."""
    latent: LatentConfig | None = None
    """Denoise the latents of an autoencoder, which is trained first (`autoencoder`): for 256 px and more."""

    @model_validator(mode="after")
    def widths_group(self) -> Self:
        for width in self.channels:
            if width % GROUPS:
                raise ValueError(f"channels={list(self.channels)}: {width} is not a multiple of {GROUPS}")
        attending = (*self.channels[self.attention_from :], *self.channels[-1:])  # the coarsest always does
        for width in attending:
            if width < HEAD:
                raise ValueError(
                    f"channels={list(self.channels)}: {width} is too narrow for attention, at least {HEAD} are needed "
                    "at the last resolution and from attention_from on"
                )
        return self

    @model_validator(mode="after")
    def patches_hold_latents(self) -> Self:
        if self.latent and self.latent.channels > (most := 3 * self.factor**2):
            raise ValueError(
                f"latent.channels={self.latent.channels}: a patch of {self.factor} x {self.factor} pixels has {most} numbers"
            )
        return self

    @property
    def bands(self) -> int:
        """Channels of what is denoised."""
        return self.latent.channels if self.latent else 3 * 4**self.levels

    @property
    def factor(self) -> int:
        """Pixels a side of the picture for one of what is denoised."""
        return 2 ** (self.levels + (self.latent.halvings if self.latent else 0))

    def space(self) -> WaveletSpace | LatentSpace:
        """The space in which such a denoiser works, not yet fitted."""
        if self.latent:
            return LatentSpace(self.levels, **self.latent.model_dump())
        return WaveletSpace(self.levels)


class Denoiser(nn.Module):
    """U-Net and label conditioning as one module: what is trained, averaged and distributed.

    Args:
        size:   pixels a side of the pictures.
        labels: what it is conditioned on; None is the vocabulary as it stands.
    """

    def __init__(self, config: NetworkConfig, size: int, labels: LabelEncoding | None = None) -> None:
        super().__init__()
        depth = len(config.channels)
        attention = [place >= config.attention_from for place in range(depth)]
        self.unet = UNet2DModel(
            sample_size=size // config.factor,
            in_channels=config.bands + 2,
            out_channels=config.bands,
            layers_per_block=config.layers,
            block_out_channels=config.channels,
            down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attention),
            up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attention)),
            attention_head_dim=HEAD,
            norm_num_groups=GROUPS,
            class_embed_type="identity",
        )
        attend(self.unet, config.attention)
        self.conditioning = LabelConditioning(
            config.channels[0] * 4, (labels or current()).conditions, text_encoder.width(config.captions)
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of what it takes and gives."""
        side = self.unet.config["sample_size"]
        return self.unet.config["out_channels"], side, side

    def forward(self, noisy: Tensor, timestep: Tensor, codes: Tensor) -> Tensor:
        """The prediction of the process that it is trained for, such as the velocity.

        Args:
            noisy:    (B, C, H, W) standardised bands with noise.
            timestep: (B,) int64.
            codes:    (B, L) label codes, or (B, L + D) with the vectors of captions behind them.
        """
        return self.unet(add_coordinates(noisy), timestep, class_labels=self.conditioning(codes)).sample


class FlashProcessor(AttnProcessor2_0):
    """Attention by PyTorch's flash kernel alone."""

    def __call__(self, *arguments: Any, **more: Any) -> Tensor:
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            return super().__call__(*arguments, **more)


def attend(unet: UNet2DModel, kind: str) -> None:
    """Have a U-Net compute its attention so, as `NetworkConfig.attention` says.

    Raises:
        UserError: xformers is not installed, or there is no GPU for it.
    """
    if kind == "flash":
        for part in unet.modules():
            if isinstance(part, Attention):
                part.set_processor(FlashProcessor())  # type: ignore[arg-type]
    if kind == "xformers":
        if find_spec("xformers") is None:
            raise UserError(
                "network.attention=xformers: xformers is not installed; pip install xformers, or set it to auto"
            )
        if not torch.cuda.is_available():
            raise UserError("network.attention=xformers: needs a GPU; set it to auto")
        unet.enable_xformers_memory_efficient_attention()


def add_coordinates(bands: Tensor) -> Tensor:
    """(B, C + 2, H, W): the bands, and two channels that tell each pixel where it is (1807.03247)."""
    batch, _, height, width = bands.shape
    y, x = (torch.linspace(-1.7, 1.7, n, device=bands.device, dtype=bands.dtype) for n in (height, width))
    where = torch.stack(torch.meshgrid(y, x, indexing="ij")).expand(batch, 2, height, width)
    return torch.cat([bands, where], dim=1).contiguous(memory_format=layout(bands.device))
