"""Networks of timm by name and shape: built with random weights, from plain arguments, and nothing is fetched for them."""

from collections.abc import Mapping
from typing import Any

from synth.base import arguments


def build(name: str, num_classes: int, kwargs: Mapping[str, Any] | None = None, **ours: Any) -> Any:
    """A network of timm's own list.

    Args:
        kwargs: what a file says of its shape, of `arguments.TIMM`.
        ours:   what code of ours says beside it.

    Raises:
        ValueError: the name names a place, or an argument is not among those that a file may give.
    """
    import timm

    arguments.check_network_name(name)
    arguments.check_arguments(kwargs or {}, arguments.TIMM)
    return timm.create_model(name, pretrained=False, num_classes=num_classes, **{**(kwargs or {}), **ours})
