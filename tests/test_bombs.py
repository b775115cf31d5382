"""A few bytes that would cost hours or gigabytes: each is one line, or an answer, at once."""

import io
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import openpyxl
import pytest
from PIL import Image

from clip import inputs
from clip.inputs import lmdbs
from synth.base import documents
from synth.base.errors import UserError
from synth.data import formats, shards
from synth.sources import workbooks

pytestmark = pytest.mark.usefixtures("quickly")


@pytest.fixture
def quickly():
    """No test takes more than a minute of processor time, where each took many before."""
    import resource

    begun = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - begun < 60


def member(kind: bytes, content: bytes = b"", size: int | None = None) -> bytes:
    """A header of a tar and what follows it."""
    header = tarfile.TarInfo("x.jpg")
    header.type, header.size = kind, len(content) if size is None else size
    return header.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


TARS = {
    "3,000 long names of each other": member(b"L", b"a" * 100) * 3000,
    "notes of one number": member(b"x", b"1" * 300_000),
    "notes of 60,000 digits": member(b"g", b"1" * 60_000),
    "a size below 0": member(b"0", size=-1),
}


@pytest.mark.parametrize("case", TARS)
def test_a_tar_whose_headers_never_end_is_damaged(case, tmp_path):
    path = tmp_path / "train-00000-of-00001.tar"
    path.write_bytes(TARS[case] + bytes(10240))
    for read in (lambda: inputs.opened(path), lambda: shards.row_groups(path)):
        with pytest.raises(UserError, match=rf"{path}: damaged tar"):
            read()


def test_a_long_name_of_a_tar_is_read_as_before(tmp_path):
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "JPEG")
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(tmp_path / "a.tar", "w", format=form) as file:
            for ending, content in (("jpg", picture.getvalue()), ("txt", b"an eye")):
                info = tarfile.TarInfo(f"{'眼' * 80}.{ending}")
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
        [name] = inputs.opened(tmp_path / "a.tar").table("train", ["id"])["id"].to_pylist()
        assert name == "眼" * 80


# Excel

CELL = '<row r="{0}"><c r="{1}{0}"><v>1</v></c></row>'
SHEETS: dict[str, tuple[str, str, int]] = {
    "rows of 16,384 cells": ("".join(CELL.format(n, "XFD") for n in range(1, 5000)), "", 0),
    "cells merged 50,000 times": (
        "".join(CELL.format(n, "A") for n in range(1, 5001)), '<mergeCells>' + '<mergeCell ref="A2:A5000"/>' * 50_000 + '</mergeCells>', 0),
    "a row of number 10^9": (CELL.format(1, "A") + CELL.format(10**9, "A"), "", 2**20),
    "a comment of cells": (CELL.format(1, "A"), f"<!-- {'<c ' * 500_000} -->", 1),
    "a comment of merged cells": (CELL.format(1, "A"), f"<!-- {'<mergeCell ' * 500_000} -->", 1),
}  # fmt: skip
"""Name -> rows, what follows them, and how many rows are read: 0 where it is refused."""


@pytest.mark.parametrize("case", SHEETS)
def test_a_sheet_of_few_bytes_and_many_cells_ends(case, tmp_path):
    rows, more, count = SHEETS[case]
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    openpyxl.Workbook().save(tmp_path / "plain.xlsx")
    path = tmp_path / "t.xlsx"
    with (
        zipfile.ZipFile(tmp_path / "plain.xlsx") as plain,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made,
    ):
        for name in plain.namelist():
            sheet = f'<worksheet xmlns="{space}"><sheetData>{rows}</sheetData>{more}</worksheet>'
            made.writestr(name, sheet if name.endswith("sheet1.xml") else plain.read(name))
    if count:
        assert len(workbooks.rows(path)) == count
    else:
        with pytest.raises(UserError, match=rf"{path}: more than 20,000,000 cells"):
            workbooks.rows(path)


# Pictures


def test_a_jpeg_of_hundreds_of_scans_is_refused():
    """365 kB of 81 megapixels, each scan of which is drawn over all of them."""
    file = io.BytesIO()
    Image.new("L", (2000, 2000), 128).save(file, "JPEG", progressive=True)
    whole = file.getvalue()
    last = whole[whole.rindex(b"\xff\xda") : -2]
    assert formats.read(whole[:-2] + last * 20 + b"\xff\xd9").size == (2000, 2000)
    with pytest.raises(UserError, match=r"x\.jpg: a JPEG of more than 100 scans"):
        formats.read(whole[:-2] + last * 400 + b"\xff\xd9", "x.jpg")


def test_a_tiff_of_100_000_pages_is_refused_before_they_are_counted():
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "TIFF")
    content = bytearray(file.getvalue())
    first = struct.unpack("<I", content[4:8])[0]
    at = first + 2 + 12 * struct.unpack("<H", content[first : first + 2])[0]
    page = bytes(content[first:at])
    for _ in range(100_000):
        content[at : at + 4] = struct.pack("<I", len(content))
        at = len(content) + len(page)
        content += page + bytes(4)
    with pytest.raises(UserError, match="several pictures in one file"):
        formats.read(bytes(content))


# Documents and databases


@pytest.mark.parametrize("value", ["1", "{}", "[]"])
def test_a_list_of_millions_is_refused_before_it_takes_room(value, tmp_path):
    path: Path = tmp_path / "x.json"
    path.write_text(f"[{f'{value},' * 20_000_001}{value}]")
    with pytest.raises(UserError, match=r"x.json: damaged JSON \(more than 20,000,000 values"):
        documents.read_json(path)


def test_yaml_that_would_be_read_for_minutes_is_refused(tmp_path):
    (tmp_path / "x.yaml").write_text(f"a: [{'1,' * 2_000_000}1]")
    with pytest.raises(UserError, match=r"x.yaml: 4 MB, at most 2 of YAML are read"):
        documents.read_yaml(tmp_path / "x.yaml")


@pytest.mark.parametrize("count", [b"9" * 5000, b"9" * 30, b"-1", b"1.5", b""])
def test_an_lmdb_that_counts_what_it_has_not_is_one_line(count, tmp_path):
    lmdb = pytest.importorskip("lmdb")
    for part, content in (
        ("imgs", {b"1": b"eA=="}),
        ("pairs", {b"0": pickle.dumps(("1", "1", "eye")), b"num_samples": count}),
    ):
        (tmp_path / part).mkdir()
        with lmdb.open(str(tmp_path / part), map_size=1 << 20) as made, made.begin(write=True) as writing:
            for key, value in content.items():
                writing.put(key, value)
    with pytest.raises(UserError, match="build the LMDB again"):
        lmdbs.read(tmp_path)


def test_a_parquet_of_more_rows_than_bytes_is_refused(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    places = pa.nulls(3_000_000, pa.int8()).fill_null(0)
    for name, value in (("image", b"x"), ("id", "x")):
        column = pa.DictionaryArray.from_arrays(places, pa.array([value]))
        path = tmp_path / f"{name}-train-00000-of-00001.parquet"
        pq.write_table(pa.table({name: column}), path, compression="zstd")
        read = inputs.opened if name == "image" else shards.open_shard
        with pytest.raises(UserError, match=rf"{path}: .* bytes that say they are 3,000,000 rows"):
            read(path)
