"""Where a training begins: with the weights of a generator that is there, though it draws other sizes or in another space.

What a denoiser knows of outlines, discs, vessels and labels lies in its inner layers, which see features, not pixels.
They are taken as they are.  Only the first and the last layer name the channels of a space: between two spaces they
are joined to the least-squares map from the channels of one to those of the other, on pictures seen through both.
"""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from synth import pipeline
from synth.base.errors import UserError
from synth.model.card import GeneratorCard
from synth.model.conditioning import LabelConditioning
from synth.model.denoiser import Denoiser, NetworkConfig
from synth.model.latent import LatentSpace
from synth.model.wavelet import WaveletSpace
from synth.pipeline import FundusPipeline

Space = WaveletSpace | LatentSpace
_ENDS = ("conv_in.weight", "conv_out.weight", "conv_out.bias")
_AT_ONCE = 64  # pictures seen through both spaces at a time


def opened(start: Path, config: NetworkConfig) -> tuple[FundusPipeline, GeneratorCard]:
    """The generator to begin with and what it says of itself.

    Args:
        config: of the denoiser that is to take its weights.

    Raises:
        UserError: the two networks differ in more than the channels of their spaces.
    """
    begun, card = pipeline.load(start)
    with torch.device("meta"):
        ours = Denoiser(config, config.factor * 2 ** len(config.channels)).unet.state_dict()
    theirs = begun.unet.state_dict()
    for name in sorted((ours.keys() | theirs.keys()) - set(_ENDS)):
        there, here = (
            tuple(weights[name].shape) if name in weights else "absent" for weights in (theirs, ours)
        )
        if there != here:
            raise UserError(
                f"--start {start}: '{name}' is {there} there and {here} here; set network.channels to "
                f"{list(begun.unet.config['block_out_channels'])}, network.layers to "
                f"{begun.unet.config['layers_per_block']} and network.attention_from to {_attention_from(begun)}, as they are there"
            )
    return begun, card


def begin(denoiser: Denoiser, space: Space, begun: FundusPipeline, images: Tensor) -> None:
    """Give the denoiser the weights of `begun`.

    Args:
        space:  of the denoiser, fitted.
        images: (B, 3, S, S) in [-1, 1], of the size that the denoiser is to draw: through them spaces are compared.
    """
    bridge = _Bridge.between(denoiser, space, begun, images)
    denoiser.unet.load_state_dict(bridge.carried(begun.unet.state_dict()))
    _tell_labels(denoiser.conditioning, begun.conditioning)


@torch.no_grad()
def add_steps(
    student: Denoiser, space: Space, tuned: FundusPipeline, teacher: FundusPipeline, images: Tensor
) -> None:
    """Add to the weights of `student` what `tuned` learnt beyond its `teacher`: to draw in few steps.

    `student` has the weights of a generator whose training began with those of `teacher`.  The difference between two
    tunings of one network is a direction that serves a third (Ilharco et al. 2023, 2212.04089).

    Args:
        space, images: as in `begin`.
    """
    bridge, before = _Bridge.between(student, space, teacher, images), teacher.unet.state_dict()
    learnt = bridge.carried({name: value - before[name] for name, value in tuned.unet.state_dict().items()})
    student.unet.load_state_dict(
        {name: value + learnt[name] for name, value in student.unet.state_dict().items()}
    )
    ours, known = student.conditioning, teacher.conditioning.labels.rows()
    gained = tuned.conditioning.table.weight - teacher.conditioning.table.weight
    for pair, row in ours.labels.rows().items():
        if pair in known:
            ours.table.weight[row] += gained[known[pair]]


class _Bridge(NamedTuple):
    """The least-squares maps between the channels of two spaces."""

    to_old: Tensor
    """(C, C')"""
    to_new: Tensor
    """(C', C)"""

    @classmethod
    def between(cls, denoiser: Denoiser, space: Space, begun: FundusPipeline, images: Tensor) -> "_Bridge":
        new, old = _seen_through_both(denoiser, space, begun, images)
        return cls(*(torch.linalg.lstsq(a, b).solution.float() for a, b in ((new, old), (old, new))))

    def carried(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weights of a U-Net of the old space, or a difference of two, for one of the new."""
        entry, weight, bias = (weights[name] for name in _ENDS)
        bands, places = entry[:, : len(self.to_old.T)], entry[:, len(self.to_old.T) :]
        return weights | {
            "conv_in.weight": torch.cat([torch.einsum("obhw,nb->onhw", bands, self.to_old), places], dim=1),
            "conv_out.weight": torch.einsum("bihw,bn->nihw", weight, self.to_new),
            "conv_out.bias": bias @ self.to_new,
        }


def _attention_from(begun: FundusPipeline) -> int:
    kinds = list(begun.unet.config["down_block_types"])
    return kinds.index("AttnDownBlock2D") if "AttnDownBlock2D" in kinds else len(kinds)


@torch.no_grad()
def _tell_labels(ours: LabelConditioning, theirs: LabelConditioning) -> None:
    """Take the embeddings of the labels that both know."""
    known = theirs.labels.rows()
    for pair, row in ours.labels.rows().items():
        if pair in known:
            ours.table.weight[row] = theirs.table.weight[known[pair]]
    if ours.projected and theirs.projected and ours.projected.weight.shape == theirs.projected.weight.shape:
        ours.projected.load_state_dict(theirs.projected.state_dict())


@torch.no_grad()
def _seen_through_both(
    denoiser: Denoiser, space: Space, begun: FundusPipeline, images: Tensor
) -> tuple[Tensor, Tensor]:
    """(N, C) and (N, C'): each pixel of the pictures in the denoiser's space and in that of `begun`."""
    _, *grid = denoiser.shape
    device = space.mean.device
    seen: tuple[list[Tensor], list[Tensor]] = [], []
    for batch in images.split(_AT_ONCE):
        ours = space.encode(batch.to(device)).cpu()
        theirs = begun.encode(interpolate(batch, size=[begun.size] * 2, mode="area"))
        for found, bands in zip(seen, (ours, interpolate(theirs, size=grid, mode="area")), strict=True):
            found.append(bands.movedim(1, -1).flatten(0, 2).double())
    new, old = (torch.cat(found) for found in seen)
    return new, old
