"""Photographs that the page draws by labels: by the generator of four steps that ships, and phantoms beside them for a quiz."""

import secrets
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch

from clip.prompts import NORMAL
from synth import phantom
from synth.base.device import accelerator
from synth.data import captions
from synth.data.vocabulary import DISEASES, DR, DR_GRADES, READABILITY_KEYS
from synth.model.card import WEIGHTS
from synth.pipeline import FundusPipeline, load
from synth.sampling import noise

MODEL = WEIGHTS / "fundus256-4"
"""What draws: the student of four steps, seconds a picture on one core."""
SEEDS = 2**31
"""Seeds are 0 to one less than this."""


class Drawn(NamedTuple):
    """A picture and what it is to show, in both languages."""

    picture: np.ndarray
    """(S, S, 3) uint8."""
    zh: str
    en: str


class Question(NamedTuple):
    """Two pictures of the same labels, one a phantom, one synthetic."""

    left: np.ndarray
    right: np.ndarray
    synthetic: str
    """Which of the two the generator drew: `left` or `right`."""


def choices() -> list[tuple[str, str]]:
    """What can be drawn, as a person reads it and as keys."""
    grades = [(f"{each.zh}{DR.zh} {each.en} {DR.en}", f"{DR.key}={each.key}") for each in DR_GRADES[1:]]
    others = [(f"{term.zh} {term.en}", f"{term.key}=1") for term in DISEASES]
    return [("正常 normal", "normal"), *grades, *others]


def labels(key: str, side: str) -> dict[str, Any]:
    """The labels of one of `choices`, all else absent, of a readable photograph of one eye, `left` or `right`."""
    shown = NORMAL | {"modality": "cfp", "eye_side": side} | dict.fromkeys(READABILITY_KEYS, 1)
    if key == "normal":
        return shown
    name, _, value = key.partition("=")
    return shown | {name: int(value)}


def draw(key: str, side: str, seed: int) -> Drawn:
    """A synthetic photograph, a function of its arguments."""
    wanted, generator = labels(key, side), _generator()
    codes = torch.from_numpy(generator.conditioning.labels.code(wanted)[None])
    start = noise.draw("philox", seed, [(0, 0)], generator.shape, generator.device)
    [picture] = generator(codes.to(generator.device), start).cpu().numpy()
    return Drawn(picture, captions.write(wanted, "zh", seed), captions.write(wanted, "en", seed))


def question() -> Question:
    """A question of the quiz; labels, person and sides are drawn by the system's own chance."""
    key, side, seed = (
        secrets.choice(choices())[1],
        secrets.choice(["left", "right"]),
        secrets.randbelow(SEEDS),
    )
    synthetic = draw(key, side, seed).picture
    real = phantom.draw(labels(key, side), seed, size=len(synthetic)).image
    if secrets.randbelow(2):
        return Question(synthetic, real, "left")
    return Question(real, synthetic, "right")


@cache
def _generator() -> FundusPipeline:
    return load(MODEL)[0].to(accelerator())
