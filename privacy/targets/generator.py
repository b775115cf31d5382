"""A generator as an attacker sees it: denoising loss, completion, sampling."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synth.base.runs import progress

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

    from synth.diffusion.process import Prediction

_BATCH = 64


class Generator:
    """A trained diffusion generator, on the CPU or the accelerator.

    Noise is drawn from `seed` and the place in the grid alone, never from the photograph: every photograph, member or
    not, and every candidate label is judged with the same noise, so that what differs is what the generator knows.
    """

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            UserError: absent, foreign or damaged.
        """
        from synth import pipeline
        from synth.base.device import accelerator
        from synth.model.card import weights_fingerprint
        from synth.sampling import cost

        place = pipeline.locate(folder)
        self._pipeline, self.card = pipeline.load(place)
        self._device = accelerator()
        for part in (self._pipeline.unet, self._pipeline.conditioning, self._pipeline.space):
            part.to(self._device)  # type: ignore[call-arg]
        self.process = self._pipeline.process
        """How pictures are noised, and what the network's prediction means."""
        self.preprocessing = self.card.preprocessing
        self.fingerprint = weights_fingerprint(place)
        self.operations = cost.forward(place / "unet")
        """Of one pass of the network over one photograph, as `synth.base.speed` counts them."""
        self.metadata: dict[str, Any] = {
            "path": str(folder),
            "kind": f"{self.card.format} {self.card.version}",
            "weights": self.fingerprint,
            "preprocessing": self.preprocessing.model_dump(),
        }

    def codes(self, table: "pa.Table") -> np.ndarray:
        """(N, L) int64 label codes of a table of records, by the generator's own vocabulary."""
        return self._pipeline.conditioning.labels.codes(table)

    def unconditional(self, count: int) -> np.ndarray:
        """(count, L) int64 codes of photographs of which nothing is known."""
        return np.tile(self._pipeline.conditioning.labels.unknown, (count, 1))

    def losses(
        self, photographs: np.ndarray, codes: np.ndarray, steps: Sequence[int], draws: int = 1, seed: int = 0
    ) -> np.ndarray:
        """Denoising error of each photograph at each place of a grid that all photographs share.

        Args:
            photographs: (N, S, S, 3) uint8; codes: (N, L).
            steps:       diffusion steps in [0, 1000).
            draws:       of noise per step.

        Returns:
            (N, len(steps), draws) float32: mean squared error of the prediction, a velocity where that is what it learnt.
        """
        import torch

        losses = np.empty((len(photographs), len(steps), draws), np.float32)
        noises = self._noise(len(steps) * draws, seed)
        with progress("denoising", len(photographs)) as bar, torch.inference_mode():
            for first in range(0, len(photographs), _BATCH):
                clean = self.encode(photographs[first : first + _BATCH])
                labels = self.on_device(codes[first : first + _BATCH])
                rows = len(clean)
                for place, step in enumerate(steps):
                    for draw in range(draws):
                        noise = noises[place * draws + draw].expand(rows, -1, -1, -1)
                        time = torch.full((rows,), step, device=self._device)
                        noisy = self.process.add_noise(clean, noise, time)
                        target = self.process.target(clean, noise, time)
                        output = self._pipeline.predict(noisy, time, labels).output
                        error = (output - target).square().mean(dim=(1, 2, 3))
                        losses[first : first + rows, place, draw] = error.cpu().numpy()
                bar.update(rows)
        return losses

    def predict(self, noisy: "Tensor", step: int, codes: "Tensor") -> "Prediction":
        """The noise and the image in (B, C, H, W) noisy pictures of one step, given (B, L) codes."""
        return self._pipeline.predict(noisy, step, codes)

    def sample(self, codes: np.ndarray, seed: int = 0) -> np.ndarray:
        """(N, S, S, 3) uint8 pictures of (N, L) codes."""

        parts = []
        with progress("sampling", len(codes)) as bar:
            for first in range(0, len(codes), _BATCH):
                labels = self.on_device(codes[first : first + _BATCH])
                noise = self._noise(len(labels), seed, first)
                parts.append(self._pipeline(labels, noise).cpu().numpy())
                bar.update(len(labels))
        return np.concatenate(parts)

    def untrained(self, seed: int) -> "Generator":
        """The same architecture with random weights: what its training did not teach."""
        control = copy.copy(self)
        control._pipeline = self._pipeline.untrained(seed)
        control.fingerprint = f"{self.fingerprint} untrained {seed}"
        return control

    def on_device(self, codes: np.ndarray) -> "Tensor":
        """(B, L) tensor of (B, L) codes, where the network is."""
        import torch

        return torch.from_numpy(np.array(codes)).to(self._device)

    def encode(self, photographs: np.ndarray) -> "Tensor":
        """(B, C, H, W) what the network works on, of (B, S, S, 3) uint8."""
        from synth.data.tensors import as_tensor

        return self._pipeline.encode(as_tensor(photographs, self._device))

    def decode(self, clean: "Tensor") -> np.ndarray:
        """(B, S, S, 3) uint8 of (B, C, H, W) that the network works on."""
        from synth.data.tensors import as_pictures

        return as_pictures(self._pipeline.decode(clean)).cpu().numpy()

    def _noise(self, count: int, seed: int, first: int = 0) -> "Tensor":
        """(count, C, H, W) standard normal, a function of seed and place."""
        import torch

        drawn = [
            np.random.default_rng([seed, first + i]).standard_normal(self._pipeline.shape, np.float32)
            for i in range(count)
        ]
        return torch.from_numpy(np.stack(drawn)).to(self._device)
