"""What a generator's folder may hold: no part is opened that the pipeline does not take, and no setting that it does not know."""

from collections.abc import Iterable
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import BaseModel, Field

from synth.base import arguments, documents
from synth.base.config import check
from synth.base.errors import UserError

_REDUCED = 64
"""Times as wide as its own pixels that a denoiser's pictures may be."""
_NOTES = ("_class_name", "_diffusers_version", "_name_or_path", "_use_default_values")
"""What diffusers notes in a configuration beside the arguments of the class, and nothing is built from."""


class _Student(BaseModel):
    steps: Annotated[int, Field(strict=True, ge=1, le=1000)]
    guidance: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    times: list[Annotated[int, Field(strict=True, ge=0, lt=1000)]] | None = None


class _Process(BaseModel):
    name: str
    version: int


class _Index(BaseModel):
    student: _Student | None = None
    process: _Process | None = None


def read_index(folder: Path) -> dict[str, Any]:
    """What a generator's model_index.json says.

    Raises:
        UserError: absent, damaged, or what it says of a student or a process is none.
    """
    path = folder / "model_index.json"
    found = documents.read_mapping(path)
    check(_Index, found, str(path))
    return found


def kinds_of(folder: Path, index: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    """The class of each part of a generator, its configuration checked.

    Args:
        index: of the folder, model_index.json.
        parts: name -> the class, or union of classes, that the pipeline takes.

    Raises:
        UserError: a part is of another class, or its configuration says more than its class takes.
    """
    kinds = {part: _kind(folder, part, index.get(part), taken) for part, taken in parts.items()}
    for part, kind in kinds.items():
        _check_part(folder / part / kind.config_name, kind)
    return kinds


def _kind(folder: Path, part: str, found: Any, taken: Any) -> Any:
    """The class of one part of a generator, among those that the pipeline takes; no other is opened."""
    known = {kind.__name__: kind for kind in get_args(taken) or (taken,)}
    library, name = found if isinstance(found, list) and len(found) == 2 else (None, None)
    kind = known.get(str(name))
    if kind is None or _package(str(library)) != _package(kind.__module__):  # a module may have moved since
        raise UserError(
            f"{folder}/model_index.json: '{part}' is {found}, not a {' or '.join(known)}; "
            "copy or train the generator again"
        )
    return kind


def _package(module: str) -> str:
    return module.partition(".")[0]


def check_index(path: Path, index: dict[str, Any], names: tuple[str, ...]) -> None:
    """Refuse parts that a generator of ours does not have: diffusers would import what they name.

    Raises:
        UserError: the index says more than `names`.
    """
    other = next((name for name in index if name not in (*names, *_NOTES)), None)
    if index.get("_class_name", "FundusPipeline") != "FundusPipeline":
        other = "_class_name"
    if other:
        raise UserError(
            f"{path}: '{other}' is {index[other]!r}, which no generator of 'synth train' says; "
            "copy or train the generator again"
        )


def check_size(folder: Path, size: int) -> None:
    """Refuse a network whose pictures are not of the `size` that the generator's card tells.

    Raises:
        UserError: it draws others.
    """
    path = folder / "unet/config.json"
    side = documents.read_mapping(path).get("sample_size")
    if not isinstance(side, int) or side < 1 or size % side or size // side > _REDUCED:
        raise UserError(
            f"{path}: sample_size={str(side)[:40]}, where the pictures of {size} pixels a side need a part of it; "
            "copy or train the generator again"
        )


def check_schedule(folder: Path, kind: type, schedulers: Iterable[Any]) -> None:
    """Refuse a schedule that its process does not have; one of other noise draws other pictures, without a word.

    Args:
        schedulers: those of that process.

    Raises:
        UserError: names the setting, what it is and what it should be.
    """
    path = folder / "scheduler/scheduler_config.json"
    said = documents.read_mapping(path)
    ours = next((each.config for each in schedulers if isinstance(each, kind)), {})
    for name, value in ours.items():
        if not name.startswith("_") and said.get(name, value) != value:
            raise UserError(
                f"{path}: {name}={str(said[name])[:40]}, where {value} is needed; copy or train the generator again"
            )


def _check_part(path: Path, kind: Any) -> None:
    """Refuse a configuration that says more than its class's own constructor takes."""
    known = {name for name in signature(kind.__init__).parameters if name not in ("self", "kwargs")}
    try:
        arguments.check_arguments(
            {name: value for name, value in documents.read_mapping(path).items() if name not in _NOTES},
            known,
            "copy or train the generator again",
        )
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
