"""Sheets of samples while a generator learns: the same labels and noise each time, so that progress shows."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from synth.base.order import randomness
from synth.base.runs import atomic
from synth.pipeline import FundusPipeline
from synth.sampling.preview import legend, sheet


def draw(generator: FundusPipeline, mix: list[dict[str, Any]], out: Path, count: int, seed: int) -> None:
    """Write a PNG of `count` samples, the same labels and noise at every call: combinations spread over `mix`."""
    chosen = [mix[i * len(mix) // count]["labels"] for i in range(count)]
    noise = np.stack([randomness(seed, i).standard_normal(generator.shape, np.float32) for i in range(count)])
    codes = torch.from_numpy(np.stack([generator.conditioning.labels.code(labels) for labels in chosen]))
    pictures = generator(codes.to(generator.device), torch.from_numpy(noise).to(generator.device))
    with atomic(out) as temporary:
        sheet(list(pictures.cpu().numpy()), [legend(labels) for labels in chosen], 4).save(temporary, "PNG")
