"""Checkpoints that say what they are, and that are read without running anything they hold."""

import hashlib
import importlib.metadata
import os
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from synth.base import archives, weights
from synth.base.errors import UserError
from synth.base.runs import atomic

OURS = "visionclip"
"""How the formats of our own checkpoints begin."""
_DAMAGED = (
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    AssertionError,
)
_SUM = "sum"
"""Where a file of ours keeps the checksum of what it says beside tensors."""
LIBRARIES = ("visionclip", "torch", "diffusers", "transformers", "timm", "accelerate", "cn-clip", "numpy")


def versions() -> dict[str, str]:
    """The versions of the libraries that shape a result; one that is not installed as a distribution is left out."""
    found: dict[str, str] = {}
    for name in LIBRARIES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def header(format: str, version: int, **metadata: Any) -> dict[str, object]:
    """What every checkpoint carries beside its weights: format, version, library versions and `metadata`."""
    return {"format": format, "version": version, "libraries": versions(), **metadata}


def check_header(path: Path, content: Any, format: str, version: int) -> dict[str, object]:
    """The header and all beside it, if it is of `format` and not newer than `version`.

    Raises:
        UserError: it is of another kind, or of a later version of ours.
    """
    if not isinstance(content, dict) or "format" not in content:
        raise UserError(f"{path}: not a {format} checkpoint; it carries no format name")
    if content["format"] != format:
        raise UserError(f"{path}: a '{content['format']}' checkpoint, where '{format}' is needed")
    found = content.get("version")
    if not isinstance(found, int):
        raise UserError(f"{path}: version={found!r} is no number; copy or train it again")
    if found > version:
        raise UserError(
            f"{path}: {format} version {found}, this visionclip reads up to {version}; "
            "update with 'pip install -U visionclip'"
        )
    return content


def read(path: Path, format: str, version: int, finite: bool = True) -> Any:
    """What a checkpoint of ours holds, of `format` and not newer than `version`; where `finite`, its numbers are numbers.

    Raises:
        UserError: as `load` and `check_header`, or it holds NaN or infinity.
    """
    content = check_header(path, load(path), format, version)
    if finite:
        weights.check_finite(content, str(path))
    return content


@contextmanager
def fitting(path: Path) -> Iterator[None]:
    """While what a file holds is put into networks and optimisers: what does not fit is one line.

    Raises:
        UserError: a part is missing, or is of other names or shapes.
    """
    try:
        yield
    except (KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
        line = " ".join(str(error).split())[-160:]
        raise UserError(
            f"{path}: what it holds does not fit ({line}); copy it again, or delete it to begin anew"
        ) from None


def save(path: Path, content: Mapping[str, object], secret: bool = False) -> None:
    """Write tensors and plain values to one file, whole or not at all; a `secret` one is for its owner's eyes only.

    Raises:
        UserError: a tensor holds what is no number.
    """
    import torch

    weights.check_finite(content, str(path))

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags, 0o600 if secret else 0o666)

    noted = {**content, _SUM: _digest(content)} if _is_ours(content) else content
    with atomic(path) as temporary, open(temporary, "wb", opener=opener) as file:
        torch.save(noted, file)  # given a path, torch would put its name into the file


def load(path: Path, mapped: bool = False) -> Any:
    """Read a file of tensors and plain values; anything else in it is refused, never run.

    Of a `mapped` one tensors are read when they are looked at: at once, for what else it holds.

    Raises:
        UserError: the file is absent, damaged, or holds objects; of ours, its checksums differ.
    """
    import torch

    if path.is_dir():
        raise UserError(f"{path}: a folder, where a checkpoint file is needed")
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if archives.is_zip(path):
        with archives.opened_zip(path, compressed=False):  # torch does not compress
            pass
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError:
        if archives.is_zip(path):
            raise UserError(
                f"{path}: holds Python objects that could run code; refused, save tensors only"
            ) from None
        raise UserError(f"{path}: not a checkpoint or damaged; nothing in it was run") from None
    except (*_DAMAGED, RecursionError, MemoryError, OverflowError):
        raise UserError(f"{path}: damaged or cut short; copy or train it again") from None
    if _is_ours(content):
        noted = content.pop(_SUM, None)  # an earlier version wrote none
        if noted is not None and noted != _digest(content):
            raise UserError(
                f"{path}: damaged, what it says of itself is not what was written; copy it again, or train it again"
            )
        if not mapped:
            archives.check_sums(path)  # which torch writes, and does not read
    return content


def _is_ours(content: Any) -> bool:
    return isinstance(content, Mapping) and str(content.get("format")).startswith(OURS)


def _digest(content: Mapping[str, object]) -> str:
    """The sha256 of all values but those of tensors, which `archives.check_sums` compares: of them, types and shapes."""
    return hashlib.sha256(repr(_described(content)).encode(errors="surrogatepass")).hexdigest()


def _described(value: Any) -> Any:
    import torch

    if torch.is_tensor(value):
        return value.dtype, tuple(value.shape)
    if isinstance(value, Mapping):
        return {key: _described(each) for key, each in value.items()}
    return [_described(each) for each in value] if isinstance(value, list | tuple) else value
