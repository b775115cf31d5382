"""What differs on a GPU: precision, repeatable arithmetic, optimisers and copies for which nobody waits."""

import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor


def accelerator(number: int = 0) -> torch.device:
    """What a process computes on: the GPU of its number among several processes, the CPU where there is none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", number % torch.cuda.device_count())


def has_bf16() -> bool:
    """Whether the first GPU computes in bf16; earlier ones only imitate it, slower than fp32."""
    return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


def settle(deterministic: bool) -> None:
    """Set how this process computes on GPUs; nothing changes on a CPU.

    Products of fp32 are taken in TF32.  `deterministic` takes kernels that give the same bits each time, and refuses what
    has none; else cuDNN tries which are the fastest.
    """
    if not torch.cuda.is_available():
        return
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cudnn.deterministic = deterministic
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)


def layout(place: torch.device) -> torch.memory_format:
    """How pictures lie in a network that normalises by groups: on a GPU channel by channel, which its kernels of GroupNorm would
    else make of them and convert back."""
    return torch.contiguous_format if place.type == "cuda" else torch.channels_last


def adamw(parameters: Iterable[Any], **settings: Any) -> torch.optim.AdamW:
    """AdamW; on a GPU the fused one, whose counters of steps lie there and are never waited for."""
    return torch.optim.AdamW(parameters, **settings, fused=torch.cuda.is_available() or None)


def load_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, object]) -> None:
    """Load what `state_dict` gave, perhaps on another kind of machine; how it computes stays that of this one."""
    own = [group.get("fused") for group in optimizer.param_groups]
    groups = [
        dict(group, fused=fused)
        for group, fused in zip(cast(list[Any], state["param_groups"]), own, strict=True)
    ]
    optimizer.load_state_dict({**state, "param_groups": groups})
    for parameter, moments in optimizer.state.items():
        if "step" in moments:
            moments["step"] = moments["step"].to(parameter.device if own[0] else "cpu")


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on `device`, without waiting for what the device does."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def constant(values: tuple[Any, ...], device: torch.device) -> Tensor:
    """Nested tuples as float32 on `device`, copied there once; not to be changed."""
    # What an exporter traces with holds no numbers, and must not be kept for later.
    return (_copied if torch.compiler.is_compiling() else _kept)(values, device)


def _copied(values: tuple[Any, ...], device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(values).to(device)


_kept = lru_cache(maxsize=256)(_copied)
