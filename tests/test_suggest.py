"""`synth import folder --suggest` writes a mapping that is right where it can know, and has a gap where it cannot."""

import json
from pathlib import Path

import openpyxl
import pytest
from typer.testing import CliRunner

from synth.base.config import load
from synth.base.errors import UserError
from synth.commands.app import app
from synth.sources.folder import photos
from synth.sources.mapping import Mapping
from synth.sources.report import Report
from synth.sources.suggest import suggest


def clinic(root: Path, table: str | None, *names: str, encoding: str = "utf-8") -> Path:
    for name in names:
        (root / "clinic" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "clinic" / name).write_bytes(name.encode())
    if table is not None:
        (root / "clinic" / "visits.csv").write_bytes(table.encode(encoding))
    return root / "clinic"


CHINESE = (
    "眼科门诊导出,,,,,,\n文件名,病历号,姓名,年龄,性别,眼别,诊断\n"
    "1.jpg,0012,甲,61岁,女,OD,青光眼；白内障\n2.jpg,0012,甲,61岁,女,OS,未见异常\n3.jpg,0013,乙,58,1,右眼,怪病\n"
)


def test_a_chinese_export_is_mapped_but_for_what_nobody_can_know(tmp_path):
    root = clinic(tmp_path, CHINESE, "眼底/1.jpg", "眼底/2.jpg", "眼底/3.jpg", encoding="gbk")
    mapping = tmp_path / "mapping.yaml"
    result = suggest(root, mapping)
    text = mapping.read_text(encoding="utf-8")
    assert result["todo"] == 2 and text.count(": TODO  # in 1 line") == 2
    assert "# not used: 姓名" in text and "甲" not in text
    with pytest.raises(UserError, match="'TODO' is"):
        load(Mapping, mapping)
    mapping.write_text(
        text.replace("'1': TODO", "'1': M").replace("怪病: TODO", "怪病: null"), encoding="utf-8"
    )
    found = load(Mapping, mapping)
    assert (found.table, found.header, found.images) == ("visits.csv", 2, "眼底")
    rows = [photo.labels for photo in photos(root, Report("folder"), mapping)]
    keys = ("id", "subject_id", "age", "sex", "eye_side", "is_gc", "findings")
    assert [tuple(row.get(key) for key in keys) for row in rows] == [
        ("1", "0012", 61, "F", "right", 1, ["cataract"]),
        ("2", "0012", 61, "F", "left", 0, []),
        ("3", "0013", 58, "M", "right", None, None),
    ]


def test_a_workbook_with_dates_and_a_column_for_each_eye_is_mapped(tmp_path):
    root = clinic(tmp_path, None, "a.jpg", "b.jpg")
    book = openpyxl.Workbook()
    book.worksheets[0].append(["about"])
    sheet = book.create_sheet("visits")
    sheet.append(["Patient ID", "DOB", "Exam date", "OD image", "OS image", "OD diagnosis", "OS diagnosis"])
    sheet.append(["0007", "1960-05-02", "2024-05-01", "a.jpg", "b.jpg", "glaucoma", "no AMD"])
    book.save(root / "visits.xlsx")
    mapping = tmp_path / "mapping.yaml"
    assert suggest(root, mapping)["todo"] == 0
    rows = [photo.labels for photo in photos(root, Report("folder"), mapping)]
    keys = ("id", "subject_id", "age", "eye_side", "is_gc", "is_amd")
    assert [tuple(row.get(key) for key in keys) for row in rows] == [
        ("a", "0007", 63, "right", 1, None),
        ("b", "0007", 63, "left", None, 0),
    ]


def test_columns_of_a_patient_are_no_ids_and_its_flags_not_those_of_an_eye(tmp_path):
    """As in ODIR, whose flags are the patient's: the eye that is well would get the other's disease."""
    table = (
        "ID,Patient Age,Patient Sex,Patient Name,Left file,Right file,Left keywords,Right keywords,Glaucoma\n"
        "7,61,Female,x,a.jpg,b.jpg,normal fundus,glaucoma,1\n7,61,Female,x,a.jpg,b.jpg,normal fundus,glaucoma,1\n"
    )
    root = clinic(tmp_path, table, "a.jpg", "b.jpg")
    assert suggest(root, tmp_path / "m.yaml")["columns"] == ["age", "sex", "subject_id"]
    found = load(Mapping, tmp_path / "m.yaml")
    assert found.columns["subject_id"].column == "ID"
    rows = {photo.labels["id"]: photo.labels for photo in photos(root, Report("folder"), tmp_path / "m.yaml")}
    assert (rows["a"]["is_gc"], rows["b"]["is_gc"]) == (0, 1)


def test_grades_under_the_name_of_a_diagnosis_are_grades(tmp_path):
    rows = "".join(f"{place}.png,{place}\n" for place in range(4))
    root = clinic(tmp_path, f"id_code,diagnosis\n{rows}", *(f"{place}.png" for place in range(4)))
    assert suggest(root, tmp_path / "m.yaml")["columns"] == ["dr_grade", "image"]


def test_a_name_with_a_line_break_is_written_so_that_it_is_read(tmp_path):
    root = clinic(tmp_path, '"file\n(photo)","patient\nnumber"\na.jpg,1\n', "a.jpg")
    suggest(root, tmp_path / "m.yaml")
    assert load(Mapping, tmp_path / "m.yaml").columns["subject_id"].column == "patient\nnumber"


@pytest.mark.parametrize("table", ["image,level\n10_left,0\n10_right,4\n", None])
def test_names_that_tell_patient_and_eye_become_a_pattern(tmp_path, table):
    root = clinic(tmp_path, table, "10_left.jpeg", "10_right.jpeg")
    suggest(root, tmp_path / "mapping.yaml")
    rows = [photo.labels for photo in photos(root, Report("folder"), tmp_path / "mapping.yaml")]
    assert [(row["subject_id"], row["eye_side"], row.get("dr_grade")) for row in rows] == [
        ("10", "left", 0 if table else None),
        ("10", "right", 4 if table else None),
    ]


def test_a_missing_patient_is_said_and_a_date_is_no_visit(tmp_path):
    root = clinic(tmp_path, "file,visit,dr\nx1.jpg,2024-05-01,1\nx2.jpg,2024-06-01,2\n", "x1.jpg", "x2.jpg")
    suggest(root, tmp_path / "mapping.yaml")
    text = (tmp_path / "mapping.yaml").read_text(encoding="utf-8")
    assert "# subject_id is missing" in text and "# not used: visit" in text


@pytest.mark.parametrize(
    "table, names, message",
    [
        ("a.jpg,1\nb.jpg,2\n", ("a.jpg", "b.jpg"), "its first line names a picture, not columns"),
        ("file,x\nother.jpg,1\n", ("a.jpg",), "no column names pictures"),
        (None, ("a.jpg",), "no table in it"),
        ("file\na.jpg\n", (), "no picture in it"),
    ],
)
def test_what_cannot_be_guessed_is_one_line_and_writes_nothing(tmp_path, table, names, message):
    (tmp_path / "clinic").mkdir()
    with pytest.raises(UserError, match=message):
        suggest(clinic(tmp_path, table, *names), tmp_path / "mapping.yaml")
    assert not (tmp_path / "mapping.yaml").exists()


def test_the_command_writes_once_and_overwrites_nothing(tmp_path):
    root = clinic(tmp_path, "file,patient\na.jpg,1\n", "a.jpg")
    command = [
        "import",
        "folder",
        "--root",
        str(root),
        "--suggest",
        "--mapping",
        str(tmp_path / "m.yaml"),
        "--json",
    ]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0 and json.loads(done.stdout)["columns"] == ["image", "subject_id"]
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 2 and "is there already" in again.stderr
    assert CliRunner().invoke(app, ["import", "odir5k", "--root", str(root), "--suggest"]).exit_code == 2
