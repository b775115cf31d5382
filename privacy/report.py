"""The report: `report.json` for machines, `report.html` for people, the same facts in both.

No number about a single patient is in it, and no id.  The schema's version is raised when a key changes
its meaning or goes; new keys may come without.
"""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privacy import verdict
from privacy.attacks import population
from privacy.attacks.population import Finding
from privacy.config import AuditConfig
from privacy.inputs import Inputs
from privacy.results import Judged as JudgedResult
from synth.base import checkpoint, runs
from synth.base.stats import Estimate

if TYPE_CHECKING:
    from privacy.anyone import Data, Judged

SCHEMA, VERSION = "visionclip-privacy-report", 2
PROTOCOL = "visionclip-privacy/2"
METRICS = {"auc": "AUC", "balanced_accuracy": "balanced accuracy", "mae": "MAE (years)", "r2": "R²"}
QUESTIONS = {
    "anyone": "What does it reveal about anyone?",
    "members": "What does it reveal about the patients it was trained on?",
    "copies": "Does it hold copies of their photographs?",
}
NOT_TESTED = (
    (
        "stronger probes (neural network, nearest neighbours)",
        "linear probes give a lower bound of what is revealed",
    ),
    (
        "an encoder of the same kind trained on real photographs",
        "the upper anchor; audit it with the same --attackers",
    ),
    ("disease labels alone", "a disease may give the age away; the controls here do not hold it constant"),
    (
        "camera, resolution and file metadata",
        "the encoder sees none of them, an attacker with the files does",
    ),
)


def build(
    inputs: Inputs,
    data: "Data | None",
    judged: "list[Judged]",
    results: list[JudgedResult],
    config: AuditConfig,
    command: str,
) -> dict[str, Any]:
    """The whole report as plain values."""
    words = [each.reveals.word for each in judged] + [each.answer.word for each in results]
    return {
        "schema": {"name": SCHEMA, "version": VERSION},
        "protocol": PROTOCOL,
        "command": command,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": config.seed,
        "config": config.model_dump(),
        "versions": checkpoint.versions(),
        "model": inputs.encoder.facts if inputs.encoder else None,
        "generator": inputs.generator.facts if inputs.generator else None,
        "attackers": data._asdict() if data else None,
        **{arm: _arm(getattr(inputs, arm)) for arm in ("members", "nonmembers", "synthetic")},
        "panels": _panels(judged, results),
        "attributes": [_attribute(each) for each in judged],
        "results": [_result(each) for each in results],
        "not_tested": [{"what": what, "why": why} for what, why in NOT_TESTED],
        "exit_status": 3 if verdict.FAIL in words else 4 if set(words) == {verdict.NOT_TESTABLE} else 0,
    }


def write(out: Path, report: dict[str, Any]) -> dict[str, Any]:
    """Write both files, each whole or not at all; returns the report."""
    runs.write_json(out / "report.json", report)
    runs.write_text(out / "report.html", html(report))
    return report


def summary(report: dict[str, Any]) -> str:
    """A few lines for the terminal."""
    lines = []
    for panel in report["panels"]:
        lines.append(f"{panel['question']}  {panel['verdict']}")
        if panel["key"] == "anyone":
            lines += [f"  {each['name']:<5} {_line(each)}" for each in report["attributes"]]
        else:
            lines.append(f"  {panel['why']}")
    return "\n".join(lines)


def html(report: dict[str, Any]) -> str:
    """One self-contained page; everything that comes from data is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("privacy", "templates"), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["number"] = number
    environment.globals.update(metrics=METRICS, chart=chart, curve=curve)
    return environment.get_template("report.html.j2").render(report=report)


def number(value: float | None) -> str:
    """Three decimals; a dash for what is not known."""
    return "–" if value is None else f"{value:.3f}"


def chart(rows: list[dict[str, Any]], metric: str, width: int = 330) -> dict[str, Any]:
    """Where dots and whiskers of one metric go on a picture `width` pixels wide; `low` and `high` are its ends."""
    shown = [(row["name"], row["person"][metric]) for row in rows if metric in row["person"]]
    ends = [end for _, each in shown for end in (each["low"], each["high"], each["value"]) if end is not None]
    low, high = (min([0.45, *ends]), 1.0) if metric == "auc" else (min(ends), max(ends))
    return {
        "low": low,
        "high": high,
        "rows": [(name, _place(each, low, high, width)) for name, each in shown],
    }


def curve(points: list[dict[str, Any]], width: int = 330) -> dict[str, Any]:
    """The learning curve as a chart whose rows are numbers of training patients."""
    rows = [
        {"name": f"{p['training_patients']:,} patients", "person": {"curve": p["person"]}} for p in points
    ]
    return chart(rows, "curve", width)


def _place(estimate: dict[str, Any], low: float, high: float, width: int) -> dict[str, float]:
    scale = width / (high - low) if high > low else 0.0
    middle = estimate["value"]
    ends = {key: middle if estimate[key] is None else estimate[key] for key in ("low", "high")}
    return {key: round((value - low) * scale, 1) for key, value in {"value": middle, **ends}.items()}


def _panels(judged: "list[Judged]", results: list[JudgedResult]) -> list[dict[str, str]]:
    """Of each panel its worst word, and why."""
    answers = {key: [each.answer for each in results if each.result.panel == key] for key in QUESTIONS}
    answers["anyone"] = [each.reveals for each in judged] + answers["anyone"]
    panels = []
    for key, question in QUESTIONS.items():
        worst = min(answers[key], key=lambda answer: verdict.WORST.index(answer.word), default=None)
        word, why = (worst.word, worst.why) if worst else (verdict.NOT_TESTABLE, "no attack asks this yet")
        why = verdict.CAPABILITY if word == verdict.REVEALS else why
        panels.append({"key": key, "question": question, "verdict": word, "why": why})
    return panels


def _arm(people: Any) -> dict[str, Any] | None:
    if people is None:
        return None
    return {
        "path": str(people.folder),
        "splits": list(people.splits),
        "fingerprint": people.fingerprint,
        "images": len(people.ids),
        "patients": people.cohort.patients,
    }


def _result(judged: JudgedResult) -> dict[str, Any]:
    result, answer = judged.result, judged.answer
    return {
        "threat": result.threat,
        "attack": result.attack,
        "panel": result.panel,
        "verdict": answer._asdict(),
        "statistic": result.scale._asdict(),
        "estimate": _plain(result.tested.estimate) if result.tested else None,
        "p": result.tested.p if result.tested else None,
        "p_adjusted": judged.p,
        "gates": [gate._asdict() for gate in result.gates],
        "compared": [{"name": name, **_plain(each)} for name, each in result.compared],
        "also": [{"name": name, **_plain(each)} for name, each in result.also],
        "notes": list(result.notes),
        "details": dict(result.details),
    }


def _attribute(judged: "Judged") -> dict[str, Any]:
    task, finding = judged.task, judged.finding
    return {
        "name": judged.name,
        "reveals": judged.reveals._asdict(),
        "training_adds": judged.adds._asdict(),
        "images": len(task.patient) if task else 0,
        "patients": len(task.labels) if task else 0,
        "classes": task.counts() if task else {},
        "notes": list(task.notes) if task else [],
        **(_numbers(finding) if finding else {"rows": [], "excess": [], "permutation": None, "curve": []}),
    }


def _numbers(finding: Finding) -> dict[str, Any]:
    return {
        "metric": population.HEADLINE[finding.task.kind],
        "rows": [
            {
                "name": row.name,
                "person": {metric: _plain(each) for metric, each in row.person.items()},
                "image": {metric: _plain(each) for metric, each in row.image.items()},
            }
            for row in finding.rows
        ],
        "excess": [{"over": name, **_plain(each)} for name, each in finding.excess.items()],
        "permutation": {
            "statistic": "r2" if finding.task.kind == "years" else "auc",
            "observed": _finite(finding.permuted.observed),
            "permutations": len(finding.permuted.permuted),
            "p": finding.permuted.p,
        },
        "curve": [
            {"training_patients": point.training_patients, "person": _plain(point.person)}
            for point in finding.curve
        ],
    }


def _plain(estimate: Estimate) -> dict[str, Any]:
    bounds = {key: _finite(getattr(estimate, key)) for key in ("value", "low", "high")}
    return {**bounds, "patients": estimate.patients}


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _line(attribute: dict[str, Any]) -> str:
    answer, adds = attribute["reveals"], attribute["training_adds"]
    words = f"{answer['word']} {answer['level']}".strip()
    if not attribute["rows"]:
        return f"{words}: {answer['why']}"
    shown = "  ".join(
        f"{METRICS[metric]} {number(each['value'])} [{number(each['low'])}, {number(each['high'])}]"
        for metric, each in attribute["rows"][0]["person"].items()
    )
    return f"{words}: {shown}; training adds to it: {adds['word']} ({adds['why']})"
