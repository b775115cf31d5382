"""What others published on the benchmarks, as data: `published.yaml`, each figure with metric, protocol, photographs and source."""

from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from clip import benchmarks
from synth.base.config import Config, check, read_yaml


class Published(Config):
    """One figure of somebody's table."""

    model: str
    """As it is called there."""
    benchmark: str | None
    """A name of `clip.benchmarks`; null for a mean over `sets`."""
    metric: Literal["accuracy", "balanced_accuracy", "macro_auc", "kappa"]
    """In our terms."""
    value: float = Field(ge=0, le=1)
    """As it stands there; none has an interval."""
    n: PositiveInt | None
    """Photographs; null where the source does not tell."""
    source: str
    """Paper and table."""
    protocol: str
    """How it was measured."""
    task: Literal["zero-shot", "linear", "few-shot", "finetune"] = "zero-shot"
    """What `clip eval --task` calls it."""
    classes: PositiveInt | None = None
    """How many were told apart, where they are not the benchmark's own."""
    sets: PositiveInt | None = None
    """Over how many sets it is a mean."""
    inferred: bool = False
    """The source does not name this metric; what it says can be no other."""

    @model_validator(mode="after")
    def of_one_set_or_of_several(self) -> Self:
        if self.benchmark is not None:
            benchmarks.named(self.benchmark)
        if (self.benchmark is None) != (self.sets is not None):
            raise ValueError("give benchmark, or null and how many sets it is a mean over")
        return self


@cache
def published() -> tuple[Published, ...]:
    """All figures, in the order of the file."""
    path = Path(__file__).parent / "published.yaml"
    table: dict[str, Any] = read_yaml(path)
    return tuple(check(Published, row, f"{path}: row {k}") for k, row in enumerate(table["rows"], 1))


def on(benchmark: str) -> tuple[Published, ...]:
    """The figures on one benchmark, then the means over several."""
    found = [each for each in published() if each.benchmark == benchmark]
    return tuple(found + [each for each in published() if each.benchmark is None])
