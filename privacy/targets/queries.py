"""What an attacker asks a generator about one photograph beyond its denoising error, for membership inference.

Every query is deterministic: a model that saw a photograph in training answers it more exactly.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from privacy.targets.generator import Generator
from synth.base.runs import progress

if TYPE_CHECKING:
    from torch import Tensor

_BATCH = 64


def pia(generator: Generator, photographs: np.ndarray, codes: np.ndarray, step: int) -> np.ndarray:
    """(N,) float32: how far the noise found in a photograph noised by it is from the noise found in it clean.

        mean |e(sqrt(a_t) x_0 + sqrt(1 - a_t) e_0, t) - e_0|^4,  e_0 = e(x_0, 0)        PIA, 2305.18355, eq. 14

    Args:
        photographs: (N, S, S, 3) uint8; codes: (N, L).
        step:        t in [0, 1000).
    """

    def answer(clean: "Tensor", labels: "Tensor") -> "Tensor":
        noise = generator.predict(clean, 0, labels).noise
        noisy = generator.process.add_noise(clean, noise, step)
        return (generator.predict(noisy, step, labels).noise - noise).abs().pow(4).mean(dim=(1, 2, 3))

    return _ask("PIA", generator, photographs, codes, answer)


def secmi(
    generator: Generator, photographs: np.ndarray, codes: np.ndarray, step: int, stride: int
) -> np.ndarray:
    """(N,) float32: how far one step onwards and back again leads from where a photograph flows by DDIM.

    x_t is reached from x_0 by deterministic steps of `stride` (2010.02502); then x_t to x_{t + stride} and back:
    mean |x'_t - x_t|^2        SecMI, 2302.01316, eq. 9

    Args:
        photographs: (N, S, S, 3) uint8; codes: (N, L).
        step:        t, a multiple of `stride`.
    """

    def ddim_step(noisy: "Tensor", start: int, end: int, labels: "Tensor") -> "Tensor":
        noise = generator.predict(noisy, start, labels).noise
        signal, spread = generator.process.coefficients(start)
        return generator.process.add_noise((noisy - spread * noise) / signal, noise, end)

    def answer(clean: "Tensor", labels: "Tensor") -> "Tensor":
        reached = clean
        for start in range(0, step, stride):
            reached = ddim_step(reached, start, start + stride, labels)
        onwards = ddim_step(reached, step, step + stride, labels)
        back = ddim_step(onwards, step + stride, step, labels)
        return (back - reached).square().mean(dim=(1, 2, 3))

    return _ask("SecMI", generator, photographs, codes, answer)


def sima(generator: Generator, photographs: np.ndarray, codes: np.ndarray, step: int) -> np.ndarray:
    """(N,) float32: how much noise is found in a clean photograph that is said to be noisy.

        mean |e(x_0, t)|^4        SimA, 2509.25003: the denoiser points to the training pictures nearby

    Args:
        photographs: (N, S, S, 3) uint8; codes: (N, L).
        step:        t in [0, 1000).
    """

    def answer(clean: "Tensor", labels: "Tensor") -> "Tensor":
        return generator.predict(clean, step, labels).noise.abs().pow(4).mean(dim=(1, 2, 3))

    return _ask("SimA", generator, photographs, codes, answer)


def _ask(
    what: str,
    generator: Generator,
    photographs: np.ndarray,
    codes: np.ndarray,
    answer: Callable[["Tensor", "Tensor"], "Tensor"],
) -> np.ndarray:
    import torch

    answers = np.empty(len(photographs), np.float32)
    with progress(what, len(photographs)) as bar, torch.inference_mode():
        for rows in _batches(len(photographs)):
            clean, labels = generator.encode(photographs[rows]), generator.on_device(codes[rows])
            answers[rows] = answer(clean, labels).cpu().numpy()
            bar.update(len(clean))
    return answers


def _batches(count: int) -> Iterator[slice]:
    return (slice(first, min(first + _BATCH, count)) for first in range(0, count, _BATCH))
