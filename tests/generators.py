"""A tiny generator that nobody trained: it draws noise, and draws it the way a real one does."""

import copy
from pathlib import Path
from typing import Any

import torch

from synth import diffusion, pipeline
from synth.base.checkpoint import header
from synth.fundus.vocabulary import VERSION as VOCABULARY
from synth.network import Denoiser, NetworkConfig
from synth.wavelet import WaveletSpace

MIX = [
    {"weight": 800, "labels": {"dr_grade": 0, "is_gc": 0, "eye_side": "left", "modality": "cfp"}},
    {"weight": 150, "labels": {"dr_grade": 2, "is_gc": 0, "findings": ["exudate"]}},
    {"weight": 30, "labels": {"dr_grade": 4, "is_gc": 0}},
    {"weight": 15, "labels": {"dr_grade": 0, "is_gc": 1}},
    {"weight": 5, "labels": {"dr_grade": 4, "is_gc": 1, "is_rvo": 1}},
]


def untrained(folder: Path, size: int = 16, mix: list[dict[str, Any]] = MIX) -> Path:
    """Write a generator of `size` pixels with random weights."""
    torch.manual_seed(0)
    network = Denoiser(NetworkConfig(channels=(16, 32), attention_from=1), size)
    space = WaveletSpace(1)
    space.fit(torch.rand(8, 3, size, size) * 2 - 1)
    made = pipeline.FundusPipeline(
        network.unet, diffusion.solver(), network.conditioning, copy.deepcopy(space)
    )
    facts = header(
        pipeline.FORMAT,
        pipeline.VERSION,
        images=0,
        config={"network": {"channels": [16, 32]}},
        preprocessing={"size": size},
        vocabulary=VOCABULARY,
    )
    pipeline.save(made, folder, facts, mix)
    return folder
