"""Tiny generators: how one is trained in seconds, and one that nobody trained, which draws noise as a real one would."""

import copy
from pathlib import Path
from typing import Any

import torch

from synth import pipeline
from synth.classifier.classifier import ClassifierConfig
from synth.data.images import Preprocessing
from synth.data.vocabulary import VERSION as VOCABULARY
from synth.diffusion.process import VPrediction
from synth.model.card import GeneratorCard
from synth.model.denoiser import Denoiser, NetworkConfig
from synth.model.wavelet import WaveletSpace
from synth.training.config import TrainConfig

MIX = [
    {"weight": 800, "labels": {"dr_grade": 0, "is_gc": 0, "eye_side": "left", "modality": "cfp"}},
    {"weight": 150, "labels": {"dr_grade": 2, "is_gc": 0, "findings": ["exudate"]}},
    {"weight": 30, "labels": {"dr_grade": 4, "is_gc": 0}},
    {"weight": 15, "labels": {"dr_grade": 0, "is_gc": 1}},
    {"weight": 5, "labels": {"dr_grade": 4, "is_gc": 1, "is_rvo": 1}},
]


CLASSIFIER = ClassifierConfig(
    architecture="test_resnet",
    images=480,
    batch=16,
    warmup=64,
    min_count=5,
    save_every=96,
    lr=3e-3,
    preprocessing=Preprocessing(size=16),
)
"""Learns in seconds whose disc is wide."""


def tiny(**settings: Any) -> TrainConfig:
    """A training of seconds, at 16 pixels; `settings` over it."""
    told = {"images": 32, "batch": 16, "micro_batch": 16, "save_every": 32, "sheet": 0}
    network = NetworkConfig(channels=(16, 32), attention_from=1)
    return TrainConfig.model_validate(
        {**told, "preprocessing": Preprocessing(size=16), "network": network, **settings}
    )


def untrained(folder: Path, size: int = 16, mix: list[dict[str, Any]] = MIX) -> Path:
    """Write a generator of `size` pixels with random weights."""
    torch.manual_seed(0)
    network = Denoiser(NetworkConfig(channels=(16, 32), attention_from=1), size)
    space = WaveletSpace(1)
    space.fit(torch.rand(8, 3, size, size) * 2 - 1)
    made = pipeline.FundusPipeline(
        network.unet, VPrediction().scheduler, network.conditioning, copy.deepcopy(space)
    )
    card = GeneratorCard.of(
        images=0,
        config={"network": {"channels": [16, 32]}},
        preprocessing={"size": size},
        vocabulary=VOCABULARY,
    )
    pipeline.save(made, folder, card, mix)
    return folder
