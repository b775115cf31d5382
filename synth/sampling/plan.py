"""What is to be generated: a plan, and image i as a function of (plan, i)."""

import bisect
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator

from synth.base.checkpoint import versions
from synth.base.config import fingerprint, read_yaml
from synth.base.errors import UserError
from synth.base.runs import read_json
from synth.base.stored import Number, Stored
from synth.data.records import LABELS, SPLITS, check_labels
from synth.data.shards import SUFFIXES, shard_name
from synth.data.vocabulary import VERSION as VOCABULARY
from synth.model import folders
from synth.model.card import CaptionEncoder, read_card, sampling_defaults, weights_fingerprint
from synth.sampling.distributions import (
    DISTRIBUTIONS,
    Combination,
    Mix,
    check_vocabulary,
    distribution,
    parse_mix,
)
from synth.sampling.filters.settings import FilterSettings

MOST = 10**9
"""Images of a plan."""
_SHARDS, _SEEDS = 10**6, 2**63
PRECISIONS = ("fp32", "bf16")
Noise = Literal["numpy", "philox"]
"""What images are drawn from: `synth.sampling.noise`, or what earlier versions drew on the host."""


class Plan(Stored):
    """What a run of `synth generate` was asked for, as it stands in plan.json; its fingerprint names the run."""

    kind: Literal["synthetic"] = "synthetic"
    version: int = 1
    n: int = Field(gt=0, le=MOST)
    seed: int = Field(ge=0, lt=2**64)
    model: str  # the fingerprint of the generator's weights
    steps: int
    solver: str
    guidance: Number
    batch: int
    """Images per forward pass."""
    precision: str = "fp32"
    """Of the network, one of `PRECISIONS`."""
    jpeg_quality: int
    format: str
    """Of the shards, a key of `shards.SUFFIXES`."""
    rows_per_shard: int = Field(gt=0)
    vocabulary: int  # the version of `synth.data.vocabulary`
    libraries: dict[str, str]
    labels: str
    """One of `distributions.DISTRIBUTIONS`, or "file"."""
    mix: list[Combination]
    captions: CaptionEncoder | None = None
    """The text encoder of the prompts in `mix`; absent without prompts."""
    filters: FilterSettings | None = None
    """What samples must pass; absent where every one is kept."""
    noise: Noise = "numpy"
    """What the images are drawn from; absent in the plans of earlier versions."""
    compile: bool = False
    """Whether the network is compiled, which changes last digits; absent where it is not."""

    @model_validator(mode="after")
    def shards_are_countable(self) -> Self:
        if self.n > self.rows_per_shard * _SHARDS:
            raise ValueError(
                f"n={self.n} of rows_per_shard={self.rows_per_shard}: more than {_SHARDS:,} shards, which no plan of ours has"
            )
        return self

    @property
    def fingerprint(self) -> str:
        """The sha256 that names the plan."""
        return fingerprint(self.to_json())


class Shard(NamedTuple):
    """One file of a plan: images `first` to `first + rows`."""

    name: str
    first: int
    rows: int


class Draw(NamedTuple):
    """What image i is to show, and which attempt at it this is; its noise is `noise.draw`'s of both."""

    labels: dict[str, Any]
    seed: int
    image: int
    attempt: int = 0
    prompt: str | None = None


def make(
    model: Path,
    n: int,
    seed: int = 0,
    labels: str = "joint",
    steps: int | None = None,
    guidance: float | None = None,
    batch: int = 16,
    quality: int = 95,
    format: str = "parquet",
    precision: str = "fp32",
    marks: bool = False,
    noise: Noise = "philox",
    compile: bool = False,
) -> Plan:
    """The plan of `n` images from a generator's folder.

    Args:
        labels:  one of `distributions.DISTRIBUTIONS`, or the path of a YAML file.
        steps, guidance: None is what the generator was made for.
        batch:   images per forward pass.
        quality: of the JPEG, 1 to 100.
        format:  of the shards, a key of `shards.SUFFIXES`.
        precision: of the network, one of `PRECISIONS`.
        marks:   half of the images with each canary bit, in their captions too.
        noise:   what the images are drawn from; "numpy" for sets that were begun so.
        compile: the network, for a GPU.

    Raises:
        UserError: a number is out of range, the label file is wrong, or the generator knows no marks.
    """
    index = folders.read_index(model)
    folders.check_size(model, read_card(model).preprocessing.size)
    steps, guidance = sampling_defaults(index.get("student"), steps, guidance)
    for name, value, lowest in (
        ("n", n, 1),
        ("steps", steps, 1),
        ("guidance", guidance, 1),
        ("seed", seed, 0),
        ("batch", batch, 1),
    ):
        if not value >= lowest:  # nan neither
            raise UserError(f"--{name} {value}: must be at least {lowest}")
    if seed >= _SEEDS:
        raise UserError(f"--seed {seed}: must be less than 2^63")
    if n > MOST:
        raise UserError(f"--n {n}: at most {MOST:,} are made; make several sets, with another --seed each")
    if not 1 <= quality <= 100:
        raise UserError(f"--quality {quality}: must be 1 to 100")
    if format not in SUFFIXES:
        raise UserError(f"--format '{format}': known: {', '.join(SUFFIXES)}")
    if precision not in PRECISIONS:
        raise UserError(f"--precision '{precision}': known: {', '.join(PRECISIONS)}")
    named = labels in DISTRIBUTIONS
    mix = _learnt(model, labels) if named else read_mix(Path(labels))
    if not mix:
        raise UserError(
            f"{model}/mix.json: no label combination that enough people share; say what to draw with --labels FILE"
        )
    check_vocabulary(model, mix)
    mix = _marked(model, mix) if marks else mix
    plan = Plan(
        kind="synthetic",
        n=n,
        seed=seed,
        model=weights_fingerprint(model),
        steps=steps,
        solver=_solver(index),
        guidance=float(guidance),
        batch=batch,
        precision=precision,
        jpeg_quality=quality,
        format=format,
        rows_per_shard=_rows_per_shard(n, batch),
        vocabulary=VOCABULARY,
        libraries=versions(),
        labels=labels if named else "file",
        mix=mix,
    )
    plan = plan.replaced(noise=noise) if noise != "numpy" else plan
    plan = plan.replaced(compile=True) if compile else plan
    encoder = _text_encoder(model, mix)
    return plan.replaced(captions=encoder.to_json()) if encoder else plan


def _learnt(model: Path, name: str) -> Mix:
    path = model / "mix.json"
    return distribution(parse_mix(read_json(path), str(path)), name)


def _solver(index: dict[str, Any]) -> str:
    if process := index.get("process"):
        return f"ddim, trailing, {process['name']}"
    return f"{'ddim of a student' if index.get('student') else 'dpmsolver++ 2M'}, trailing, zero terminal SNR"


def _marked(model: Path, mix: Mix) -> Mix:
    """A mix with either canary bit for half of each combination: what an audit samples, and a release does not."""
    if not read_card(model).canary:
        raise UserError(
            f"--marks: {model} was trained on no records of 'privacy canary plant'; leave the flag out"
        )
    return [
        entry.replaced(weight=entry.weight / 2, labels=entry.labels | {"canary": bit})
        for entry in mix
        for bit in (0, 1)
    ]


def _text_encoder(model: Path, mix: Mix) -> CaptionEncoder | None:
    """The text encoder that the prompts of a mix are for; None without prompts."""
    if not any(entry.prompt for entry in mix):
        return None
    encoder = read_card(model).captions
    if encoder is None:
        raise UserError(f"{model}: was trained without captions ('network.captions') and takes no prompt")
    return encoder


def read_mix(path: Path) -> Mix:
    """The label distribution in a YAML file: `mix:` is a list of {weight, labels}, and a prompt where wanted.

    Raises:
        UserError: a key, a weight or a label is wrong.
    """
    if not path.is_file():
        raise UserError(
            f"--labels '{path}': neither {', '.join(DISTRIBUTIONS)} nor a YAML file that is there"
        )
    mix = read_yaml(path).get("mix")
    if not isinstance(mix, list) or not mix:
        raise UserError(f"{path}: key 'mix' must be a list of {{weight: …, labels: {{…}}}}")
    for place, entry in enumerate(mix):
        where = f"{path}: mix[{place}]"
        if not isinstance(entry, dict) or {*entry, "prompt"} != {"weight", "labels", "prompt"}:
            raise UserError(f"{where}: must have 'weight' and 'labels', and may have 'prompt'")
        if "prompt" in entry and (not isinstance(entry["prompt"], str) or not entry["prompt"].strip()):
            raise UserError(f"{where}: prompt={entry['prompt']!r} must be a sentence")
        labels = entry["labels"] or {}
        unknown = set(labels) - set(LABELS)
        if unknown:
            raise UserError(f"{where}: unknown label '{min(unknown)}'; known: {', '.join(LABELS)}")
        check_labels(labels, where)
        entry["labels"] = labels
    return parse_mix(mix, f"{path}: mix")


def _rows_per_shard(n: int, batch: int) -> int:
    """About forty shards, of whole batches, of at most 5000 rows: a kill loses little, a million is 200 files."""
    return max(batch, min(5000, n // 40) // batch * batch)


def shards(plan: Plan) -> list[Shard]:
    """Every file of a plan; the splits are 8 : 1 : 1 and follow one another."""
    n = plan.n
    ends = [n * 8 // 10, n * 9 // 10, n]
    found = []
    for split, first, end in zip(SPLITS, [0, *ends[:-1]], ends, strict=True):
        starts = range(first, end, plan.rows_per_shard)
        for number, start in enumerate(starts):
            name = shard_name(split, number, len(starts), plan.format)
            found.append(Shard(name, start, min(end - start, plan.rows_per_shard)))
    return found


def draws(plan: Plan, indices: range, attempt: int = 0) -> Iterator[Draw]:
    """The labels and seed of some images, each keyed by (plan seed, index, attempt) alone.

    A further attempt at an image has its labels, another seed and other noise.
    """
    bounds = list(itertools.accumulate(entry.weight for entry in plan.mix))
    for index in indices:
        rng = generator(plan.seed, index)
        choice = bisect.bisect_right(bounds, rng.random() * bounds[-1])
        entry = plan.mix[min(choice, len(bounds) - 1)]
        if attempt:
            rng = generator(plan.seed, index, attempt)
        yield Draw(entry.labels, int(rng.integers(2**63)), index, attempt, entry.prompt)


def generator(seed: int, index: int, attempt: int = 0) -> np.random.Generator:
    """What labels, seed and the noise of earlier plans are drawn from, of one attempt at one image."""
    # The third word of the counter: 2**128 numbers away from the first attempt.
    return np.random.Generator(np.random.Philox(key=[seed, index], counter=[0, 0, attempt, 0]))
