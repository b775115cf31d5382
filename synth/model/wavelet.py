"""The space in which a small generator works: Haar bands of the picture, each standardised.

One level of an orthonormal Haar transform (Mallat 1989) turns (3, S, S) into (12, S/2, S/2): a quarter of the
pixels, exactly invertible, nothing to train.  With every band at mean 0 and deviation 1, coarse structure is
learned first and there is no grain.
"""

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor


def haar(images: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, 4C, H/2, W/2), orthonormal; bands are average, horizontal, vertical, diagonal."""
    a, b = images[..., ::2, ::2], images[..., ::2, 1::2]
    c, d = images[..., 1::2, ::2], images[..., 1::2, 1::2]
    return torch.cat([a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d], dim=1) / 2


def unhaar(bands: Tensor) -> Tensor:
    """(B, 4C, H, W) -> (B, C, 2H, 2W); the inverse of `haar`."""
    average, horizontal, vertical, diagonal = bands.chunk(4, dim=1)
    batch, channels, height, width = average.shape
    images = bands.new_empty(batch, channels, 2 * height, 2 * width)
    images[..., ::2, ::2] = average + horizontal + vertical + diagonal
    images[..., ::2, 1::2] = average - horizontal + vertical - diagonal
    images[..., 1::2, ::2] = average + horizontal - vertical - diagonal
    images[..., 1::2, 1::2] = average - horizontal - vertical + diagonal
    return images / 2


class WaveletSpace(ModelMixin, ConfigMixin):
    """Pictures to standardised Haar bands and back; holds the mean and deviation of every band."""

    mean: Tensor
    deviation: Tensor

    @register_to_config
    def __init__(self, levels: int = 1) -> None:
        super().__init__()
        self.levels = levels
        self.register_buffer("mean", torch.zeros(3 * 4**levels))
        self.register_buffer("deviation", torch.ones(3 * 4**levels))
        # diffusers wants at least one parameter to tell a model's dtype and device
        self.unit = torch.nn.Parameter(torch.ones(1), requires_grad=False)

    @property
    def channels(self) -> int:
        """Bands of a picture."""
        return 3 * 4**self.levels

    @property
    def factor(self) -> int:
        """Pixels a side of the picture for one of a band."""
        return 2**self.levels

    @property
    def scales(self) -> Tensor:
        """(C,) how far each band moves pixels: its deviation."""
        return self.deviation

    def fit(self, images: Tensor) -> None:
        """Measure the bands of (B, 3, S, S) images in [-1, 1]."""
        bands = self._bands(images)
        self.mean.copy_(bands.mean(dim=(0, 2, 3)))
        self.deviation.copy_(bands.std(dim=(0, 2, 3)).clamp_min(1e-3))

    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) in [-1, 1] -> (B, 3 * 4^levels, S / 2^levels, S / 2^levels)."""
        return (self._bands(images) - self.mean[:, None, None]) / self.deviation[:, None, None]

    def decode(self, latents: Tensor) -> Tensor:
        """The inverse of `encode`."""
        bands = latents * self.deviation[:, None, None] + self.mean[:, None, None]
        for _ in range(self.levels):
            bands = unhaar(bands)
        return bands

    def _bands(self, images: Tensor) -> Tensor:
        for _ in range(self.levels):
            images = haar(images)
        return images
