"""PAPILA: `ClinicalData/patient_data_{od,os}.xlsx` (or `.csv`) and `FundusImages/RET{patient}{OD,OS}.jpg`.

Age and sex per patient; per eye 0 healthy, 1 glaucoma, 2 suspect, which is left unknown.
"""

from collections.abc import Iterator
from pathlib import Path

from synth.sources.pictures import Folder, Photo
from synth.sources.report import Report
from synth.sources.tables import Line, keyed, number, read_csv, read_xlsx, whole


def photos(root: Path, report: Report) -> Iterator[Photo]:
    """Every eye of the two tables; their first column, which has no name, holds patients such as `#002`."""
    folder = Folder(root / "FundusImages")
    eyes = [
        (table, side, eye, line)
        for eye, side in (("OD", "right"), ("OS", "left"))
        for table, line in _patients(root / "ClinicalData" / f"patient_data_{eye.lower()}.csv")
    ]
    report.total = len(eyes)
    found = folder.find(((f"RET{line.cells[0][1:]}{eye}", line.where) for _, _, eye, line in eyes), report)
    for (table, side, _, line), path in zip(eyes, found, strict=True):
        if path is None:
            continue
        where = f"{table}: {line.cells[0]}"
        diagnosis = whole(line["Diagnosis"], range(3), f"{where}: Diagnosis")
        sex = whole(line["Gender"], (0, 1), f"{where}: Gender")
        if diagnosis == 2:
            report.note("suspected glaucoma, kept as unknown")
        yield folder.photo(
            path,
            line.where,
            subject_id=line.cells[0][1:],
            eye_side=side,
            is_gc=None if diagnosis == 2 else diagnosis,
            age=number(line["Age"], f"{where}: Age"),
            sex=None if sex is None else "MF"[sex],
        )
    folder.drop_unused(report)


def _patients(table: Path) -> Iterator[tuple[Path, Line]]:
    """A line for each patient of a table, or of the Excel file beside which it was exported."""
    needed = ["Age", "Gender", "Diagnosis"]
    if table.exists():
        lines = read_csv(table, needed)
    else:
        table = table.with_suffix(".xlsx")
        lines = read_xlsx(table, needed)
    patients = keyed(((line.cells[0], line) for line in lines if line.cells[0].startswith("#")), needed)
    for line in patients.values():
        yield table, line
