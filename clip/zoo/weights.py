"""Weights that others wrote: read from a file without running anything in it, and fitted to a network by name."""

import argparse
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from synth.base import checkpoint
from synth.base import weights as safetensors
from synth.base.errors import UserError

_WRAPPERS = ("state_dict", "model_state_dict", "visionfm_state_dict", "weights", "model", "teacher")
"""Keys under which trainers keep the weights: Chinese-CLIP and open_clip, EyeCLIP, VisionFM's fine-tuning, ours,
RETFound, DINOv2 and iBOT."""
_SHOWN = 6


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` or torch file by name, without what trainers wrap around them.

    Raises:
        UserError: absent, damaged, holding objects that could run code, or no tensors by name.
    """
    return tensors(content(path), path)


def content(path: Path) -> Any:
    """What a `.safetensors` or torch file holds.

    Raises:
        UserError: absent, damaged, or holding objects that could run code.
    """
    if path.suffix == ".safetensors":
        return safetensors.read(path)
    # MAE checkpoints, RETFound's among them, keep the arguments of their command: plain attributes.
    with torch.serialization.safe_globals([argparse.Namespace]):
        return checkpoint.load(path)


def tensors(content: Any, path: Path) -> dict[str, Tensor]:
    """The tensors of what a file holds, by name.

    Raises:
        UserError: there are none.
    """
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    found = content if isinstance(content, Mapping) else {}
    named = {
        str(name).removeprefix("module."): value for name, value in found.items() if torch.is_tensor(value)
    }
    if not named:
        raise UserError(f"{path}: no tensors by name in it; give a file of weights (a state dict)")
    safetensors.check_finite(named, str(path))
    return {name: value.float() if value.is_floating_point() else value for name, value in named.items()}


def fit(
    network: nn.Module,
    weights: Mapping[str, Tensor],
    where: str,
    may_lack: Collection[str] = (),
    remedy: str = "",
) -> list[str]:
    """Load weights into a network; returns the names of its parameters that they did not bring.

    Only names that begin with one of `may_lack` may be absent.

    Raises:
        UserError: parameters that are missing, left over, or of another shape, by name.
    """
    own = network.state_dict()
    lacking = [name for name in own if name not in weights and not name.endswith("num_batches_tracked")]
    missing = [name for name in lacking if not name.startswith(tuple(may_lack))]
    left = [name for name in weights if name not in own]
    shapes = [
        f"{name} {tuple(value.shape)} for {tuple(own[name].shape)}"
        for name, value in weights.items()
        if name in own and own[name].shape != value.shape
    ]
    faults = {"missing": missing, "left over": left, "of another shape": shapes}
    told = "; ".join(f"{what}: {_some(names)}" for what, names in faults.items() if names)
    if told:
        raise UserError(f"{where}: weights of another network ({told}){remedy and f'; {remedy}'}")
    safetensors.check_kinds(network, weights, where)
    network.load_state_dict(dict(weights), strict=False)
    return lacking


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
