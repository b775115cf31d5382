"""Chinese–English CLIP on fundus photographs: train, evaluate, predict, embed, export."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clip.api import Encoder, load
    from clip.apps.predict import Classifier

__all__ = ["Classifier", "Encoder", "load"]

_HOMES = {"Classifier": "clip.apps.predict", "Encoder": "clip.api", "load": "clip.api"}


def __getattr__(name: str) -> Any:
    """What `from clip import NAME` gives; its module is imported then, and torch with it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'clip' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
