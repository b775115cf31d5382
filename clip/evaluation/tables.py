"""Tables of several models side by side: as types, as `comparison.json` holds them, and as Markdown for people."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, Field

from clip.benchmarks import Baselines
from clip.evaluation.provenance import ModelProvenance, Ordered
from clip.evaluation.report import CALIBRATION, METRICS, number
from clip.evaluation.results import Metric

FORMAT = "visionclip-comparison"
VERSION = 1


class Row(BaseModel):
    """One row of one model's result."""

    model: str
    row: str
    metrics: dict[str, Metric]


class Difference(Ordered):
    """How far a row of one model is from the same row of the first."""

    ORDER = ("model", "row", "from", "metrics")

    model: str
    row: str
    base: str = Field(alias="from")
    """The first model."""
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
    benchmarks: SideBySide


def markdown(comparison: Comparison) -> str:
    """The tables for people; every measured value stands with its interval."""
    parts = [f"# {len(comparison.models)} models side by side", "", f"`{comparison.command}`", ""]
    for name, model in comparison.models.items():
        how = model.preprocessing
        parts.append(f"- **{name}**: preprocessing {how['name']} version {how['version']}, {how['size']} px")
    for table in comparison.tables:
        parts += _one(table)
    return "\n".join(parts + _all(comparison.benchmarks)) + "\n"


def _one(table: Table) -> list[str]:
    """Models on the same photographs."""
    sizes = ", ".join(f"{name} {size}" for name, size in table.classes.items())
    line = f"{table.data}: {table.n} photographs of {table.patients} patients: {sizes}."
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
    return lines + _gaps(table.differences)


def _gaps(rows: Sequence[Difference]) -> list[str]:
    """Differences from the first model; nothing of one model."""
    if not rows:
        return []
    keys = list(dict.fromkeys(key for row in rows for key in row.metrics))
    cells = [[row.model, row.row, *(_gap(row.metrics.get(key)) for key in keys)] for row in rows]
    heads = ["difference", "", *(METRICS.get(key) or key for key in keys)]
    line = f"Differences from {rows[0].base}; intervals are over patients, drawn for both models at once."
    return ["", line, "", *_table(heads, cells)]


def _gap(metric: Metric | None) -> str:
    return "" if metric is None else f"{metric.value:+.3f} ({metric.low:+.3f} to {metric.high:+.3f})"


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
