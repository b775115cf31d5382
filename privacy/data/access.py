"""Which attacker an audit assumes: what somebody has of a release decides what they can ask.

Each level has what those before it have.  Controls, such as untrained encoders, are the auditor's, whoever the attacker is.
"""

from typing import Literal, get_args

from synth.base.errors import UserError

Access = Literal["data", "data+captions", "embeddings", "api", "weights"]
LEVELS: tuple[Access, ...] = get_args(Access)
"""From the weakest to the strongest."""
HOLDS: dict[Access, tuple[str, str]] = {
    "data": ("the released pictures and their labels", "发布的图像及其标签"),
    "data+captions": ("the released pictures, labels and captions", "发布的图像、标签与说明文字"),
    "embeddings": (
        "the released pictures, labels and captions, and embeddings of photographs",
        "发布的图像、标签与说明文字，以及照片的嵌入",
    ),
    "api": (
        "the released data, and answers of the encoder to any picture and text",
        "发布的数据，以及编码器对任意图像与文字的应答",
    ),
    "weights": (
        "all that was released, weights of models among it",
        "发布的一切，包括模型权重",
    ),
}
"""Level -> what such an attacker has, in English and in Chinese."""


def parse(value: str) -> Access:
    """The level that the option `--given` names.

    Raises:
        UserError: none of `LEVELS`.
    """
    for level in LEVELS:
        if value == level:
            return level
    raise UserError(f"--given '{value}': known: {', '.join(LEVELS)}")


def reaches(given: Access, needed: Access) -> bool:
    """Whether an attacker who was given so much can ask a question that needs so much."""
    return LEVELS.index(given) >= LEVELS.index(needed)


def refusal(given: Access, needed: Access) -> str:
    """Why a question was left out."""
    return f"not asked: it needs '--given {needed}', and this attacker has {HOLDS[given][0]}"
