"""What an attacker asks a generator about one photograph beyond its denoising error, for membership inference.

Every query is deterministic: a model that saw a photograph in training answers it more exactly.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from privacy.targets.generator import Generator
from synth.base.runs import progress

_BATCH = 64


def echo(generator: Generator, photographs: np.ndarray, codes: np.ndarray, step: int) -> np.ndarray:
    """(N,) float32: how far the noise found in a photograph noised by it is from the noise found in it clean.

        mean |e(sqrt(a_t) x_0 + sqrt(1 - a_t) e_0, t) - e_0|^4,  e_0 = e(x_0, 0)        PIA, 2305.18355, eq. 14

    Args:
        photographs: (N, S, S, 3) uint8; codes: (N, L).
        step:        t in [0, 1000).
    """

    def answer(clean: Any, told: Any) -> Any:
        found = _noise(generator, clean, 0, told)
        noisy = generator.between(clean, found, step)
        return (_noise(generator, noisy, step, told) - found).abs().pow(4).mean(dim=(1, 2, 3))

    return _ask("echo", generator, photographs, codes, answer)


def detour(
    generator: Generator, photographs: np.ndarray, codes: np.ndarray, step: int, stride: int
) -> np.ndarray:
    """(N,) float32: how far one step onwards and back again leads from where a photograph flows by DDIM.

    x_t is reached from x_0 by deterministic steps of `stride` (2010.02502); then x_t to x_{t + stride} and back:
    mean |x'_t - x_t|^2        SecMI, 2302.01316, eq. 9

    Args:
        photographs: (N, S, S, 3) uint8; codes: (N, L).
        step:        t, a multiple of `stride`.
    """

    def jump(noisy: Any, start: int, end: int, told: Any) -> Any:
        noise = _noise(generator, noisy, start, told)
        signal, spread = generator.shares(start)
        return generator.between((noisy - spread * noise) / signal, noise, end)

    def answer(clean: Any, told: Any) -> Any:
        flown = clean
        for start in range(0, step, stride):
            flown = jump(flown, start, start + stride, told)
        back = jump(jump(flown, step, step + stride, told), step + stride, step, told)
        return (back - flown).square().mean(dim=(1, 2, 3))

    return _ask("detour", generator, photographs, codes, answer)


def pull(generator: Generator, photographs: np.ndarray, codes: np.ndarray, step: int) -> np.ndarray:
    """(N,) float32: how much noise is found in a clean photograph that is said to be noisy.

        mean |e(x_0, t)|^4        SimA, 2509.25003: the denoiser points to the training pictures nearby

    Args:
        photographs: (N, S, S, 3) uint8; codes: (N, L).
        step:        t in [0, 1000).
    """

    def answer(clean: Any, told: Any) -> Any:
        return _noise(generator, clean, step, told).abs().pow(4).mean(dim=(1, 2, 3))

    return _ask("pull", generator, photographs, codes, answer)


def _noise(generator: Generator, noisy: Any, step: int, told: Any) -> Any:
    """e from the predicted velocity: sqrt(a_t) v + sqrt(1 - a_t) x_t (2202.00512, appendix D)."""
    import torch

    signal, spread = generator.shares(step)
    time = torch.full((len(noisy),), step, device=noisy.device)
    return signal * generator.velocity(noisy, time, told) + spread * noisy


def _ask(
    what: str,
    generator: Generator,
    photographs: np.ndarray,
    codes: np.ndarray,
    answer: Callable[[Any, Any], Any],
) -> np.ndarray:
    import torch

    found = np.empty(len(photographs), np.float32)
    with progress(what, len(photographs)) as bar, torch.inference_mode():
        for rows in _batches(len(photographs)):
            clean, told = generator.encoded(photographs[rows]), generator.told(codes[rows])
            found[rows] = answer(clean, told).cpu().numpy()
            bar.update(len(clean))
    return found


def _batches(count: int) -> Iterator[slice]:
    return (slice(first, min(first + _BATCH, count)) for first in range(0, count, _BATCH))
