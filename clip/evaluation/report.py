"""The report of any evaluation: `report.json` for machines, `report.html` and `report.zh.html` for people, the same facts in all."""

from collections.abc import Sequence
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from clip.evaluation import calls
from clip.evaluation.provenance import DataProvenance, ModelProvenance
from clip.evaluation.results import (
    ClassificationResult,
    EvaluationReport,
    Metric,
    PublishedFigure,
    Result,
    SegmentationResult,
    Subgroup,
)
from clip.evaluation.summary import leak
from clip.model.checkpoints import Header
from synth.base import checkpoint as files
from synth.base import checksums, runs
from synth.base.config import Config
from synth.base.errors import UserError
from synth.base.translation import LANGUAGES, page_name
from synth.base.words import number_of

METRICS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "ACA",
    "macro_auc": "macro AUC",
    "kappa": "quadratic κ",
    "brier": "Brier ↓",
    "ece": "ECE ↓",
    "r1": "R@1",
    "r5": "R@5",
    "r10": "R@10",
    "rank_auc": "AUC of ranks",
    "exact_match": "exact match",
    "question_aca": "ACA over questions",
    "many_auc": "AUC, many",
    "medium_auc": "AUC, medium",
    "few_auc": "AUC, few",
    "many_recall": "recall, many",
    "medium_recall": "recall, medium",
    "few_recall": "recall, few",
    "dice": "Dice",
    "iou": "IoU",
}
"""Key -> column heading."""

CALIBRATION = ("brier", "ece")
"""Metrics of probabilities, not of what is called; they stand in lines of their own where a table would be too wide."""

PAGE = "report.html"
"""The file of the page; `page_name` has its Chinese."""


def compose(
    settings: Config,
    model: Path,
    header: Header,
    data: DataProvenance,
    results: Sequence[Result],
    command: str,
) -> EvaluationReport:
    """The whole report: what was asked for, of which model and which records, and what came out.

    Args:
        model:  what the user called it.
        header: what `clip.loading.load` says of it.
    """
    known = "sha256" in header.model_fields_set
    checkpoint = ModelProvenance(
        path=str(model),
        sha256=header.sha256 if known else runs.sha256(model),
        images=header.images,
        training_data=header.data,
        preprocessing=header.model["preprocessing"],
        training=header.config,
    )
    return EvaluationReport(
        command=command,
        config=settings.model_dump(mode="json", by_alias=True),
        checkpoint=checkpoint,
        data=data,
        libraries=files.versions(),
        results=list(results),
    )


def check(report: EvaluationReport) -> None:
    """Refuse a report in which a number would travel alone.

    Each result needs `n` and `patients`, a finite value and interval of each metric, and beside each metric what
    an answer without the picture scores.

    Raises:
        ValueError: one of these was left out; the evaluation that made the report is wrong.
        UserError: an interval could not be drawn, because of too few photographs or bootstrap samples.
    """
    if not report.results:
        raise ValueError("a report needs a result")
    for result in report.results:
        where = f"{result.task} {result.name}"
        for key, size in (("n", result.n), ("patients", result.patients)):
            if size < 1:
                raise ValueError(f"{where}: a result needs '{key}'")
        if not result.metrics:
            raise ValueError(f"{where}: a result needs metrics")
        without = {key for row in result.baselines.values() for key in row}
        for row, metrics in result.metrics.items():
            for key, metric in metrics.items():
                if not isinstance(metric, Metric):
                    raise ValueError(f"{where}, {row}: {key} needs an interval")
                if key not in without:
                    raise ValueError(f"{where}: {key} needs a row of an answer without the picture")
                if not all(isfinite(end) for end in (metric.value, metric.low, metric.high)):
                    raise UserError(
                        f"{where}, {row}: no interval of {key} from {result.patients} patients; "
                        "judge more photographs, or raise --set n_bootstrap=N"
                    )


def write(out: Path, report: EvaluationReport) -> None:
    """Check a report and write its files, each whole or not at all: numbers, a page in each language, sheets, and the towers to be kept."""
    from clip.evaluation import curves

    check(report)
    for result in report.results:
        if isinstance(result, SegmentationResult) and result.picture is not None:
            result.sheet = f"{result.name}.png"
            with runs.atomic(out / result.sheet) as temporary:
                result.picture.save(temporary, "PNG")
        if isinstance(result, ClassificationResult) and result.calls is not None:
            calls.write(out / f"{result.name}.csv", result.calls)
            runs.write_text(out / f"{result.name}-confusion.svg", curves.confusions(result))
    checksums.write_json(out / "report.json", report.as_json())
    for language in LANGUAGES:
        runs.write_text(out / page_name(PAGE, language), html(report, language))
    for name, content in report.checkpoints.items():
        files.save(out / f"ckpt-{name}.pt", content)


def read(path: Path) -> EvaluationReport:
    """A `report.json` of any version up to ours.

    Raises:
        UserError: it is absent, damaged, or no report of an evaluation.
    """
    try:
        return EvaluationReport.model_validate(checksums.read_json(path))
    except ValueError as error:
        line = str(error).splitlines()[0]
        raise UserError(f"{path}: no report of 'clip eval' that can be read ({line})") from None


def html(report: EvaluationReport, language: str = "en") -> str:
    """The page for people, in a language."""
    from clip.evaluation import curves, first_page, subgroups
    from clip.evaluation.languages import pages, translated
    from clip.evaluation.metrics import BINS

    def say(text: str) -> str:
        return translated(text, language)

    templates = pages(language)
    templates.filters["facts"] = _facts
    templates.filters["leak"] = leak
    templates.filters["picture"] = partial(curves.svg, say=say)
    templates.filters["diagram"] = partial(curves.reliability, say=say)
    templates.filters["matrices"] = partial(curves.confusions, say=say)
    kinds: list[str] = list(dict.fromkeys(result.task for result in report.results))
    return templates.get_template("report.html.j2").render(
        page=PAGE,
        report=report,
        metrics=METRICS,
        title=say(", ".join(kinds)),
        bins=BINS,
        fewest=subgroups.LEAST,
        answer=say(first_page.answer(report.results)),
        figures=[
            (result.title, METRICS[first_page.headline(result)], first_page.drawn(result, say))
            for result in report.results[: first_page.SHOWN]
        ],
        shown_first=first_page.SHOWN,
    )


def estimate(metric: Metric) -> str:
    """`.812 (.774 to .850)`."""
    return f"{metric.value:.3f} ({metric.low:.3f} to {metric.high:.3f})"


def _facts(value: Any) -> str:
    """Settings in one line: `name fov-square, version 1`."""
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if isinstance(value, dict):
        return ", ".join(f"{key} {_facts(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_facts(inner) for inner in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def summary(report: EvaluationReport) -> str:
    """One line per task and row, for a terminal."""
    lines = []
    if benchmark := report.data.benchmark:
        learnt = [f"{name} ({leak(each)})" for name, each in benchmark.leaks.items() if each.images]
        lines += [f"{benchmark.title}: learnt from by {', '.join(learnt) or 'no baseline that is known'}"]
        lines += [f"not the set as published: {'; '.join(benchmark.differs)}"] if benchmark.differs else []
    for result in report.results:
        counts = ", ".join(f"{name} {size}" for name, size in result.classes.items())
        lines.append(
            f"{result.name}: {number_of(result.n, 'photograph')}, {number_of(result.patients, 'patient')} ({counts})"
        )
        rows: dict[str, dict[str, Any]] = {**result.metrics, **result.baselines}
        wide = max(len(row) for row in rows) + 1
        for kept in (lambda key: key not in CALIBRATION, lambda key: key in CALIBRATION):
            for row, values in rows.items():
                cells = [f"{METRICS[key]} {number(value)}" for key, value in values.items() if kept(key)]
                lines += [f"  {row:{wide}}{'  '.join(cells)}"] if cells else []
        lines += [_published(each) for each in result.published]
        if isinstance(result, ClassificationResult):
            lines += [_part(each) for each in result.subgroups or ()]
    return "\n".join(lines)


def _part(part: Subgroup) -> str:
    """A part of the people in one line; of one that is too small only the counts."""
    rows = "  ".join(f"{row} {estimate(each)}" for row, each in part.auc.items())
    counts = ", ".join(f"{name} {size}" for name, size in part.classes.items())
    return f"  {part.attribute} {part.name}: {rows or 'too few for a number'} ({counts}; {number_of(part.patients, 'patient')})"


def _published(figure: PublishedFigure) -> str:
    """What others have, in one line."""
    said = f" ({'; '.join(figure.differs)})" if figure.differs else ""
    return f"  published: {figure.model}  {METRICS[figure.metric]} {figure.value:.3f}{said}"


def number(value: Metric | float) -> str:
    """A measured value with its interval, or one that is known without measuring."""
    return estimate(value) if isinstance(value, Metric) else f"{value:.3f}"
