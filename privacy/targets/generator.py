"""A generator as an attacker sees it: denoising loss, completion, sampling."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synth.base.runs import progress

if TYPE_CHECKING:
    import pyarrow as pa

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
        import torch

        from synth import pipeline
        from synth.diffusion import process
        from synth.sampling import cost
        from synth.sampling.plan import weights_fingerprint

        place = pipeline.locate(folder)
        self._pipeline, self.card = pipeline.load(place)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        for part in (self._pipeline.unet, self._pipeline.conditioning, self._pipeline.space):
            part.to(self._device)  # type: ignore[call-arg]
        self._schedule = process.noising()
        self.preprocessing = self.card.preprocessing
        self.fingerprint = weights_fingerprint(place)
        self.operations = cost.forward(place / "unet")
        """Of one pass of the network over one photograph, as `synth.base.speed` counts them."""
        self.facts: dict[str, Any] = {
            "path": str(folder),
            "kind": f"{self.card.format} {self.card.version}",
            "weights": self.fingerprint,
            "preprocessing": self.preprocessing.model_dump(),
        }

    def codes(self, table: "pa.Table") -> np.ndarray:
        """(N, L) int64 label codes of a table of records."""
        from synth.model.conditioning import codes

        return codes(table)

    def unconditional(self, count: int) -> np.ndarray:
        """(count, L) int64 codes by which nothing is told."""
        from synth.model.conditioning import UNKNOWN

        return np.tile(UNKNOWN, (count, 1))

    def losses(
        self, photographs: np.ndarray, codes: np.ndarray, steps: Sequence[int], draws: int = 1, seed: int = 0
    ) -> np.ndarray:
        """Denoising error of each photograph at each place of a grid that all photographs share.

        Args:
            photographs: (N, S, S, 3) uint8; codes: (N, L).
            steps:       diffusion steps in [0, 1000).
            draws:       of noise per step.

        Returns:
            (N, len(steps), draws) float32: mean squared error of the predicted velocity.
        """
        import torch

        found = np.empty((len(photographs), len(steps), draws), np.float32)
        noises = self._noise(len(steps) * draws, seed)
        with progress("denoising", len(photographs)) as bar, torch.inference_mode():
            for first in range(0, len(photographs), _BATCH):
                clean = self.encoded(photographs[first : first + _BATCH])
                told = self.told(codes[first : first + _BATCH])
                rows = len(clean)
                for place, step in enumerate(steps):
                    for draw in range(draws):
                        noise = noises[place * draws + draw].expand(rows, -1, -1, -1)
                        time = torch.full((rows,), step, device=self._device)
                        noisy = self._schedule.add_noise(clean, noise, time)  # type: ignore[arg-type]
                        wanted = self._schedule.get_velocity(clean, noise, time)  # type: ignore[arg-type]
                        error = (self.velocity(noisy, time, told) - wanted).square().mean(dim=(1, 2, 3))
                        found[first : first + rows, place, draw] = error.cpu().numpy()
                bar.update(rows)
        return found

    def velocity(self, noisy: Any, time: Any, codes: Any) -> Any:
        """(B, C, H, W) what the network predicts of noisy pictures at (B,) steps, told (B, L) codes."""
        from synth.model.denoiser import placed

        told = self._pipeline.conditioning(codes)
        return self._pipeline.unet(placed(noisy), time, class_labels=told).sample.float()

    def sample(self, codes: np.ndarray, seed: int = 0) -> np.ndarray:
        """(N, S, S, 3) uint8 pictures of (N, L) codes."""

        parts = []
        with progress("sampling", len(codes)) as bar:
            for first in range(0, len(codes), _BATCH):
                told = self.told(codes[first : first + _BATCH])
                noise = self._noise(len(told), seed, first)
                parts.append(self._pipeline(told, noise).cpu().numpy())
                bar.update(len(told))
        return np.concatenate(parts)

    def untrained(self, seed: int) -> "Generator":
        """The same architecture with random weights: what its training did not teach."""
        import torch

        twin = copy.copy(self)
        twin._pipeline = copy.copy(self._pipeline)
        torch.manual_seed(seed)
        for name in ("unet", "conditioning"):
            part = getattr(self._pipeline, name)
            fresh = type(part).from_config(part.config).eval().to(self._device)
            setattr(twin._pipeline, name, fresh)
        twin.fingerprint = f"{self.fingerprint} untrained {seed}"
        return twin

    def told(self, codes: np.ndarray) -> Any:
        """(B, L) tensor of (B, L) codes, where the network is."""
        import torch

        return torch.from_numpy(np.array(codes)).to(self._device)

    def shares(self, step: int) -> tuple[float, float]:
        """sqrt(a_t) and sqrt(1 - a_t): of signal and of noise in what is seen at a step."""
        signal = float(self._schedule.alphas_cumprod[step])  # type: ignore[index]
        return signal**0.5, (1 - signal) ** 0.5

    def between(self, clean: Any, noise: Any, step: int) -> Any:
        """(B, C, H, W) sqrt(a_t) clean + sqrt(1 - a_t) noise."""
        signal, spread = self.shares(step)
        return signal * clean + spread * noise

    def encoded(self, photographs: np.ndarray) -> Any:
        """(B, C, H, W) what the network works on, of (B, S, S, 3) uint8."""
        import torch

        images = (
            torch.from_numpy(np.array(photographs)).to(self._device).permute(0, 3, 1, 2).float() / 127.5 - 1
        )
        return self._pipeline.space.encode(images).float().contiguous(memory_format=torch.channels_last)

    def decoded(self, bands: Any) -> np.ndarray:
        """(B, S, S, 3) uint8 of (B, C, H, W) that the network works on."""
        images = self._pipeline.space.decode(bands).clamp(-1, 1)
        return ((images + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()

    def _noise(self, count: int, seed: int, first: int = 0) -> Any:
        """(count, C, H, W) standard normal, a function of seed and place."""
        import torch

        drawn = [
            np.random.default_rng([seed, first + i]).standard_normal(self._pipeline.shape, np.float32)
            for i in range(count)
        ]
        return torch.from_numpy(np.stack(drawn)).to(self._device)
