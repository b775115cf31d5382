"""A GPU that is none: tensors that say `cuda:0` and compute on the CPU, raise where devices are mixed, and count who waits."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._python_dispatch import (
    TorchDispatchMode,
    _disable_current_modes,
    return_and_correct_aliasing,
)
from torch.utils._pytree import tree_leaves, tree_map

CUDA = torch.device("cuda:0")
_ANSWERS = ("_local_scalar_dense", "nonzero", "unique_dim", "_unique2", "masked_select", "equal", "_linalg_check_errors")  # fmt: skip
"""Operations whose result the host needs, so that it waits for all that was asked for before."""


class OnGpu(Tensor):
    """A tensor of the CPU that says it is on the GPU."""

    inner: Tensor  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, inner: Tensor) -> "OnGpu":
        made = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, inner.size(), strides=inner.stride(), storage_offset=inner.storage_offset(),
            dtype=inner.dtype, layout=inner.layout, device=CUDA, requires_grad=False)  # fmt: skip
        made.inner = inner
        return made

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # What asks the driver which GPU is meant before it comes to `__torch_dispatch__`.
        if func in (Tensor.__getitem__, Tensor.__setitem__):
            return _places(*args)
        if func is scaled_dot_product_attention:  # in torch 2.6
            func = _attention
        with torch._C.DisableTorchFunctionSubclass():
            return (_contiguous if func is Tensor.contiguous else func)(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {}, [])

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"OnGpu({self.inner!r})"


class Gpu(TorchDispatchMode):
    """While it is entered, what is asked for on "cuda" is made there."""

    _latest: "Gpu"

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        """Operations for which the host waited."""

        Gpu._latest = self

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {}, self.waits)

    @staticmethod
    @contextmanager
    def left() -> Iterator[list[str]]:
        """Compute on the CPU for a moment."""
        with _disable_current_modes():
            yield Gpu._latest.waits


def _computed(func: Any, args: Any, kwargs: dict[str, Any], waits: list[str]) -> Any:
    name = func._schema.name.removeprefix("aten::")
    if name == "_has_compatible_shallow_copy_type":
        return False  # as between a tensor of the host and one of a GPU
    wanted = next((each for each in args if isinstance(each, torch.device)), kwargs.get("device"))
    tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
    there = [each for each in tensors if isinstance(each, OnGpu)]
    goes = wanted is not None and torch.device(wanted).type == "cuda"
    if not there and not goes:
        return func(*args, **kwargs)
    copies = name in ("to", "_to_copy", "copy_")
    if not copies and there:
        _check_devices(name, args, tensors)
    if name in _ANSWERS or (name == "index" and any(_is_mask(each) for each in tree_leaves(args[1:]))):
        waits.append(name)
    leaves = copies and (bool(there) and wanted is not None and not goes)
    enters = copies and (goes and not there)
    if (leaves or enters) and not (kwargs.get("non_blocking") or (name == "to" and True in args[2:])):
        waits.append("a copy from the GPU" if leaves else "a copy to the GPU")
    inner_args, inner_kwargs = tree_map(_inner, (args, kwargs))
    out = func(*inner_args, **inner_kwargs)
    if leaves or name == "_local_scalar_dense":
        return out
    out = tree_map(lambda each: OnGpu(each) if isinstance(each, Tensor) else each, out)
    return return_and_correct_aliasing(func, args, kwargs, out) if there else out


def _check_devices(name: str, args: Any, tensors: list[Tensor]) -> None:
    """A tensor of the host may be a single number, or say which places are meant."""
    allowed = tree_leaves(args[1:]) if name in ("index", "index_put", "index_put_") else []
    for each in tensors:
        if not isinstance(each, OnGpu) and each.ndim and not any(each is one for one in allowed):
            raise RuntimeError(f"{name}: tensors on cuda:0 and cpu, {tuple(each.shape)}")


def _attention(query: Tensor, key: Tensor, value: Tensor, *rest: Any, **others: Any) -> Any:
    return torch.ops.aten._scaled_dot_product_attention_math(query, key, value, *rest, **others)[0]


def _is_mask(value: Any) -> bool:
    return isinstance(value, OnGpu) and value.dtype == torch.bool


def _inner(value: Any) -> Any:
    if isinstance(value, torch.device):
        return torch.device("cpu")
    return value.inner if isinstance(value, OnGpu) else value


def on_gpu(module: torch.nn.Module) -> None:
    """Put parameters and buffers there; `Module.to` would leave the Python side of each behind."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = torch.nn.Parameter(
                    OnGpu(parameter.detach()), parameter.requires_grad
                )
        for name, buffer in part._buffers.items():
            part._buffers[name] = None if buffer is None else OnGpu(buffer)


def _places(tensor: Any, index: Any, value: Any = None) -> Any:
    """What stands in some places of a tensor, or is written there."""
    with Gpu.left() as waits:
        if any(_is_mask(each) for each in tree_leaves(index)):
            waits.append("a mask")
        places = tree_map(_inner, index)
        if value is None:
            return OnGpu(tensor.inner[places]) if isinstance(tensor, OnGpu) else tensor[places]
        _check_devices("setitem", (), [value] if isinstance(value, Tensor) else [])
        tensor.inner[places] = _inner(value)


def _contiguous(tensor: Tensor, memory_format: torch.memory_format = torch.contiguous_format) -> Tensor:
    if tensor.is_contiguous(memory_format=memory_format):
        return tensor
    return tensor.clone(memory_format=memory_format)


def host(tensor: Tensor) -> Tensor:
    """What a tensor of the GPU holds."""
    assert isinstance(tensor, OnGpu)
    return tensor.inner


@contextmanager
def entered(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gpu]:
    """A GPU that programs find."""
    monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    # `Module.to` then makes parameters anew, as it must where their kind changes.
    monkeypatch.setattr(torch.__future__, "get_overwrite_module_params_on_conversion", lambda: True)
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(torch.backends.cudnn, "enabled", False)
    for check in ("_cuda_graph_capture_health_check", "_accelerator_graph_capture_health_check"):
        monkeypatch.setattr(torch.optim.Optimizer, check, lambda self: None, raising=False)
    with Gpu() as gpu:
        yield gpu
