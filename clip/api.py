"""The door for other people's code: `from clip import load` gives a model with what feeds it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from clip import embed, loading
from clip.apps import image_io
from clip.model.encoders import CLIP
from clip.zoo.preprocessing import ForeignPreprocessing
from synth.base.device import accelerator
from synth.data.images import Preprocessing


class Encoder(NamedTuple):
    """A model, and how photographs and texts become what it takes; unpacks as `model, preprocess, tokenize`."""

    model: CLIP
    """In evaluation mode; `model.encode_image` and `model.encode_text` are torch's business."""
    preprocess: Preprocessing | ForeignPreprocessing
    """(S, S, 3) uint8 from an encoded photograph and what errors call it."""
    tokenize: Callable[[Sequence[str]], Tensor]
    """(N, L) int64 token ids from texts in either language."""

    def encode_images(self, paths: Sequence[Path | str]) -> np.ndarray:
        """(N, D) float32 of unit length from files of photographs.

        Raises:
            UserError: a picture is absent, damaged or too large.
        """
        squares = [self.preprocess(image_io.read(Path(path)), str(path)) for path in paths]
        return embed.pixels(self.model, np.stack(squares))

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(N, D) float32 of unit length from texts in Chinese or English."""
        return embed.texts(self.model, texts)


def load(spec: Path | str) -> Encoder:
    """A model by what a user calls it: a ckpt.pt of `clip train`, `hub:NAME/REPO`, or somebody else's as `KIND:FILE`.

    Raises:
        UserError: no such file, or not what its name says.
    """
    model = loading.load_model(spec).to(accelerator())
    return Encoder(model, model.config.preprocessing, model.tokenize)
