"""Averages of the weights along training, by power functions, so that their length can be chosen afterwards.

Karras et al. 2024 (2312.02696), section 3 and appendix C.  A length is the deviation of the average's profile as a
share of the training so far (their sigma_rel): 0.10 of 100,000 images is some 10,000 images.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from synth.base import checkpoint, weights
from synth.base.errors import UserError
from synth.base.runs import read_json

LONGEST = 0.28  # a longer profile would weigh the first weights most


def exponent(length: float) -> float:
    """The gamma of the power function (t / now)^gamma whose relative deviation is `length`.

    length^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3))        2312.02696, eq. 4
    """
    inverse = length**-2
    roots = np.roots([1, 7, 16 - inverse, 12 - inverse])
    return float(roots.real[np.abs(roots.imag) < 1e-9].max())


class PowerAverages:
    """Running averages of a network's parameters, one per length."""

    def __init__(self, network: nn.Module, lengths: Iterable[float]) -> None:
        self.lengths = tuple(lengths)
        self._followed = dict(network.named_parameters())
        self._means = {
            length: {name: p.detach().clone() for name, p in self._followed.items()}
            for length in self.lengths
        }

    @torch.no_grad()
    def step(self, n_images: int, batch: int) -> None:
        """Take in the weights after an optimiser step that ended at `n_images` images."""
        for length, means in self._means.items():
            fresh = 1 - (1 - batch / n_images) ** (exponent(length) + 1)
            torch._foreach_lerp_(  # pyright: ignore[reportPrivateImportUsage]
                list(means.values()), [self._followed[name].data for name in means], fresh
            )

    def mean(self, length: float) -> dict[str, Tensor]:
        """Parameter name -> its average."""
        return self._means[length]

    def to(self, device: torch.device) -> None:
        for means in self._means.values():
            means.update({name: mean.to(device) for name, mean in means.items()})

    def state_dict(self) -> dict[str, Any]:
        return {str(length): means for length, means in self._means.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for length, means in self._means.items():
            for name, mean in means.items():
                mean.copy_(state[str(length)][name])

    def snapshot(self, folder: Path, n_images: int) -> None:
        """Keep the averages at `n_images` images, in half precision: what `combine` chooses from."""
        for length, means in self._means.items():
            halves = {name: mean.half() for name, mean in means.items()}
            weights.write(folder / f"{n_images:012d}-{length}.safetensors", halves)


def combine(folder: Path, length: float, n_images: int | None = None) -> tuple[dict[str, Tensor], int]:
    """The average of another length, from the snapshots in `folder`; and the images at which it stands.

    Args:
        n_images: where in training it stands; None is the last snapshot.

    Raises:
        UserError: no snapshots, or a length or place that they cannot give.
    """
    if not 0 < length <= LONGEST:
        raise UserError(f"--length {length}: must lie above 0 and at most {LONGEST}")
    kept = [(path, *_place(path)) for path in sorted(folder.glob("[0-9]*.safetensors"))]
    if not kept:
        raise UserError(f"{folder}: no snapshots of averages; they come every 'snapshot_every' images")
    last = max(images for _, images, _ in kept)
    n_images = last if n_images is None else n_images
    kept = [k for k in kept if k[1] <= n_images]
    if not kept or kept[-1][1] != n_images:
        raise UserError(
            f"--at {n_images}: no snapshot there; there are {', '.join(map(str, places(folder)))}"
        )
    shares = _shares([(images, exponent(known)) for _, images, known in kept], (n_images, exponent(length)))
    total: dict[str, Tensor] = {}
    for (path, _, _), share in zip(kept, shares, strict=True):
        found = weights.read(path)
        if total and {k: v.shape for k, v in found.items()} != {k: v.shape for k, v in total.items()}:
            raise UserError(f"{path}: other tensors than those of {kept[0][0].name}; copy or train it again")
        for name, mean in found.items():
            total[name] = total.get(name, 0) + float(share) * mean.float()
    return total, n_images


def places(folder: Path) -> list[int]:
    """Images at which averages were kept in `folder`, rising."""
    return sorted({_place(path)[0] for path in folder.glob("[0-9]*.safetensors")})


def _place(path: Path) -> tuple[int, float]:
    images, _, length = path.stem.partition("-")
    return int(images), float(length)


def _shares(kept: list[tuple[int, float]], wanted: tuple[int, float]) -> np.ndarray:
    """The share of each kept profile in the one nearest to `wanted`, in least squares over training."""
    gram = np.array([[_product(a, b) for b in kept] for a in kept])
    return np.linalg.lstsq(gram, np.array([_product(a, wanted) for a in kept]), rcond=None)[0]


def _product(a: tuple[int, float], b: tuple[int, float]) -> float:
    """The integral over training of two profiles (gamma + 1) t^gamma / end^(gamma + 1)."""
    (shorter, steep), (longer, flat) = sorted([a, b])
    ratio = (shorter / longer) ** flat
    return (steep + 1) * (flat + 1) * ratio / ((steep + flat + 1) * longer)


def average(
    run: Path, length: float, n_images: int | None, out: Path, half: bool = False
) -> dict[str, str | int | float]:
    """Write `run`'s generator with an average of another length to the folder `out`; returns what it is.

    With `half`, the file keeps 16 bits of every weight; they are sampled from in 32 all the same.

    Raises:
        UserError: `run` kept no snapshots, or none there; or `out` holds something else.
    """
    from synth import pipeline

    means, n_images = combine(run / "averages", length, n_images)
    generator, card = pipeline.load(run)
    card = card.replaced(images=n_images, average=length)
    parts = {"unet": generator.unet, "conditioning": generator.conditioning}
    wanted = {f"{name}.{key}" for name, module in parts.items() for key, _ in module.named_parameters()}
    if odd := sorted(wanted ^ means.keys()):
        raise UserError(
            f"{run / 'averages'}: '{odd[0]}' is in the snapshots or in the generator, but not in both; copy or train it again"
        )
    for name, module in parts.items():
        own = {k.removeprefix(f"{name}."): v for k, v in means.items() if k.startswith(f"{name}.")}
        with checkpoint.fitting(run / "averages"):
            module.load_state_dict(module.state_dict() | own)
        module.to(torch.float16 if half else torch.float32)  # type: ignore[call-arg]
    if out.exists() and any(out.iterdir()) and not (out / "visionclip.json").exists():
        raise UserError(f"{out}: not empty, and no generator; choose another --out")
    pipeline.save(generator, out, card, read_json(pipeline.locate(run) / "mix.json"))
    return {"model": str(out), "images": n_images, "average": length}
