"""Hillel Yaffe Glaucoma Dataset: `Labels.csv` and `Images/`; glaucomatous optic neuropathy or none."""

from collections.abc import Iterator
from pathlib import Path

from synth.base.errors import UserError
from synth.sources.pictures import Folder, Photo
from synth.sources.report import Report
from synth.sources.tables import read_csv

_LABELS = {"GON+": 1, "GON-": 0}


def photos(root: Path, report: Report) -> Iterator[Photo]:
    """Every picture of the table; the score of quality has no threshold in the set, so readability is unknown."""
    table = root / "Labels.csv"
    lines = read_csv(table, ["Image Name", "Patient", "Label"])
    report.total = len(lines)
    folder = Folder(root / "Images")
    found = folder.find(((line["Image Name"], line.where) for line in lines), report)
    for line, path in zip(lines, found, strict=True):
        if line["Label"] not in _LABELS:
            raise UserError(
                f"{table}: {line['Image Name']}: Label='{line['Label']}' is outside the vocabulary; "
                f"known: {', '.join(_LABELS)}"
            )
        if path:
            yield folder.photo(path, line.where, subject_id=line["Patient"], is_gc=_LABELS[line["Label"]])
    folder.drop_unused(report)
