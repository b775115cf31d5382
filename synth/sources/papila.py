"""PAPILA: `ClinicalData/patient_data_{od,os}.xlsx` (or `.csv`) and `FundusImages/RET{patient}{OD,OS}.jpg`.

Age and sex per patient; per eye 0 healthy, 1 glaucoma, 2 suspect, which is left unknown.
"""

from collections.abc import Iterator
from pathlib import Path

from synth.sources.pictures import Folder, Photo, photo
from synth.sources.report import Report
from synth.sources.tables import number, read_csv, read_xlsx, whole


def photos(root: Path, report: Report) -> Iterator[Photo]:
    """Every eye of the two tables; their first column, which has no name, holds patients such as `#002`."""
    folder = Folder(root / "FundusImages")
    for eye, side in (("OD", "right"), ("OS", "left")):
        table = root / "ClinicalData" / f"patient_data_{eye.lower()}.csv"
        needed = ["Age", "Gender", "Diagnosis"]
        if table.exists():
            lines = read_csv(table, needed)
        else:
            table = table.with_suffix(".xlsx")
            lines = read_xlsx(table, needed)
        patients = {next(iter(line.values())): line for line in lines}
        patients = {who: line for who, line in patients.items() if who.startswith("#")}
        report.total = (report.total or 0) + len(patients)
        for patient, line in patients.items():
            path = folder.find(f"RET{patient[1:]}{eye}", report)
            if path is None:
                continue
            where = f"{table}: {patient}"
            diagnosis = whole(line["Diagnosis"], range(3), f"{where}: Diagnosis")
            sex = whole(line["Gender"], (0, 1), f"{where}: Gender")
            if diagnosis == 2:
                report.note("suspected glaucoma, kept as unknown")
            yield photo(
                path,
                subject_id=patient[1:],
                eye_side=side,
                is_gc=None if diagnosis == 2 else diagnosis,
                age=number(line["Age"], f"{where}: Age"),
                sex=None if sex is None else "MF"[sex],
            )
    folder.drop_unused(report)
