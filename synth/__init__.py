"""Make labelled, captioned fundus photographs."""

from typing import Any


def __getattr__(name: str) -> Any:
    """diffusers finds the parts of a saved pipeline here; importing them only then keeps `--help` quick."""
    if name == "FundusPipeline":
        from synth.pipeline import FundusPipeline

        return FundusPipeline
    if name == "LabelConditioning":
        from synth.model.conditioning import LabelConditioning

        return LabelConditioning
    if name == "WaveletSpace":
        from synth.model.wavelet import WaveletSpace

        return WaveletSpace
    raise AttributeError(name)
