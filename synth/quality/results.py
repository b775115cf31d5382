"""What an evaluation found, as `report.json` holds it."""

from typing import Any

from pydantic import Field

from synth.base.stored import Number, Stored


class Interval(Stored):
    """A number with its 95 % interval; null where there is none."""

    value: Number | None
    low: Number | None
    high: Number | None


class Photographs(Stored):
    """The photographs of one side of an evaluation."""

    folder: str
    fingerprint: str
    """Of the records."""
    photographs: int
    patients: int


class DiseaseResult(Stored):
    """How well one disease is told on held-out real photographs."""

    key: str
    """One of `targets.TARGETS`."""
    positives: int
    n: int = Field(alias="known")
    """Photographs where it is known."""
    counted: bool | None = None
    """Whether it counts in the mean."""
    auc: dict[str, Interval]
    """By what the classifier learnt from: a key of `utility.TRAINING_SETS`."""


class FidelityResult(Stored):
    """Whether a classifier of real photographs sees in samples the disease that they were asked to show."""

    key: str
    positives: int
    n: int = Field(alias="known")
    auc: Interval


class MeanResult(Stored):
    """The mean over diseases."""

    diseases: list[str]
    mean_auc: dict[str, Interval]
    ratio: Interval
    """Synthetic over real."""
    difference: Interval
    above_chance: Interval
    """The ratio of what lies above an AUC of .5."""

    @property
    def doubt(self) -> str:
        """Why the ratio says little, if it does."""
        low = self.mean_auc["real"].low
        if low is not None and low > 0.5:
            return ""
        return (
            "Real photographs themselves teach nothing that is above chance here, so the ratio says nothing of the synthetic "
            "ones: give more real photographs, or train longer (--set classifier.images=N)."
        )


class TrainingSetSize(Stored):
    """What one classifier learnt from."""

    photographs: int
    positives: dict[str, int]
    too_few: list[str]
    """Diseases with too few examples to learn."""


class UtilityResult(Stored):
    """Train on synthetic, test on real."""

    patients: int
    photographs: int
    diseases: list[DiseaseResult]
    headline: MeanResult | None
    training_sets: dict[str, TrainingSetSize] = Field(alias="taught")


class FeatureNames(Stored):
    """What photographs were compared by, and what its distances are called."""

    name: str
    frechet: str
    kernel: str


class ComparisonResult(Stored):
    """Precision, recall, density, coverage and distances of `n` photographs a side, with `k` neighbours."""

    n: int
    k: int
    rows: dict[str, dict[str, Interval]]
    """`synthetic`, and `held_out` as the reference."""


class Quantile(Stored):
    """Closeness to the nearest training photograph below which a share of photographs lies."""

    share: Number
    synthetic: Number
    held_out: Number


class NeighbourResult(Stored):
    """How near samples come to training photographs, beside photographs of other patients."""

    searched: int
    quantiles: list[Quantile]
    tail: Number
    cut: Number
    """The closeness below which `tail` of the held-out photographs lie."""
    n: int
    held_out_n: int
    closer: Interval
    """The share of samples below `cut`."""


class AnatomyRate(Interval):
    """A mean over readable photographs, or the share of them that show something."""

    n: int
    """Photographs that it is of."""


class AnatomyResult(Stored):
    """What readable photographs show of disc, macula and vessels."""

    n: int
    patients: int
    rates: dict[str, AnatomyRate]
    """By the keys of `anatomy.RATES`."""


class SchemaName(Stored):
    """The kind and the version of a report."""

    name: str
    version: int


class QualityReport(Stored):
    """What `synth evaluate` writes as `report.json`."""

    header: SchemaName = Field(alias="schema")
    command: str
    finished: str
    config: dict[str, Any]
    """The `EvaluationConfig`."""
    versions: dict[str, str]
    data: dict[str, Photographs]
    utility: UtilityResult
    fidelity: list[FidelityResult]
    features: FeatureNames
    comparison: ComparisonResult
    anatomy: dict[str, AnatomyResult] | None = None
    """Of `synthetic` and `held_out` photographs; reports made before it was measured have none."""
    neighbours: NeighbourResult
    captions: dict[str, Any]
    """As `captions.describe` gives it."""
