"""The report: `report.json` for machines, `report.html` and `report.zh.html` for people, `label.svg` for a cover."""

from pathlib import Path
from typing import Any

from privacy.report.contents import build
from privacy.report.page import LANGUAGES, html, label, summary
from synth.base import runs

__all__ = ["build", "html", "label", "summary", "write"]


def write(out: Path, report: dict[str, Any]) -> dict[str, Any]:
    """Write every file, each whole or not at all; returns the report."""
    runs.write_json(out / "report.json", report)
    for language, name in LANGUAGES.items():
        runs.write_text(out / name, html(report, language))
    runs.write_text(out / "label.svg", label(report))
    return report
