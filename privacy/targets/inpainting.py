"""A generator that fills in the hidden part of a photograph."""

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from privacy.targets.generator import Generator
from synth.base.runs import progress

if TYPE_CHECKING:
    from torch import Tensor

_BATCH = 64


def complete(
    generator: Generator,
    photographs: np.ndarray,
    hidden: np.ndarray,
    draws: int,
    steps: int,
    repeats: int,
    seed: int = 0,
) -> np.ndarray:
    """Complete photographs of which one part is hidden, told nothing of what they show.

    RePaint (Lugmayr et al. 2022, 2201.09865, algorithm 1) with ancestral steps: what is known is put back at every noise
    level, and each level is walked through `repeats` times, so that both parts come to fit.  Noise depends on seed, draw
    and step alone: every photograph, member or not, and every generator of the same shape is given the same.

    Args:
        photographs: (N, S, S, 3) uint8; hidden: (S, S) bool.
        draws:       completions of each.
        steps:       noise levels, fewer than in training.

    Returns:
        (N, draws, S, S, 3) uint8; outside `hidden` about the photograph.
    """
    import torch

    from synth.diffusion.schedulers import STEPS

    levels = np.linspace(STEPS - 1, 0, steps + 1).round().astype(int).tolist()
    completed = np.empty((len(photographs), draws, *photographs.shape[1:]), np.uint8)
    with progress("completing", len(photographs) * draws) as bar, torch.inference_mode():
        for draw in range(draws):
            for first in range(0, len(photographs), _BATCH):
                clean = generator.encode(photographs[first : first + _BATCH])
                rows = slice(first, first + len(clean))
                completed[rows, draw] = _completed(generator, clean, hidden, levels, repeats, [seed, draw])
                bar.update(len(clean))
    return completed


def blocks(hidden: np.ndarray, side: int) -> np.ndarray:
    """(side, side) bool: which squares of a (S, S) mask are hidden in part."""
    block = len(hidden) // side
    return np.asarray(hidden.reshape(side, block, side, block).any(axis=(1, 3)))


def _completed(
    generator: Generator, clean: "Tensor", hidden: np.ndarray, levels: list[int], repeats: int, key: list[int]
) -> np.ndarray:
    import torch

    from synth.diffusion.samplers import add_more_noise, ancestral_step

    process = generator.process
    unconditional = generator.on_device(generator.unconditional(len(clean)))
    inside = torch.from_numpy(blocks(hidden, clean.shape[-1])).to(clean.device)

    def noise(*place: int) -> "Tensor":
        drawn = np.random.default_rng([*key, *place]).standard_normal(clean.shape[1:], np.float32)
        return torch.from_numpy(drawn).to(clean.device)

    sample = image = noise(0).expand_as(clean)
    for place, (step, after) in enumerate(pairwise(levels), 1):
        for repeat in range(repeats):
            visible = process.add_noise(clean, noise(place, repeat, 0), step)
            sample = torch.where(inside, sample, visible)
            predicted = generator.predict(sample, step, unconditional)
            image = predicted.image
            sample = ancestral_step(process, image, predicted.noise, step, after, noise(place, repeat, 1))
            if repeat < repeats - 1:
                sample = add_more_noise(process, sample, after, step, noise(place, repeat, 2))
    return generator.decode(torch.where(inside, image, clean))
