"""The mapping language: cells with a type, several diagnoses in a cell, names that tell, both eyes in a line, splits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from synth.base.errors import UserError
from synth.data import images
from synth.data.records import SPLITS, read_table
from synth.data.vocabulary import FLAGS
from synth.sources import ages
from synth.sources.diagnoses import Diagnoses, Reader
from synth.sources.folder import photos
from synth.sources.importing import import_source
from synth.sources.report import Report

SEPARATORS = "，,、；;/|+\n"
ALL_ABSENT: dict[str, Any] = {"dr_grade": 0, **dict.fromkeys(FLAGS, 0), "findings": []}


def clinic(root: Path, table: str | None, mapping: str, *names: str) -> Path:
    """A table, files that are pictures by name, and a mapping."""
    if table is not None:
        (root / "visits.csv").write_text(table, encoding="utf-8")
    for name in names:
        (root / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "photos" / name).write_bytes(name.encode())
    path = root / "mapping.yaml"
    head = "images: photos\n" if table is None else "table: visits.csv\nimages: photos\n"
    path.write_text(head + mapping, encoding="utf-8")
    return path


def labels(
    root: Path, table: str | None, mapping: str, *names: str, report: Report | None = None
) -> list[dict[str, Any]]:
    path = clinic(root, table, mapping, *names)
    return [photo.labels for photo in photos(root, report or Report("folder"), path)]


def refusal(root: Path, table: str | None, mapping: str, *names: str) -> str:
    with pytest.raises(UserError) as error:
        labels(root, table, mapping, *names)
    assert "\n" not in str(error.value)
    return str(error.value)


def column(root: Path, key: str, *cells: str, extra: str = "") -> list[Any]:
    """What cells of one column become; `extra` stands beside the column in the mapping."""
    names = [f"{place}.jpg" for place in range(len(cells))]
    table = "file\tcell\n" + "".join(f"{name}\t{cell}\n" for name, cell in zip(names, cells, strict=True))
    found = labels(root, table, f"columns: {{image: file, {key}: {{column: cell{extra}}}}}\n", *names)
    return [each[key] for each in found]


@pytest.mark.parametrize(
    "cell, years",
    [("61", 61), ("061Y", 61), ("61,5", 61.5), ("018M", 1.5), ("026W", 26 * 7 / 365.25), ("012D", 12 / 365.25), ("61岁", 61),
     ("６１ 岁", 61), ("3岁6月", 3.5), ("18个月", 1.5), ("90+", 90), (">89", 90), ("≥90", 90), ("90岁以上", 90), ("61 years", 61),
     ("0", 0), ("120", 120)],
)  # fmt: skip
def test_an_age_is_read_as_hospitals_write_it(cell, years):
    assert ages.parse(cell) == pytest.approx(years)


@pytest.mark.parametrize(
    "cell", ["121", "-1", "999", "61M", "61F", "1,234", "61 62", "sixty", "6e1", "岁", "M61", "2024-05-01"]
)
def test_what_is_no_age_is_refused(cell):
    """61M may be a man of 61 as well as sixty-one months."""
    with pytest.raises(ValueError):
        ages.parse(cell)


def test_an_age_comes_from_two_dates_and_an_unclear_date_is_refused(tmp_path):
    table = "file,dob,day\n1.jpg,1960-05-02,2024/5/1\n2.jpg,1960年5月1日,20240501\n3.jpg,1960,2024-05-01 08:30:00\n4.jpg,,2024-05-01\n"
    names = [f"{place}.jpg" for place in range(1, 5)]
    mapping = "columns: {image: file, age: {born: dob, at: day}}\n"
    assert [each["age"] for each in labels(tmp_path, table, mapping, *names)] == [63, 64, 64, None]
    table = "file,dob,day\n1.jpg,03/02/1960,05/01/2024\n"
    assert "'03/02/1960 to 05/01/2024'" in refusal(tmp_path, table, mapping, "1.jpg")
    mapping = "columns: {image: file, age: {born: dob, at: day, order: mdy}}\n"
    assert [each["age"] for each in labels(tmp_path, table, mapping, "1.jpg")] == [64]


@pytest.mark.parametrize(
    "born, at, years",
    [("03-Jan-1950", "2 January 2020", 69), ("1950-1-3 0:00:00", "2020/1/3 上午 9:30:00", 70), ("1900-01-01", "2018-05-01", None),
     ("1900/1/1 0:00", "2018-05-01", None), ("不详", "2018-05-01", None)],
)  # fmt: skip
def test_a_date_is_read_as_programs_export_it_and_the_one_for_none_is_none(tmp_path, born, at, years):
    """Programs write the first day of Excel's calendar where nobody told a date; a patient of 118 years comes of it."""
    mapping = "columns: {image: file, age: {born: dob, at: day}}\n"
    assert labels(tmp_path, f"file,dob,day\n1.jpg,{born},{at}\n", mapping, "1.jpg")[0]["age"] == years


def test_the_yaml_for_two_dates_maps_them(tmp_path):
    table = "file,dob,day\n1.jpg,2031-01-01,2024-05-01\n2.jpg,1960-13-01,2024-05-01\n"
    mapping = "columns: {image: file, age: {born: dob, at: day}}\n"
    told = refusal(tmp_path, table, mapping, "1.jpg", "2.jpg")
    pasted = yaml.safe_load(told.rpartition("TODO: ")[2].replace("TODO", "null"))
    pasted["columns"]["age"]["values"]["1960-13-01 to 2024-05-01"] = 63
    whole = yaml.safe_dump({"columns": {"image": "file"} | pasted["columns"]})
    assert [each["age"] for each in labels(tmp_path, table, whole, "1.jpg", "2.jpg")] == [None, 63]


def test_long_numbers_that_excel_has_cut_are_nobodys(tmp_path):
    """Two patients whose numbers are alike in fifteen digits would be one."""
    mapping = "columns: {image: file, subject_id: id}\n"
    table = "file,id\n1.jpg,{}\n2.jpg,{}\n"
    cut = ["110101199003074000", "110101199003074000"]
    assert "Excel has cut them" in refusal(tmp_path, table.format(*cut), mapping, "1.jpg", "2.jpg")
    whole = ["110101199003074000", "110101199003074518"]
    found = labels(tmp_path, table.format(*whole), mapping, "1.jpg", "2.jpg")
    assert [each["subject_id"] for each in found] == whole


@pytest.mark.parametrize("others", [("p7",), ("Ｐ７", "p7"), ("00P7",)])
def test_numbers_that_people_write_alike_are_noted_and_join_nobody(tmp_path, others):
    report, who = Report("folder"), ["P7", *others, "P8"]
    table = "file,id\n" + "".join(f"{place}.jpg,{each}\n" for place, each in enumerate(who))
    names = [f"{place}.jpg" for place in range(len(who))]
    found = labels(tmp_path, table, "columns: {image: file, subject_id: id}\n", *names, report=report)
    assert [each["subject_id"] for each in found] == who
    assert list(report.notes.values()) == [len(others)]


def test_lines_of_one_picture_that_say_different_things_are_refused_with_both(tmp_path):
    """A second reader's grade, or a line for each diagnosis: whichever came first would be the label."""
    mapping = "columns: {image: file, subject_id: id, dr_grade: dr}\n"
    message = refusal(tmp_path, "file,id,dr\n1.jpg,P1,1\n1.jpg,P1,3\n", mapping, "1.jpg")
    assert "line 3: dr_grade of '1.jpg' is 3, but 1 in line 2" in message


UNKNOWN = ("", "nan", "NA", "N/A", "#N/A", "-", "—", "不详", "未知", "unknown", "NULL")


@pytest.mark.parametrize(
    "key", ["age", "sex", "eye_side", "dr_grade", "is_gc", "subject_id", "findings", "visit"]
)
def test_what_says_nothing_is_null_in_every_column(tmp_path, key):
    assert column(tmp_path, key, *UNKNOWN) == [None] * len(UNKNOWN)


@pytest.mark.parametrize(
    "key, cells, expected",
    [
        ("sex", ("女", "男", "f", "Male", "女性", "♂", "未说明的性别"), ["F", "M", "F", "M", "F", "M", None]),
        (
            "eye_side",
            ("OD", "os", "右", "左眼", "Right eye", "L", "O.S.", "右眼(OD)", "左侧"),
            ["right", "left", "right", "left", "right", "left", "left", "right", "left"],
        ),
        ("dr_grade", ("0", "2.0", "PDR", "中度", "mild NPDR", "无糖尿病视网膜病变"), [0, 2, 4, 2, 1, 0]),
        ("is_gc", ("1", "0.0", "Yes", "无", "阳性", "FALSE"), [1, 0, 1, 0, 1, 0]),
        ("findings", ("drusen; hard exudates", "出血", ""), [["drusen", "exudate"], ["haemorrhage"], None]),
        ("subject_id", ("0012", "1.0", "12"), ["0012", "1.0", "12"]),
        ("modality", ("CFP", "彩色眼底照片"), ["cfp", "cfp"]),
    ],
)
def test_a_column_knows_the_words_of_the_vocabulary(tmp_path, key, cells, expected):
    assert column(tmp_path, key, *cells) == expected


@pytest.mark.parametrize(
    "key, cell",
    [("sex", "1"), ("sex", "X"), ("eye_side", "OU"), ("eye_side", "双眼"), ("dr_grade", "2.5"), ("dr_grade", "12"), ("dr_grade", "NPDR"), ("dr_grade", "R2"),
     ("is_gc", "2"), ("is_gc", "?!"), ("age", "150"), ("findings", "abc"), ("subject_id", "4.40305E+17"), ("split", "fold1")],
)  # fmt: skip
def test_a_cell_that_is_not_sure_is_refused(tmp_path, key, cell):
    with pytest.raises(UserError, match="line 2: 1 cell is outside the vocabulary"):
        column(tmp_path, key, cell)


def test_keys_of_values_may_be_numbers_and_yes_and_no(tmp_path):
    assert column(tmp_path, "sex", "1", "2", "1.0", "02", extra=", values: {1: M, 2: 女}") == [
        "M",
        "F",
        "M",
        "F",
    ]
    assert column(tmp_path, "is_gc", "Yes", "no", extra=", values: {yes: no, no: yes}") == [0, 1]
    assert column(tmp_path, "age", "A", "B", extra=", values: {A: 061Y, B: null}") == [61.0, None]


@pytest.mark.parametrize(
    "mapping, message",
    [
        ("columns: {image: file}\nconstants: {age: 150}\n", "constants.age: 150 is outside the vocabulary of age"),
        ("columns: {image: file, age: {column: a, values: {x: 200}}}\n", "columns.age.values.x: 200 is outside"),
        ("columns: {image: file}\nconstants: {sex: 1}\n", "constants.sex: 1 is outside the vocabulary of sex"),
        ("columns: {image: file, age: {born: dob}}\n", "columns.age: give 'column', or for age 'born' and 'at'"),
        ("columns: {image: {column: file, pattern: '('}}\n", "'(' is no regular expression"),
        ("columns: {image: file}\npattern: '(\\d+)_'\n", "name its groups as columns of the records"),
        ("columns: {image: file}\nencoding: klingon\n", "'klingon' is no encoding"),
        ("columns: {image: file}\ndiagnoses: {column: dx, terms: {x: {is_glaucoma: 1}}}\n", "'is_glaucoma' is no disease of ours"),
        ("columns: {image: file}\ndiagnoses: {column: dx, terms: {x: rubbish}}\n", "'rubbish' is no word of the vocabulary"),
        ("columns: {image: file}\neyes: {left: {image: l}}\n", "columns.image is missing; name the column that holds the file's name, once"),
        ("eyes: {middle: {image: l}}\n", "eyes: known: right, left"),
        ("eyes: {left: {image: l}}\ncolumns: {id: x}\n", "id and eye_side belong to one picture"),
    ],
)  # fmt: skip
def test_a_mapping_that_cannot_be_meant_is_one_line(tmp_path, mapping, message):
    assert message in refusal(tmp_path, "file,dx\n1.jpg,x\n", mapping, "1.jpg")


def test_all_cells_that_are_not_mapped_are_told_at_once_with_yaml_that_maps_them(tmp_path):
    rows = [
        f"{place}.jpg,{'mw'[place % 2]},{('R0', 'R1', '')[place % 3]},AMD；{'怪病' if place < 2 else '白内障'}"
        for place in range(6)
    ]
    table = "file,geschlecht,grad,dx\n" + "\n".join(rows) + "\n"
    mapping = "columns: {image: file, sex: geschlecht, dr_grade: grad}\ndiagnoses: {column: dx}\n"
    names = [f"{place}.jpg" for place in range(6)]
    said = refusal(tmp_path, table, mapping, *names)
    assert "'w' in 3 lines" in said and "'R0' in 2 lines" in said and "'怪病' in 2 lines" in said
    pasted = yaml.safe_load(said.partition("TODO: ")[2])
    assert pasted == {
        "columns": {
            "sex": {"column": "geschlecht", "values": {"w": "TODO"}},
            "dr_grade": {"column": "grad", "values": {"R0": "TODO", "R1": "TODO"}},
        },
        "diagnoses": {"terms": {"怪病": "TODO"}},
    }
    assert "'TODO' is outside the vocabulary" in refusal(
        tmp_path, table, yaml.safe_dump({"columns": {"image": "file"} | pasted["columns"]}), *names
    )


@pytest.mark.parametrize(
    "cell, expected",
    [
        ("青光眼；AMD", {"is_gc": 1, "is_amd": 1, "is_aon": None}),
        ("PDR", {"dr_grade": 4, "is_dme": None}),
        ("增殖性糖尿病视网膜病变、白内障", {"dr_grade": 4, "is_dme": None, "findings": ["cataract"]}),
        ("DR", {"dr_grade": None, "is_dme": None}),
        ("未见明显异常", ALL_ABSENT),
        ("normal fundus", ALL_ABSENT),
        ("无", {}),
        ("", {}),
        ("未见青光眼", {"is_gc": 0}),
        ("glaucoma (-)", {"is_gc": 0}),
        ("no evidence of glaucoma or AMD", {"is_gc": 0, "is_amd": 0}),
        ("未见出血、渗出", {}),
        ("未见青光眼、AMD", {"is_gc": 0, "is_amd": 0}),
        ("可疑青光眼", {"is_gc": None}),
        ("r/o glaucoma", {"is_gc": None}),
        ("glaucoma?", {"is_gc": None}),
        ("青光眼待排，白内障", {"is_gc": None, "findings": ["cataract"]}),
        ("history of AMD", {"is_amd": None}),
        ("白内障术后", {}),
        ("w/o glaucoma", {"is_gc": 0}),
        ("青光眼；无青光眼", {"is_gc": None, "is_aon": None}),
        ("左眼青光眼；右眼AMD", {"is_amd": 1}),
        ("双眼白内障；OS: glaucoma", {"findings": ["cataract"]}),
        ("青光眼，待查", {"is_gc": None}),
        ("AMD、青光眼，？", {"is_amd": None, "is_gc": None}),
        ("有髓神经纤维", {"findings": ["myelinated_fibers"]}),
        ("无糖尿病视网膜病变、青光眼", {"dr_grade": 0, "is_gc": 0}),
        ("右眼正常；青光眼", {"is_gc": None}),
        ("双眼白内障。", {"findings": ["cataract"]}),
        ("Normal.", ALL_ABSENT),
        ("青光眼（可疑）", {"is_gc": None}),
        ("AMD (阴性)", {"is_amd": 0}),
        ("1.青光眼 2、AMD", {"is_gc": 1, "is_amd": 1, "is_aon": None}),
        ("1、DR 2、未见青光眼", {"dr_grade": None, "is_dme": None, "is_gc": 0}),
    ],
)
def test_a_cell_of_diagnoses_says_no_more_than_it_says(cell, expected):
    found = Reader(Diagnoses(column="dx", separators=SEPARATORS)).read(cell, "right")
    assert found.labels == expected and not found.unmapped


@pytest.mark.parametrize(
    "cell",
    ["无出血，青光眼", "no AMD, glaucoma", "AMD、青光眼（-）", "左眼AMD、青光眼", "无AMD，白内障、青光眼"],
)
def test_where_nobody_knows_how_far_a_denial_goes_a_disease_is_unknown_and_not_positive(cell):
    found = Reader(Diagnoses(column="dx", separators=SEPARATORS, complete=True)).read(cell, "right")
    assert found.labels.get("is_gc", None) in (None, 0)
    assert found.labels["is_gc"] is None or "（-）" in cell


NEGATIONS = ("未见{}", "无{}", "未见明显{}", "没有{}", "可疑{}", "疑似{}", "{}？", "?{}", "{}待排", "不除外{}", "排除{}", "{}（-）", "{}阴性",
             "no {}", "without {}", "No evidence of {}", "R/O {}", "rule out {}", "suspected {}", "possible {}", "{}?", "negative for {}",
             "history of {}", "s/p {}", "{} ruled out", "{}: no", "not {}", "{}病史", "考虑{}", "{}（可疑）", "{}（无）", "{} (suspect)", "1.{}？ 2.正常眼底", "1、无{}", "右眼未见{}", "OD no {}", "W/O {}", "h/o {}")  # fmt: skip


@pytest.mark.parametrize("form", NEGATIONS)
@pytest.mark.parametrize("term", ["青光眼", "AMD", "玻璃膜疣", "PDR", "diabetic retinopathy", "未知病"])
def test_a_negation_never_becomes_a_positive(form, term):
    for complete in (False, True):
        settings = Diagnoses(
            column="dx", separators=SEPARATORS, terms={"未知病": {"is_crp": 1}}, complete=complete
        )
        found = Reader(settings).read(form.format(term), "right")
        assert not any(found.labels.values()), found.labels


def test_terms_of_the_mapping_go_first_and_unknown_ones_leave_everything_open():
    settings = Diagnoses(column="dx", terms={"GON": "glaucoma", "糖网2级": {"dr_grade": 2}, "复查": None, "x": {"findings": "drusen"}}, others="unknown", complete=True)  # fmt: skip
    read = Reader(settings).read
    assert read("GON、复查").labels == {**ALL_ABSENT, "is_gc": 1, "is_aon": None}
    assert read("糖网2级").labels["dr_grade"] == 2
    assert read("x").labels == {**ALL_ABSENT, "is_amd": None, "findings": ["drusen"]}
    assert read("GON；怪病") == ({"is_gc": 1, "is_aon": None}, (), ("怪病",))


def test_a_column_and_the_diagnoses_may_not_contradict_each_other(tmp_path):
    table = "file,gon,dx\n1.jpg,0,青光眼\n"
    mapping = "columns: {image: file, is_gc: gon}\ndiagnoses: {column: dx, complete: true}\n"
    assert "line 2: is_gc is 0 by its own column, 1 by the diagnoses" in refusal(
        tmp_path, table, mapping, "1.jpg"
    )
    assert (
        labels(tmp_path, table.replace("0,", "1,").replace("青光眼", "AMD"), mapping, "1.jpg")[0]["is_gc"]
        == 1
    )


def test_a_line_with_a_column_for_each_eye_gives_two_pictures(tmp_path):
    table = "pat,OD file,OS file,OD dx,OS dx,level\n7,r.jpg,l.jpg,青光眼,,2\n8,,m.jpg,,AMD,\n"
    mapping = """
columns: {subject_id: pat}
diagnoses: {separators: ，；}
eyes:
  right: {image: OD file, diagnoses: OD dx, dr_grade: level}
  left: {image: OS file, diagnoses: OS dx}
"""
    report = Report("folder")
    found = labels(tmp_path, table, mapping, "r.jpg", "l.jpg", "m.jpg", report=report)
    keys = ("id", "subject_id", "eye_side", "is_gc", "is_amd", "dr_grade")
    assert [tuple(each.get(key) for key in keys) for each in found] == [
        ("r", "7", "right", 1, None, 2),
        ("l", "7", "left", None, None, None),
        ("m", "8", "left", None, 1, None),
    ]
    assert report.total == 3 and not report.dropped


@pytest.mark.parametrize(
    "cell, pattern, expected",
    [
        ("10_left", r"(?P<subject_id>\d+)_(?P<eye_side>left|right)", ("10", "left", None)),
        ("23_OD_4.jpg", r"^(?P<subject_id>\d+)_(?P<eye_side>OD|OS)_(?P<visit>\d+)", ("23", "right", "4")),
        ("a/07_OI_f_2.jpg", r"(?P<subject_id>[^/_]+)_(?P<eye_side>O[DI])_f", ("07", "left", None)),
    ],
)
def test_a_pattern_takes_patient_eye_and_visit_from_the_name(tmp_path, cell, pattern, expected):
    name = cell if cell.endswith(".jpg") else f"{cell}.jpeg"
    table = f"image,level\n{cell},2\n"
    [found] = labels(
        tmp_path, table, f"columns: {{image: image, dr_grade: level}}\npattern: '{pattern}'\n", name
    )
    assert tuple(found.get(key) for key in ("subject_id", "eye_side", "visit")) == expected
    [found] = labels(tmp_path, None, f"pattern: '{pattern}'\n", name)  # without any table
    assert tuple(found.get(key) for key in ("subject_id", "eye_side", "visit")) == expected
    assert "does not fit pattern" in refusal(
        tmp_path, "image,level\nother,2\n", f"columns: {{image: image}}\npattern: '{pattern}'\n"
    )


def test_a_pattern_of_one_column_takes_its_group(tmp_path):
    assert column(tmp_path, "subject_id", "P0012-A", "P0013-B", extra=", pattern: '^P(\\d+)'") == [
        "0012",
        "0013",
    ]
    with pytest.raises(UserError, match="does not fit the pattern"):
        column(tmp_path, "subject_id", "X12", extra=", pattern: '^P(\\d+)'")


def pictures(root: Path, *names: str, same: dict[str, str] = {}) -> None:
    for name in names:
        rng = np.random.default_rng(list(same.get(name, name).encode()))
        (root / "photos").mkdir(exist_ok=True)
        (root / "photos" / name).write_bytes(images.encode(rng.integers(0, 256, (8, 8, 3), np.uint8)))


SPLIT = "columns: {image: file, subject_id: who, split: part, visit: when, camera: device}\n"
ROWS = "file,who,part,when,device\n1.jpg,a,Training,1,CR-2\n2.jpg,a,train,2,TRC\n3.jpg,b,val,1,CR-2\n4.jpg,c,测试集,1,\n"


def test_the_split_of_the_table_is_kept_and_visit_and_camera_are_columns(tmp_path):
    mapping = clinic(tmp_path, ROWS, SPLIT)
    names = [f"{place}.jpg" for place in range(1, 5)]
    pictures(tmp_path, *names)
    result = import_source("folder", tmp_path, tmp_path / "out", mapping=mapping)
    assert result["splits"] == {"train": 2, "validation": 1, "test": 1}
    for split, subjects in zip(SPLITS, (["a", "a"], ["b"], ["c"]), strict=True):
        rows = read_table(tmp_path / "out", [split]).to_pylist()
        assert [row["subject_id"] for row in rows] == [f"folder-{subject}" for subject in subjects]
    rows = read_table(tmp_path / "out", ["train"]).to_pylist()
    assert [(row["visit"], row["camera"]) for row in rows] == [("1", "CR-2"), ("2", "TRC")]


@pytest.mark.parametrize(
    "change, message",
    [
        (("2.jpg,a,train", "2.jpg,a,test"), "line 3: patient 'a' is in test, but in train in line 2"),
        (("4.jpg,c,测试集", "4.jpg,c,"), "line 5: part is empty, but maps to split"),
    ],
)
def test_a_patient_on_two_sides_of_the_tables_split_is_refused(tmp_path, change, message):
    names = [f"{place}.jpg" for place in range(1, 5)]
    assert message in refusal(tmp_path, ROWS.replace(*change), SPLIT, *names)


def test_one_picture_of_two_patients_on_two_sides_is_refused(tmp_path):
    mapping = clinic(tmp_path, ROWS, SPLIT)
    pictures(tmp_path, "1.jpg", "2.jpg", "3.jpg", "4.jpg", same={"4.jpg": "1.jpg"})
    with pytest.raises(UserError, match="'a' in train and 'c' in test share a picture"):
        import_source("folder", tmp_path, tmp_path / "out", mapping=mapping)
    assert not (tmp_path / "out").exists()
