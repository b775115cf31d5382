"""Tables as programs export them: encodings, Excel, lines above the header; one reader for all, and none that guesses."""

import csv
import datetime
import io
import zipfile
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.base.errors import UserError
from synth.sources.cells import OutsideVocabulary, convert
from synth.sources.report import Report
from synth.sources.tables import Form, read_csv

VISITS = "图片,病历号,诊断\na.jpg,0012,青光眼\nb.jpg,0013,未见明显异常\n"
READ = [["a.jpg", "0012", "青光眼"], ["b.jpg", "0013", "未见明显异常"]]


def written(folder: Path, data: bytes, name: str = "visits.csv") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def cells(path: Path, *needed: str, form: Form = Form(), report: Report | None = None) -> list[list[str]]:
    return [[line[column] for column in line] for line in read_csv(path, needed, form, report)]


def refusal(path: Path, *needed: str, form: Form = Form()) -> str:
    with pytest.raises(UserError) as error:
        read_csv(path, needed, form)
    assert "\n" not in str(error.value)
    return str(error.value).removeprefix(str(path))


@pytest.mark.parametrize(
    "mark, encoding",
    [
        (b"", "utf-8"),
        (b"\xef\xbb\xbf", "utf-8"),
        (b"\xff\xfe", "utf-16-le"),
        (b"\xfe\xff", "utf-16-be"),
        (b"\xff\xfe\0\0", "utf-32-le"),
    ],
)
def test_a_table_is_read_by_its_byte_order_mark(tmp_path, mark, encoding):
    report = Report("folder")
    path = written(tmp_path, mark + VISITS.replace(",", "\t").encode(encoding))
    assert cells(path, "图片", report=report) == READ
    assert not report.notes


@pytest.mark.parametrize("encoding", ["gbk", "gb18030"])
def test_what_chinese_excel_calls_csv_is_read_and_noted(tmp_path, encoding):
    report = Report("folder")
    assert cells(written(tmp_path, VISITS.encode(encoding)), report=report) == READ
    assert dict(report.notes) == {"visits.csv is not UTF-8, read as GB18030": 1}


@pytest.mark.parametrize(
    "text, encoding",
    [
        ("file,name\na.jpg,Müller\nb.jpg,Grünwald\nc.jpg,Bärlauch\n", "cp1252"),
        ("file,name\na.jpg,北京醫院檢查\nb.jpg,視網膜病變\n", "big5"),
        ("file,name\na.jpg,検査の結果\nb.jpg,みぎの眼\n", "shift_jis"),
    ],
)
def test_other_encodings_do_not_become_wrong_chinese(tmp_path, text, encoding):
    """All three are valid GB18030."""
    path = written(tmp_path, text.encode(encoding))
    text.encode(encoding).decode("gb18030")
    assert refusal(path).startswith(": not UTF-8 text, nor Chinese in GB18030; ")
    assert cells(path, form=Form(encoding=encoding)) == [line.split(",") for line in text.split("\n")[1:-1]]


def test_one_broken_line_of_utf8_is_told_and_does_not_change_the_rest(tmp_path):
    data = VISITS.encode() + "c.jpg,0014,青光眼\n".encode("gbk")
    assert refusal(written(tmp_path, data)).startswith(" line 4: not UTF-8, as the rest of the file is")


def test_an_encoding_that_does_not_fit_is_told_with_its_line(tmp_path):
    path = written(tmp_path, "file,name\na.jpg,x\nb.jpg,\x81\n".encode("latin-1"))
    assert refusal(path, form=Form(encoding="cp1252")).startswith(" line 3: not cp1252 text")


def test_a_line_that_names_the_separator_is_taken_and_not_read_as_a_header(tmp_path):
    path = written(tmp_path, b"sep=;\r\nfile;note\r\na.jpg;x, y\r\n")
    assert cells(path, "file") == [["a.jpg", "x, y"]]
    assert [line.number for line in read_csv(path)] == [3]


def test_lines_of_a_title_are_refused_with_the_line_of_the_header_which_a_key_takes(tmp_path):
    path = written(tmp_path, "眼科导出 2024\n共 2 行,,\n\nfile,patient,dx\na.jpg,1,x\n".encode())
    assert "; line 4 looks like the header: write 'header: 4' in the mapping" in refusal(path, "file", "dx")
    assert cells(path, "file", form=Form(header=4)) == [["a.jpg", "1", "x"]]
    assert refusal(path, "file", form=Form(header=3)).startswith(": header=3 is no line with column names")


def test_a_header_that_stands_there_again_is_refused(tmp_path):
    """Two exports, one behind the other."""
    path = written(tmp_path, b"file,note\na.jpg,x\nfile,note\nb.jpg,y\n")
    assert refusal(path).startswith(" line 3: the header stands there again")


@pytest.mark.parametrize(
    "data, words",
    [
        (b"<html><table><tr><td>file</td></tr></table>", "a web page"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "an Excel file of the old kind (.xls)"),
        (b"PK\x03\x04" + bytes(60), "not an Excel file"),
    ],
)
def test_what_is_called_csv_but_is_none_is_told_by_its_content(tmp_path, data, words):
    assert words in refusal(written(tmp_path, data))


def workbook(
    path: Path, *rows: list, merge: str | None = None, title: str = "Sheet", formats: dict = {}
) -> Path:
    book = openpyxl.load_workbook(path) if path.exists() else openpyxl.Workbook()
    sheet = book.create_sheet(title) if path.exists() else book.worksheets[0]
    sheet.title = title
    for row in rows:
        sheet.append(row)
    for cell, form in formats.items():
        sheet[cell].number_format = form  # type: ignore[attr-defined]
    if merge:
        sheet.merge_cells(merge)
    book.save(path)
    return path


def test_a_workbook_is_read_as_it_is_seen(tmp_path):
    rows = [
        ["file", "id", "code", "age", "day", "at", "ok", "part"],
        [
            "a.jpg",
            "0012",
            7,
            61.5,
            datetime.date(2024, 5, 1),
            datetime.datetime(2024, 5, 1, 13, 30),
            True,
            0.5,
        ],
        ["b.jpg", "0013", 12, 62, None, None, False, 0.25],
    ]
    formats = {"C2": "0000", "C3": '"P"000', "H2": "0%", "H3": "0.0%"}
    path = workbook(tmp_path / "visits.xlsx", *rows, formats=formats)
    assert cells(path, "file") == [
        ["a.jpg", "0012", "0007", "61.5", "2024-05-01", "2024-05-01 13:30:00", "TRUE", "50%"],
        ["b.jpg", "0013", "P012", "62", "", "", "FALSE", "25%"],
    ]


def test_merged_cells_belong_to_every_row_that_they_cover(tmp_path):
    """Else the second eye of a patient would be a person of its own."""
    rows = [
        ["导出", None, None],
        ["file", "patient", "dx"],
        ["a.jpg", "p1", "x"],
        ["b.jpg", None, "y"],
        ["c.jpg", "p2", ""],
    ]
    path = workbook(tmp_path / "visits.xlsx", *rows, merge="B3:B4")
    assert cells(path, "file", form=Form(header=2)) == [
        ["a.jpg", "p1", "x"],
        ["b.jpg", "p1", "y"],
        ["c.jpg", "p2", ""],
    ]
    assert "line 2 looks like the header" in refusal(path, "file")


def test_a_name_over_two_rows_of_the_header_is_no_line(tmp_path):
    rows = [["file", "patient"], [None, "code"], ["a.jpg", "p1"]]
    path = workbook(tmp_path / "visits.xlsx", *rows, merge="A1:A2")
    assert cells(path, "file") == [["", "code"], ["a.jpg", "p1"]]


def test_a_sheet_is_taken_by_name_and_told_where_another_has_the_columns(tmp_path):
    path = workbook(tmp_path / "visits.csv.xlsx", ["about"], ["a clinic"], title="读我")
    path = workbook(path, ["file", "dx"], ["a.jpg", "x"], title="Visits")
    assert "the sheet 'Visits' has them: write 'sheet: Visits'" in refusal(path, "file", "dx")
    assert cells(path, "file", form=Form(sheet="Visits")) == [["a.jpg", "x"]]
    assert "no sheet 'visits'; it has 读我, Visits" in refusal(path, form=Form(sheet="visits"))


def test_a_number_that_excel_has_cut_shows_it(tmp_path):
    """Excel keeps fifteen digits: two long ids would be one."""
    path = workbook(tmp_path / "visits.xlsx", ["file", "id"], ["a.jpg", 440305199001011234])
    assert cells(path) == [["a.jpg", "4.40305E+17"]]


def naive(text: str, separator: str) -> list[list[str]]:
    """Cells of a text, character by character, as RFC 4180 has it."""
    rows, row, cell, quoted, place = [], [], "", False, 0
    while place < len(text):
        sign = text[place]
        if quoted and text[place : place + 2] == '""':
            cell, place = cell + '"', place + 1
        elif sign == '"':
            quoted = not quoted
        elif sign == separator and not quoted:
            row, cell = [*row, cell], ""
        elif sign == "\n" and not quoted:
            rows, row, cell = [*rows, [*row, cell]], [], ""
        else:
            cell += sign
        place += 1
    return rows


word = st.text("ab,;\t\"'\n青光眼不、；é ", max_size=6).map(lambda text: f"x{text}x")


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(st.lists(word, min_size=2, max_size=2), min_size=1, max_size=4),
    separator=st.sampled_from(",;\t"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "gb18030"]),
    title=st.integers(0, 2),
)
def test_any_table_is_read_as_a_naive_reader_does(tmp_path_factory, rows, separator, encoding, title):
    buffer = io.StringIO()
    table = [
        ["文件名称", "病历号码", "临床诊断"],
        *([f"p{place}.jpg", *row] for place, row in enumerate(rows)),
    ]
    csv.writer(buffer, delimiter=separator, lineterminator="\n").writerows(table)
    text = "导出\n" * title + buffer.getvalue()
    path = tmp_path_factory.mktemp("table") / "visits.csv"
    path.write_bytes(text.encode(encoding))
    expected = [[cell.strip() for cell in row] for row in naive(buffer.getvalue(), separator)[1:]]
    try:
        found = cells(path, "文件名称", form=Form(header=title + 1 if title else None))
    except UserError as error:  # é among little Chinese may be refused, never read as something else
        assert encoding == "gb18030" and "nor Chinese in GB18030" in str(error)
    else:
        assert found == expected


@pytest.mark.parametrize(
    "header, row",
    [
        ("\u200b图片,病历号,诊断", "\u202aa.jpg\u200b,0012\ufeff,青光眼\u3000"),
        ('图片,病历号,诊断', 'a.jpg,"=""0012""",青光眼'),
        ('图片,病历号,诊断', '="a.jpg",="0012",青光眼'),
        ("图片|病历号|诊断", "a.jpg|0012|青光眼"),
        ("\ufeff\ufeff图片,病历号,诊断", "a.jpg,0012,青光眼\n\x1a"),
        ("\ufeff\"图片\",病历号,诊断", "a.jpg,0012,青光眼"),
    ],
    ids=["invisible", "zeros", "unquoted zeros", "bars", "marks", "mark and quote"],
)  # fmt: skip
def test_what_nobody_sees_in_a_table_is_no_part_of_a_cell(tmp_path, header, row):
    """`001` with a blank of no width behind it would be another patient."""
    path = written(tmp_path, f"{header}\n{row}".encode())
    assert cells(path, "图片", "病历号", "诊断") == READ[:1]


def test_the_mark_of_gb18030_is_no_part_of_the_first_name(tmp_path):
    assert cells(written(tmp_path, ("\ufeff" + VISITS).encode("gb18030")), "图片") == READ


def test_the_first_sheet_that_is_seen_is_read_and_others_like_it_are_noted(tmp_path):
    path, report = tmp_path / "visits.xlsx", Report("folder")
    for grade, title in enumerate(("old", "2024", "2025"), start=1):
        workbook(path, ["file", "grade"], ["a.jpg", grade], title=title)
    book = openpyxl.load_workbook(path)
    book["old"].sheet_state = "hidden"
    book.save(path)
    assert cells(path, "file", report=report) == [["a.jpg", "2"]]
    assert list(report.notes) == [f"{path.name}: sheet '2025' has the same columns and is not read"]


def test_a_formula_without_a_value_is_no_empty_cell(tmp_path):
    """As programs write it that do not compute; Excel keeps the value, an empty text too."""
    path = workbook(tmp_path / "visits.xlsx", ["file", "patient"], ["a.jpg", "=B1"], ["b.jpg", "P2"])
    assert cells(path) == [["a.jpg", "#VALUE?"], ["b.jpg", "P2"]]
    with pytest.raises(OutsideVocabulary, match="never computed"):
        convert("subject_id", cells(path)[0][1])


@pytest.mark.parametrize("name", ["content.xml", "word/document.xml", "visits.csv"])
def test_another_archive_is_not_called_a_damaged_workbook(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "visits.xlsx", "w") as archive:
        archive.writestr(name, "<x/>")
    assert refusal(tmp_path / "visits.xlsx").startswith(": not an Excel file")
