"""Weights: one rule for all that are written and read.  They are finite numbers, and they are those that were written."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from synth.base.errors import UserError
from synth.base.runs import atomic

_SUM = "sha256"
"""Where the metadata of a safetensors file of ours keep the checksum of its tensors."""


def check_finite(content: Any, where: str) -> None:
    """Refuse values that are no numbers, in a network or at any depth of mappings and lists.

    Raises:
        UserError: names the first tensor that holds NaN or infinity, or is none of plain numbers that all stand in the file;
            `where` begins the line.
    """
    import torch

    for name, tensor in _tensors(content, ""):
        if not _is_plain(tensor):
            raise UserError(
                f"{where}: '{name}' is no plain tensor (sparse, quantised, complex, or larger than what is stored of it); "
                "save it dense, as floats"
            )
        if (tensor.is_floating_point() or tensor.is_complex()) and not torch.isfinite(tensor).all():
            raise UserError(
                f"{where}: '{name}' holds what is no number (NaN or infinity): the training diverged, or the file is damaged; "
                "train again with a lower lr, or go back to a sound checkpoint"
            )


def check_kinds(network: Any, tensors: Mapping[str, Any], where: str) -> None:
    """Refuse weights of another kind than the network's: torch takes whole numbers for floats without a word.

    Raises:
        UserError: names the first; `where` begins the line.
    """
    for name, own in network.state_dict().items():
        given = tensors.get(name)
        if given is not None and own.is_floating_point() != given.is_floating_point():
            raise UserError(
                f"{where}: '{name}' holds {given.dtype}, where {own.dtype} is needed; train or copy it again"
            )


def _is_plain(tensor: Any) -> bool:
    """Whether it is dense, of real numbers, and no view that repeats what is stored of it."""
    import torch

    odd = tensor.layout != torch.strided or tensor.is_nested or tensor.is_quantized or tensor.is_complex()
    if odd or tensor.device.type == "meta":
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _tensors(content: Any, name: str) -> Iterator[tuple[str, Any]]:
    import torch

    if torch.is_tensor(content):
        yield name, content
    elif isinstance(content, torch.nn.Module):
        yield from _tensors(content.state_dict(), name)
    elif isinstance(content, Mapping):
        for key, value in content.items():
            yield from _tensors(value, f"{name}.{key}".lstrip("."))
    elif isinstance(content, list | tuple):
        for place, value in enumerate(content):
            yield from _tensors(value, f"{name}.{place}".lstrip("."))


def write(path: Path, tensors: Mapping[str, Any]) -> None:
    """Write a safetensors file of finite tensors, whole or not at all, with a checksum in it.

    Raises:
        UserError: a value is no number.
    """
    from safetensors.torch import save_file

    check_finite(tensors, str(path))
    kept = {name: each.detach().contiguous().cpu() for name, each in tensors.items()}
    with atomic(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(kept, temporary, metadata={_SUM: _digest(kept)})
        temporary.chmod(mode)  # safetensors makes files for their owner alone


def share(folder: Path, like: Path) -> None:
    """Let whoever may read the file `like` read the safetensors files of a folder too, which libraries wrote for their owner."""
    for path in folder.rglob("*.safetensors"):
        path.chmod(like.stat().st_mode)


def read(path: Path) -> Any:
    """The tensors of a safetensors file by name, on the CPU; the checksum is compared where the file has one.

    Raises:
        UserError: absent, damaged, cut short, or other values than were written, or no numbers.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        with safe_open(path, "pt") as file:
            noted = (file.metadata() or {}).get(_SUM)
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        line = " ".join(str(error).split())[:160]
        raise UserError(f"{path}: damaged or cut short ({line}); copy or make it again") from None
    if noted is not None and noted != _digest(found):
        raise UserError(
            f"{path}: damaged, its tensors are not those that were written; copy or make it again"
        )
    check_finite(found, str(path))
    return found


def shapes(path: Path) -> dict[str, list[int]]:
    """The shapes of the tensors in a safetensors file, from its header alone.

    Raises:
        UserError: absent or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path}: damaged or cut short ({error}); copy or make it again") from None


def _digest(tensors: Mapping[str, Any]) -> str:
    """The sha256 of names, types, shapes and values."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        if tensor.numel():
            digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
