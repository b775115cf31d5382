"""Whether what was given is a readable fundus photograph: said above every finding, in both languages."""

import numpy as np
from pydantic import BaseModel

from synth.anatomy import readability

_WHY = {
    "black": ("画面全黑", "the picture is black"),
    "grey": (
        "画面没有颜色（灰度图、OCT、造影或原始帧）",
        "it has no colour (grey, OCT, angiography or a raw frame)",
    ),
    "other": (
        "不像眼底照片，或看不清视网膜",
        "it does not look like a fundus photograph, or its retina cannot be seen",
    ),
}


class Readability(BaseModel):
    """What is said of one picture before its findings."""

    readable: bool
    score: float
    """Log odds that it is no readable fundus photograph."""
    threshold: float
    """Above this it is called unreadable."""
    false_alarms: float
    """The share of readable phantoms that lie above."""
    reason: str
    """`black`, `grey`, `other`; empty where it is readable."""
    zh: str
    en: str

    def text(self) -> str:
        """One line for people; empty where it is readable."""
        return "" if self.readable else f"{self.zh} {self.en}"


def check(square: np.ndarray) -> Readability:
    """Judge one (S, S, 3) uint8 picture, cropped to its field of view."""
    [found], rule = readability.assess(square[None]), readability.shipped()
    zh, en = _WHY.get(found.reason, ("", ""))
    return Readability(
        readable=found.readable,
        score=found.score,
        threshold=rule.threshold,
        false_alarms=rule.false_alarms,
        reason=found.reason,
        zh=zh and f"不可读：{zh}；以下各项没有意义。",
        en=en and f"UNREADABLE: {en}; the findings below mean nothing.",
    )
