"""Several models on the same photographs, side by side: one table a result, and one of all benchmarks with what was published."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from pydantic import BaseModel, Field

from clip.benchmarks import Baselines
from clip.evaluation.report import CALIBRATION, METRICS, number
from clip.evaluation.results import EvaluationReport, Metric, ModelProvenance, Ordered
from synth.base import runs, stats
from synth.base.config import Config, check, read_yaml
from synth.base.errors import UserError

FORMAT = "visionclip-comparison"
VERSION = 1


class Published(Config):
    """One row of somebody's table."""

    model: str
    """As it is called there."""
    source: str
    """Paper and table."""
    values: dict[str, float]
    """By benchmark, in the metric that the benchmark names."""


@cache
def published() -> tuple[Published, ...]:
    """What others published, in the order of their tables."""
    from clip import zoo

    path = Path(zoo.__file__).parent / "published.yaml"
    rows = read_yaml(path)["rows"]
    return tuple(check(Published, row, str(path)) for row in rows)


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
    rows: list[Row] = []
    task: str
    name: str
    title: str
    n: int
    patients: int
    classes: dict[str, int]
    without_pictures: Baselines
    differences: list[Difference] = []


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

    metrics: dict[str, str] = {}
    """Benchmark -> its metric."""
    rows: list[BenchmarkRow] = []
    without_pictures: list[BaselineRow] = []
    published: list[PublishedRow] = []


class Comparison(BaseModel):
    """Several models side by side."""

    format: str = FORMAT
    version: int = VERSION
    command: str
    models: dict[str, ModelProvenance]
    tables: list[Table]
    benchmarks: SideBySide


def compare(reports: Sequence[tuple[str, EvaluationReport]], command: str) -> Comparison:
    """One comparison of reports, each with the name of its model.

    Raises:
        UserError: two reports are of one model on the same records.
    """
    tables: dict[tuple[str, str, str], Table] = {}
    for model, report in reports:
        benchmark = report.data.benchmark and report.data.benchmark.name
        for result in report.results:
            place = (report.data.data, result.task, result.name)
            keys = ("task", "name", "title", "n", "patients", "classes", "without_pictures")
            shared = {key: value for key, value in result if key in keys}
            table = tables.setdefault(place, Table(data=place[0], benchmark=benchmark, **shared))
            assert table.n == result.n, "models are compared on the same photographs"
            if any(row.model == model for row in table.rows):
                raise UserError(f"--model {model}: named twice; give each model once")
            table.rows += [Row(model=model, row=row, metrics=each) for row, each in result.metrics.items()]
    for table in tables.values():
        table.differences = differences(table.rows, table.patients)
    return Comparison(
        command=command,
        models={model: report.checkpoint for model, report in reports},
        tables=list(tables.values()),
        benchmarks=side_by_side(list(tables.values())),
    )


def differences(rows: Sequence[Row], patients: int) -> list[Difference]:
    """How far each model is from the first in the same row, with an interval: patients are drawn for both at once.

    A row that the first model has not, and a metric without samples (`Metric.samples`), has no difference.
    """
    first = rows[0].model
    base = {row.row: row.metrics for row in rows if row.model == first}
    found = []
    for row in rows:
        if row.model == first or row.row not in base:
            continue
        gaps = {}
        for key, metric in row.metrics.items():
            other = base[row.row].get(key)
            if other is not None and metric.samples is not None and other.samples is not None:
                assert metric.samples.shape == other.samples.shape, (
                    "models are compared on the same draws of patients"
                )
                gaps[key] = Metric.of(stats.estimate(metric.samples - other.samples, patients))
        if gaps:
            values = {"model": row.model, "row": row.row, "from": first, "metrics": gaps}
            found.append(Difference.model_validate(values))
    return found


def side_by_side(tables: Sequence[Table]) -> SideBySide:
    """Zero-shot of each model in each benchmark's own metric, then what was published."""
    from clip import benchmarks

    columns: dict[str, str] = {}
    ours: dict[tuple[str, str], dict[str, Metric]] = {}
    baselines: dict[str, dict[str, float]] = {}
    for table in tables:
        metric = benchmarks.named(table.benchmark).metric if table.benchmark else None
        if not table.benchmark or not metric or table.task != "zero-shot":
            continue
        columns[table.benchmark] = metric
        for row in table.rows:
            ours.setdefault((row.model, row.row), {})[table.benchmark] = row.metrics[metric]
        for name, values in table.without_pictures.items():
            baselines.setdefault(name, {})[table.benchmark] = values[metric]
    others = [
        PublishedRow(model=each.model, source=each.source, values=kept)
        for each in published()
        if (kept := {name: each.values[name] for name in columns if name in each.values})
    ]
    return SideBySide(
        metrics=columns,
        rows=[BenchmarkRow(model=model, row=row, values=values) for (model, row), values in ours.items()],
        without_pictures=[BaselineRow(row=row, values=values) for row, values in baselines.items()],
        published=others if columns else [],
    )


def write(out: Path, comparison: Comparison) -> None:
    """Write `comparison.json` and `comparison.md`, each whole or not at all."""
    runs.write_json(out / "comparison.json", comparison.model_dump(mode="json"))
    runs.write_text(out / "comparison.md", markdown(comparison))


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
