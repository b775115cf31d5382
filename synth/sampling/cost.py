"""What a plan will take, without sampling: bytes from measured pictures, hours from arithmetic and a short probe."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from synth.base import speed, weights
from synth.base.documents import read_mapping
from synth.model.card import INTERVAL, SHIPPED, WEIGHTS, read_card, sampling_defaults
from synth.sampling.filters.settings import FilterSettings
from synth.sampling.plan import Plan, shards

_SIZES = (64, 128, 256, 512)
_QUALITIES = (50, 75, 85, 90, 95, 100)
_JPEG = (
    (1199, 1492, 1807, 2209, 2828, 4398),
    (2347, 3269, 4241, 5587, 7437, 12491),
    (5609, 8197, 11034, 15499, 20852, 35986),
    (13758, 20068, 27533, 41018, 55360, 99102),
)
"""Mean bytes of a JPEG of `synth phantom` pictures of each size (rows) and quality (columns), n = 48, 32, 24, 16."""
_ROW = {"parquet": 700, "webdataset": 4700}
"""Bytes of a row beside its picture: captions, labels, headers."""
_LONG = 1  # hours from which on the smaller alternatives are named
_STUDENT = "fundus256-4"


def estimate(plan: Plan, model: Path, size: int, n: int | None = None) -> speed.Cost:
    """Bytes and hours of a plan on this machine.

    Args:
        model: the generator's folder.
        size:  pixels a side of its pictures.
        n:     images that are left to draw; None is all.
    """
    left = plan.n if n is None else n
    gflop = forward(model / "unet") / 1e9
    passes = evaluations(plan.steps, plan.guidance)
    machine = speed.measured()
    return speed.Cost(
        hours=machine.hours(left * passes * gflop * 1e9),
        bytes=round(left * (_picture(size, plan.jpeg_quality) + _ROW[plan.format])),
        basis=f"{passes} passes of {gflop:.2f} GFLOP an image, {machine.basis}; no decoder or filter counted",
    )


def lines(plan: Plan, model: Path, out: Path, left: int, planned: int) -> Iterator[str]:
    """What is said before images are drawn: where they go, what they will take, and what takes less.

    Args:
        left: images to draw, of the `planned` ones that this machine is to draw.
    """
    size = read_card(model).preprocessing.size
    total, done = estimate(plan, model, size, left), planned - left
    yield f"{out}: images of {size} px are written there, shard by shard; the same command goes on from there"
    yield f"{left:,} images{f' more, after {done:,}' if done else ''}: {total.words()} ({total.basis})"
    if total.hours > _LONG:
        few = 10 ** max(0, math.floor(math.log10(left / total.hours)))
        small = f"--n {few}, {estimate(plan, model, size, few).words()}"
        if model == SHIPPED:
            student = WEIGHTS / _STUDENT
            steps, guidance = sampling_defaults(
                read_mapping(student / "model_index.json", "student")["student"], None, None
            )
            quick = estimate(plan.replaced(steps=steps, guidance=guidance), student, size, left)
            small += f"; --model {_STUDENT}, a student of {steps} steps, {quick.words()}"
        yield f"smaller, with an --out of its own: {small}"


def describe(plan: Plan, cost: speed.Cost) -> list[str]:
    """A few lines for people: what a dry run says; `cost` is from `estimate`."""
    total = sum(entry.weight for entry in plan.mix)
    lines = [
        f"{plan.n} images in {len(shards(plan))} shards of up to {plan.rows_per_shard}, seed {plan.seed}, "
        f"{plan.steps} steps, guidance {plan.guidance:g}",
        f"plan {plan.fingerprint[:16]}, model {plan.model[:16]}",
    ]
    lines.append(f"{cost.words()}, pictures of phantoms were measured ({cost.basis})")
    if plan.filters:
        lines.append(_filters(plan.filters))
    for entry in plan.mix[:12]:
        stated = entry.labels | ({"prompt": entry.prompt} if entry.prompt else {})
        lines.append(f"{entry.weight / total:7.2%}  {_stated(stated)}")
    if len(plan.mix) > 12:
        lines.append(f"        and {len(plan.mix) - 12} more label combinations")
    return lines


def _stated(labels: dict[str, Any]) -> str:
    """What is present; where nothing is, what is said to be absent."""
    present = {key: value for key, value in labels.items() if value not in (None, 0, [])}
    absent = [key for key, value in labels.items() if value in (0, [])]
    if present or not absent:
        return json.dumps(present, ensure_ascii=False) if present else "every label unknown"
    return f"without {', '.join(absent)}"


def _filters(filters: FilterSettings) -> str:
    parts = []
    if copies := filters.copies:
        parts.append(
            f"copies of {copies.photographs} photographs, nearer than {copies.closeness:.3f} "
            f"(at most {copies.false_alarms_expected:.1%} false alarms expected, {copies.held_out_patients} patients)"
        )
    if check := filters.mislabelled:
        parts.append(
            f"what contradicts {', '.join(check.checks)}; not checked: {', '.join(check.unchecked) or 'what it did not learn'}"
        )
    if filters.anatomy:
        parts.append("readable eyes without one disc, a macula in its place, connected vessels")
    return f"drawn again, at most {filters.attempts} times: {'; '.join(parts)}"


def forward(unet: Path) -> float:
    """Operations of one pass of a U-Net over one image, read from the shapes of its weights.

    Two for each multiplication with its addition: convolutions, linear layers and attention; what `speed.operations`
    counts, without torch, which a dry run does without.
    """
    config = read_mapping(unet / "config.json")
    side, layers = config["sample_size"], config["block_out_channels"]
    total = 0
    for name, shape in weights.shapes(next(unet.glob("*.safetensors"))).items():
        if len(shape) < 2 or not name.endswith("weight"):
            continue
        pixels = (side >> _level(name, len(layers))) ** 2
        if len(shape) == 2 and not any(part in name for part in ("to_q", "to_k", "to_v", "to_out")):
            pixels = 1  # once for the whole picture: the time, the labels
        total += 2 * math.prod(shape) * pixels
        if "to_q" in name:  # every pixel looks at every other, and takes from it
            total += 4 * pixels**2 * shape[0]
    return total


def _level(name: str, depth: int) -> int:
    """How often the picture has been halved where a weight works."""
    part, number = name.split(".")[:2]
    if part == "down_blocks":
        return int(number) + ("downsamplers" in name)
    if part == "mid_block":
        return depth - 1
    if part == "up_blocks":
        return depth - 1 - int(number) - ("upsamplers" in name)
    return 0


def evaluations(steps: int, guidance: float) -> int:
    """Passes of the network an image: two where guidance acts."""
    left = [0.999 - step / steps for step in range(steps)]  # trailing, of a thousand
    return steps + (guidance != 1) * sum(INTERVAL[0] <= time <= INTERVAL[1] for time in left)


def _picture(size: int, quality: int) -> float:
    """Bytes of one JPEG, between and beyond what was measured by a power of the size."""
    measured = [np.interp(quality, _QUALITIES, row) for row in _JPEG]
    slope = np.polyfit(np.log(_SIZES), np.log(measured), 1)
    if _SIZES[0] <= size <= _SIZES[-1]:
        return float(np.exp(np.interp(np.log(size), np.log(_SIZES), np.log(measured))))
    return float(np.exp(np.polyval(slope, np.log(size))))
