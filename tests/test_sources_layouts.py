"""PALM and GRAPE, and the other layouts in which ODIR-5K and BRSET are spread, drawn small; and the real ones where they lie."""

import openpyxl
import pytest
from test_sources import draw, labels, load, real, table

from synth.base.errors import UserError
from synth.data.pictures import Pictures
from synth.data.records import read_table
from synth.sources.importing import import_source

BASELINE = [
    "Subject Number",
    "Laterality",
    "Age",
    "Gender",
    "IOP",
    "Progression Status",
    "",
    "",
    "Category of Glaucoma",
]
FOLLOW_UP = [
    "Subject Number",
    "Laterality",
    "Visit Number",
    "Interval Years",
    "IOP",
    "Corresponding CFP",
    "VF",
    "",
]
EYES = [
    [1, "OD", 46, "F", 14.7, 0, 0, 0, "OAG"],
    [1, "OS", 47, "F", 15, 0, 0, 0, "ACG"],
    [12, "OS", 30, "M", 9, 0, 0, 1, "?"],
]
VISITS = [
    [1, "OD", 1, 0, 14.7, "1_OD_1.jpg", 21, 22],
    [1, "OD", 2, 0.84, 17, "1_OD_2.jpg", 21, 22],
    [1, "OD", 3, 2.13, 16, "1_OD_3.jpg", 21, 22],
    [1, "OS", 1, 0, 15, "1_OS_1.jpg", 21, 22],
    [1, "OS", 2, 1.1, 15, "/", 21, 22],
    [12, "OS", 1, 0, 9, "12_OS_1.jpg", 21, 22],
    [12, "OS", 2, 1, 9, "12_OS_2.jpg", 21, 22],
]  # fmt: skip


def assert_own_pictures(folder):
    """The records below the fixture's folder hold each the picture after which it is called."""
    records = next(path for path in folder.parents if path.name == "set").with_name("records")
    identities = read_table(records, columns=["id"])["id"].to_pylist()
    for identity, data in zip(identities, Pictures(records), strict=True):
        assert data == (folder / f"{identity.partition('-')[2]}.jpg").read_bytes()


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    return folder


def workbook(path, **sheets):
    """An Excel file of some sheets."""
    book = openpyxl.Workbook()
    for name, lines in sheets.items():
        sheet = book.create_sheet(name.replace("_", "-"))
        for line in lines:
            sheet.append(line)
    book.remove(book.worksheets[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)


def grape(root, visits=VISITS, eyes=EYES, folder="CFP"):
    """The set with its two rows of headers, of which some cells are merged; one picture is not there."""
    second = [None] * 5 + ["PLR2", "PLR3", "MD"]
    workbook(
        root / "VF and clinical information.xlsx",
        Baseline=[BASELINE, second, *eyes],
        Follow_up=[FOLLOW_UP, [None] * 6 + [0, 1], *visits],
    )
    draw(root / folder, *(line[5] for line in visits if line[5] not in ("/", "12_OS_2.jpg")))
    draw(root / "ROI images", "1_OD_1.jpg")


@pytest.mark.parametrize("folder", ["CFP", "CFPs"])
def test_grape_keeps_patients_eyes_and_visits(root, folder):
    grape(root, folder=folder)
    result, rows = load("grape", root)
    assert rows["grape-1_OD_3"]["visit"] == "3"
    about = ("subject_id", "eye_side", "age", "sex", "is_gc")
    assert {key: labels(row, *about) for key, row in rows.items()} == {
        "grape-1_OD_1": ("grape-1", "right", 46, "F", 1),
        "grape-1_OD_2": ("grape-1", "right", 46, "F", 1),
        "grape-1_OD_3": ("grape-1", "right", 48, "F", 1),
        "grape-1_OS_1": ("grape-1", "left", 47, "F", 1),
        "grape-12_OS_1": ("grape-12", "left", 30, "M", None),
    }
    assert_own_pictures(root / folder)
    assert result["reasons"]["picture absent"]["count"] == 1
    assert result["notes"]["visits without a photograph"] == 1 and result["dropped"] == 1


def changed(lines, number, place, value):
    return [
        [*line[:place], value, *line[place + 1 :]] if i == number else line for i, line in enumerate(lines)
    ]


@pytest.mark.parametrize(
    "visits, eyes, message",
    [
        (changed(VISITS, 1, 5, "1_OS_1.jpg"), EYES, r"line 4: Corresponding CFP='1_OS_1\.jpg', but the line is of 1_OD_2"),
        (changed(VISITS, 1, 2, 3), EYES, "Corresponding CFP='1_OD_2.jpg', but the line is of 1_OD_3"),
        (VISITS, EYES[:2], "12_OS is not on the sheet 'Baseline'"),
        (VISITS, changed(EYES, 1, 3, "M"), "Gender='M' of '1', but 'F' in line 3"),
        (VISITS, changed(EYES, 2, 3, "female"), "Gender='female' is outside the vocabulary; known: M, F"),
        (VISITS, changed(EYES, 0, 2, "old"), "Age='old' is not a number"),
    ],
)  # fmt: skip
def test_a_line_of_grape_that_contradicts_another_is_refused(root, visits, eyes, message):
    grape(root, visits, eyes)
    with pytest.raises(UserError, match=message):
        load("grape", root)


def test_palm_reads_the_letter_and_leaves_masks_and_other_parts(root):
    draw(root / "PALM-Training400", "P0001.jpg", "N0001.jpg", "H0001.jpg")
    draw(root / "PALM-Training400-Annotation-Lession" / "Atrophy", "P0001.bmp", "N0001.png")
    draw(root / "PALM-Validation400", "V0001.jpg")
    result, rows = load("palm", root)
    assert {key: labels(row, "is_pm", "is_dm", "is_gc", "subject_id") for key, row in rows.items()} == {
        "palm-P0001": (1, None, None, "palm-P0001"),
        "palm-N0001": (0, 0, None, "palm-N0001"),
        "palm-H0001": (0, None, None, "palm-H0001"),
    }
    assert {reason: told["count"] for reason, told in result["reasons"].items()} == {
        "no label in the name": 1
    }


ODIR = [
    ["ID", "Patient Age", "Patient Sex", "Left-Fundus", "Right-Fundus", "Left-Diagnostic Keywords", "Right-Diagnostic Keywords", "N"],
    [7, 61, "Female", "7_left.jpg", "7_right.jpg", "glaucoma", "normal fundus", 0],
    [17, 50, "Male", "17_left.jpg", "17_right.jpg", "cataract，lens dust", "drusen", 0],
]  # fmt: skip


@pytest.mark.parametrize(
    "name, folder",
    [
        ("ODIR-5K_Training_Annotations(Updated)_V2.xlsx", "ODIR-5K_Training_Images/ODIR-5K_Training_Dataset"),
        ("ODIR-5K_Training_Annotations.csv", "ODIR-5K_Training_Images"),
        ("ODIR-5K/ODIR-5K/data.xlsx", "ODIR-5K/ODIR-5K/Training Images"),
    ],
)
def test_the_challenges_own_odir_is_the_one_with_a_table(root, name, folder):
    if name.endswith(".csv"):
        table(root / name, *ODIR)
    else:
        workbook(root / name, Sheet1=ODIR)
    draw(root / folder, *(f"{patient}_{side}.jpg" for patient in (7, 17) for side in ("left", "right")))
    draw((root / name).parent / "Testing Images", "7_left.jpg", "900_left.jpg")
    result, rows = load("odir5k", root)
    assert {
        key: labels(row, "subject_id", "eye_side", "age", "sex", "is_gc") for key, row in rows.items()
    } == {
        "odir5k-7_left": ("odir5k-7", "left", 61, "F", 1),
        "odir5k-7_right": ("odir5k-7", "right", 61, "F", 0),
        "odir5k-17_left": ("odir5k-17", "left", 50, "M", 0),
        "odir5k-17_right": ("odir5k-17", "right", 50, "M", 0),
    }
    assert rows["odir5k-17_left"]["findings"] == ["cataract"] and result["dropped"] == 0
    assert_own_pictures(root / folder)


FLAGS = ["macular_edema", "amd", "vascular_occlusion", "hypertensive_retinopathy", "myopic_fundus", "drusens",
         "hemorrhage", "scar", "nevus", "other", "retinal_detachment", "increased_cup_disc"]  # fmt: skip
ABOUT = ["image_id", "camera", "patient_id", "patient_age", "patient_sex", "exam_eye", "DR_ICDR", "quality"]


@pytest.mark.parametrize(
    "name, folder",
    [
        ("labels.csv", "images"),
        ("brazilian-ophthalmological/1.0.0/labels.csv", "brazilian-ophthalmological/1.0.0/fundus_photos"),
    ],
)
def test_brset_is_read_from_labels_csv_too(root, name, folder):
    table(
        root / name,
        [*ABOUT, *FLAGS],
        ["img00001", "Canon CR", 5, "48", 1, 1, 2, "Adequate", *[0] * 12],
        ["img00002", "Nikon NF5050", 5, "90+", 2, 2, 0, "Inadequate", *[0, 1], *[0] * 10],
    )
    draw(root / folder, "img00001.jpg", "img00002.jpg")
    _, rows = load("brset", root)
    about = ("subject_id", "age", "sex", "eye_side", "dr_grade", "is_amd", "is_retinal_region_readable")
    assert labels(rows["brset-img00001"], *about) == ("brset-5", 48, "M", "right", 2, 0, 1)
    assert labels(rows["brset-img00002"], *about) == ("brset-5", 90, "F", "left", 0, 1, 0)


def test_two_tables_of_one_set_are_an_error_that_names_both(root):
    for version in ("1.0.0", "1.0.1"):
        table(root / version / "labels.csv", [*ABOUT, *FLAGS])
    with pytest.raises(
        UserError, match=r"holds .*1\.0\.0/labels\.csv and .*1\.0\.1/labels\.csv; give the folder"
    ):
        load("brset", root)


@pytest.mark.parametrize("name", ["palm", "grape"])
def test_counts_of_the_real_sets_agree_with_their_files(tmp_path, name):
    folder = real(name)
    result = import_source(name, folder, tmp_path / "records")
    rows = read_table(
        tmp_path / "records", columns=["id", "subject_id", "eye_side", "is_pm", "is_gc"]
    ).to_pylist()
    files = [path.stem for path in folder.rglob("*.jpg")]
    assert {row["id"].removeprefix(f"{name}-") for row in rows} <= set(files)
    twice = sum(reason["count"] for key, reason in result["reasons"].items() if "twice" in key)
    assert result["kept"] == len(files) - twice and twice <= 1
    if name == "palm":
        assert sum(row["is_pm"] == 1 for row in rows) in (212, 213)
    for row in rows if name == "grape" else ():
        patient, eye, _ = row["id"].removeprefix("grape-").split("_")
        assert (row["subject_id"], row["eye_side"]) == (
            f"grape-{patient}",
            {"OD": "right", "OS": "left"}[eye],
        )
