"""ODIR-5K: `full_df.csv` and `preprocessed_images/{ID}_{left,right}.jpg`, or the challenge's own workbook and pictures.

The latter are `ODIR-5K_Training_Annotations….xlsx`, in copies `data.xlsx`, and a folder with `Training` in its name.

Labels come from the diagnostic keywords of each eye.  The eight flags belong to the patient, so an eye with
`normal fundus` may carry its fellow's; they are never read.  An eye that was read fully has a 0 for every
disease that its keywords do not name, except where the keywords leave it open:

- macular edema is not among the set's keywords, so it is unknown wherever there is retinopathy;
- a picture too poor to judge (`low image quality`, `refractive media opacity`, ...) tells nothing of what is not named;
- each keyword below may leave diseases open, for example `drusen` leaves age-related degeneration open.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from synth.data.vocabulary import FLAGS
from synth.sources.layouts import one_file
from synth.sources.pictures import Folder, Photo
from synth.sources.report import Report
from synth.sources.tables import Line, keyed, number, read_csv, read_xlsx

_DISEASES = ("dr_grade", *FLAGS)


class Reading(NamedTuple):
    """What one keyword says: labels with their value, findings, and the diseases that it leaves open."""

    labels: dict[str, int]
    findings: tuple[str, ...] = ()
    open: tuple[str, ...] = ()


def _grade(grade: int) -> Reading:
    return Reading({"dr_grade": grade}, open=("is_dme",))


_SOME_DR = Reading({}, open=("dr_grade", "is_dme"))
_LESION = Reading({}, ("lesion",))
_CHOROID = Reading({"is_crp": 1})
_MEMBRANE = Reading({"is_em": 1})
_NERVE = Reading({"is_aon": 1}, open=("is_gc",))
_AMD = Reading({"is_amd": 1})
_VEIN = Reading({"is_rvo": 1}, open=("is_dme",))
# Laser treats advanced retinopathy above all, so without a grade beside it the grade is unknown.
_LASER = Reading({}, ("laser_scars",), ("dr_grade", "is_dme"))
_GLAUCOMA = Reading({"is_gc": 1}, open=("is_aon",))
_POOR = Reading({"is_retinal_region_readable": 0}, open=_DISEASES)
_NO_FUNDUS = Reading({"is_fundus": 0}, open=_DISEASES)
_UNMAPPED = Reading({}, ("lesion",), _DISEASES)

NOTHING = ("normal fundus", "lens dust")
"""Keywords without a finding; dust lies in the camera."""

KEYWORDS = {
    **dict.fromkeys(NOTHING, Reading({})),
    "mild nonproliferative retinopathy": _grade(1),
    "moderate non proliferative retinopathy": _grade(2),
    "suspected moderate non proliferative retinopathy": _grade(2),
    "severe nonproliferative retinopathy": _grade(3),
    "proliferative diabetic retinopathy": _grade(4),
    "severe proliferative diabetic retinopathy": _grade(4),
    "diabetic retinopathy": _SOME_DR,
    "suspected diabetic retinopathy": _SOME_DR,
    "suspicious diabetic retinopathy": _SOME_DR,
    "intraretinal microvascular abnormality": Reading({}, ("lesion",), _SOME_DR.open),
    "suspected microvascular anomalies": Reading({}, ("lesion",), _SOME_DR.open),
    "diffuse retinal atrophy": Reading({}, ("lesion",), ("is_crp",)),
    "intraretinal hemorrhage": Reading({}, ("haemorrhage",), ("dr_grade", "is_dme", "is_rvo", "is_htr")),
    "cataract": Reading({}, ("cataract",)),
    "suspected cataract": Reading({}, ("cataract",)),
    "glaucoma": _GLAUCOMA,
    "suspected glaucoma": _GLAUCOMA,
    "dry age-related macular degeneration": _AMD,
    "wet age-related macular degeneration": _AMD,
    "age-related macular degeneration": _AMD,
    "drusen": Reading({}, ("drusen",), ("is_amd",)),
    "pathological myopia": Reading({"is_pm": 1}, open=("is_dm", "is_crp", "is_aon")),
    "myopic maculopathy": Reading({"is_pm": 1}, open=("is_dm", "is_crp", "is_aon")),
    "myopia retinopathy": Reading({"is_pm": 1}, open=("is_dm", "is_crp", "is_aon")),
    "hypertensive retinopathy": Reading({"is_htr": 1}),
    "arteriosclerosis": Reading({}, ("lesion",), ("is_htr",)),
    "epiretinal membrane": _MEMBRANE,
    "macular epiretinal membrane": _MEMBRANE,
    "epiretinal membrane over the macula": _MEMBRANE,
    "suspected macular epimacular membrane": _MEMBRANE,
    "optic disk epiretinal membrane": Reading({}, ("lesion",), ("is_em", "is_aon")),
    "spotted membranous change": Reading({}, ("lesion",), ("is_em",)),
    "branch retinal vein occlusion": _VEIN,
    "old branch retinal vein occlusion": _VEIN,
    "central retinal vein occlusion": _VEIN,
    "old central retinal vein occlusion": _VEIN,
    "branch retinal artery occlusion": Reading({}, ("artery_occlusion",)),
    "central retinal artery occlusion": Reading({}, ("artery_occlusion",)),
    "macular edema": Reading({}, ("macular_edema",), ("is_dme",)),
    "maculopathy": Reading({}, ("macular_disease",), ("is_amd", "is_dme", "is_crp")),
    "macular hole": Reading({}, ("macular_hole",)),
    "central serous chorioretinopathy": Reading({"is_crp": 1}, ("central_serous",)),
    "retinitis pigmentosa": Reading({}, ("retinitis_pigmentosa",)),
    "retinal detachment": Reading({}, ("retinal_detachment",)),
    "rhegmatogenous retinal detachment": Reading({}, ("retinal_detachment",)),
    "myelinated nerve fibers": Reading({}, ("myelinated_fibers",)),
    "tessellated fundus": Reading({}, ("tessellation",)),
    "asteroid hyalosis": Reading({}, ("asteroid_hyalosis",)),
    "laser spot": _LASER,
    "post laser photocoagulation": _LASER,
    "post retinal laser surgery": _LASER,
    "fundus laser photocoagulation spots": _LASER,
    "vitreous degeneration": Reading({}, ("media_haze",)),
    "vitreous opacity": Reading({}, ("media_haze",)),
    "refractive media opacity": Reading({}, ("media_haze",), _DISEASES),
    "silicone oil eye": Reading({}, ("lesion",), _DISEASES),
    "low image quality": _POOR,
    "image offset": Reading({}, open=_DISEASES),
    "optic disk photographically invisible": Reading({"is_optic_disc_readable": 0}, open=("is_gc", "is_aon")),
    "no fundus image": _NO_FUNDUS,
    "anterior segment image": _NO_FUNDUS,
    "optic nerve atrophy": _NERVE,
    "morning glory syndrome": _NERVE,
    "optic discitis": _NERVE,
    "glial remnants anterior to the optic disc": _NERVE,
    "optic disc edema": Reading({"is_aon": 1}, ("disc_swelling",)),
    "suspected abnormal color of optic disc": Reading({}, ("lesion",), ("is_aon", "is_gc")),
    "chorioretinal atrophy": _CHOROID,
    "diffuse chorioretinal atrophy": _CHOROID,
    "chorioretinal atrophy with pigmentation proliferation": _CHOROID,
    "old chorioretinopathy": _CHOROID,
    "old choroiditis": _CHOROID,
    "retinochoroidal coloboma": _CHOROID,
    "congenital choroidal coloboma": _CHOROID,
    "punctate inner choroidopathy": _CHOROID,
    "macular coloboma": Reading({"is_crp": 1}, ("macular_disease",)),
    "idiopathic choroidal neovascularization": Reading({}, ("neovascularization",), ("is_amd", "is_crp")),
    **dict.fromkeys(
        ("white vessel", "retinal pigmentation", "vessel tortuosity", "abnormal pigment", "retina fold",
         "depigmentation of the retinal pigment epithelium", "retinal pigment epithelial hypertrophy",
         "pigment epithelium proliferation", "retinal pigment epithelium atrophy", "wedge white line change",
         "suspected retinal vascular sheathing", "retinal vascular sheathing"), _LESION),
    **dict.fromkeys(
        ("peripapillary atrophy", "atrophic change", "atrophy", "oval yellow-white atrophy"),
        Reading({}, ("lesion",), ("is_crp", "is_dm", "is_pm"))),
}  # fmt: skip


def photos(root: Path, report: Report) -> Iterator[Photo]:
    """Every eye of every patient that has a picture."""
    table = one_file(root, "full_df.csv", "ODIR-5K_Training_Annotations*.[xc][ls][sv]*", "data.xlsx")
    sides = ("left", "right")
    needed = [f"{side.title()}-{what}" for side in sides for what in ("Fundus", "Diagnostic Keywords")]
    needed += ["Patient Age", "Patient Sex"]
    lines = (read_xlsx if table.suffix == ".xlsx" else read_csv)(table, ["ID", *needed])
    patients = keyed(
        ((line["ID"], line) for line in lines), needed
    )  # the table repeats a patient's line for each eye
    report.total = 2 * len(patients)
    own = table.name == "full_df.csv"
    folder = Folder(table.parent / "preprocessed_images") if own else Folder(table.parent, within="train")
    names = ((line[f"{side.title()}-Fundus"], line.where) for line in patients.values() for side in sides)
    found = iter(folder.find(names, report))
    for patient, line in patients.items():
        known = _person(line, f"{table}: ID {patient}", report)
        for side, path in zip(sides, found, strict=False):
            if path:
                labels = read_keywords(line[f"{side.title()}-Diagnostic Keywords"], report)
                yield folder.photo(path, line.where, subject_id=patient, eye_side=side, **known, **labels)
    folder.drop_unused(report)


def _person(line: Line, where: str, report: Report) -> dict[str, Any]:
    age = number(line["Patient Age"], f"{where}: Patient Age")
    if age is not None and age < 2:  # a placeholder: nobody else in the set is younger than 14
        report.note("patients of age 0 or 1, kept as unknown")
        age = None
    return {"age": age, "sex": {"Female": "F", "Male": "M"}.get(line["Patient Sex"])}


def read_keywords(text: str, report: Report) -> dict[str, Any]:
    """The labels of one eye from its keywords, which commas separate, mostly full-width ones."""
    keywords = [
        " ".join(word.split()).lower() for word in text.replace(",", "，").split("，") if word.strip()
    ]
    readings = []
    for keyword in keywords:
        if keyword not in KEYWORDS:
            report.note(f"keyword '{keyword}' is not mapped, kept as 'other lesion'")
        readings.append(KEYWORDS.get(keyword, _UNMAPPED))
    labels: dict[str, Any] = dict.fromkeys(_DISEASES, 0 if readings else None)
    for reading in readings:
        labels |= dict.fromkeys(reading.open)
    for (
        reading
    ) in readings:  # what is named wins over what another keyword leaves open; the worst grade counts
        for key, value in reading.labels.items():
            labels[key] = max(value, labels.get(key) or 0)
    if labels.get("is_fundus") == 0:
        labels["modality"] = None
    findings = {finding for reading in readings for finding in reading.findings}
    full = readings and not any(set(_DISEASES) <= set(reading.open) for reading in readings)
    labels["findings"] = sorted(findings) if findings or full else None
    return labels
