"""Published benchmarks as data: what each holds, which prompts ask about it, under which licence, and who has learnt from it.

One YAML file a benchmark; `leaks.yaml` is the ledger of baselines.  Facts that are not known are null, and
`counted` says where numbers come from or why there are none.  Where the
sets themselves lie, and how they are read, is `clip.benchmarks.opening`.
"""

import difflib
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import AliasChoices, Field, NonNegativeInt, PositiveInt, model_validator

from synth.base.config import Config, check, read_yaml
from synth.base.errors import UserError
from synth.data.records import SPLITS

LEDGER = "leaks"

Baselines = dict[str, dict[str, float]]
"""Row, such as `majority` -> metric -> what an answer without the picture scores."""


class Held(Config):
    """One class of a benchmark."""

    n: NonNegativeInt | None
    """Pictures; null where it was not published."""
    also: tuple[str, ...] = ()
    """What lists and folders call it, beside its name and its number from 0."""


class Benchmark(Config):
    """What is known of a set on which models are compared."""

    title: str
    """For people."""
    citation: str
    """What to cite."""
    licence: str | None
    """Of the pictures."""
    get: str | None
    """Where a user gets them; null where nobody but its owners does."""
    modality: str | None = "cfp"
    """Of all pictures; null where there are several."""
    importer: str | None = None
    """The source of `synth.sources` that reads the set's own layout; without it, a list or folders of classes."""
    parts: dict[str, str] = Field(default={})
    """Split -> what the ids of its pictures hold (a regular expression, the first that fits); else subjects are drawn."""
    evaluated: tuple[str, ...] = Field(
        default=SPLITS, validation_alias=AliasChoices("judged", "evaluated"), serialization_alias="judged"
    )
    """The splits that the published number is over."""
    subject: str | None = None
    """The person in a file's name, as the group of a regular expression; without it every picture stands alone."""
    prompts: tuple[str, ...]
    """Tasks of `clip.prompts` that ask about it; the first is the default."""
    metric: Literal["accuracy", "balanced_accuracy", "macro_auc", "kappa", "exact_match"] | None
    """What published tables tell."""
    protocol: str
    """Who reports it, and over which pictures."""
    n: PositiveInt | None
    """Pictures."""
    questions: PositiveInt | None = None
    """Of a set of questions."""
    counted: str
    """Where the numbers come from, or why there are none."""
    classes: dict[str, Held] | None
    """By the names that the tasks have; null where they were not published."""

    @model_validator(mode="after")
    def numbers_add_up(self) -> Self:
        sizes = [held.n for held in (self.classes or {}).values()]
        if sizes and None not in sizes and sum(filter(None, sizes)) != self.n:
            raise ValueError(f"n={self.n}, but its classes hold {sum(filter(None, sizes))}")
        for split in (*self.parts, *self.evaluated):
            if split not in SPLITS:
                raise ValueError(f"'{split}' is no split; known: {', '.join(SPLITS)}")
        return self

    def split_of(self, identity: str) -> str | None:
        """The split of a picture by the set's own parts; None where it has none."""
        return next((split for split, held in self.parts.items() if re.search(held, identity)), None)


class Leak(Config):
    """Whether a baseline has learnt from a benchmark; null is unknown."""

    images: bool | None
    """Its pictures were trained on."""
    labels: bool | None
    """Their labels were, as classes or in captions."""
    note: str | None = None
    """Which part, or why."""


class Exposure(Leak):
    """The same, and where that stands."""

    source: str


class BenchmarkSummary(Config):
    """What a report on a benchmark says of it."""

    name: str
    title: str
    citation: str
    licence: str | None
    get: str | None
    metric: str | None
    protocol: str
    n: int | None
    leaks: dict[str, Exposure]
    """Baseline -> whether it has learnt from the set."""
    differs: tuple[str, ...] = ()
    """In which numbers the files that were read differ from the set as published."""


class Baseline(Config):
    """What is known of a model's training data."""

    source: str
    """Where that stands."""
    benchmarks: dict[str, Leak]
    """By benchmark; one that is not here is unknown."""


@cache
def every() -> dict[str, Benchmark]:
    """All benchmarks by name."""
    paths = sorted(path for path in Path(__file__).parent.glob("*.yaml") if path.stem != LEDGER)
    return {path.stem: check(Benchmark, read_yaml(path), str(path)) for path in paths}


def named(name: str) -> Benchmark:
    """One benchmark.

    Raises:
        UserError: no such benchmark.
    """
    if name not in every():
        near = difflib.get_close_matches(name, every(), 1)
        remedy = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(every())}"
        raise UserError(f"--benchmark '{name}' is unknown; {remedy}")
    return every()[name]


@cache
def ledger() -> dict[str, Baseline]:
    """What each baseline has learnt from."""
    path = Path(__file__).parent / f"{LEDGER}.yaml"
    rows: dict[str, Any] = read_yaml(path)
    return {name: check(Baseline, values, f"{path}: {name}") for name, values in rows.items()}


def leaks(name: str) -> dict[str, Exposure]:
    """Baseline -> whether it has learnt from a benchmark; null where nobody knows."""
    unknown = Leak(images=None, labels=None)
    return {
        key: Exposure(**baseline.benchmarks.get(name, unknown).model_dump(), source=baseline.source)
        for key, baseline in ledger().items()
    }


def summary(name: str, differs: Sequence[str] = ()) -> BenchmarkSummary:
    """What a report on a benchmark says of it; `differs` is what the files lack of what was published."""
    known = named(name).model_dump(include={"title", "citation", "licence", "get", "metric", "protocol", "n"})
    return BenchmarkSummary(name=name, **known, leaks=leaks(name), differs=tuple(differs))
