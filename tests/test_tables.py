"""Tables are read as they were written, or refused with the line that does not fit."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clip import inputs
from synth.base.errors import UserError
from synth.data.images import encode
from synth.sources.tables import read_csv

HEADER = "file,patient,grade,notes\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "visits.csv"
    path.write_bytes(text.encode())
    return path


def cells(path: Path, *needed: str) -> list[list[str]]:
    return [[line[column] for column in line] for line in read_csv(path, needed)]


def refusal(path: Path, *needed: str) -> str:
    with pytest.raises(UserError) as error:
        read_csv(path, needed)
    assert "\n" not in str(error.value)
    return str(error.value).removeprefix(str(path))


@pytest.mark.parametrize(
    "row", ["p4.jpg,Eye clinic, east,2,", "p4.jpg,004,2,drusen, exudate", "p4.jpg,004,2,,"]
)
def test_a_row_with_more_cells_than_the_header_is_refused_on_the_line_where_it_begins(tmp_path, row):
    """Blank lines and lines within a cell count, as they do in an editor."""
    path = written(tmp_path, f'{HEADER}\np1.jpg,001,1,"drusen\nexudate"\n\n{row}\n')
    said = refusal(path)
    assert (
        said.startswith(" line 6: 5 cells below a header of 4 (p4.jpg | ")
        and 'that holds "," in quotes' in said
    )


@pytest.mark.parametrize("row", ["p2.jpg,3", "p2.jpg,3,none", 'p2.jpg,",",2'])
def test_a_row_with_fewer_cells_is_refused_for_one_may_be_missing_in_the_middle(tmp_path, row):
    said = refusal(written(tmp_path, f"{HEADER}p1.jpg,001,1,\n{row}\n"))
    assert said.startswith(" line 3: ") and "cells below a header of 4" in said and "empty cells too" in said


def test_a_quote_that_nothing_closes_is_told_with_its_line(tmp_path):
    text = f'{HEADER}p1.jpg,001,1,none\np2.jpg,"x\ny",2,"drusen\np3.jpg,003,3,none\n'
    assert refusal(written(tmp_path, text)).startswith(
        ' line 4: a quote (") opens a cell there that nothing closes'
    )


def test_a_quote_that_closes_within_a_cell_is_told_with_both_lines(tmp_path):
    text = f'{HEADER}p1.jpg,001,1,none\np2.jpg,",2,none\np3.jpg,"003",3,none\n'
    said = refusal(written(tmp_path, text))
    assert said.startswith(
        ' line 3: a quote (") opens a cell there and closes on line 4 before the cell ends'
    )


@pytest.mark.parametrize(
    "rows",
    [
        'p2.jpg,",2,none\np3.jpg,",3,none\n',  # ditto marks
        'p2.jpg,002,2,"\np3.jpg,003,3,"\n',
        'p2.jpg,002,2,"hazy\np3.jpg,003,3,clear"\n',  # a quote opened in one row and closed in the next
        '"p2.jpg,002,2,none\np3.jpg",003,3,none\n',
    ],
)
def test_quotes_that_happen_to_close_do_not_take_in_the_next_row(tmp_path, rows):
    """The cells of such a row are as many as the header has, and those of the next are gone."""
    said = refusal(written(tmp_path, f"{HEADER}p1.jpg,001,1,none\n{rows}p4.jpg,004,4,none\n"))
    assert said.startswith(
        " line 3: a cell in quotes runs on to line 4 and takes in what looks like further rows"
    )


def test_cells_of_several_lines_with_separators_and_quotes_are_read(tmp_path):
    notes = 'Right: drusen, soft, many\nLeft: none, clear, round\n\n- 5" disc, pale'
    path = tmp_path / "visits.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [["file", "patient", "notes"], ["p1.jpg", "001", notes], ["p2.jpg", "002", ""]]
        )
    lines = read_csv(path)
    assert [(line["file"], line["patient"], line["notes"]) for line in lines] == [
        ("p1.jpg", "001", notes),
        ("p2.jpg", "002", ""),
    ]
    assert [line.where for line in lines] == [f"{path} line 2", f"{path} line 6"]


inner = st.text("ab ,;\t\n\"'\u2028\u2029\x0b\x0c\x85|", max_size=8).map(lambda text: f"x{text}x")


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.lists(inner, min_size=3, max_size=3), min_size=1, max_size=5),
    separator=st.sampled_from(",;\t"),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_writer_of_csv_writes_is_what_is_read(tmp_path_factory, rows, separator, end):
    path = tmp_path_factory.mktemp("table") / "visits.csv"
    table = [["file", "a; b", "c, d", "e\tf"], *([f"p{i}.jpg", *row] for i, row in enumerate(rows))]
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=separator, lineterminator=end).writerows(table)
    assert cells(path, "file", "a; b") == [[cell.strip() for cell in row] for row in table[1:]]


def test_the_separator_is_that_of_the_header_as_it_is_parsed(tmp_path):
    path = written(tmp_path, '"name, first, and last";file\n"A, B";p1.jpg\n')
    assert cells(path) == [["A, B", "p1.jpg"]]


def test_a_name_that_two_columns_have_is_refused_only_where_it_is_asked_for(tmp_path):
    path = written(tmp_path, "file,grade,reader,grade\np1.jpg,1,B,4\n")
    assert (
        refusal(path, "file", "grade")
        == ": several columns are called 'grade'; give the one that is meant a name of its own"
    )
    [line] = read_csv(path, ["file"])
    assert line["reader"] == "B"
    with pytest.raises(UserError, match="several columns are called 'grade'"):
        line.get("grade")


def test_a_cell_longer_than_the_csv_modules_own_limit_is_read(tmp_path):
    [[_, report]] = cells(written(tmp_path, f'file,report\np1.jpg,"{"x, " * 100_000}"\n'))
    assert len(report) == 299_999


@pytest.mark.parametrize(
    "text, message",
    [
        ("", ": column 'file' is missing; it has none"),
        (",,\n", ": column 'file' is missing; it has none"),
        (",patient,\np1.jpg,1,2\n", ": column 'file' is missing; it has patient"),
        ("file,patient\n", ": no line below its header"),
        ("file,patient\np1.jpg,0\x0001\n", " line 2: holds a zero byte"),
        ('"file,patient\np1.jpg,001\n', ' line 1: a quote (") opens a cell there that nothing closes'),
    ],
)
def test_what_is_no_table_is_one_line(tmp_path, text, message):
    assert refusal(written(tmp_path, text), "file").startswith(message)


def test_a_folder_in_place_of_a_table_is_one_line(tmp_path):
    assert "cannot be read" in refusal(tmp_path)


# The CSV file of `clip train`


def listed(folder: Path, *rows: str, header: str = "image,caption_en,subject_id") -> Path:
    (folder / "img").mkdir()
    for i in range(4):
        rng = np.random.default_rng(i)
        (folder / "img" / f"{i}.jpg").write_bytes(encode(rng.integers(0, 256, (8, 8, 3), np.uint8)))
    (folder / "list.csv").write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return folder


def refused(folder: Path) -> str:
    with pytest.raises(UserError) as error:
        inputs.opened(folder)
    return str(error.value).removeprefix(f"{folder}/list.csv")


def test_a_caption_with_an_unquoted_comma_is_refused_and_not_cut(tmp_path):
    """Else four patients become one, who is called 'with glaucoma'."""
    said = refused(listed(tmp_path, *(f"img/{i}.jpg,Right eye, with glaucoma,00{i}" for i in range(4))))
    assert said.startswith(
        " line 2: 4 cells below a header of 3 (img/0.jpg | Right eye | with glaucoma | 000)"
    )


def test_an_error_in_a_list_to_train_on_names_the_line_in_the_file(tmp_path):
    rows = ('img/0.jpg,"A right eye\nwith glaucoma",000', "", "img/gone.jpg,A left eye,001")
    assert refused(listed(tmp_path, *rows)).startswith(" line 5: ")


def test_an_id_of_two_lines_to_train_on_is_refused_with_both(tmp_path):
    header = "id,image,caption_en,subject_id"
    rows = ("a,img/0.jpg,one,000", "b,img/1.jpg,two,001", "a,img/2.jpg,three,002")
    said = refused(listed(tmp_path, *rows, header=header))
    assert said.startswith(" line 4: id 'a' is that of line 2 too")


def test_a_known_column_that_is_there_twice_is_refused_before_training(tmp_path):
    header = "image,caption_en,subject_id,caption_en"
    assert "several columns are called 'caption_en'" in refused(
        listed(tmp_path, "img/0.jpg,one,000,two", header=header)
    )


def test_a_list_to_train_on_has_the_words_that_an_import_knows(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encode(np.zeros((8, 8, 3), np.uint8)))
    text = "image,subject_id,age,sex,eye_side,dr_grade,is_gc,findings\na.jpg,007,061Y,女,OD,PDR,是,玻璃膜疣;hard exudates\n"
    (tmp_path / "list.csv").write_bytes(text.encode("gbk"))
    [row] = (
        inputs.opened(tmp_path)
        .table("train", ["subject_id", "age", "sex", "eye_side", "dr_grade", "is_gc", "findings"])
        .to_pylist()
    )
    assert list(row.values()) == ["007", 61, "F", "right", 4, 1, ["drusen", "exudate"]]
