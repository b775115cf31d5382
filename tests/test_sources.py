"""Public sets in their own layouts, drawn small; and the real ones where VISIONCLIP_DATA points to them."""

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from synth.base.errors import UserError
from synth.data import captions
from synth.data.pictures import Pictures
from synth.data.records import LABELS, read_table
from synth.data.vocabulary import FLAGS, READABILITY_KEYS
from synth.sources import SOURCES
from synth.sources.importing import import_source
from synth.sources.odir5k import KEYWORDS, read_keywords
from synth.sources.report import Report

ALL_ABSENT = {"dr_grade": 0, **dict.fromkeys(FLAGS, 0)}


def picture(tag, size=24, kind="JPEG"):
    """The bytes of a small picture, another for every tag."""
    rng = np.random.default_rng(list(str(tag).encode()))
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (size, size, 3), np.uint8)).save(buffer, kind)
    return buffer.getvalue()


def draw(folder, *names):
    """Small pictures in a folder; the name is the tag."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        kind = {".png": "PNG", ".tif": "TIFF"}.get(Path(name).suffix, "JPEG")
        (folder / name).write_bytes(picture(name, kind=kind))


def table(path, *lines, separator=","):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=separator).writerows(lines)


def load(name, root, **options):
    """Import a set; its report and its rows by id."""
    result = import_source(name, root, root.with_name("records"), **options)
    rows = read_table(root.with_name("records")).to_pylist()
    assert result["kept"] == len(rows)
    return result, {row["id"]: row for row in rows}


def labels(row, *keys):
    return tuple(row[key] for key in keys)


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    return folder


def odir(root, *patients):
    header = ["ID", "Patient Age", "Patient Sex", "Left-Fundus", "Right-Fundus"]
    header += ["Left-Diagnostic Keywords", "Right-Diagnostic Keywords", "Normal ", "Glaucoma"]
    lines = [
        [i, age, sex, f"{i}_left.jpg", f"{i}_right.jpg", left, right, 0, 1]
        for i, age, sex, left, right in patients
    ]
    table(root / "full_df.csv", header, *lines, *lines)  # the set repeats a line for each eye
    for line in lines:
        draw(root / "preprocessed_images", line[3], line[4])


def test_an_odir_eye_has_its_own_keywords_and_not_its_patients_flags(root):
    odir(
        root,
        (7, 61, "Female", "normal fundus", "glaucoma，moderate non proliferative retinopathy"),
        (8, 1, "Male", "low image quality", "normal fundus，lens dust"),
    )
    result, rows = load("odir5k", root)
    left, right, poor, dusty = (rows[f"odir5k-{name}"] for name in ("7_left", "7_right", "8_left", "8_right"))
    assert {key: left[key] for key in ALL_ABSENT} == ALL_ABSENT and left["findings"] == []
    assert labels(right, "dr_grade", "is_gc", "is_amd", "is_dme", "is_aon") == (2, 1, 0, None, None)
    assert labels(left, "age", "sex", "eye_side", "subject_id") == (61.0, "F", "left", "odir5k-7")
    assert labels(right, "eye_side", "subject_id", "source") == ("right", "odir5k-7", "odir5k")
    assert labels(poor, "is_retinal_region_readable", "dr_grade", "is_gc", "findings", "age") == (
        0, None, None, None, None
    )  # fmt: skip
    assert {key: dusty[key] for key in ALL_ABSENT} == ALL_ABSENT
    assert (result["kept"], result["dropped"], result["listed"]) == (4, 0, 4)


def test_findings_of_odir_have_one_order_in_every_process():
    """Else a repeated import takes its own labels for others."""
    written = {
        tuple(read_keywords(text, Report("odir5k"))["findings"])
        for text in ("drusen，cataract", "cataract，drusen")
    }
    assert written == {("cataract", "drusen")}


@pytest.mark.parametrize(
    "keywords, expected",
    [
        ("mild nonproliferative retinopathy", {"dr_grade": 1, "is_dme": None, "findings": []}),
        ("severe nonproliferative retinopathy, laser spot", {"dr_grade": 3, "findings": ["laser_scars"]}),
        ("severe proliferative diabetic retinopathy", {"dr_grade": 4}),
        ("suspected diabetic retinopathy", {"dr_grade": None, "is_gc": 0}),
        ("laser spot", {"dr_grade": None, "findings": ["laser_scars"]}),
        ("cataract", {"dr_grade": 0, "is_gc": 0, "findings": ["cataract"]}),
        ("drusen", {"is_amd": None, "findings": ["drusen"]}),
        ("drusen，wet age-related macular degeneration", {"is_amd": 1, "findings": ["drusen"]}),
        ("refractive media opacity", {"is_gc": None, "findings": ["media_haze"]}),
        ("anterior segment image", {"is_fundus": 0, "modality": None, "dr_grade": None, "findings": None}),
        ("", {"dr_grade": None, "is_gc": None, "findings": None}),
    ],
)
def test_keywords_say_this_and_leave_that_open(keywords, expected):
    found = read_keywords(keywords, Report("odir5k"))
    assert {key: found[key] for key in expected} == expected


def test_a_keyword_nobody_mapped_is_reported_and_makes_no_eye_normal():
    report = Report("odir5k")
    found = read_keywords("frosted branch angiitis", report)
    assert found["findings"] == ["lesion"] and found["is_gc"] is None
    assert list(report.notes) == ["keyword 'frosted branch angiitis' is not mapped, kept as 'other lesion'"]


def test_idrid_reads_the_grades_and_leaves_the_middle_risk_open(root):
    header = ["id_code", "diagnosis", "Risk of macular edema "]
    table(root / "labels.csv", header, ["IDRiD_001", 0, 0], ["IDRiD_002", 2, 1], ["IDRiD_002test", 4, 2])
    draw(root / "images", "IDRiD_001.jpg", "IDRiD_002.jpg", "IDRiD_002test.jpg")
    _, rows = load("idrid", root)
    found = [
        labels(rows[f"idrid-IDRiD_{i}"], "dr_grade", "is_dme", "findings") for i in ("001", "002", "002test")
    ]
    assert found == [(0, 0, None), (2, None, ["exudate"]), (4, 1, ["exudate"])]


def test_idrid_in_its_original_folders_gives_the_same_ids(root):
    header = ["Image name", "Retinopathy grade", "Risk of macular edema "]
    for letter, part, grade in (("a", "Training", 1), ("b", "Testing", 3)):
        name = f"{letter}. IDRiD_Disease Grading_{part} Labels.csv"
        table(root / "2. Groundtruths" / name, header, ["IDRiD_001", grade, 0])
        folder = root / "1. Original Images" / f"{letter}. {part} Set"
        folder.mkdir(parents=True)
        (folder / "IDRiD_001.jpg").write_bytes(picture(part))
    _, rows = load("idrid", root)
    assert {key: row["dr_grade"] for key, row in rows.items()} == {
        "idrid-IDRiD_001": 1,
        "idrid-IDRiD_001test": 3,
    }


def test_hygd_keeps_the_patient_and_the_neuropathy(root):
    table(
        root / "Labels.csv",
        ["Image Name", "Patient", "Label", "Quality Score"],
        ["0_0.jpg", 0, "GON+", 6.1],
        ["1_0.jpg", 1, "GON-", 5],
        ["1_1.jpg", 1, "GON-", 5],
    )
    draw(root / "Images", "0_0.jpg", "1_0.jpg", "1_1.jpg", "9_9.jpg")
    result, rows = load("hygd", root)
    assert [labels(row, "is_gc", "subject_id") for _, row in sorted(rows.items())] == [
        (1, "hygd-0"),
        (0, "hygd-1"),
        (0, "hygd-1"),
    ]
    assert result["reasons"] == {"picture without a line in the table": {"count": 1, "files": ["9_9.jpg"]}}


def test_hei_med_tells_race_sex_and_the_largest_age(root):
    draw(root / "DMED", "(00000003).jpg", "(00000005).jpg", "(00000007).jpg")
    for name, sex, race, birth in (("3", "F", "AFRICAN", "01/01/1955"), ("5", "O", "UNKNOWN", "01/01/2007")):
        (root / "DMED" / f"(0000000{name}).meta").write_text(
            f"~ImageName:~(0000000{name}).jpg\r\n~PatientGender~{sex}\r\n"
            f"~PatientRace~{race}\r\n~PatientDOB~{birth}\r\n\r\n"
        )
    result, rows = load("hei-med", root)
    assert labels(rows["hei-med-00000003"], "age", "sex", "race") == (55.0, "F", "african")
    assert labels(rows["hei-med-00000005"], "age", "sex", "race", "dr_grade") == (None,) * 4
    assert result["reasons"]["picture without a .meta file"]["files"] == ["(00000007).jpg"]


def test_unam_pairs_photographs_with_oct_and_leaves_npdr_ungraded(root):
    header = ["Name", "DME", "DR", "Size", "Format"]
    table(
        root / "EYE FUNDUS.csv",
        header,
        ["12_OD_f_1", 1, "PDR", "", "jpg"],
        ["12_OI_f_1", 0, "NPDR", "", "jpg"],
    )
    table(root / "OCT.csv", header, ["12_od_o_1", 1, "-", "", "jpg"])
    draw(root / "EYE FUNDUS" / "EYE FUNDUS1", "12_OD_f_1.jpg", "12_OI_f_1.jpg")
    draw(root / "OCT" / "OCT1", "12_od_o_1.jpg")
    result, rows = load("unam", root)
    keys = ("modality", "eye_side", "dr_grade", "is_dme", "subject_id")
    assert [labels(row, *keys) for _, row in sorted(rows.items())] == [
        ("cfp", "right", 4, 1, "unam-12"),
        ("cfp", "left", None, 0, "unam-12"),
        ("oct", "right", None, 1, "unam-12"),
    ]
    assert result["notes"] == {"retinopathy without a grade (NPDR)": 1}


SYNTHETIC = ["dr_grade", *FLAGS, *READABILITY_KEYS]


@pytest.mark.parametrize("separator", [",", "\t"])
@pytest.mark.parametrize("stored", [False, True], ids=["files", "parquet"])
def test_synfundus_is_read_under_both_annotation_files(root, separator, stored):
    values = [3, 1, *[0] * 9, 1, 1, 0, 1]
    table(
        root / "gen_cond.csv", ["idx", "eye_side", *SYNTHETIC], [50_001, "left", *values], separator=separator
    )
    file, name = root / "Part1" / "50001.png", "50001.png"
    if stored:
        rows = [{"image": {"bytes": picture(name), "path": name}, "idx": 50_001}]
        pq.write_table(pa.Table.from_pylist(rows), root / "part.parquet")
    else:
        draw(file.parent, name)
    _, rows = load("synfundus", root)
    (row,) = rows.values()
    assert labels(row, "id", "dr_grade", "is_amd", "is_gc", "eye_side") == (
        "synfundus-50001",
        3,
        1,
        0,
        "left",
    )
    assert labels(row, *READABILITY_KEYS, "age", "findings") == (1, 1, 0, 1, None, None)


def test_synfundus_annotations_bring_findings(root):
    more = ["is_md", "is_mh", "has_lesion", "is_tessellated", "diagnosticAdvice"]
    values = [0, *[0] * 10, 1, 1, 1, 1, 1, 1, 0, 1, "疑似黄斑区域病变。"]
    table(root / "annotation.tsv", ["file_name", "eyes_side", *SYNTHETIC, *more], ["a/b.png", "right", *values], separator="\t")  # fmt: skip
    draw(root / "images" / "a", "b.png")
    _, rows = load("synfundus", root)
    assert labels(rows["synfundus-b"], "eye_side", "findings") == (
        "right",
        ["tessellation", "macular_disease"],
    )


def test_synfundus_parquet_with_labels_needs_no_table(root):
    values = dict(zip(SYNTHETIC, [-1, *[0] * 10, 1, 1, 1, 1], strict=True))
    rows = [{"image": {"bytes": picture(i), "path": None}, "eyes_side": "left", **values} for i in range(3)]
    pq.write_table(pa.Table.from_pylist(rows), root / "x.parquet")
    result, kept = load("synfundus", root)
    assert result["listed"] == 3 and {row["dr_grade"] for row in kept.values()} == {None}


def test_messidor2_drops_the_ungradable_and_pairs_eyes(root):
    table(
        root / "messidor_data.csv",
        ["id_code", "diagnosis", "adjudicated_dme", "adjudicated_gradable"],
        ["a.png", 2, 1, 1],
        ["b.png", 0, 0, 1],
        ["c.png", "", "", 0],
    )
    table(root / "messidor-2.csv", ["left", "right"], ["a.png", "b.png"], separator=";")
    draw(root / "images", "a.png", "b.png", "c.png")
    result, rows = load("messidor2", root)
    assert labels(rows["messidor2-a"], "dr_grade", "is_dme", "eye_side") == (2, 1, "left")
    assert rows["messidor2-a"]["subject_id"] == rows["messidor2-b"]["subject_id"]
    assert result["reasons"] == {"not gradable": {"count": 1, "files": ["c.png"]}}


def test_messidor_reads_csv_exports_of_its_bases(root):
    header = ["Image name", "Ophthalmologic department", "Retinopathy grade", "Risk of macular edema "]
    table(root / "Annotation_Base11.csv", header, ["a.tif", "Service", 3, 2])
    table(root / "Annotation_Base34.csv", header, ["b.tif", "Service", 1, 1])
    draw(root / "Base11", "a.tif")
    draw(root / "Base34", "b.tif")
    _, rows = load("messidor", root)
    assert labels(rows["messidor-a"], "dr_grade", "is_dme") == (3, 1)
    assert labels(rows["messidor-b"], "dr_grade", "is_dme") == (1, None)


def test_messidor_with_excel_files_alone_says_what_to_do(root):
    (root / "Annotation_Base11.xls").write_bytes(b"")
    with pytest.raises(UserError, match=r"found only Annotation_Base11\.xls.*export them as CSV$"):
        load("messidor", root)


def test_fives_reads_the_letter_and_leaves_the_drawn_vessels(root):
    draw(root / "train" / "Original", "1_A.png", "2_D.png", "3_G.png", "4_N.png")
    draw(root / "test" / "Original", "1_N.png")
    (root / "test" / "Original" / "1_N.png").write_bytes(picture("another"))
    draw(root / "train" / "Ground truth", "1_A.png")
    _, rows = load("fives", root)
    keys = ("is_amd", "dr_grade", "is_gc", "findings")
    assert {key: labels(row, *keys) for key, row in rows.items()} == {
        "fives-train-1_A": (1, 0, 0, None),
        "fives-train-2_D": (0, None, 0, None),
        "fives-train-3_G": (0, 0, 1, None),
        "fives-train-4_N": (0, 0, 0, []),
        "fives-test-1_N": (0, 0, 0, []),
    }


def test_refuge_reads_the_first_letter_and_counts_what_has_none(root):
    draw(root / "Training400" / "Glaucoma", "g0001.jpg")
    draw(root / "Training400" / "Non-Glaucoma", "n0001.jpg")
    draw(root / "Validation400", "V0001.jpg")
    draw(root / "Annotation-Training400" / "Disc_Cup_Masks", "g0001.bmp")
    result, rows = load("refuge", root)
    assert {key: row["is_gc"] for key, row in rows.items()} == {"refuge-g0001": 1, "refuge-n0001": 0}
    assert result["reasons"] == {"no label in the name": {"count": 1, "files": ["V0001.jpg"]}}


def test_aptos_reads_its_training_part(root):
    table(root / "train.csv", ["id_code", "diagnosis"], ["abc", 4], ["gone", 0])
    draw(root / "train_images", "abc.png")
    result, rows = load("aptos", root)
    assert rows["aptos-abc"]["dr_grade"] == 4
    assert result["reasons"] == {"picture absent": {"count": 1, "files": ["gone"]}}


PAPILA = [
    ["", "Age", "Gender", "Diagnosis", "Refractive_Defect"],
    ["", "", "", "", "dioptre_1"],
    ["ID", "", "", "", ""],
    ["#002", "47", "0", "2", "0.75"],
    ["#004", "58", "1", "1", "1.5"],
]


def excel(path, lines):
    """The lines as the first sheet of a workbook, numbers as numbers."""
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for line in lines:
        book.active.append(
            [float(cell) if "." in cell else int(cell) if cell.isdigit() else cell or None for cell in line]
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_papila_reads_both_eyes_from_either_kind_of_table(root, kind):
    for eye in ("od", "os"):
        path = root / "ClinicalData" / f"patient_data_{eye}.{kind}"
        if kind == "csv":
            table(path, *PAPILA)
        else:
            excel(path, PAPILA)
    draw(root / "FundusImages", "RET002OD.jpg", "RET002OS.jpg", "RET004OD.jpg", "RET004OS.jpg")
    result, rows = load("papila", root)
    keys = ("is_gc", "age", "sex", "eye_side", "subject_id")
    assert labels(rows["papila-RET002OD"], *keys) == (None, 47.0, "M", "right", "papila-002")
    assert labels(rows["papila-RET004OS"], *keys) == (1, 58.0, "F", "left", "papila-004")
    assert result["notes"] == {"suspected glaucoma, kept as unknown": 2}


def test_brset_keeps_people_eyes_and_what_is_certain(root):
    flags = [
        "macular_edema",
        "amd",
        "vascular_occlusion",
        "hypertensive_retinopathy",
        "myopic_fundus",
        "drusens",
    ]
    flags += ["hemorrhage", "scar", "nevus", "other", "retinal_detachment", "increased_cup_disc"]
    header = [
        "image_id",
        "patient_id",
        "patient_age",
        "patient_sex",
        "exam_eye",
        "DR_ICDR",
        "quality",
        *flags,
    ]
    table(
        root / "labels_brset.csv",
        header,
        ["img1", 5, 60, 1, 1, 2, "Adequate", 1, 0, 1, 0, 0, 1, *[0] * 6],
        ["img2", 5, "", 2, 2, 0, "Inadequate", 1, 1, 0, 0, 1, 0, *[0] * 6],
    )
    draw(root / "fundus_photos", "img1.jpg", "img2.jpg")
    _, rows = load("brset", root)
    keys = ("dr_grade", "is_dme", "is_amd", "is_rvo", "is_pm", "is_gc", "findings")
    about = ("subject_id", "age", "sex", "eye_side", "is_retinal_region_readable")
    assert labels(rows["brset-img1"], *keys) == (2, 1, 0, None, 0, None, ["drusen"])
    assert labels(rows["brset-img2"], *keys) == (0, None, 1, 0, None, None, ["macular_edema"])
    assert labels(rows["brset-img1"], *about) == ("brset-5", 60.0, "M", "right", 1)
    assert labels(rows["brset-img2"], *about) == ("brset-5", None, "F", "left", 0)


def test_rfmid_numbers_start_again_in_every_part(root):
    header = ["ID", "Disease_Risk", "DR", "ARMD", "MH", "DN", "MYA", "BRVO", "ODC", "RP"]
    table(root / "Training_Set" / "RFMiD_Training_Labels.csv", header, [1, 1, 0, 0, 0, 0, 1, 0, 1, 1])
    table(root / "Evaluation_Set" / "RFMiD_Validation_Labels.csv", header, [1, 0, *[0] * 8])
    for part, folder in (("Training", "Training_Set"), ("Validation", "Evaluation_Set")):
        (root / folder / part).mkdir()
        (root / folder / part / "1.png").write_bytes(picture(part))
    _, rows = load("rfmid", root)
    keys = ("dr_grade", "is_pm", "is_gc", "findings")
    assert labels(rows["rfmid-training-1"], *keys) == (0, 1, None, ["retinitis_pigmentosa", "large_cup"])
    assert labels(rows["rfmid-validation-1"], *keys) == (0, 0, 0, [])


MAPPING = """
table: visits.csv
images: photos
columns:
  image: file
  subject_id: patient
  age: years
  eye_side: {column: eye, values: {OD: right, OS: left}}
  dr_grade: {column: icdr, values: {R0: 0, R2: 2, ungraded: null}}
  is_gc: {column: gon, values: {"yes": 1, "no": 0}}
  findings: {column: notes, values: {CNV: neovascularization, none: null}}
constants: {modality: cfp}
"""


def hospital(root, mapping=MAPPING, grade="R2"):
    table(
        root / "visits.csv",
        ["file", "patient", "years", "eye", "icdr", "gon", "notes"],
        ["a.jpg", "p1", "70.5", "OD", "R0", "no", "none"],
        ["b.jpg", "p1", "", "OS", grade, "yes", "CNV; drusen"],
        ["c.jpg", "p2", "40", "", "ungraded", "", ""],
    )
    draw(root / "photos", "a.jpg", "b.jpg", "c.jpg")
    path = root.with_name("mapping.yaml")
    path.write_text(mapping, encoding="utf-8")
    return path


def test_a_folder_of_ones_own_is_read_by_its_mapping(root):
    _, rows = load("folder", root, mapping=hospital(root))
    keys = ("subject_id", "age", "eye_side", "dr_grade", "is_gc", "findings", "modality")
    assert [labels(row, *keys) for _, row in sorted(rows.items())] == [
        ("folder-p1", 70.5, "right", 0, 0, [], "cfp"),
        ("folder-p1", None, "left", 2, 1, ["drusen", "neovascularization"], "cfp"),
        ("folder-p2", 40.0, None, None, None, None, "cfp"),
    ]


@pytest.mark.parametrize(
    "change, message",
    [
        (("R2: 2", "R2: 7"), "mapping.yaml: columns.dr_grade.values.R2: 7 is outside the vocabulary of dr_grade; known: 0, 1, 2, 3, 4, null"),
        (("R2: 2, ", ""), "visits.csv line 3: 1 cell is outside the vocabulary: icdr as dr_grade: 'R2' in line 3"),
        (("CNV: neovascularization, ", ""), "visits.csv line 3: 1 cell is outside the vocabulary: notes as findings: 'CNV' in line 3"),
        (("column: gon", "column: glaucoma"), "visits.csv: column 'glaucoma' is missing; it has file, patient, years"),
        (("  is_gc:", "  is_glaucoma:"), "mapping.yaml: 'is_glaucoma' is no column of the records; known: image, id"),
        (("table: visits.csv", "tabel: visits.csv"), "mapping.yaml: "),
        (("  image: file\n", ""), "mapping.yaml: columns.image is missing"),
        (("OD: right", "OD: temporal"), "mapping.yaml: columns.eye_side.values.OD: 'temporal' is outside the vocabulary of eye_side; known: left, right"),
    ],
)  # fmt: skip
def test_a_wrong_mapping_gives_one_line_that_names_it(root, change, message):
    mapping = hospital(root, MAPPING.replace(*change))
    with pytest.raises(UserError) as error:
        load("folder", root, mapping=mapping)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_damaged_picture_among_good_ones_is_skipped_counted_and_named(root):
    table(root / "train.csv", ["id_code", "diagnosis"], *([f"e{i}", 0] for i in range(5)))
    draw(root / "train_images", *(f"e{i}.jpg" for i in range(5)))
    damaged = root / "train_images" / "e3.jpg"
    damaged.write_bytes(damaged.read_bytes()[:-200])
    result, rows = load("aptos", root)
    assert (result["listed"], result["kept"], result["dropped"]) == (5, 4, 1)
    assert result["reasons"] == {"damaged picture": {"count": 1, "files": ["e3.jpg"]}}
    assert "aptos-e3" not in rows


def test_a_file_under_two_names_is_kept_once_and_makes_two_subjects_one(root):
    """Otherwise one person could be on both sides of a split."""
    lines = [[f"{i}_{k}.jpg", i, "GON+", 5] for i in range(12) for k in range(2)]
    table(root / "Labels.csv", ["Image Name", "Patient", "Label", "Quality Score"], *lines)
    draw(root / "Images", *(line[0] for line in lines))
    for i in range(11):
        (root / "Images" / f"{i + 1}_0.jpg").write_bytes(picture(f"{i}_1.jpg"))
    result, rows = load("hygd", root)
    assert result["reasons"]["same file twice"]["count"] == 11 and result["kept"] == 13
    assert {row["subject_id"] for row in rows.values()} == {"hygd-0"}
    assert sorted(result["splits"].values()) == [0, 0, 13]


def test_the_same_file_with_another_label_is_counted_apart(root):
    table(root / "train.csv", ["id_code", "diagnosis"], ["a", 0], ["b", 1])
    draw(root / "train_images", "a.png", "b.png")
    (root / "train_images" / "b.png").write_bytes(picture("a.png", kind="PNG"))
    result, rows = load("aptos", root)
    assert list(result["reasons"]) == ["same file twice and labelled differently, the first kept"]
    assert rows["aptos-a"]["dr_grade"] == 0


def test_pictures_keep_their_bytes_unless_a_size_is_asked_for(root):
    table(root / "train.csv", ["id_code", "diagnosis"], ["a", 0])
    draw(root / "train_images", "a.png")
    load("aptos", root)
    (kept,) = Pictures(root.with_name("records"))
    assert kept == picture("a.png", kind="PNG")
    import_source("aptos", root, root.with_name("small"), size=12)
    (small,) = Pictures(root.with_name("small"))
    with Image.open(io.BytesIO(small)) as image:
        assert image.size == (12, 12) and image.format == "JPEG"


def test_captions_tell_the_labels_of_their_record(root):
    odir(root, *((i, 50, "Male", word, "normal fundus") for i, word in enumerate(KEYWORDS)))
    load("odir5k", root)
    for row in read_table(root.with_name("records")).to_pylist():
        known = {key: row[key] for key in LABELS}
        for lang in ("zh", "en"):
            assert captions.parse(row[f"caption_{lang}"]) == captions.stated(known, lang, row["seed"])


def test_an_import_repeated_does_nothing_and_a_changed_set_is_refused(root):
    table(root / "train.csv", ["id_code", "diagnosis"], ["a", 0])
    draw(root / "train_images", "a.png")
    first, _ = load("aptos", root)
    shard = next(root.with_name("records").rglob("*.parquet"))
    written = shard.stat().st_mtime_ns
    assert load("aptos", root)[0] == first and shard.stat().st_mtime_ns == written
    table(root / "train.csv", ["id_code", "diagnosis"], ["a", 1])
    with pytest.raises(UserError, match=r"data have changed: dr_grade of a\.png was 0 and is 1"):
        load("aptos", root)


def test_an_import_killed_before_its_report_is_reported_by_the_next(root):
    table(root / "train.csv", ["id_code", "diagnosis"], ["a", 0], ["b", 1])
    draw(root / "train_images", "a.png", "b.png")
    first, _ = load("aptos", root)
    summary = root.with_name("records") / "import.json"
    summary.unlink()
    assert load("aptos", root)[0] == first == json.loads(summary.read_text())


@pytest.mark.parametrize("name", sorted(set(SOURCES) - {"folder"}))
def test_an_empty_folder_is_one_line_and_leaves_nothing(root, name):
    with pytest.raises(UserError) as error:
        load(name, root)
    assert str(root) in str(error.value) and "\n" not in str(error.value)
    assert not root.with_name("records").exists()


def test_a_table_without_a_needed_column_names_file_column_and_what_it_has(root):
    table(root / "train.csv", ["id_code", "grade"], ["a", 0])
    with pytest.raises(UserError) as error:
        load("aptos", root)
    assert str(error.value) == f"{root}/train.csv: column 'diagnosis' is missing; it has id_code, grade"


def test_a_grade_outside_the_vocabulary_names_its_cell(root):
    table(root / "train.csv", ["id_code", "diagnosis"], ["a", 5])
    draw(root / "train_images", "a.png")
    with pytest.raises(UserError) as error:
        load("aptos", root)
    assert str(error.value) == (
        f"{root}/train.csv: a: diagnosis='5' is outside the vocabulary; known: 0, 1, 2, 3, 4"
    )


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("kaggle", {}, "unknown source 'kaggle'; known: odir5k, "),
        ("folder", {}, "folder: --mapping is missing"),
        ("aptos", {"mapping": Path("x.yaml")}, "aptos: --mapping is only for the source 'folder'"),
    ],
)
def test_a_wrong_call_is_one_line(root, name, options, message):
    with pytest.raises(UserError, match=message):
        load(name, root, **options)


def test_every_source_says_its_licence_and_whom_to_cite():
    assert all(source.licence and source.citation and source.title for source in SOURCES.values())


def real(name):
    """The folder of a real set; skips where there is none."""
    folder = Path(os.environ.get("VISIONCLIP_DATA", "/nonexistent")) / name
    if not folder.is_dir():
        pytest.skip(
            "set VISIONCLIP_DATA to the folder that holds odir5k/, idrid/, hygd/, hei-med/, unam/, palm/, grape/"
        )
    return folder


def count(path, column, value):
    with open(path, encoding="utf-8-sig") as file:
        return sum(line[column] == value for line in csv.DictReader(file))


@pytest.mark.parametrize("name", ["odir5k", "idrid", "hygd", "hei-med", "unam"])
def test_counts_of_a_real_set_agree_with_its_files(tmp_path, name):
    root = real(name)
    result = import_source(name, root, tmp_path / "records")
    files = sum(path.suffix == ".jpg" for path in root.rglob("*"))
    absent = result["reasons"].get("picture absent", {"count": 0})["count"]
    assert result["kept"] + result["dropped"] == files + absent
    assert sum(result["splits"].values()) == result["kept"] == read_table(tmp_path / "records").num_rows
    assert not any("not mapped" in note for note in result["notes"])
    twice = sum(reason["count"] for key, reason in result["reasons"].items() if "twice" in key)
    unknown = result["labels"]["is_gc"].get("unknown", 0)
    if name == "hygd":
        positive = count(root / "Labels.csv", "Label", "GON+")
        assert positive - twice <= result["labels"]["is_gc"]["1"] <= positive and unknown == 0
    if name == "idrid":
        for grade in "01234":
            listed = count(root / "labels.csv", "diagnosis", grade)
            assert listed - twice <= result["labels"]["dr_grade"][grade] <= listed
    if name == "odir5k":
        table_ = read_table(tmp_path / "records", columns=["subject_id", "eye_side"]).to_pylist()
        assert len({tuple(row.values()) for row in table_}) == result["kept"]
    if name == "hei-med":
        assert result["labels"]["race"] == {"african": 104, "caucasian": 42, "hispanic": 19, "unknown": 4}
    if name == "unam":
        photographs = count(root / "EYE FUNDUS.csv", "Format", "jpg")
        assert photographs - twice <= result["labels"]["modality"]["cfp"] <= photographs
