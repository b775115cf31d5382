"""The report: `report.json` for machines, `report.html` for people, the same facts in both.

No number about a single patient is in it, and no id.  The schema's version is raised when a key changes
its meaning or goes; new keys may come without.
"""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from privacy import population, verdict
from privacy.population import AuditConfig, Finding
from synth.base import checkpoint, runs
from synth.base.stats import Estimate

if TYPE_CHECKING:
    from privacy.audit import Data, Judged

SCHEMA, VERSION = "visionclip-privacy-report", 1
PROTOCOL = "visionclip-privacy/T1/1"
METRICS = {"auc": "AUC", "balanced_accuracy": "balanced accuracy", "mae": "MAE (years)", "r2": "R²"}
QUESTIONS = {
    "anyone": "What does it reveal about anyone?",
    "members": "What does it reveal about the patients it was trained on?",
    "copies": "Does it hold copies of their photographs?",
}
LATER = {
    "members": "needs --members and --nonmembers RECORDS (patients in training, and others of the same source); "
    "the attack arrives with visionclip 0.4",
    "copies": "needs --members and --nonmembers RECORDS and --synthetic FOLDER; the search arrives with visionclip 0.4",
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
    ("membership, attributes of members, completion, linkage, captions", "arrive with visionclip 0.4"),
)


def build(
    model: dict[str, Any], data: "Data | None", judged: "list[Judged]", config: AuditConfig, command: str
) -> dict[str, Any]:
    """The whole report as plain values."""
    tested = any(each.finding for each in judged) or any(
        each.reveals.word == verdict.INCONCLUSIVE for each in judged
    )
    return {
        "schema": {"name": SCHEMA, "version": VERSION},
        "protocol": PROTOCOL,
        "command": command,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": config.seed,
        "config": config.model_dump(),
        "versions": checkpoint.versions(),
        "model": model,
        "attackers": data._asdict() if data else None,
        "panels": _panels(judged),
        "attributes": [_attribute(each) for each in judged],
        "not_tested": [{"what": what, "why": why} for what, why in NOT_TESTED],
        "exit_status": 0 if tested else 4,
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


def _panels(judged: "list[Judged]") -> list[dict[str, str]]:
    words = [each.reveals.word for each in judged]
    order = (verdict.REVEALS, verdict.INVALID, verdict.INCONCLUSIVE, verdict.PASS, verdict.NOT_TESTABLE)
    panels = {"anyone": (next(word for word in order if word in words), verdict.CAPABILITY)}
    panels |= {key: (verdict.NOT_TESTABLE, why) for key, why in LATER.items()}
    if panels["anyone"][0] != verdict.REVEALS:
        panels["anyone"] = (panels["anyone"][0], judged[words.index(panels["anyone"][0])].reveals.why)
    return [
        {"key": key, "question": QUESTIONS[key], "verdict": word, "why": why}
        for key, (word, why) in panels.items()
    ]


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
