"""A photograph as the encoder sees it, as people do, and whether it can be read at all."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from clip.apps import image_io, readability
from clip.apps.readability import Readability
from clip.zoo.preprocessing import ForeignPreprocessing
from synth.base import processes
from synth.base.errors import UserError
from synth.data.images import Preprocessing

Square = Preprocessing | ForeignPreprocessing
_SIDE = 640  # pixels a side, at least, of what people see
_SPAN = 8  # photographs that repay as much as one span of work


class Photograph(NamedTuple):
    """One photograph as the encoder sees it, and as people do."""

    square: np.ndarray
    """(S, S, 3) uint8, preprocessed."""
    shown: np.ndarray
    """(L, L, 3) uint8: the same view at a size for the eye."""
    readability: Readability
    """Whether it is a readable fundus photograph at all."""


class Views(NamedTuple):
    """What a photograph is decoded to, before any network."""

    square: np.ndarray
    shown: np.ndarray
    cropped: np.ndarray
    """(L, L, 3) uint8: its field of view."""

    def read(self) -> Photograph:
        """With what is said of its readability."""
        return Photograph(self.square, self.shown, readability.check(self.cropped))


def views(path: Path | image_io.Inside, preprocessing: Square) -> Views:
    """A photograph from a file.

    Raises:
        UserError: the picture is absent, damaged or too large.
    """
    data = image_io.read(path)
    sizes = {key: getattr(preprocessing, key, None) for key in ("size", "resize")}  # ours has no resize
    factor = max(1.0, _SIDE / preprocessing.size)
    larger = preprocessing.model_copy(
        update={key: round(size * factor) for key, size in sizes.items() if size}
    )
    shown = larger(data, str(path))
    cropped = shown if preprocessing.name == "fov-square" else Preprocessing(size=_SIDE)(data, str(path))
    return Views(preprocessing(data, str(path)), shown, cropped)


def ahead(paths: Sequence[Path | image_io.Inside], preprocessing: Square) -> Iterator[Views | UserError]:
    """Each photograph in turn, decoded by processes ahead of time where there are many; of one that cannot be read, why."""
    spans = [range(place, place + 1) for place in range(len(paths))]
    workers = processes.worth(len(paths) // _SPAN)
    for [found] in processes.in_turn(partial(_each, paths, preprocessing), spans, workers):
        yield found


def _each(
    paths: Sequence[Path | image_io.Inside], preprocessing: Square, span: range
) -> list[Views | UserError]:
    found: list[Views | UserError] = []
    for place in span:
        try:
            found.append(views(paths[place], preprocessing))
        except UserError as error:
            found.append(error)
    return found
