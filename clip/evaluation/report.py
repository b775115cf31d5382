"""The zero-shot report: `report.json` for machines, `report.html` for people, the same facts in both."""

from pathlib import Path
from typing import Any

from synth.base import runs

METRICS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "ACA",
    "macro_auc": "macro AUC",
    "kappa": "quadratic κ",
}
"""Key -> column heading."""


def write(out: Path, report: dict[str, Any]) -> None:
    """Write both files, each whole or not at all."""
    runs.write_json(out / "report.json", report)
    runs.write_text(out / "report.html", html(report))


def html(report: dict[str, Any]) -> str:
    """The page for people."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["estimate"] = estimate
    return environment.get_template("report.html.j2").render(report=report, metrics=METRICS)


def estimate(value: dict[str, float]) -> str:
    """`.812 (.774 to .850)`."""
    return f"{value['value']:.3f} ({value['low']:.3f} to {value['high']:.3f})"


def summary(report: dict[str, Any]) -> str:
    """One line per task and language, for a terminal."""
    lines = []
    for result in report["results"]:
        counts = ", ".join(f"{name} {size}" for name, size in result["classes"].items())
        lines.append(f"{result['name']}: {result['n']} photographs, {result['patients']} patients ({counts})")
        for lang, found in result["metrics"].items():
            cells = "  ".join(f"{METRICS[key]} {estimate(value)}" for key, value in found.items())
            lines.append(f"  {lang:9}{cells}")
        for row, found in result["without_pictures"].items():
            cells = "  ".join(f"{METRICS[key]} {value:.3f}" for key, value in found.items())
            lines.append(f"  {row:9}{cells}")
    return "\n".join(lines)
