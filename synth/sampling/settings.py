"""How images are drawn where nobody says it: as a begun set is, else as suits the device."""

from pathlib import Path
from typing import NamedTuple

from synth.base.documents import read_mapping
from synth.sampling.plan import Noise

_BATCH, _LARGEST = 16, 256
_PIXEL_BYTES = 768
"""Memory that a picture takes while it is drawn, for each of its pixels; taken, not measured."""
_PROCESSES = 2
"""That share a GPU; between them they take half of what is free."""


class Chosen(NamedTuple):
    """Settings of a plan."""

    batch: int
    precision: str
    noise: Noise


def chosen(out: Path, size: int, batch: int | None, precision: str | None) -> Chosen:
    """What is asked for, else what the plan in `out` has, else what suits the device.

    Args:
        size: pixels a side of the pictures.
    """
    if (path := out / "plan.json").exists():
        begun = read_mapping(path)
        noise: Noise = "philox" if begun.get("noise") == "philox" else "numpy"
        own = begun.get("batch", _BATCH), begun.get("precision", "fp32")
    else:
        noise, own = "philox", _suited(size) if batch is None or precision is None else (_BATCH, "fp32")
    return Chosen(own[0] if batch is None else batch, own[1] if precision is None else precision, noise)


def _suited(size: int) -> tuple[int, str]:
    """Batch and precision on the first GPU, or on a CPU, which is known without torch."""
    if not Path("/dev/nvidiactl").exists():
        return _BATCH, "fp32"
    import torch

    from synth.base.device import has_bf16

    if not torch.cuda.is_available():
        return _BATCH, "fp32"
    return fitting(torch.cuda.mem_get_info()[0], size), "bf16" if has_bf16() else "fp32"


def fitting(free: int, size: int) -> int:
    """Images of `size` pixels a side, a power of two, that go at once into `free` bytes that are shared."""
    batch = _LARGEST
    while batch > 1 and batch * _PIXEL_BYTES * size**2 > free / 2 / _PROCESSES:
        batch //= 2
    return batch
