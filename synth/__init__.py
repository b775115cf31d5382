"""Make labelled, captioned fundus photographs.

from synth import GenerateConfig, generate, load

generate(GenerateConfig(n=100), "synthetic")      a folder of records, as `synth generate` writes it
pipeline, card = load("runs/odir")                a generator, to draw with in memory
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# Whoever imports onnxruntime, diffusers among them, it makes a number for this machine, and a store of what it would send to its maker.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

if TYPE_CHECKING:
    from synth.model.card import GeneratorCard
    from synth.model.conditioning import LabelConditioning
    from synth.model.wavelet import WaveletSpace
    from synth.pipeline import FundusPipeline, load
    from synth.release import GenerateConfig, generate

__all__ = [
    "FundusPipeline",
    "GenerateConfig",
    "GeneratorCard",
    "LabelConditioning",
    "WaveletSpace",
    "generate",
    "load",
]

_MODULES = {
    "FundusPipeline": "pipeline",
    "GenerateConfig": "release",
    "GeneratorCard": "model.card",
    "LabelConditioning": "model.conditioning",
    "WaveletSpace": "model.wavelet",
    "generate": "release",
    "load": "pipeline",
}
"""Where each name is imported from once it is asked for, which keeps `--help` quick; diffusers asks for some too."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'synth' has no attribute {name!r}")
    return getattr(import_module(f"synth.{_MODULES[name]}"), name)
