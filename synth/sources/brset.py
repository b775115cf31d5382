"""BRSET (Brazil): `labels_brset.csv`, or `labels.csv` in copies and older versions, and a folder of pictures.

Both eyes, age, sex, diseases, quality.  The table may lie two folders below, as in `brazilian-ophthalmological/1.0.1/`.

What the set's words leave open stays unknown: a `vascular_occlusion` may be of a vein or an artery, a
`myopic_fundus` may be pathologic or not, an increased cup is no diagnosis of glaucoma, and edema of the macula
without retinopathy is not the diabetic one.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synth.sources.layouts import one_file
from synth.sources.pictures import Folder, Photo
from synth.sources.report import Report
from synth.sources.tables import Line, number, read_csv, whole

_FINDINGS = {
    "drusens": "drusen",
    "hemorrhage": "haemorrhage",
    "scar": "lesion",
    "nevus": "lesion",
    "other": "lesion",
    "retinal_detachment": "retinal_detachment",
    "increased_cup_disc": "large_cup",
}
_DISEASES = ("macular_edema", "amd", "vascular_occlusion", "hypertensive_retinopathy", "myopic_fundus")
_ABOUT = ("image_id", "patient_id", "patient_age", "patient_sex", "exam_eye", "DR_ICDR")


def photos(root: Path, report: Report) -> Iterator[Photo]:
    """Every picture of the table."""
    table = one_file(root, "labels_brset.csv", "labels.csv")
    lines = read_csv(table, [*_ABOUT, *_DISEASES, *_FINDINGS])
    report.total = len(lines)
    folder = Folder(table.parent)
    found = folder.find(((line["image_id"], line.where) for line in lines), report)
    for line, path in zip(lines, found, strict=True):
        if path:
            where = f"{table}: {line['image_id']}"
            yield folder.photo(path, line.where, **_person(line, where), **_labels(line, where))
    folder.drop_unused(report)


def _person(line: Line, where: str) -> dict[str, Any]:
    sex = whole(line["patient_sex"], (1, 2), f"{where}: patient_sex")
    eye = whole(line["exam_eye"], (1, 2), f"{where}: exam_eye")
    return {
        "subject_id": line["patient_id"],
        "age": number(line["patient_age"].rstrip("+"), f"{where}: patient_age"),
        "sex": sex and "MF"[sex - 1],
        "eye_side": eye and ("right", "left")[eye - 1],
    }


def _labels(line: Line, where: str) -> dict[str, Any]:
    flags = {key: whole(line[key], (0, 1), f"{where}: {key}") for key in (*_DISEASES, *_FINDINGS)}
    grade = whole(line["DR_ICDR"], range(5), f"{where}: DR_ICDR")
    edema = flags["macular_edema"]
    findings = {finding for key, finding in _FINDINGS.items() if flags[key]}
    if edema and not grade:
        edema = None
        findings.add("macular_edema")
    known = all(flags[key] is not None for key in _FINDINGS)
    quality = {"adequate": 1, "inadequate": 0}.get(line.get("quality", "").lower())
    return {
        "dr_grade": grade,
        "is_dme": edema,
        "is_amd": flags["amd"],
        "is_htr": flags["hypertensive_retinopathy"],
        "is_rvo": 0 if flags["vascular_occlusion"] == 0 else None,
        "is_pm": 0 if flags["myopic_fundus"] == 0 else None,
        "is_dm": 0 if flags["myopic_fundus"] == 0 else None,
        "is_retinal_region_readable": quality,
        "findings": list(findings) if findings or known else None,
    }
