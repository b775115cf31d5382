"""Several models on the same photographs, side by side: one table a result, and one of all benchmarks with what was published."""

from collections.abc import Sequence
from pathlib import Path

from clip.evaluation import comparison_page, forest
from clip.evaluation.provenance import ModelProvenance
from clip.evaluation.results import EvaluationReport, Metric, Result
from clip.evaluation.tables import (
    BaselineRow,
    BenchmarkRow,
    Comparison,
    Difference,
    Headline,
    PublishedRow,
    Row,
    SideBySide,
    Table,
    markdown,
)
from synth.base import runs, stats
from synth.base.errors import UserError
from synth.base.translation import LANGUAGES, page_name

FIRST = ("macro_auc", "balanced_accuracy", "rank_auc", "exact_match", "dice")
"""The metric that is shown first, where no benchmark names one."""


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
            keys = Result.model_fields.keys() & Table.model_fields.keys()
            shared = {key: value for key, value in result if key in keys}
            table = tables.setdefault(place, Table(data=place[0], benchmark=benchmark, **shared))
            assert table.n == result.n, "models are compared on the same photographs"
            if any(row.model == model for row in table.rows):
                raise UserError(f"--model {model}: named twice; give each model once")
            table.rows += [Row(model=model, row=row, metrics=each) for row, each in result.metrics.items()]
    for table in tables.values():
        table.differences = differences(table.rows, table.patients)
    return composed(command, {model: report.checkpoint for model, report in reports}, [*tables.values()])


def composed(command: str, models: dict[str, ModelProvenance], tables: Sequence[Table]) -> Comparison:
    """Tables of single tests as one comparison."""
    return Comparison(
        command=command,
        models=models,
        tables=[*tables],
        headlines=[headline(table) for table in tables],
        benchmarks=side_by_side(tables),
    )


def headline(table: Table) -> Headline:
    """One test in the metric of its benchmark, or in the first of `FIRST`; of a model's rows that of both languages, or its last."""
    from clip import benchmarks

    wanted = benchmarks.named(table.benchmark).metric if table.benchmark else None
    metric = next(key for key in (wanted, *FIRST, *table.rows[0].metrics) if key in table.rows[0].metrics)
    shown: dict[str, Row] = {}
    for row in table.rows:
        if metric in row.metrics and (row.model not in shown or shown[row.model].row != "both"):
            shown[row.model] = row
    gaps = {
        each.model: each
        for each in table.differences
        if each.model in shown and each.row == shown[each.model].row and metric in each.metrics
    }
    same = {model: gap for model, gap in gaps.items() if shown[gap.base].row == gap.row}
    return Headline(
        **{key: getattr(table, key) for key in ("title", "task", "name", "data", "n", "patients")},
        metric=metric,
        chance=table.without_pictures.get("chance", {}).get(metric),
        rows={model: row.row for model, row in shown.items()},
        values={model: row.metrics[metric] for model, row in shown.items()},
        differences={model: gap.metrics[metric] for model, gap in same.items()},
        paired={model: gap.paired for model, gap in same.items()},
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
            values = {"model": row.model, "row": row.row, "from": first, "paired": True, "metrics": gaps}
            found.append(Difference.model_validate(values))
    return found


def side_by_side(tables: Sequence[Table]) -> SideBySide:
    """Zero-shot of each model in each benchmark's own metric, then what was published."""
    from clip import baselines, benchmarks

    columns: dict[str, str] = {}
    ours: dict[tuple[str, str], dict[str, Metric]] = {}
    guesses: dict[str, dict[str, float]] = {}
    for table in tables:
        metric = benchmarks.named(table.benchmark).metric if table.benchmark else None
        if not table.benchmark or not metric or table.task != "zero-shot":
            continue
        columns[table.benchmark] = metric
        for row in table.rows:
            ours.setdefault((row.model, row.row), {})[table.benchmark] = row.metrics[metric]
        for name, values in table.without_pictures.items():
            guesses.setdefault(name, {})[table.benchmark] = values[metric]
    others: dict[tuple[str, str], PublishedRow] = {}
    for each in baselines.published():
        if each.benchmark in columns and each.metric == columns[each.benchmark] and each.task == "zero-shot":
            row = PublishedRow(model=each.model, source=each.source, values={})
            others.setdefault((each.model, each.source), row).values[each.benchmark] = each.value
    return SideBySide(
        metrics=columns,
        rows=[BenchmarkRow(model=model, row=row, values=values) for (model, row), values in ours.items()],
        without_pictures=[BaselineRow(row=row, values=values) for row, values in guesses.items()],
        published=[*others.values()],
    )


def write(out: Path, comparison: Comparison) -> None:
    """Write `comparison.json`, `comparison.md`, and in each language page and forest plot, each whole or not at all."""
    runs.write_json(out / "comparison.json", comparison.model_dump(mode="json"))
    runs.write_text(out / "comparison.md", markdown(comparison))
    for language in LANGUAGES:
        page = out / page_name(comparison_page.PAGE, language)
        runs.write_text(page, comparison_page.html(comparison, language))
        runs.write_text(page.with_suffix(".svg"), forest.svg(comparison.headlines, language))
