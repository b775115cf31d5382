"""A generator that fills in the hidden part of a photograph."""

from itertools import pairwise
from typing import Any

import numpy as np

from privacy.targets.generator import Generator
from synth.base.runs import progress

_BATCH = 64
_STEPS = 1000  # of training


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

    levels = np.linspace(_STEPS - 1, 0, steps + 1).round().astype(int).tolist()
    found = np.empty((len(photographs), draws, *photographs.shape[1:]), np.uint8)
    with progress("completing", len(photographs) * draws) as bar, torch.inference_mode():
        for draw in range(draws):
            for first in range(0, len(photographs), _BATCH):
                clean = generator.encoded(photographs[first : first + _BATCH])
                rows = slice(first, first + len(clean))
                found[rows, draw] = _completed(generator, clean, hidden, levels, repeats, [seed, draw])
                bar.update(len(clean))
    return found


def blocks(hidden: np.ndarray, side: int) -> np.ndarray:
    """(side, side) bool: which squares of a (S, S) mask are hidden in part."""
    block = len(hidden) // side
    return np.asarray(hidden.reshape(side, block, side, block).any(axis=(1, 3)))


def _completed(
    generator: Generator, clean: Any, hidden: np.ndarray, levels: list[int], repeats: int, key: list[int]
) -> np.ndarray:
    import torch

    told = generator.told(generator.unconditional(len(clean)))
    inside = torch.from_numpy(blocks(hidden, clean.shape[-1])).to(clean.device)

    def noise(*place: int) -> Any:
        drawn = np.random.default_rng([*key, *place]).standard_normal(clean.shape[1:], np.float32)
        return torch.from_numpy(drawn).to(clean.device)

    sample = noise(0).expand_as(clean)
    for place, (step, after) in enumerate(pairwise(levels), 1):
        signal, later = generator.shares(step)[0] ** 2, generator.shares(after)[0] ** 2
        for repeat in range(repeats):
            known = generator.between(clean, noise(place, repeat, 0), step)
            sample = torch.where(inside, sample, known)
            time = torch.full((len(clean),), step, device=clean.device)
            velocity = generator.velocity(sample, time, told)
            guess = signal**0.5 * sample - (1 - signal) ** 0.5 * velocity
            spare = (1 - signal) ** 0.5 * sample + signal**0.5 * velocity
            spread = (
                (1 - later) / (1 - signal) * (1 - signal / later)
            )  # 2010.02502, eq. 16, squared, with eta = 1
            sample = later**0.5 * guess + max(1 - later - spread, 0.0) ** 0.5 * spare
            sample = sample + spread**0.5 * noise(place, repeat, 1)
            if repeat < repeats - 1:  # back to the noisier level
                share = signal / later
                sample = share**0.5 * sample + (1 - share) ** 0.5 * noise(place, repeat, 2)
    return generator.decoded(torch.where(inside, guess, clean))
