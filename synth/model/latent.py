"""The space of a large generator: latents of a small autoencoder, each channel standardised.

The simplest are the principal components of patches (`linear`): measured in a minute, and a decoder that is trained
corrects what they blur.  Else the encoder is trained too.

The autoencoder works on Haar bands (`synth.model.wavelet`), as LiteVAE's encoder does (Sadat et al. 2024, 2405.14477):
its finest convolutions then see a quarter of the pixels, which makes its decoder four times cheaper than the same
network on pixels.  The network is diffusers' AutoencoderTiny, trained here from nothing (`synth.training.autoencoder`), as a
correction to the principal components of patches: the best that a linear code can do is where it starts.
"""

from collections.abc import Iterable
from typing import Any

import torch
from diffusers import AutoencoderTiny  # type: ignore[attr-defined]
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from synth.base.config import Config
from synth.model.wavelet import WaveletSpace

BOUND = 3.0  # latents lie within +-3: AutoencoderTiny's decoder squashes what it gets by 3 tanh(z / 3)
_RIM = 0.99  # share of the bound up to which squashing is undone


class LatentConfig(Config):
    """The size of an autoencoder; it begins at the Haar bands that `network.levels` gives."""

    channels: PositiveInt = 8
    """Channels of a latent; more keep smaller lesions and are harder to denoise."""
    halvings: NonNegativeInt = 2
    """Times that the autoencoder halves height and width, beside the Haar levels."""
    width: PositiveInt = 64
    """Channels inside the autoencoder."""
    blocks: PositiveInt = 3
    """Residual blocks at each of its resolutions."""
    linear: bool = Field(default=False, exclude_if=lambda on: not on)
    """Latents are principal components of patches and nothing more; what is trained is the decoder."""


class LatentSpace(ModelMixin, ConfigMixin):
    """Pictures to standardised latents and back, with some loss; the interface is that of `WaveletSpace`."""

    centre: Tensor
    axes: Tensor
    spread: Tensor
    mean: Tensor
    deviation: Tensor

    @register_to_config
    def __init__(
        self,
        levels: int = 1,
        channels: int = 8,
        halvings: int = 2,
        width: int = 64,
        blocks: int = 3,
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.levels, self.channels, self.halvings = levels, channels, halvings
        widths, depths = (width,) * (halvings + 1), (blocks,) * (halvings + 1)
        self.wavelet = WaveletSpace(levels)
        self.autoencoder = AutoencoderTiny(
            in_channels=self.wavelet.channels,
            out_channels=self.wavelet.channels,
            encoder_block_out_channels=widths,
            decoder_block_out_channels=widths,
            num_encoder_blocks=depths,
            num_decoder_blocks=depths,
            latent_channels=channels,
        )
        ends: list[Any] = [self.autoencoder.encoder.layers[-1], self.autoencoder.decoder.layers[-1]]
        for end, nothing in zip(ends, (0, 0.5), strict=True):  # the decoder returns 2 x - 1
            torch.nn.init.zeros_(end.weight)
            torch.nn.init.constant_(end.bias, nothing)
        if linear:
            self.autoencoder.encoder = None  # type: ignore[assignment]
        patch = 3 * self.factor**2
        self.register_buffer("centre", torch.zeros(patch))
        self.register_buffer("axes", torch.eye(channels, patch))
        self.register_buffer("spread", torch.ones(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))
        self.requires_grad_(False)  # what encodes pictures for a denoiser does not learn from it

    @property
    def factor(self) -> int:
        """Pixels a side of the picture for one of the latent."""
        return self.wavelet.factor * 2**self.halvings

    @property
    def scales(self) -> Tensor:
        """(C,) how far each channel moves pixels: the deviation of its principal component."""
        return self.spread

    def begin(self, images: Tensor) -> None:
        """Measure the bands and the principal components of the patches of (B, 3, S, S) images in [-1, 1]."""
        self.wavelet.fit(images)
        patches = pixel_unshuffle(images, self.factor).movedim(1, -1).flatten(0, 2)
        values, vectors = torch.linalg.eigh(torch.cov(patches.double().T))
        self.centre.copy_(patches.mean(dim=0))
        self.axes.copy_(vectors.T.flip(0)[: self.channels])
        self.spread.copy_(values.flip(0)[: self.channels].clamp_min(1e-6).sqrt())

    def fit(self, images: Tensor | Iterable[Tensor]) -> None:
        """Measure the latents of (B, 3, S, S) images in [-1, 1], or of several such batches."""
        batches = [images] if isinstance(images, Tensor) else images
        with torch.no_grad():
            latents = torch.cat([self.compress(batch.to(self.mean.device)) for batch in batches])
        self.mean.copy_(latents.mean(dim=(0, 2, 3)))
        self.deviation.copy_(latents.std(dim=(0, 2, 3)).clamp_min(1e-3))

    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> (B, channels, S / factor, S / factor)."""
        return (self.compress(images) - self.mean[:, None, None]) / self.deviation[:, None, None]

    def decode(self, latents: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, 3, factor * H, factor * W): what `encode` kept of the pictures."""
        return self.restore(latents * self.deviation[:, None, None] + self.mean[:, None, None])

    def compress(self, images: Tensor) -> Tensor:
        """Latents as the autoencoder makes them: within +-3, not standardised."""
        patches = pixel_unshuffle(images, self.factor) - self.centre[:, None, None]
        code = torch.einsum("cp,bphw->bchw", self.axes, patches) / self.spread[:, None, None]
        if self.autoencoder.encoder is not None:
            code = code + self.autoencoder.encoder(self.wavelet.encode(images))
        return BOUND * torch.tanh(code / BOUND)

    def restore(self, latents: Tensor) -> Tensor:
        """The pictures of such latents."""
        linear = BOUND * torch.atanh((latents / BOUND).clamp(-_RIM, _RIM)) * self.spread[:, None, None]
        patches = torch.einsum("cp,bchw->bphw", self.axes, linear) + self.centre[:, None, None]
        bands = self.wavelet.encode(pixel_shuffle(patches, self.factor))
        return self.wavelet.decode(bands + self.autoencoder.decoder(latents))

    def forward(self, images: Tensor, noise: Tensor) -> Tensor:
        """Pictures through the autoencoder, with `noise` added to their latents: what is trained."""
        return self.restore(self.compress(images) + noise)
