"""Checkpoints of ours: what they say of themselves, and the model in them."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from torch import nn

from clip.model.encoders import CLIP, ClipConfig, build
from synth.base import checkpoint, config, weights
from synth.base.errors import UserError
from synth.data.vocabulary import VERSION as VOCABULARY

FORMAT = "visionclip-clip"
VERSION = 1
FILE = "ckpt.pt"
"""What `clip train` calls a checkpoint, in the folder of a run and in a repository on the Hugging Face Hub."""


class Header(BaseModel):
    """What is known of a model beside its weights; a checkpoint may say more, under names of its own."""

    model_config = ConfigDict(extra="allow", frozen=True)

    format: str
    """`FORMAT`, or the kind of somebody else's model."""
    model: dict[str, Any]
    """The settings that build it, of `ClipConfig` or `ForeignConfig`."""
    version: int = VERSION
    """Of the format."""
    vocabulary: int = 0
    """Version of the labels that its captions were written with."""
    libraries: dict[str, str] = {}
    """The versions of those that shaped it."""
    images: int | None = None
    """Pairs seen in training; None where nobody counted."""
    data: str | None = None
    """Fingerprint of the records that it was trained on."""
    config: dict[str, Any] | None = None
    """Settings of its training."""
    sha256: str | None = None
    """Of its file, where that has been taken."""


def header(model: CLIP, **metadata: Any) -> dict[str, object]:
    """What a checkpoint of ours says about itself; `metadata` are added."""
    return checkpoint.header(
        FORMAT, VERSION, model=model.config.model_dump(mode="json"), vocabulary=VOCABULARY, **metadata
    )


def load(path: Path, finite: bool = True) -> tuple[CLIP, Header]:
    """The model in evaluation mode, and what the file says about itself; only who examines it takes what is not `finite`.

    Raises:
        UserError: not a checkpoint of ours, damaged, or holding objects that could run code.
    """
    content = checkpoint.read(path, FORMAT, VERSION, finite)
    found = {name: value for name, value in content.items() if name != "weights"}
    said = config.check(Header, {"model": {}} | found, str(path))
    if said.vocabulary > VOCABULARY:
        raise UserError(
            f"{path}: vocabulary version {said.vocabulary}, this visionclip knows {VOCABULARY}; "
            "update with 'pip install -U visionclip'"
        )
    model = built(said.model, str(path))
    try:
        weights.check_kinds(model, content["weights"], str(path))
        model.load_state_dict(content.pop("weights"))
    except (KeyError, RuntimeError, AttributeError, TypeError) as error:
        line = str(error).splitlines()[-1].strip()[-200:]
        raise UserError(
            f"{path}: weights do not fit the model that it names ({line}); train it again"
        ) from None
    return model.eval(), said


def built(settings: Mapping[str, Any], where: str) -> CLIP:
    """A model of the settings that a file tells, with random weights.

    Raises:
        UserError: they are not settings of a model; `where` begins the line.
    """
    known = config.check(ClipConfig, settings, where)
    if missing := next(_unsaid(settings, known), None):
        raise UserError(f"{where}: '{missing}' is missing of the model's settings; copy or train it again")
    try:
        return build(known)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _unsaid(settings: Mapping[str, Any], known: config.Config, section: str = "") -> Iterator[str]:
    """Settings of a model that a file leaves out: their defaults are those of this version, not of the model."""
    given = known.by_name(settings)
    for name in type(known).model_fields:
        value = getattr(known, name)
        if name not in given:
            yield f"{section}{name}"
        elif isinstance(value, config.Config):
            yield from _unsaid(given[name], value, f"{name}.")


def weights_fingerprint(model: nn.Module) -> str:
    """The sha256 of names and values of the weights, in hex; the same on every device."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
