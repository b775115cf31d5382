"""Which example comes when: a function of position, so that a resumed run sees what an uninterrupted one would."""

from functools import lru_cache

import numpy as np


def visited(length: int, seed: int, start: int, count: int) -> np.ndarray:
    """(count,) int64: the examples at positions `start` to `start + count` of an endless shuffled walk.

    Every epoch is a permutation of range(length) keyed by (seed, epoch); nothing is dropped at its end.
    """
    positions = np.arange(start, start + count)
    return np.array([permutation(length, seed, p // length)[p % length] for p in positions.tolist()])


@lru_cache(maxsize=4)
def permutation(length: int, seed: int, epoch: int) -> np.ndarray:
    """(length,) int64: the order of one epoch."""
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(length)


def randomness(seed: int, position: int) -> np.random.Generator:
    """The generator of everything drawn at one position of a run."""
    return np.random.default_rng([seed, position])


def step_seed(seed: int, rank: int, images: int) -> int:
    """The seed of everything drawn in one training step, from (seed, rank, images seen)."""
    return int(np.random.SeedSequence([seed, rank, images]).generate_state(1, np.uint64)[0] >> 1)
