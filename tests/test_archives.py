"""Archives as hospitals have them: names in any encoding, links, odd files, thousands of pictures; the right one or none."""

import os
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_sources_exact import brought, content, draw

from clip.apps import image_io
from synth.base.errors import UserError
from synth.data.pictures import Pictures
from synth.data.records import read_table
from synth.sources import paths
from synth.sources.importing import import_source
from synth.sources.paths import SUFFIXES, files_below
from synth.sources.pictures import Folder
from synth.sources.report import Report


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    folder.mkdir()
    return folder


def reasons(result: dict) -> dict[str, list[str]]:
    return {reason: each["files"] for reason, each in result["reasons"].items()}


# Names


@pytest.mark.parametrize("cell", ["NFC", "NFD"])
@pytest.mark.parametrize("file", ["NFC", "NFD"])
@pytest.mark.parametrize("name", ["Müller/œil é.jpg", "が/ガ.jpg", "é.jpg"])
def test_a_name_is_found_in_both_forms_of_unicode(root, name, cell, file):
    draw(root, unicodedata.normalize(file, name), "other.jpg")
    _, kept = brought(root, unicodedata.normalize(cell, name), "other.jpg")
    assert [data for who, data in kept.values() if who == "P0"] == [
        content(unicodedata.normalize(file, name))
    ]


def test_two_names_that_look_the_same_are_told_apart_by_the_letters_of_the_cell_alone(root):
    names = [unicodedata.normalize(form, "é.jpg") for form in ("NFC", "NFD")]
    draw(root, *names)
    _, kept = brought(root, *names)
    assert {who: data for who, data in kept.values()} == {"P0": content(names[0]), "P1": content(names[1])}
    with pytest.raises(UserError, match="could be"):
        Folder(root).find([(names[0].replace("jpg", "png"), "line 2")], Report("folder"))


def test_names_in_gb18030_are_found_as_they_read(root):
    for name in ("张三/左眼.jpg", "李四/左眼.jpg"):
        path = root / os.fsdecode(name.encode("gb18030"))
        path.parent.mkdir()
        path.write_bytes(content(name))
    draw(root, "王五/左眼.jpg")
    result, kept = brought(root, "李四/左眼.jpg", "王五\\左眼.jpg", "张三/左眼")
    assert {who: data for who, data in kept.values()} == {
        "P0": content("李四/左眼.jpg"),
        "P1": content("王五/左眼.jpg"),
        "P2": content("张三/左眼.jpg"),
    }
    assert sorted(kept) == ["张三/左眼", "李四/左眼", "王五/左眼"] and result["reasons"] == {}


def test_a_name_in_no_known_encoding_is_told_and_the_others_are_imported(root):
    draw(root, "a.jpg")
    (root / os.fsdecode(b"\xff\xfe.jpg")).write_bytes(content("x"))
    result, kept = brought(root, "a.jpg")
    assert [*kept] == ["a"]
    assert reasons(result) == {"name that is neither UTF-8 nor GB18030": ["\\xff\\xfe.jpg"]}


def test_one_name_in_two_encodings_is_refused(root):
    draw(root, "左.jpg")
    (root / os.fsdecode("左.jpg".encode("gb18030"))).write_bytes(content("x"))
    with pytest.raises(UserError, match=r"左\.jpg: two files have this name"):
        Folder(root)


# Links and folders


def test_linked_folders_are_followed_and_loops_are_not(root, tmp_path):
    draw(tmp_path, "nas/p2/od.jpg", "nas/deep/p3/od.jpg")
    draw(root, "p1/od.jpg")
    (root / "archive").symlink_to(tmp_path / "nas")
    (root / "p1" / "again").symlink_to(root)
    (tmp_path / "nas" / "loop").symlink_to(tmp_path)  # holds the root itself
    (root / "latest").symlink_to(root / "p1")
    result, kept = brought(root, "p1/od.jpg", "p2/od.jpg", "archive/deep/p3/od.jpg", "p4/od.jpg")
    assert {who: data for who, data in kept.values()} == {
        "P0": content("p1/od.jpg"),
        "P1": content("nas/p2/od.jpg"),
        "P2": content("nas/deep/p3/od.jpg"),
    }
    assert reasons(result)["picture absent"] == ["p4/od.jpg"]


def test_a_path_through_a_link_is_that_of_the_file(root):
    draw(root, "p1/od.jpg", "p2/od.jpg")
    (root / "latest").symlink_to(root / "p2")
    result, kept = brought(root, "latest/od.jpg")
    assert [data for _, data in kept.values()] == [content("p2/od.jpg")]
    assert reasons(result) == {"picture without a line in the table": ["p1/od.jpg"]}


def test_a_folder_that_cannot_be_read_is_told_and_its_pictures_are_not_called_absent(root, monkeypatch):
    draw(root, "p1/od.jpg", "p2/od.jpg")
    real = os.scandir

    def scandir(path):
        if str(path).endswith("p2"):  # root may read everything, so permissions alone cannot be tried
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(paths.os, "scandir", scandir)
    result, kept = brought(root, "p1/od.jpg", "p2/od.jpg")
    assert len(kept) == 1 and result["notes"] == {"folder that cannot be read: p2": 1}
    assert reasons(result) == {"picture absent, or in a folder that cannot be read": ["p2/od.jpg"]}


# Files that are there


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".JPG", ".Jfif"])
def test_every_suffix_of_a_picture_is_known(root, suffix):
    draw(root, f"p1{suffix}")
    for cell in (f"p1{suffix}", "p1"):
        assert Folder(root).find([(cell, "line 2")], Report("folder")) == [root / f"p1{suffix}"]


def test_a_picture_without_suffix_is_found_by_its_content(root):
    draw(root, "a/IM0001", "a/IM0002", "1.2.840.5", "p1.jpg")
    (root / "notes").write_text("not a picture")
    _, kept = brought(root, "a/IM0001", "IM0002", "1.2.840.5", "p1.jpg")
    assert {who: data for who, data in kept.values()} == {
        f"P{i}": content(name) for i, name in enumerate(("a/IM0001", "a/IM0002", "1.2.840.5", "p1.jpg"))
    }


def test_a_folder_of_pictures_without_suffix_alone_is_read(root):
    draw(root, "IM0001", "IM0002")
    folder = Folder(root)
    assert folder.paths == [root / "IM0001", root / "IM0002"]


def test_what_is_there_is_never_called_absent(root):
    draw(root, "p1.jpg")
    (root / "p2.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(20))
    (root / "p3.pdf").write_bytes(b"%PDF-1.4")
    (root / "p4").write_bytes(b"patient,eye\n")
    (root / "p5.jpg").mkdir()
    result, _ = brought(root, "p1.jpg", "p2.heic", "p3", "p4", "p5.jpg", "p6.jpg")
    assert reasons(result) == {
        "file that is no picture": [
            "p2.heic (p2.heic: HEIC, AVIF or video)",
            "p3 (p3.pdf: PDF)",
            "p4 (p4: text)",
        ],
        "folder in the place of a picture": ["p5.jpg"],
        "picture absent": ["p6.jpg"],
    }


def test_a_cell_that_no_system_could_hold_is_dropped(root):
    draw(root, "p1.jpg")
    result, kept = brought(root, "p1.jpg", "a" * 5000, "b/" * 900 + "c.jpg")
    assert [*kept] == ["p1"] and result["reasons"]["picture absent"]["count"] == 2


def test_an_encoder_finds_the_same_kinds_of_files(root):
    draw(root, "a.jfif", "b.webp", "IM0001", "c.jpg", ".hidden.jpg", "._c.jpg")
    (root / "d.jpg").mkdir()
    (root / "e.txt").write_text("no picture")
    (root / "f.jpg").symlink_to(root / "gone.jpg")
    assert [path.name for path in image_io.find([root])] == ["IM0001", "a.jfif", "b.webp", "c.jpg", "f.jpg"]
    with pytest.raises(UserError, match=r"f\.jpg: no such picture"):
        image_io.read(root / "f.jpg")


# Many


def test_each_of_thousands_of_pictures_stands_under_its_own_label(root):
    """`patient/date/eye`, stems in other letters, dotted names: every row's bytes against its label."""
    dates, eyes = ("2020-01-05", "2021.6.7"), ("OD.jpg", "OS.jpg")
    people = [*(f"{i:04d}" for i in range(460)), "p.1", "P.1", "1.2.840", "Ä", "张三"]
    names = [f"{who}/{date}/{eye}" for who in people for date in dates for eye in eyes]
    names += [f"flat/1.2.{i}.jpg" for i in range(100)] + [
        f"{part}/x{i}.jpg" for i in range(20) for part in ("a", "A")
    ]
    draw(root, *(f"photos/{name}" for name in names))
    changes = [
        lambda name: name,
        lambda name: name.replace("/", "\\"),
        lambda name: name[:-4],
        lambda name: f"photos/{name}",
        lambda name: f"D:\\backup\\photos\\{name}".replace("/", "\\"),
    ]
    cells = [changes[i % 5](name) for i, name in enumerate(names)]
    rows = [f"{cell},{i},{i % 5}" for i, cell in enumerate(cells)]
    (root / "visits.csv").write_text("\n".join(["file,patient,grade", *rows, ""]), encoding="utf-8")
    mapping = root.with_name("mapping.yaml")
    columns = "image: file, subject_id: patient, dr_grade: grade"
    mapping.write_text(f"table: visits.csv\nimages: photos\ncolumns: {{{columns}}}\n")
    out = root.with_name("records")
    result = import_source("folder", root, out, mapping=mapping)
    assert len(names) == 2000 and result["kept"] == 2000 and result["reasons"] == {}
    found = read_table(out, columns=["id", "subject_id", "dr_grade"]).to_pylist()
    for row, data in zip(found, Pictures(out), strict=True):
        number = int(row["subject_id"].removeprefix("folder-"))
        assert data == content(f"photos/{names[number]}") and row["dr_grade"] == number % 5
    assert len({row["id"] for row in found}) == len({row["subject_id"] for row in found}) == 2000


# Against a naive reader


def naive(cell: str, files: list[str]) -> str | None:
    """The file that a cell means, slowly: None if there is none, 'two' if there are several."""
    parts: list[str] = []
    for part in cell.replace("\\", "/").split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    place = "/".join(parts)
    if place in files:
        return place

    def bare(name: str) -> str:
        stem, dot, suffix = name.rpartition(".")
        return stem if dot and not stem.endswith("/") and stem and f".{suffix.lower()}" in SUFFIXES else name

    def form(name: str, fold: bool, cut: bool) -> set[str]:
        names = {name, bare(name)} if cut else {name}
        return {unicodedata.normalize("NFC", each.lower() if fold else each) for each in names}

    for cut in (False, True):
        for fold in (False, True):
            fitting = []
            for file in files:
                tail = "/".join(file.split("/")[-len(parts) :]) if parts else ""
                own = form(bare(tail) if cut else tail, fold, False)
                if len(file.split("/")) >= len(parts) and own & form(place, fold, cut):
                    fitting.append(file)
            if len(fitting) > 1:
                return "two"
            if fitting:
                return fitting[0]
    return None


parts = st.sampled_from(["p1", "P1", "a.b", "é", "e\u0301", "左"])
stems = st.sampled_from(["od", "OD", "x.1", "x", "é", "e\u0301", "左眼"])
suffixes = st.sampled_from([".jpg", ".JPG", ".png", ".jfif", ".dcm"])
places = st.builds(
    lambda folders, stem, suffix: "/".join([*folders, stem + suffix]),
    st.lists(parts, max_size=2),
    stems,
    suffixes,
)
cuts = st.sampled_from(
    [
        lambda name: name,
        lambda name: name.rpartition("/")[2],
        lambda name: name.rpartition(".")[0],
        lambda name: name.lower(),
        lambda name: name.upper(),
        lambda name: name.replace("/", "\\"),
        lambda name: f"./x/../{name}",
        lambda name: unicodedata.normalize("NFD", name),
        lambda name: f"p9/{name}",
        lambda name: name.replace(".jpg", ".tif"),
        lambda name: name.replace(".", "_"),
    ]
)


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    files=st.lists(places, min_size=1, max_size=6, unique=True),
    asked=st.lists(st.tuples(places, cuts), min_size=1, max_size=8),
)
def test_every_cell_finds_what_a_naive_reader_finds(tmp_path_factory, files, asked):
    root = tmp_path_factory.mktemp("drawn")
    draw(root, *files)
    for place, cut in asked:
        cell = cut(place)
        expected, folder = naive(cell, files), Folder(root)
        try:
            [path] = folder.find([(cell, "line 2")], Report("folder"))
            found = None if path is None else path.relative_to(root).as_posix()
        except UserError as error:
            assert " could be " in str(error)
            found = "two"
        assert found == expected


def test_files_below_are_what_lies_there(root):
    draw(root, "a.jpg", "b/c.png", ".hidden/d.jpg", "b/.e.jpg")
    (root / "b" / "t.csv").write_text("x")
    below = files_below(root)
    assert [*below.pictures] == ["a.jpg", "b/c.png"] and [*below.others] == ["b/t.csv"]
