"""One test of several finished reports as a table: differences are paired where probabilities of each photograph lie beside the reports."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from clip.evaluation import calls, comparison, metrics, references
from clip.evaluation.calls import Calls
from clip.evaluation.results import ClassificationResult, EvaluationReport, Metric, Result
from clip.evaluation.tables import Difference, Row, Table
from synth.base import stats
from synth.base.errors import UserError

_CLOSE = (
    2e-3  # between a metric of a report and the same of its table, of which earlier versions wrote six digits
)


class ReportResult(NamedTuple):
    """One result of a finished report."""

    path: Path
    model: str
    report: EvaluationReport
    result: Result

    @property
    def beside(self) -> Path | None:
        """The table of probabilities beside the report, where there is one."""
        path = self.path.parent / f"{self.result.name}.csv"
        return path if isinstance(self.result, ClassificationResult) and path.is_file() else None


def table(row: Sequence[ReportResult]) -> Table:
    """Results of one test, and how far each model is from the first.

    Raises:
        UserError: a table of probabilities is of other photographs, or not of its report.
    """
    first = row[0]
    benchmark = first.report.data.benchmark
    keys = Result.model_fields.keys() & Table.model_fields.keys()
    shared = {key: value for key, value in first.result if key in keys}
    made = Table(data=first.report.data.data, benchmark=benchmark and benchmark.name, **shared)
    made.notes = _notes(row)
    made.published = references.beside(benchmark, first.result)
    sampled = _sampled(row)
    for one, metrics_by_row in zip(row, sampled, strict=True):
        made.rows += [Row(model=one.model, row=name, metrics=each) for name, each in metrics_by_row.items()]
    made.differences = comparison.differences(made.rows, made.patients)
    paired = {each.model for each in made.differences}
    made.differences += unpaired([each for each in made.rows if each.model not in paired])
    return made


def _notes(row: Sequence[ReportResult]) -> list[str]:
    """In what models were not asked alike: their words."""
    words = [getattr(one.result, "prompts", None) for one in row]
    return [
        f"{one.model} was asked in other words than {row[0].model}"
        for one, said in zip(row[1:], words[1:], strict=True)
        if said != words[0]
    ]


def _sampled(row: Sequence[ReportResult]) -> list[dict[str, dict[str, Metric]]]:
    """The metrics of each result, with bootstrap samples where its probabilities are there."""
    known = [
        one.beside and calls.read(one.beside, [*one.result.metrics], [*one.result.classes]) for one in row
    ]
    base = known[0]
    if base is None:
        return [one.result.metrics for one in row]
    found = []
    for one, told in zip(row, known, strict=True):
        if told is None:
            found.append(one.result.metrics)
            continue
        ordered = _in_order(told, base, one, row[0])
        found.append(_with_samples(one, ordered, row[0]))
    return found


def _in_order(told: Calls, base: Calls, one: ReportResult, first: ReportResult) -> Calls:
    """The same photographs in the order of the first report's."""
    place = {key: k for k, key in enumerate(told.ids)}
    missing = [key for key in base.ids if key not in place]
    if missing or len(told.ids) != len(base.ids):
        raise UserError(
            f"{one.beside}: other photographs than {first.beside}: {len(missing)} of {len(base.ids)} are not there; "
            "compare reports on the same photographs"
        )
    rows = np.array([place[key] for key in base.ids])
    subjects = [told.subjects[k] for k in rows]
    if subjects != base.subjects or (told.truth[rows] != base.truth).any():
        raise UserError(
            f"{one.beside}: photographs are of another class or patient than in {first.beside}; "
            "compare reports of the same labels"
        )
    probability = {name: each[rows] for name, each in told.probability.items()}
    return Calls(base.ids, subjects, told.classes, base.truth, probability)


def _with_samples(one: ReportResult, told: Calls, first: ReportResult) -> dict[str, dict[str, Metric]]:
    """A result's metrics as its report has them, with samples of the first report's draws of patients."""
    people, patient_ids = np.unique(told.subjects, return_inverse=True)
    drawn = stats.draws(
        len(people), first.report.config.get("rounds", 1000), first.report.config.get("seed", 0)
    )
    found: dict[str, dict[str, Metric]] = {}
    for row, values in one.result.metrics.items():
        statistics = metrics.statistics(told.truth, told.probability[row], "kappa" in values)
        found[row] = {}
        for key, value in values.items():
            samples = None if key == "ece" else stats.over(drawn, patient_ids, statistics[key])
            if samples is not None and abs(samples[0] - value.value) > _CLOSE:
                raise UserError(
                    f"{one.beside}: is not of {one.path.name}: its {row} {key} is {samples[0]:.4f}, the report has "
                    f"{value.value:.4f}; give what one 'clip eval' wrote, or take the table away"
                )
            found[row][key] = Metric.of(
                stats.Estimate(value.value, value.low, value.high, len(people)), samples
            )
    return found


def unpaired(rows: Sequence[Row]) -> list[Difference]:
    """How far models are from the first, from the intervals alone.

        d - sqrt((a - a_low)^2 + (b_high - b)^2)  to  d + sqrt((a_high - a)^2 + (b - b_low)^2)        d = a - b

    of independent numbers (MOVER, Zou & Donner 2008, doi:10.1002/sim.3095); those of two models on the same photographs
    go together, so it is wider than it need be.
    """
    if not rows:
        return []
    first = rows[0].model
    base = {row.row: row.metrics for row in rows if row.model == first}
    return [
        Difference.model_validate(
            {"model": row.model, "row": row.row, "from": first, "paired": False}
            | {"metrics": {key: _apart(row.metrics[key], base[row.row][key]) for key in shared}}
        )
        for row in rows
        if row.model != first
        and row.row in base
        and (shared := [key for key in row.metrics if key in base[row.row] and key != "ece"])
    ]


def _apart(one: Metric, other: Metric) -> Metric:
    gap = one.value - other.value
    down = np.hypot(one.value - one.low, other.high - other.value)
    up = np.hypot(one.high - one.value, other.value - other.low)
    return Metric(value=gap, low=float(gap - down), high=float(gap + up))
