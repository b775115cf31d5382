"""The image tower and the text tower of a CLIP."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synth.base import speed
from synth.base.errors import UserError
from synth.base.runs import progress, sha256

_BATCH = 64


class Encoder:
    """The image tower of a CLIP checkpoint."""

    has_untrained = True
    reads_captions = True

    def __init__(self, path: Path) -> None:
        from clip.model import checkpoints

        self._model, said = checkpoints.load(path)
        self.preprocessing = self._model.config.preprocessing
        self.metadata = {
            "path": str(path),
            "sha256": sha256(path),
            "preprocessing": self.preprocessing.model_dump(),
            "kind": f"{said.format} {said.version}",
            "trained_with": said.libraries,
            "training_data": said.data,
            "architecture": self._model.config.image.name,
            "dimensions": self._model.config.embedding,
        }

    @property
    def operations(self) -> int:
        """Of embedding one photograph."""
        import torch

        side = self.preprocessing.size
        return speed.operations(self._model.encode_image, torch.zeros(1, 3, side, side))

    def embed(self, photographs: np.ndarray, ids: np.ndarray, seed: int | None = None) -> np.ndarray:
        from clip import embed

        what = "embedding" if seed is None else f"embedding, untrained {seed}"
        return self._all(what, photographs, lambda model, part: embed.pixels(model, np.array(part)), seed)

    def texts(self, captions: Sequence[str], seed: int | None = None) -> np.ndarray:
        """(N, D) float32 of unit length from captions in either language."""
        from clip import embed

        what = "reading" if seed is None else f"reading, untrained {seed}"
        return self._all(what, captions, embed.texts, seed)

    def _all(
        self, what: str, things: Any, embedded: Callable[[Any, Any], np.ndarray], seed: int | None
    ) -> np.ndarray:
        """(N, D) of photographs or captions, batch by batch."""
        from clip.model import encoders
        from synth.base.device import accelerator

        model = self._model if seed is None else encoders.untrained(self._model, seed)
        model = model.to(accelerator())
        parts = []
        with progress(what, len(things)) as bar:
            for start in range(0, len(things), _BATCH):
                parts.append(embedded(model, things[start : start + _BATCH]))
                bar.update(len(parts[-1]))
        found = np.concatenate(parts)
        if not np.isfinite(found).all():
            raise UserError(
                f"{self.metadata['path']}: gives embeddings that are not finite; its training diverged"
            )
        return found
