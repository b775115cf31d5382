"""The report: `report.json` for machines, `report.html` and `report.zh.html` for people, `label.svg` for a cover."""

from pathlib import Path

from privacy.report.contents import build
from privacy.report.page import LANGUAGES, html, label, summary
from privacy.report.schema import AuditReport
from synth.base import checksums, runs

__all__ = ["AuditReport", "build", "html", "label", "summary", "write"]


def write(out: Path, report: AuditReport) -> AuditReport:
    """Write every file, each whole or not at all; returns the report."""
    checksums.write_json(out / "report.json", report.as_json())
    for language, name in LANGUAGES.items():
        runs.write_text(out / name, html(report, language))
    runs.write_text(out / "label.svg", label(report))
    return report
