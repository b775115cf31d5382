"""What is audited, behind narrow interfaces: embed, denoising loss, complete, sample, captions.

The only room of this package that opens a model, and the only one that may import `synth` and `clip` beyond
`synth.base` and `synth.data`; it does so when asked, so that help and reports need no torch.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from privacy.targets.embeddings import Embeddings
from privacy.targets.encoder import Encoder
from synth.base.errors import UserError
from synth.data.images import Preprocessing


class Target(Protocol):
    """Something that embeds photographs."""

    metadata: dict[str, Any]
    """What the report says about it: path, sha256, kind, versions."""
    preprocessing: Preprocessing
    """How it wants photographs."""
    has_untrained: bool
    """Whether it can be built again with random weights."""
    reads_captions: bool
    """Whether it embeds captions beside photographs."""

    @property
    def operations(self) -> int:
        """Of embedding one photograph, as `synth.base.speed` counts them."""
        ...

    def embed(self, photographs: "Photographs", ids: np.ndarray, seed: int | None, parts: Path) -> np.ndarray:
        """(N, D) float32 of N photographs; with a `seed`, by its untrained control of that seed.

        `parts` is a folder in which what is finished waits for a repeated command.
        """
        ...

    def texts(self, captions: Sequence[str], seed: int | None = None) -> np.ndarray:
        """(N, D) float32 of N captions in either language, to be compared with photographs by their cosine."""
        ...


class Photographs(Protocol):
    """(N, S, S, 3) uint8 that are read when they are asked for, by whichever process."""

    def __len__(self) -> int: ...
    def __getitem__(self, part: slice) -> np.ndarray: ...


def open_target(path: Path, engine: str = "local", workers: int = 0) -> Target:
    """A CLIP checkpoint, or embeddings made elsewhere (`.npy`, `.parquet`).

    Args:
        engine, workers: who embeds photographs, as of `Encoder`.

    Raises:
        UserError: the file is absent, damaged or foreign.
    """
    if not path.is_file():
        what = "a folder, where a file is needed" if path.is_dir() else "no such file"
        raise UserError(f"{path}: {what}; --model takes a ckpt.pt of 'clip train', a .npy or a .parquet")
    if path.suffix.lower() in (".npy", ".parquet"):
        return Embeddings(path)
    return Encoder(path, engine, workers)
