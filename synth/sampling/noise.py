"""The noise that images are drawn from: a function of (seed, image, attempt), whatever the batch, the process and the device.

Random bits are those of Philox 4x32-10 (Salmon et al. 2011, doi:10.1145/2063384.2063405), in integers of 64 bits whose
products wrap.  They become normal by Box & Muller's formula, whose logarithm, sine and cosine are series of single
additions, multiplications, divisions and square roots in float64: IEEE 754 says the bits of each, and PyTorch runs each
as a kernel of its own, so that no processor may fuse two.
"""

from collections.abc import Sequence
from math import factorial, log, pi, prod

import numpy as np
import torch
from torch import Tensor

from synth.base.device import moved
from synth.sampling.plan import Noise, generator

Place = tuple[int, int]
"""An image of a plan, and which attempt at it, from 0."""

_MASK = 2**32 - 1
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_PART = {"cpu": 2**18}
"""Numbers that are drawn at a time: on a CPU not more than stay in its cache."""
_LARGE_PART = 2**24

_ATANH = [1 / (2 * k + 1) for k in range(8)]
_COS = [(-1) ** k / factorial(2 * k) for k in range(7)]
_SIN = [(-1) ** k / factorial(2 * k + 1) for k in range(7)]


def draw(
    kind: Noise, seed: int, places: Sequence[Place], shape: tuple[int, int, int], device: torch.device | str
) -> Tensor:
    """(B, C, H, W) float32 standard normal noise of some images of a plan, on `device`.

    Args:
        kind: "philox" is drawn where it is needed; "numpy" is that of earlier plans, drawn on the host.
        seed: of the plan, in [0, 2^64).
    """
    if kind == "numpy":
        return torch.from_numpy(np.stack([_numpy(seed, place, shape) for place in places])).to(device)
    size = _PART.get(torch.device(device).type, _LARGE_PART)
    each = max(1, size // prod(shape))
    parts = [places[start : start + each] for start in range(0, len(places), each)]
    return torch.cat([_philox(seed, part, prod(shape), device) for part in parts]).view(-1, *shape)


def _numpy(seed: int, place: Place, shape: tuple[int, int, int]) -> np.ndarray:
    rng = generator(seed, *place)
    if not place[1]:
        rng.random()  # chose the labels
    rng.integers(2**63)  # the seed
    return rng.standard_normal(shape, np.float32)


def _philox(seed: int, places: Sequence[Place], count: int, device: torch.device | str) -> Tensor:
    """(B, count) float32: four numbers of each block, whose counter is its place, the image in two words, the attempt."""
    blocks = torch.arange(-(-count // 4), device=device)[None]
    words = [[index & _MASK, index >> 32, attempt] for index, attempt in places]
    rows = moved(torch.tensor(words), torch.device(device)).T[:, :, None]
    bits = philox([blocks.expand(len(places), -1), *(row.expand(-1, blocks.shape[1]) for row in rows)], seed)
    numbers = [*normal(bits[0], bits[1]), *normal(bits[2], bits[3])]
    return torch.stack(numbers, dim=2).float().flatten(1)[:, :count]


def philox(counter: Sequence[Tensor], key: int) -> list[Tensor]:
    """Random bits of counters: Philox 4x32 of ten rounds.

    Args:
        counter: four tensors of a shape, int64 in [0, 2^32), the words from the lowest.
        key:     in [0, 2^64).

    Returns:
        Four tensors of that shape, int64 in [0, 2^32).
    """
    a, b, c, d = counter
    keys = [key & _MASK, key >> 32]
    for _ in range(_ROUNDS):
        left, right = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a = (right >> 32).bitwise_xor_(b).bitwise_xor_(keys[0]).bitwise_and_(_MASK)
        c = (left >> 32).bitwise_xor_(d).bitwise_xor_(keys[1]).bitwise_and_(_MASK)
        b, d = right, left  # of these the low words count alone
        keys = [(word + step) & _MASK for word, step in zip(keys, _KEY_STEPS, strict=True)]
    return [a, b.bitwise_and_(_MASK), c, d.bitwise_and_(_MASK)]


def normal(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two standard normal float64 of two words of random bits, int64 in [0, 2^32); none is further from 0 than 6.8.

        sqrt(-2 log u) (cos t, sin t)        Box & Muller 1958, doi:10.1214/aoms/1177706645

    t is within 45 degrees of an axis; the two highest bits of `second` choose which.
    """
    radius = _log((first.double() + 0.5).mul_(2.0**-32)).mul_(-2).sqrt_()
    turn = ((second & (2**30 - 1)).double() - (2**29 - 0.5)).mul_(pi / 2 * 2.0**-30)
    square = turn * turn
    cos, sin = _series(square, _COS).mul_(radius), _series(square, _SIN).mul_(turn).mul_(radius)
    swap, sign = (second & 2**30).bool(), (1 - (second >> 31) * 2).double()
    return torch.where(swap, sin, cos).mul_(sign), torch.where(swap, cos, sin).mul_(sign)


def _log(numbers: Tensor) -> Tensor:
    """The natural logarithm of float64 in (0, 1), never above the true one by more than rounding.

    log 2^e m = e log 2 + log sqrt 2 + 2 atanh((m - sqrt 2) / (m + sqrt 2))        for m in [1, 2)
    """
    bits = numbers.view(torch.int64)
    exponent = (bits >> 52) - 1023
    mantissa = ((bits & (2**52 - 1)) | (1023 << 52)).view(torch.float64)
    ratio = (mantissa - 2**0.5).div_(mantissa + 2**0.5)
    series = _series(ratio * ratio, _ATANH).mul_(ratio).mul_(2)
    return series.add_((exponent.double() + 0.5).mul_(log(2)))


def _series(numbers: Tensor, coefficients: Sequence[float]) -> Tensor:
    """The sum of coefficient k times x^k."""
    total = torch.full_like(numbers, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total.mul_(numbers).add_(coefficient)
    return total
