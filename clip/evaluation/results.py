"""What evaluations give, as types: a metric with its interval, the result of one task on one set, and the whole report.

A report is written as `report.json`; `EvaluationReport.model_validate` reads one, of any version up to `VERSION`.
"""

from typing import Any, Self

import numpy as np
from PIL.Image import Image
from pydantic import (
    BaseModel,
    Field,
    PrivateAttr,
    SerializeAsAny,
    field_validator,
)

from clip.benchmarks import Baselines
from clip.evaluation.calls import Calls
from clip.evaluation.provenance import DataProvenance, ModelProvenance, Ordered
from synth.base.stats import Estimate

FORMAT = "visionclip-evaluation"
VERSION = 1
_BASELINES = "without_pictures"


class Metric(BaseModel):
    """A number and its 95 % interval over patients."""

    value: float
    low: float
    high: float
    _samples: np.ndarray | None = PrivateAttr(None)

    @classmethod
    def of(cls, estimate: Estimate, samples: np.ndarray | None = None) -> Self:
        """A metric; with `samples`, it can be compared with another on the same patients."""
        metric = cls(value=estimate.value, low=estimate.low, high=estimate.high)
        metric._samples = samples
        return metric

    @property
    def samples(self) -> np.ndarray | None:
        """(1 + n_bootstrap,) what `stats.over` gives: of the patients as they are, then as they were drawn; not in files."""
        return self._samples


Metrics = dict[str, dict[str, Metric]]
"""Row, such as a language or a method -> metric."""


class Part(Ordered):
    """The photographs to learn from, or to choose by."""

    n: int
    patients: int
    classes: dict[str, int] = Field(default={})


class Bin(BaseModel):
    """One bin of the calibration error."""

    confidence: float
    """Mean over its photographs."""
    accuracy: float
    """The share called rightly."""
    n: int


class Subgroup(BaseModel):
    """A part of the people, such as an age band."""

    attribute: str
    name: str
    n: int
    """Photographs."""
    patients: int
    classes: dict[str, int]
    """Class -> photographs."""
    auc: dict[str, Metric]
    """Row -> macro AUC; empty where a class has too few photographs for a number."""


class Curve(BaseModel):
    """Metrics against a number, to draw."""

    x: str
    """What the axis counts."""
    lines: dict[str, dict[int, str]]
    """Name -> number -> row of the metrics; the number 0 stands for a line across."""


class Exchange(BaseModel):
    """How pictures find their own person, and how often exchanged people reach that."""

    value: float
    p: float
    low: float
    high: float
    exchanges: int
    people: int


class PublishedFigure(BaseModel):
    """What others published on the same benchmark."""

    model: str
    metric: str
    value: float
    """Without an interval, as none was published."""
    n: int | None
    """Photographs; null where the source does not tell."""
    protocol: str
    source: str
    inferred: bool
    """The source does not name this metric."""
    differs: list[str]
    """In what its protocol differs from that of the result."""


class Result(Ordered):
    """One task on one set of photographs."""

    task: str
    """Which evaluation it is of."""
    name: str
    title: str
    source: str
    n: int = 0
    """Photographs."""
    patients: int = 0
    classes: dict[str, int] = Field(default={})
    """Class -> photographs."""
    left_out: dict[str, int] = Field(default={})
    """What was not evaluated -> how many."""
    without_pictures: Baselines = Field(default={})
    metrics: Metrics = Field(default={})
    notes: list[str] = Field(default=[])
    """Sentences on how the values are to be read."""
    published: list[PublishedFigure] = Field(default=[])
    """Of others, on the same benchmark."""

    @property
    def baselines(self) -> Baselines:
        """What answers without the picture score."""
        return self.without_pictures


class ClassificationResult(Result):
    """Of zero-shot, linear, few-shot and finetune."""

    ORDER = (
        "task", "name", "title", "source", "n", "patients", "classes", "left_out", _BASELINES, "train",
        "validation", "prompts", "metrics", "reliability", "confusion", "subgroups", "chosen", "curve", "notes",
    )  # fmt: skip

    train: Part | None = None
    validation: Part | None = None
    prompts: dict[str, dict[str, list[str]]] | None = None
    """Class -> language -> texts."""
    reliability: dict[str, list[Bin]] | None = None
    """Row -> bins of the calibration error."""
    confusion: dict[str, list[list[int]]] | None = None
    """Row -> for each true class, how many photographs are called as each class."""
    subgroups: list[Subgroup] | None = None
    """By what `by` names."""
    chosen: dict[str, dict[str, Any]] | None = None
    """Row -> settings that validation chose."""
    curve: Curve | None = None
    _calls: Calls | None = PrivateAttr(None)

    def with_calls(self, calls: Calls) -> Self:
        """The same, with what is called of each photograph."""
        self._calls = calls
        return self

    @property
    def calls(self) -> Calls | None:
        """What is called of each photograph, where that was asked for; in files of its own."""
        return self._calls


class RetrievalResult(Result):
    """Of one direction of retrieval."""

    ORDER = ("task", "name", "title", "source", "n", "patients", "classes", "left_out", "metrics", _BASELINES,
             "exchanged")  # fmt: skip

    exchanged: Exchange | None = None
    """Of directions between pictures."""


class VqaResult(Result):
    """Of questions of one type, or of all."""

    ORDER = ("task", "name", "title", "source", "n", "patients", "classes", "left_out", "notes", "metrics",
             _BASELINES)  # fmt: skip


class LongTailResult(Result):
    """Of classes by how common they are."""

    ORDER = ("n", "patients", "classes", "metrics", _BASELINES, "task", "name", "title", "source", "left_out",
             "notes")  # fmt: skip


class SegmentationResult(Result):
    """Of all classes of a mask, or of one."""

    ORDER = (
        "task", "name", "title", "source", "n", "patients", "classes", "left_out", "train", "validation", "metrics",
        _BASELINES, "differences", "notes", "chosen", "sheet",
    )  # fmt: skip

    train: Part | None = None
    validation: Part | None = None
    differences: dict[str, Metric] | None = None
    """`row - row` -> by how much Dice differs, the same patients drawn."""
    chosen: dict[str, dict[str, Any]] | None = None
    """Row -> the epoch that validation chose."""
    sheet: str | None = None
    """The picture of outlines beside the report."""
    _picture: Image | None = PrivateAttr(None)

    @property
    def picture(self) -> Image | None:
        """What `report.write` puts beside the report, and then names in `sheet`."""
        return self._picture

    @picture.setter
    def picture(self, picture: Image) -> None:
        self._picture = picture


KINDS: dict[str, type[Result]] = {
    "retrieval": RetrievalResult,
    "vqa": VqaResult,
    "long-tail": LongTailResult,
    "segmentation": SegmentationResult,
}
"""Task -> its kind of result; of all others `ClassificationResult`."""


class EvaluationReport(BaseModel):
    """What was asked for, of which model and which records, and what came out."""

    format: str = FORMAT
    version: int = Field(default=VERSION, le=VERSION)
    command: str
    config: dict[str, Any]
    """Settings of the evaluation."""
    checkpoint: ModelProvenance
    data: DataProvenance
    libraries: dict[str, str]
    results: list[SerializeAsAny[Result]]
    _checkpoints: dict[str, dict[str, Any]] = PrivateAttr(default_factory=dict)

    @field_validator("results", mode="before")
    @classmethod
    def _by_task(cls, results: Any) -> Any:
        """Results from a file, each of the kind of its task."""
        if not isinstance(results, list):
            return results
        return [
            KINDS.get(str(each.get("task")), ClassificationResult).model_validate(each)
            if isinstance(each, dict)
            else each
            for each in results
        ]

    @property
    def checkpoints(self) -> dict[str, dict[str, Any]]:
        """Towers to be kept beside the report, by name of the task: what their files hold."""
        return self._checkpoints

    def as_json(self) -> dict[str, Any]:
        """What `report.json` holds."""
        return self.model_dump(mode="json")
