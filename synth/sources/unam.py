"""UNAM, IMO, APEC and INDEREB (Mexico): fundus photographs and macular OCT of the same eyes.

`EYE FUNDUS.csv` and `OCT.csv` with a folder of pictures each; patient and eye are in the name
`{patient}_{eye}_{f|o}_{number}`, OD right and OI left; two names stand in both tables, and the OCT of these is `{name}-oct`.
DR is 0, NPDR (its grade is not told), PDR or unknown.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synth.base.errors import UserError
from synth.sources.pictures import Folder, Photo
from synth.sources.report import Report
from synth.sources.tables import Line, read_csv, whole

_GRADES = {"0": 0, "PDR": 4, "NPDR": None, "-": None, "": None}
_SIDES = {"OD": "right", "OI": "left"}


def photos(root: Path, report: Report) -> Iterator[Photo]:
    """Every photograph and every OCT that has a picture."""
    photographs: set[str] = set()
    for name, modality in (("EYE FUNDUS", "cfp"), ("OCT", "oct")):
        table = root / f"{name}.csv"
        lines = read_csv(table, ["Name", "DME", "DR"])
        report.total = (report.total or 0) + len(lines)
        folder = Folder(root / name)
        found = folder.find(((line["Name"], line.where) for line in lines), report)
        for line, path in zip(lines, found, strict=True):
            labels = _labels(line, f"{table}: {line['Name']}")
            if path:
                if line["DR"] == "NPDR":
                    report.note("retinopathy without a grade (NPDR)")
                identity = line["Name"]
                if modality == "cfp":
                    photographs.add(identity)
                elif identity in photographs:
                    identity += "-oct"
                yield folder.photo(path, line.where, id=identity, modality=modality, **labels)
        folder.drop_unused(report)


def _labels(line: Line, where: str) -> dict[str, Any]:
    patient, _, rest = line["Name"].partition("_")
    side = _SIDES.get(rest.split("_")[0].upper())
    if line["DR"] not in _GRADES:
        known = ", ".join(grade for grade in _GRADES if grade)
        raise UserError(f"{where}: DR='{line['DR']}' is outside the vocabulary; known: {known}")
    edema = whole(line["DME"], (0, 1), f"{where}: DME")
    return {"subject_id": patient, "eye_side": side, "dr_grade": _GRADES[line["DR"]], "is_dme": edema}
