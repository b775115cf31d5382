"""From models that are judged one by one to the files of `clip eval`."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from clip.evaluation import comparison, report
from clip.evaluation.tables import Comparison
from clip.evaluation.tasks import Evaluated


class Written(NamedTuple):
    """What was written, for machines and for people."""

    content: dict[str, Any]
    """Of `report.json`, or of `comparison.json`."""
    text: str


def run(evaluated: Iterable[Evaluated], out: Path, command: str, several: bool) -> Written:
    """Write each report as it comes: one to `out`; several to folders of it, and a comparison of them beside these."""
    reports = []
    for each in evaluated:
        reports.append((each.model, each.report))
        report.write(out / each.place if several else out, each.report)
    if not several:
        [(_, single)] = reports
        return Written(single.as_json(), f"{report.summary(single)}\nreport: {out / 'report.html'}")
    compared = comparison.compare(reports, command)
    comparison.write(out, compared)
    return of_comparison(compared, out)


def of_comparison(compared: Comparison, out: Path) -> Written:
    """What is printed of a comparison whose files are in `out`."""
    text = f"{comparison.markdown(compared)}\ntables: {out / 'comparison.html'}"
    return Written(compared.model_dump(mode="json"), text)


def compare(paths: Sequence[Path], out: Path, command: str) -> Written:
    """Compare finished reports, and write the tables and their pictures.

    Raises:
        UserError: as `finished.opened` and `finished.compare`.
    """
    from clip.evaluation import finished

    compared = finished.compare(finished.opened(paths), command)
    comparison.write(out, compared)
    return of_comparison(compared, out)
