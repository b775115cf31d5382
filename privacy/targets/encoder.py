"""The image tower and the text tower of a CLIP."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synth.base import speed
from synth.base.errors import UserError
from synth.base.runs import progress, sha256

if TYPE_CHECKING:
    from torch import device

    from clip.model.checkpoints import Header
    from clip.model.encoders import CLIP
    from privacy.targets import Photographs

_BATCH = 64


class Encoder:
    """The image tower of a CLIP checkpoint."""

    has_untrained = True
    reads_captions = True

    def __init__(self, path: Path, engine: str = "local", workers: int = 0) -> None:
        """
        Args:
            engine, workers: who embeds photographs: one of `synth.sampling.engines.ENGINES`, and processes, 0 for one per core.
        """
        from synth.sampling.engines import engine_of

        engine_of(engine)
        digest = sha256(path) if path.is_file() else ""
        self._model, said = _opened(path, digest)
        self._path, self._launch = path, (engine, workers)
        self.preprocessing = self._model.config.preprocessing
        self.metadata = {
            "path": str(path),
            "sha256": digest,
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

    def embed(self, photographs: "Photographs", ids: np.ndarray, seed: int | None, parts: Path) -> np.ndarray:
        from synth.sampling.engines.rows import Launch, computed

        what = "embedding" if seed is None else f"embedding, untrained {seed}"
        begin = partial(_begun, self._path, self.metadata["sha256"], seed, photographs)
        return self._finite(computed(begin, len(photographs), parts, what, Launch(*self._launch)))

    def texts(self, captions: Sequence[str], seed: int | None = None) -> np.ndarray:
        """(N, D) float32 of unit length from captions in either language."""
        from clip import embed
        from synth.base.device import accelerator

        what = "reading" if seed is None else f"reading, untrained {seed}"
        model, parts = _of_seed(self._model, seed).to(accelerator()), []
        with progress(what, len(captions)) as bar:
            for start in range(0, len(captions), _BATCH):
                parts.append(embed.texts(model, captions[start : start + _BATCH]))
                bar.update(len(parts[-1]))
        return self._finite(np.concatenate(parts))

    def _finite(self, found: np.ndarray) -> np.ndarray:
        if not np.isfinite(found).all():
            raise UserError(
                f"{self.metadata['path']}: gives embeddings that are not finite; its training diverged"
            )
        return found


@lru_cache(maxsize=1)
def _opened(path: Path, _digest: str) -> "tuple[CLIP, Header]":
    """A checkpoint, opened once in a process."""
    from clip.model import checkpoints

    return checkpoints.load(path)


def _of_seed(model: "CLIP", seed: int | None) -> "CLIP":
    """The model, or its untrained control of a seed."""
    from clip.model import encoders

    return model if seed is None else encoders.untrained(model, seed)


def _begun(
    path: Path, digest: str, seed: int | None, photographs: "Photographs", place: "device"
) -> Callable[[slice], np.ndarray]:
    """What embeds some of the photographs, on a device."""
    from clip import embed

    model = _of_seed(_opened(path, digest)[0], seed).to(place)
    return lambda rows: embed.pixels(model, np.asarray(photographs[rows]))
