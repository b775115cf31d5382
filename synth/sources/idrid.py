"""IDRiD, disease grading: `labels.csv` and `images/`, or the set's own `B. Disease Grading` folders.

The risk of macular edema is 0 without hard exudates, 1 with some farther than one disc diameter from the
centre of the macula, 2 with some nearer.  2 is `is_dme` 1; 1 is left unknown, because scales disagree about it
(mild edema on the international scale, not yet clinically significant on that of the ETDRS).  Patients are not
told, so every picture stands alone.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synth.sources.pictures import Folder, Photo
from synth.sources.report import Report
from synth.sources.tables import Line, read_csv, whole

IMAGE, GRADE, RISK = "Image name", "Retinopathy grade", "Risk of macular edema"


def photos(root: Path, report: Report) -> Iterator[Photo]:
    """Every graded picture; those of the test part carry `test` in their id."""
    own = sorted(root.rglob("*IDRiD_Disease Grading*Labels.csv"))
    if own:
        for table in own:
            test = "Testing" in table.name
            part = (
                table.parent.parent if root in table.parent.parents else root
            )  # other parts hold the same names
            pictures = Folder(part, within="testing set" if test else "training set")
            yield from graded(table, pictures, report, "test" if test else "")
        return
    yield from graded(root / "labels.csv", Folder(root / "images"), report)


def graded(table: Path, pictures: Folder, report: Report, suffix: str = "") -> Iterator[Photo]:
    """The pictures of one table of the set, under either naming of its columns."""
    lines = read_csv(table)
    image, grade = ("id_code", "diagnosis") if "id_code" in lines[0] else (IMAGE, GRADE)
    lines = read_csv(table, [image, grade, RISK])
    report.total = (report.total or 0) + len(lines)
    found = pictures.find(((line[image], line.where) for line in lines), report)
    for line, path in zip(lines, found, strict=True):
        if path:
            where = f"{table}: {line[image]}"
            labels = {"dr_grade": whole(line[grade], range(5), f"{where}: {grade}"), **edema(line, where)}
            yield pictures.photo(path, line.where, id=pictures.identity(path) + suffix, **labels)
    pictures.drop_unused(report)


def edema(line: Line, where: str) -> dict[str, Any]:
    """`is_dme` and the exudates behind it, from the risk of macular edema."""
    risk = whole(line[RISK], range(3), f"{where}: {RISK}")
    return {
        "is_dme": None if risk is None else (0, None, 1)[risk],
        "findings": ["exudate"] if risk else None,
    }
