"""The image tower and the text tower of a CLIP."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from synth.base.errors import UserError
from synth.base.runs import progress, sha256

_BATCH = 64


class Encoder:
    """The image tower of a CLIP checkpoint."""

    has_untrained = True

    def __init__(self, path: Path) -> None:
        from clip.embed import load_checkpoint

        self._model, said = load_checkpoint(path)
        self.preprocessing = self._model.config.preprocessing
        self.facts = {
            "path": str(path),
            "sha256": sha256(path),
            "preprocessing": self.preprocessing.model_dump(),
            "kind": f"{said['format']} {said['version']}",
            "trained_with": said.get("libraries", {}),
            "training_data": said.get("data") or said.get("fingerprint"),
            "architecture": self._model.config.image.name,
            "dimensions": self._model.config.embedding,
        }

    def embed(self, photographs: np.ndarray, ids: np.ndarray, seed: int | None = None) -> np.ndarray:
        from clip import embed

        model = self._model if seed is None else embed.untrained(self._model, seed)
        model = model.to(embed.device())
        what = "embedding" if seed is None else f"embedding, untrained {seed}"
        parts = []
        with progress(what, len(photographs)) as bar:
            for start in range(0, len(photographs), _BATCH):
                parts.append(embed.pixels(model, np.array(photographs[start : start + _BATCH])))
                bar.update(len(parts[-1]))
        found = np.concatenate(parts)
        if not np.isfinite(found).all():
            raise UserError(
                f"{self.facts['path']}: gives embeddings that are not finite; its training diverged"
            )
        return found

    def texts(self, captions: Sequence[str]) -> np.ndarray:
        """(N, D) float32 of unit length from captions in either language."""
        from clip import embed

        return embed.texts(self._model.to(embed.device()), captions)
