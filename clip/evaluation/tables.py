"""Tables of several models side by side: as types, as `comparison.json` holds them, and as Markdown for people."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, Field

from clip.benchmarks import Baselines
from clip.evaluation.provenance import ModelProvenance, Ordered
from clip.evaluation.report import CALIBRATION, METRICS, number
from clip.evaluation.results import Metric, PublishedFigure
from synth.base.words import number_of

FORMAT = "visionclip-comparison"
VERSION = 1
UNPAIRED = (
    "* Not paired: the reports have no probabilities of the same photographs beside them "
    "(--set probabilities=true), so the interval is made from those of both models, and wider than it need be."
)


class Row(BaseModel):
    """One row of one model's result."""

    model: str
    row: str
    metrics: dict[str, Metric]


class Difference(Ordered):
    """How far a row of one model is from the same row of the first."""

    ORDER = ("model", "row", "from", "paired", "metrics")

    model: str
    row: str
    base: str = Field(alias="from")
    """The first model."""
    paired: bool = True
    """Patients were drawn for both at once; else the interval is made from those of both, and wider than it need be."""
    metrics: dict[str, Metric]


class Table(BaseModel):
    """Models on the same photographs."""

    data: str
    benchmark: str | None
    rows: list[Row] = Field(default=[])
    task: str
    name: str
    title: str
    n: int
    patients: int
    classes: dict[str, int]
    without_pictures: Baselines
    differences: list[Difference] = Field(default=[])
    notes: list[str] = Field(default=[])
    """In what the models were not asked alike."""
    published: list[PublishedFigure] = Field(default=[])
    """Of others, on the same benchmark."""

    @property
    def baselines(self) -> Baselines:
        """What answers without the picture score."""
        return self.without_pictures


class Headline(BaseModel):
    """One test in one metric: a line of the table of all tests."""

    title: str
    task: str
    name: str
    data: str
    n: int
    patients: int
    metric: str
    chance: float | None
    rows: dict[str, str]
    """Model -> its row that is shown."""
    values: dict[str, Metric]
    """By model."""
    differences: dict[str, Metric]
    """From the first model; by model."""
    paired: dict[str, bool]
    """Of the differences."""


class BenchmarkRow(BaseModel):
    """One row of one model over benchmarks, each in its own metric."""

    model: str
    row: str
    values: dict[str, Metric]


class BaselineRow(BaseModel):
    """The same of an answer without the picture."""

    row: str
    values: dict[str, float]


class PublishedRow(BaseModel):
    """The same of what others published."""

    model: str
    source: str
    values: dict[str, float]


class SideBySide(BaseModel):
    """Rows of models, columns of benchmarks; empty without a benchmark."""

    metrics: dict[str, str] = Field(default={})
    """Benchmark -> its metric."""
    rows: list[BenchmarkRow] = Field(default=[])
    without_pictures: list[BaselineRow] = Field(default=[])
    published: list[PublishedRow] = Field(default=[])


class Comparison(BaseModel):
    """Several models side by side."""

    format: str = FORMAT
    version: int = VERSION
    command: str
    models: dict[str, ModelProvenance]
    tables: list[Table]
    headlines: list[Headline] = Field(default=[])
    benchmarks: SideBySide


def markdown(comparison: Comparison) -> str:
    """The tables for people; every measured value stands with its interval."""
    parts = [f"# {len(comparison.models)} models side by side", "", f"`{comparison.command}`", ""]
    for name, model in comparison.models.items():
        how = model.preprocessing
        parts.append(f"- **{name}**: preprocessing {how['name']} version {how['version']}, {how['size']} px")
    parts += _headlines(comparison)
    for table in comparison.tables:
        parts += _one(table)
    return "\n".join(parts + _all(comparison.benchmarks)) + "\n"


def _headlines(comparison: Comparison) -> list[str]:
    """One line for each test; a star stands at a difference that is not paired."""
    models = list(comparison.models)
    rows = [
        [
            each.title,
            str(each.n),
            METRICS.get(each.metric) or each.metric,
            *(_headline(each, model) for model in models),
        ]
        for each in comparison.headlines
    ]
    lines = ["", "## In one table", "", *_table(["test", "n", "metric", *models], rows)]
    lines += ["", f"In brackets, the difference from {models[0]}."] if len(models) > 1 else []
    unpaired = any(not paired for each in comparison.headlines for paired in each.paired.values())
    return [*lines, "", UNPAIRED] if unpaired else lines


def _headline(line: Headline, model: str) -> str:
    """A model's value and its difference from the first."""
    gap = f" [{_gap(line.differences[model])}]" if model in line.differences else ""
    star = "" if line.paired.get(model, True) else " *"
    return f"{_cell(line.values.get(model))}{gap}{star}"


def _one(table: Table) -> list[str]:
    """Models on the same photographs."""
    sizes = ", ".join(f"{name} {size}" for name, size in table.classes.items())
    line = f"{table.data}: {number_of(table.n, 'photograph')} of {number_of(table.patients, 'patient')}: {sizes}."
    keys = list(table.rows[0].metrics)
    every: list[tuple[str, str, Mapping[str, Metric | float]]] = [
        (row.model, row.row, row.metrics) for row in table.rows
    ]
    every += [("", row, values) for row, values in table.without_pictures.items()]
    lines = ["", f"## {table.title} ({table.task})", "", line]
    for some in ([k for k in keys if k not in CALIBRATION], [k for k in keys if k in CALIBRATION]):
        rows = [[model, row, *(_cell(values.get(key)) for key in some)] for model, row, values in every]
        lines += (
            ["", *_table(["model", "", *(METRICS.get(key) or key for key in some)], rows)] if some else []
        )
    notes = ["", *(f"- {note}" for note in table.notes)] if table.notes else []
    return lines + notes + _gaps(table.differences) + _published(table.published)


def _published(figures: Sequence[PublishedFigure]) -> list[str]:
    """What others published, and in what it is of another protocol."""
    rows = [
        [
            each.model,
            METRICS[each.metric],
            _cell(each.value),
            str(each.n or "?"),
            "; ".join(each.differs),
            each.source,
        ]
        for each in figures
    ]
    heads = ["published", "metric", "value", "n", "differs", "source"]
    return ["", *_table(heads, rows)] if rows else []


def _gaps(rows: Sequence[Difference]) -> list[str]:
    """Differences from the first model; nothing of one model."""
    if not rows:
        return []
    keys = list(dict.fromkeys(key for row in rows for key in row.metrics))
    cells = [
        [row.model, f"{row.row}{'' if row.paired else ' *'}", *(_gap(row.metrics.get(key)) for key in keys)]
        for row in rows
    ]
    heads = ["difference", "", *(METRICS.get(key) or key for key in keys)]
    line = f"Differences from {rows[0].base}; intervals are over patients, drawn for both models at once."
    unpaired = [] if all(row.paired for row in rows) else [UNPAIRED, ""]
    return ["", line, "", *unpaired, *_table(heads, cells)]


def _gap(metric: Metric | None) -> str:
    return "" if metric is None else f"{metric.value:+z.3f} ({metric.low:+z.3f} to {metric.high:+z.3f})"


def _all(side: SideBySide) -> list[str]:
    """All benchmarks, and what was published; nothing without a benchmark."""
    names = list(side.metrics)
    if not names:
        return []
    rows: list[tuple[str, str, Mapping[str, Metric | float]]] = [
        (each.model, each.row, each.values) for each in side.rows
    ]
    rows += [("", each.row, each.values) for each in side.without_pictures]
    rows += [(f"{each.model} (published)", each.source, each.values) for each in side.published]
    heads = ["model", "", *(f"{name}, {METRICS.get(key) or key}" for name, key in side.metrics.items())]
    cells = [[model, row, *(_cell(values.get(name)) for name in names)] for model, row, values in rows]
    return ["", "## All benchmarks, zero-shot, and what was published", "", *_table(heads, cells)]


def _cell(value: Metric | float | None) -> str:
    return "" if value is None else number(value)


def _table(heads: list[str], rows: list[list[str]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]
