"""RFMiD: `RFMiD_{Training,Validation,Testing}_Labels.csv` and the pictures of each part.

The numbers of the pictures start again in every part, so the part goes into the id; patients are not told.
Retinopathy has no grade.  Glaucoma, hypertensive retinopathy and diabetic edema are not among the set's labels: they
are absent where the set finds nothing at all (`Disease_Risk` 0), else unknown.  `MYA` counts as pathologic
myopia, as other users of the set take it.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synth.base.errors import UserError
from synth.data.vocabulary import FLAGS
from synth.sources.pictures import Folder, Photo
from synth.sources.report import Report
from synth.sources.tables import Line, read_csv, whole

_DISEASES = {
    "is_amd": ("ARMD",),
    "is_aon": ("ODP", "ODE", "AION", "ODPM", "TD", "ST"),
    "is_crp": ("CSR", "CRS", "PTCR", "CF", "CB"),
    "is_em": ("ERM",),
    "is_pm": ("MYA",),
    "is_rvo": ("BRVO", "CRVO"),
}
_FINDINGS = {
    "MH": "media_haze", "DN": "drusen", "TSLN": "tessellation", "LS": "laser_scars", "MS": "macular_disease",
    "CSR": "central_serous", "ODC": "large_cup", "AH": "asteroid_hyalosis", "ODE": "disc_swelling",
    "EDN": "exudate", "MHL": "macular_hole", "RP": "retinitis_pigmentosa", "CWS": "cotton_wool_spot",
    "ODPM": "macular_disease", "PRH": "haemorrhage", "MNF": "myelinated_fibers", "HR": "haemorrhage",
    "CRAO": "artery_occlusion", "BRAO": "artery_occlusion", "CME": "macular_edema", "VH": "haemorrhage",
    **dict.fromkeys(("TV", "PT", "RT", "RS", "RPEC", "MCA", "VS", "PLQ", "HPED", "CL", "OTHER"), "lesion"),
}  # fmt: skip
_FOLDERS = {"training": "train", "validation": "valid|eval", "testing": "test"}


def photos(root: Path, report: Report) -> Iterator[Photo]:
    """Every picture of every part whose table is there."""
    tables = sorted(root.rglob("*RFMiD_*_Labels.csv"))
    if not tables:
        raise UserError(f"{root}: no RFMiD_Training_Labels.csv below it; is --root the folder of this set?")
    for table in tables:
        part = re.sub(r".*RFMiD_(.*)_Labels", r"\1", table.stem).lower()
        lines = read_csv(table, ["ID", "Disease_Risk", "DR", "ARMD", "MYA", "BRVO"])
        report.total = (report.total or 0) + len(lines)
        folder = Folder(root, within=_FOLDERS.get(part, part))
        found = folder.find(((line["ID"], line.where) for line in lines), report)
        for line, path in zip(lines, found, strict=True):
            if path:
                labels = _labels(line, f"{table}: {line['ID']}", report)
                yield folder.photo(path, line.where, id=f"{part}-{folder.identity(path)}", **labels)
        folder.drop_unused(report)


def _labels(line: Line, where: str, report: Report) -> dict[str, Any]:
    marks = {key: whole(text, (0, 1), f"{where}: {key}") for key, text in line.items() if key != "ID"}
    if marks["Disease_Risk"] == 0:
        return {"dr_grade": 0, **dict.fromkeys(FLAGS, 0), "findings": []}
    labels: dict[str, Any] = {
        key: int(any(marks.get(mark) for mark in known)) for key, known in _DISEASES.items()
    }
    labels["dr_grade"] = 0 if marks["DR"] == 0 else None
    if marks["DR"]:
        report.note("retinopathy without a grade (DR)")
    elif not marks.get("CME"):
        labels["is_dme"] = 0
    labels["is_dm"] = None if marks["MYA"] else 0
    labels["findings"] = [finding for mark, finding in _FINDINGS.items() if marks.get(mark)]
    return labels
