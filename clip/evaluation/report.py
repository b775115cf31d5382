"""The report of any evaluation: `report.json` for machines, `report.html` for people, the same facts in both.

A result is one task on one set of photographs; `check` says what it must hold.  It may hold besides: `prompts`
{class: {language: texts}}, `chosen` {row: {setting: value}}, `notes` (sentences), `curve` and `reliability` (see `curves`),
and `sheet`, a picture, which `write` puts beside the report under the name of the result.
"""

from math import isfinite
from pathlib import Path
from typing import Any

from clip.evaluation.summary import leak
from clip.model.checkpoints import Header
from synth.base import checkpoint as files
from synth.base import runs
from synth.base.config import Config
from synth.base.errors import UserError

FORMAT = "visionclip-evaluation"
VERSION = 1

METRICS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "ACA",
    "macro_auc": "macro AUC",
    "kappa": "quadratic κ",
    "brier": "Brier ↓",
    "ece": "ECE ↓",
}
"""Key -> column heading."""

CALIBRATION = ("brier", "ece")
"""Metrics of probabilities, not of what is called; they stand in lines of their own where a table would be too wide."""

TITLES = {"vqa": "VQA", "finetune": "Fine-tuning"}
"""Headings of reports on tasks whose name is none."""


def checkpoint(path: Path, head: Header) -> dict[str, Any]:
    """What a report says of a model, of which `clip.loading.load` says `head`."""
    return {
        "path": str(path),
        "sha256": head.sha256 if "sha256" in head.model_fields_set else runs.sha256(Path(path)),
        "images": head.images,
        "training_data": head.data,
        "preprocessing": head.model["preprocessing"],
        "training": head.config,
    }


def compose(
    config: Config, model: dict[str, Any], data: dict[str, Any], results: list[dict[str, Any]], command: str
) -> dict[str, Any]:
    """The whole report: what was asked for, of which model and which records, and what came out."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "command": command,
        "config": config.model_dump(mode="json"),
        "checkpoint": model,
        "data": data,
        "libraries": files.versions(),
        "results": results,
    }


def check(report: dict[str, Any]) -> None:
    """Refuse a report in which a number would travel alone.

    Each result needs `n` and `patients`, a finite value and interval of each metric, and beside each metric what
    an answer without the picture scores.

    Raises:
        ValueError: one of these was left out; the evaluation that made the report is wrong.
        UserError: an interval could not be drawn, because of too few photographs or rounds.
    """
    if not report["results"]:
        raise ValueError("a report needs a result")
    for result in report["results"]:
        where = f"{result['task']} {result['name']}"
        for key in ("n", "patients"):
            if not isinstance(result.get(key), int) or result[key] < 1:
                raise ValueError(f"{where}: a result needs '{key}'")
        if not result.get("metrics"):
            raise ValueError(f"{where}: a result needs metrics")
        blind = {key for row in result.get("without_pictures", {}).values() for key in row}
        for row, found in result["metrics"].items():
            for key, value in found.items():
                if not isinstance(value, dict) or not {"value", "low", "high"} <= value.keys():
                    raise ValueError(f"{where}, {row}: {key} needs an interval")
                if key not in blind:
                    raise ValueError(f"{where}: {key} needs a row of an answer without the picture")
                if not all(isfinite(value[end]) for end in ("value", "low", "high")):
                    raise UserError(
                        f"{where}, {row}: no interval of {key} from {result['patients']} patients; "
                        "judge more photographs, or raise --set rounds=N"
                    )


def write(out: Path, report: dict[str, Any]) -> None:
    """Check a report and write both files, each whole or not at all; its sheets too, which become names of files in it."""
    check(report)
    for result in report["results"]:
        if "sheet" in result:
            picture, result["sheet"] = result["sheet"], f"{result['name']}.png"
            with runs.atomic(out / result["sheet"]) as temporary:
                picture.save(temporary, "PNG")
    runs.write_json(out / "report.json", report)
    runs.write_text(out / "report.html", html(report))


def html(report: dict[str, Any]) -> str:
    """The page for people."""
    import jinja2

    from clip.evaluation import curves
    from clip.evaluation.metrics import BINS

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["facts"] = _facts
    environment.filters["leak"] = leak
    environment.filters["picture"] = curves.svg
    environment.filters["diagram"] = curves.reliability
    kinds: list[str] = list(dict.fromkeys(result["task"] for result in report["results"]))
    title = ", ".join(TITLES.get(kind, kind.capitalize()) for kind in kinds)
    return environment.get_template("report.html.j2").render(
        report=report, metrics=METRICS, title=title, bins=BINS
    )


def estimate(value: dict[str, float]) -> str:
    """`.812 (.774 to .850)`."""
    return f"{value['value']:.3f} ({value['low']:.3f} to {value['high']:.3f})"


def _facts(value: Any) -> str:
    """Settings in one line: `name fov-square, version 1`."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_facts(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_facts(inner) for inner in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def summary(report: dict[str, Any]) -> str:
    """One line per task and row, for a terminal."""
    lines = []
    if "benchmark" in report["data"]:
        told = report["data"]["benchmark"]
        seen = {name: each for name, each in told["leaks"].items() if each["images"]}
        who = (
            ", ".join(f"{name} ({leak(each)})" for name, each in seen.items()) or "no baseline that is known"
        )
        lines += [f"{told['title']}: learnt from by {who}"]
        lines += [f"not the set as published: {'; '.join(told['differs'])}"] if told["differs"] else []
    for result in report["results"]:
        counts = ", ".join(f"{name} {size}" for name, size in result["classes"].items())
        lines.append(f"{result['name']}: {result['n']} photographs, {result['patients']} patients ({counts})")
        wide = max(len(row) for row in (*result["metrics"], *result["without_pictures"])) + 1
        for kept in (lambda key: key not in CALIBRATION, lambda key: key in CALIBRATION):
            for row, found in (result["metrics"] | result["without_pictures"]).items():
                cells = [f"{METRICS[key]} {number(value)}" for key, value in found.items() if kept(key)]
                lines += [f"  {row:{wide}}{'  '.join(cells)}"] if cells else []
    return "\n".join(lines)


def number(value: Any) -> str:
    """A measured value with its interval, or one that is known without measuring."""
    return estimate(value) if isinstance(value, dict) else f"{value:.3f}"
