"""The anatomy filter: readable samples without exactly one disc, a macula in its place, and vessels that hang together."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import device

from synth.anatomy.measures import measure
from synth.anatomy.network import WEIGHTS
from synth.anatomy.plausibility import RULE, plausible
from synth.base.errors import UserError
from synth.base.runs import sha256
from synth.data.vocabulary import READABILITY_KEYS
from synth.sampling.filters.settings import AnatomyFilterSettings


def prepare() -> AnatomyFilterSettings:
    """What the plan keeps."""
    return AnatomyFilterSettings(network=sha256(WEIGHTS), rule=RULE)


class AnatomyFilter:
    """An anatomy filter as a plan describes it.

    Raises:
        UserError: the plan was made with another network or rule than this version has.
    """

    def __init__(self, settings: AnatomyFilterSettings, place: device | None = None) -> None:
        self._place = place
        if settings != prepare():
            raise UserError(
                "--reject-anatomy: the plan was made with another version of its network or rule; "
                "continue with the visionclip that began it, or take another --out"
            )

    def implausible(self, pictures: np.ndarray, labels: Sequence[dict[str, Any]]) -> np.ndarray:
        """(N,) bool: which of (N, S, S, 3) uint8 samples, asked for as readable photographs of a fundus, show another anatomy."""
        asked = np.array([all(wanted.get(key) != 0 for key in READABILITY_KEYS) for wanted in labels])
        return asked & ~plausible(measure(pictures, place=self._place))
