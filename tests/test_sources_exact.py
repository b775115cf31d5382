"""The picture of each line is the one that the line names, and nobody is taken for another: bytes against labels."""

import hashlib
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from synth.base.errors import UserError
from synth.commands.app import app
from synth.data.images import encode
from synth.data.pictures import Pictures
from synth.data.records import read_table
from synth.sources.importing import import_source
from synth.sources.paths import Below
from synth.sources.pictures import Folder
from synth.sources.report import Report


def content(tag: str) -> bytes:
    """A small picture that has not been drawn for any other tag, whatever suffix its file has."""
    pixels = hashlib.shake_256(tag.encode()).digest(48)
    return b"P6 4 4 255\n" + pixels


def draw(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content(name))


def brought(
    root: Path, *cells: str, images: str = ".", header: str = "file,patient", more: str = ""
) -> tuple[dict, dict[str, tuple[str, bytes]]]:
    """Import a table whose line i is of patient Pi; the report, and id -> patient and bytes of every record."""
    rows = [f"{cell},P{i}" for i, cell in enumerate(cells)]
    (root / "visits.csv").write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    mapping = root.with_name("mapping.yaml")
    columns = "image: file, subject_id: patient" + more
    mapping.write_text(f"table: visits.csv\nimages: {images}\ncolumns: {{{columns}}}\n", encoding="utf-8")
    out = root.with_name("records")
    result = import_source("folder", root, out, mapping=mapping)
    rows = read_table(out, columns=["id", "subject_id"]).to_pylist()
    kept = zip(rows, Pictures(out), strict=True)
    return result, {
        row["id"].removeprefix("folder-"): (row["subject_id"].removeprefix("folder-"), data)
        for row, data in kept
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    folder.mkdir()
    return folder


PHOTOS = ("photos/p1/od.jpg", "photos/p1/os.jpg", "photos/p2/od.jpg", "photos/p2/os.jpg")


@pytest.mark.parametrize(
    "files, cell, expected",
    [
        # the path as it is written, below images and below --root
        (PHOTOS, "p2/od.jpg", "photos/p2/od.jpg"),
        (PHOTOS, r"p2\od.jpg", "photos/p2/od.jpg"),
        (PHOTOS, "./p1/../p2/od.jpg", "photos/p2/od.jpg"),
        (PHOTOS, "photos/p2/od.jpg", "photos/p2/od.jpg"),
        (("photos/p1.jpg", "thumbs/p1.jpg"), "thumbs/p1.jpg", "thumbs/p1.jpg"),
        (("photos/A.jpg", "photos/a.jpg"), "a.jpg", "photos/a.jpg"),
        (("photos/p1.jpg", "photos/Thumbs/p1.jpg", "photos/masks/p1.png"), "p1.jpg", "photos/p1.jpg"),
        # the one path that ends in it
        (("photos/a/p1/od.jpg", "photos/a/p2/od.jpg"), "p2/od.jpg", "photos/a/p2/od.jpg"),
        (("photos/2020/p1.jpg", "photos/2020/p2.jpg"), "p2.jpg", "photos/2020/p2.jpg"),
        ((*PHOTOS, "photos/p3.jpg"), r"D:\export\p2\od.jpg", "photos/p2/od.jpg"),
        ((*PHOTOS, "photos/p3.jpg"), "/mnt/photos/p3.jpg", "photos/p3.jpg"),
        # in other letters, and without suffix
        (("photos/x/p1.jpg", "photos/x/P1.JPG"), "p1.jpg", "photos/x/p1.jpg"),
        (("photos/p1.jpg",), "P1.JPG", "photos/p1.jpg"),
        (("photos/P1/OD.jpg",), "p1/od.JPG", "photos/P1/OD.jpg"),
        (("photos/p1.jpg", "photos/p1.2.jpg"), "p1", "photos/p1.jpg"),
        (("photos/p1.png",), "p1.tif", "photos/p1.png"),
        (("photos/1.2.840.77.jpg", "photos/1.2.jpg"), "1.2.840.77", "photos/1.2.840.77.jpg"),
        (PHOTOS, "p2/od", "photos/p2/od.jpg"),
        (("photos/图 1.jpg", "photos/图 2.jpg"), "图 2", "photos/图 2.jpg"),
        # nothing
        (("photos/1.2.840.77.jpg",), "1.2.840.77.5", None),
        (("photos/p1.jpg",), "p1.2", None),
        (PHOTOS, "p3/od.jpg", None),
        (PHOTOS, "P3/OD.JPG", None),
        (("photos/p1/2020/od.jpg",), "p2/2020/od.jpg", None),
        (("photos/od.jpg",), "p1/od.jpg", None),
        (("photos/p1/od.jpg",), "masks/p1/od.jpg", None),
        (("photos/p1/od.jpg",), r"D:\p3\od.jpg", None),
        (("photos/p1.jpg",), "", None),
        (("photos/p1.jpg",), "photos", None),
        (("photos/.thumbs/p1.jpg", "photos/x.jpg"), "p1.jpg", None),
        (("photos/p1.jpg", "../p1.jpg"), "../p1.jpg", None),
        (("photos/x.jpg", "../out/p1.jpg"), "../../out/p1.jpg", None),
    ],
)  # fmt: skip
def test_a_line_gets_the_picture_that_it_names_or_none(root, files, cell, expected):
    draw(root, *files, "photos/other.jpg")
    result, kept = brought(root, cell, "other.jpg", images="photos")
    assert kept.pop("other") == ("P1", content("photos/other.jpg"))
    assert list(kept.values()) == ([("P0", content(expected))] if expected else [])
    absent = [
        result["reasons"].get(reason) for reason in ("picture absent", "path that leads out of the folder")
    ]
    assert [found for found in absent if found] == ([] if expected else [{"count": 1, "files": [cell]}])


@pytest.mark.parametrize(
    "files, cell",
    [
        (("photos/p1.jpg", "masks/p1.png"), "p1"),
        (("photos/p1.jpg", "Thumbs/p1.jpg"), "p1.jpg"),
        (("a/p1/od.jpg", "b/p1/od.jpg"), "p1/od.jpg"),
        (("P1.jpg", "p1.JPG"), "p1.jpg"),
        (("p1.jpg", "p1.png"), "p1"),
    ],
)
def test_two_pictures_that_a_line_could_mean_are_refused_with_both_and_the_line(root, files, cell):
    draw(root, *files)
    with pytest.raises(UserError) as error:
        brought(root, cell)
    assert str(error.value).startswith(f"{root}/visits.csv line 2: '{cell}' could be ")
    assert all(name in str(error.value) for name in files)
    assert not root.with_name("records").exists()


@pytest.mark.parametrize("cells", [("P1.jpg", "p1.jpg"), ("p1.jpg", "p1"), ("p1", "x/P1.jpg")])
def test_two_cells_written_differently_do_not_share_a_picture(root, cells):
    """One of the two pictures was lost, and its label would stand on the other."""
    draw(root, "x/p1.jpg")
    with pytest.raises(UserError) as error:
        brought(root, *cells)
    assert f"line 3: '{cells[1]}' finds x/p1.jpg, as '{cells[0]}' did ({root}/visits.csv line 2)" in str(
        error.value
    )


def test_the_same_picture_on_two_lines_is_kept_once(root):
    draw(root, "photos/p1.jpg")
    result, kept = brought(root, "p1.jpg", "photos/p1.jpg", images="photos")
    assert kept == {"p1": ("P0", content("photos/p1.jpg"))}
    assert [*result["reasons"]] == ["same file twice"]


def test_an_absolute_path_outside_is_not_read(root, tmp_path):
    draw(root, "x.jpg")
    draw(tmp_path, "p1.jpg")
    result, kept = brought(root, str(tmp_path / "p1.jpg"), str(root / "x.jpg"))
    assert kept == {"x": ("P1", content("x.jpg"))}
    assert result["reasons"]["picture absent"]["files"] == [str(tmp_path / "p1.jpg")]


def hundreds() -> list[str]:
    """Patients' folders of visits with both eyes; some names in capitals, some with dots, some twice in other letters."""
    dates, eyes = ("2020-01-01", "2021.06.30"), ("OD.jpg", "OS.jpg", "od.jpg")
    nested = [
        f"{who}/{date}/{eye}"
        for who in (*range(40), "p.1", "P.1", "1.2.840")
        for date in dates
        for eye in eyes
    ]
    return [*nested, *(f"flat/{i}.{i % 7}.jpg" for i in range(60)), *(f"flat/A{i}.JPG" for i in range(20))]


@pytest.mark.parametrize("form", ["path", "windows", "below root", "without suffix", "absolute"])
def test_every_one_of_hundreds_of_pictures_stands_under_its_own_label(root, form):
    names = hundreds()
    draw(root, *(f"photos/{name}" for name in names))
    change = {
        "path": lambda name: name,
        "windows": lambda name: name.replace("/", "\\"),
        "below root": lambda name: f"photos/{name}",
        "without suffix": lambda name: name[:-4],
        "absolute": lambda name: "E:\\backup\\photos\\" + name.replace("/", "\\"),
    }[form]
    rng = np.random.default_rng(0)
    rng.shuffle(names)
    listed, unlisted = names[20:], names[:20]
    result, kept = brought(root, *map(change, listed), images="photos")
    assert len(kept) == len(listed) == result["kept"] and len(kept) > 300
    assert {who: data for who, data in kept.values()} == {
        f"P{i}": content(f"photos/{name}") for i, name in enumerate(listed)
    }
    assert result["reasons"] == {
        "picture without a line in the table": {
            "count": 20,
            "files": sorted(unlisted, key=lambda n: n.split("/")),
        }
    }
    ids = {name: identity for identity, (who, _) in kept.items() for name in [listed[int(who[1:])]]}
    for name, identity in ids.items():
        alone = sum(other.rsplit("/", 1)[-1] == name.rsplit("/", 1)[-1] for other in listed) == 1
        assert identity == (name.rsplit("/", 1)[-1] if alone else name)[:-4]


@pytest.mark.slow
def test_a_picture_is_found_as_fast_among_many(root, monkeypatch):
    """A search that walks all names of one stem would take minutes."""
    names = {f"p{i}/od.jpg": f"p{i}/od.jpg" for i in range(20_000)}
    monkeypatch.setattr("synth.sources.pictures.files_below", lambda root: Below(names))
    folder = Folder(root)
    start = time.process_time()
    found = folder.find(((f"P{i}\\OD", "line") for i in range(20_000)), Report("folder"))
    assert found == [root / f"p{i}/od.jpg" for i in range(20_000)]
    assert time.process_time() - start < 25


# Ids


def test_ids_are_stems_where_they_tell_pictures_apart_and_else_paths(root):
    draw(root, "a/x.jpg", "a/od.jpg", "b/od.jpg", "b/x.png", "c/y.jpg", "c/y.png", "d/y.png")
    _, kept = brought(root, "a/x.jpg", "a/od.jpg", "b/od.jpg", "c/y.jpg", "c/y.png", "d/y.png")
    assert sorted(kept) == ["a/od", "b/od", "c/y.jpg", "c/y.png", "d/y", "x"]


def test_an_id_that_two_lines_give_is_refused_with_both_before_anything_is_written(root):
    draw(root, "a.jpg", "b.jpg", "c.jpg")
    with pytest.raises(UserError, match=r"visits.csv line 4: id 'p1' is that of line 2 too"):
        brought(root, "a.jpg,p1", "b.jpg,p2", "c.jpg,p1", header="file,code,patient", more=", id: code")
    assert not root.with_name("records").exists()


def test_an_id_for_all_is_refused(root):
    draw(root, "a.jpg", "b.jpg")
    with pytest.raises(UserError, match=r"visits.csv line 3: id '7' is that of line 2 too"):
        brought(root, "a.jpg", "b.jpg", more="}\nconstants: {id: 7")


def test_ids_that_a_set_repeats_are_refused_with_both_pictures(root):
    """FIVES' names carry no folder: a copy of a part would make every id stand twice."""
    draw(root, "train/Original/1_A.png", "copy/train/Original/1_A.png")
    with pytest.raises(UserError) as error:
        import_source("fives", root, root.with_name("records"))
    both = (
        "train/Original/1_A.png: id 'train-1_A' is that of another picture too (copy/train/Original/1_A.png)"
    )
    assert both in str(error.value) and not root.with_name("records").exists()


def test_a_name_in_both_tables_of_unam_is_two_pictures(root):
    for name in ("EYE FUNDUS", "OCT"):
        (root / f"{name}.csv").write_text("Name,DME,DR\n12_OD_f_1,1,0\n")
        draw(root, f"{name}/x/12_OD_f_1.jpg")
    import_source("unam", root, root.with_name("records"))
    rows = read_table(root.with_name("records")).to_pylist()
    assert {row["id"]: row["modality"] for row in rows} == {
        "unam-12_OD_f_1": "cfp",
        "unam-12_OD_f_1-oct": "oct",
    }


def test_a_patient_whose_two_lines_differ_is_refused(root):
    header = "ID,Patient Age,Patient Sex,Left-Fundus,Right-Fundus,Left-Diagnostic Keywords,Right-Diagnostic Keywords\n"
    line = "7,61,Male,l.jpg,r.jpg,{},normal fundus\n"
    (root / "full_df.csv").write_text(header + line.format("glaucoma") + line.format("normal fundus"))
    draw(root, "preprocessed_images/l.jpg", "preprocessed_images/r.jpg")
    with pytest.raises(
        UserError, match="line 3: Left-Diagnostic Keywords='normal fundus' of '7', but 'glaucoma' in line 2"
    ):
        import_source("odir5k", root, root.with_name("records"))


# Who is who


def people(root: Path, **files: list[bytes]) -> tuple[dict, dict[str, str]]:
    """Import patients with these files each; the report, and patient -> the subject that their records name."""
    cells, subjects = [], {}
    for who, contents in files.items():
        for number, data in enumerate([content(f"own {who}"), *contents]):
            name = f"{who}_{number}.jpg"
            (root / name).write_bytes(data)
            subjects[f"P{len(cells)}"] = who
            cells.append(name)
    rows = [f"{cell},{subjects[f'P{i}']}" for i, cell in enumerate(cells)]
    (root / "visits.csv").write_text("\n".join(["file,patient", *rows, ""]))
    mapping = root.with_name("mapping.yaml")
    mapping.write_text("table: visits.csv\ncolumns: {image: file, subject_id: patient}\n")
    result = import_source("folder", root, root.with_name("records"), mapping=mapping)
    table = read_table(root.with_name("records"), columns=["id", "subject_id"]).to_pylist()
    own = {row["id"]: row["subject_id"].removeprefix("folder-") for row in table}
    return result, {who: own[f"folder-{who}_0"] for who in files}


BLACK = encode(np.zeros((32, 32, 3), np.uint8))
GREY = encode(np.full((32, 32, 3), 127, np.uint8))


def labelled() -> bytes:
    """A viewer's black placeholder with a few bright pixels of text."""
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[30:33, 30:38] = 255
    return encode(picture)


@pytest.mark.parametrize(
    "data",
    [b"", b"<html>504 Gateway Time-out</html>", BLACK, GREY, labelled(), content("x")[:-20]],
    ids=["empty", "page", "black", "grey", "placeholder", "cut short"],
)
def test_files_that_show_nothing_make_nobody_one_person(root, data):
    result, subjects = people(root, A=[data], B=[data], C=[])
    assert subjects == {"A": "A", "B": "B", "C": "C"}
    assert result["shared"] == [] and result["notes"] == {}


def test_a_picture_of_two_or_three_makes_them_one_person_who_is_told_by_name(root):
    first, second = content("first"), content("second")
    result, subjects = people(root, A=[first], B=[b""], C=[first], D=[second], E=[], F=[second], G=[second])
    assert subjects == {"A": "A", "B": "B", "C": "A", "D": "D", "E": "E", "F": "D", "G": "D"}
    assert result["notes"] == {"subjects who share a file with another, taken for one person": 3}
    assert result["shared"] == [
        {"subjects": ["A", "C"], "pictures": ["A_1.jpg", "C_1.jpg"], "one_person": True},
        {"subjects": ["D", "F", "G"], "pictures": ["D_1.jpg", "F_1.jpg", "G_1.jpg"], "one_person": True},
    ]
    assert json.loads((root.with_name("records") / "import.json").read_text())["shared"] == result["shared"]


def test_people_joined_by_several_pictures_are_one_group(root):
    one, two = content("one"), content("two")
    result, subjects = people(root, A=[one], B=[one, two], C=[two])
    assert set(subjects.values()) == {"A"}
    [group] = result["shared"]
    assert sorted(group["subjects"]) == ["A", "B", "C"] and len(group["pictures"]) == 4


def test_a_picture_of_more_than_three_joins_nobody_and_is_told(root):
    data = content("logo")
    result, subjects = people(root, **{who: [data] for who in "ABCD"})
    assert subjects == {who: who for who in "ABCD"}
    assert result["notes"] == {"pictures shared by more than three subjects, who are not joined": 1}
    names = [f"{who}_1.jpg" for who in "ABCD"]
    assert result["shared"] == [{"subjects": [*"ABCD"], "pictures": names, "one_person": False}]


def test_a_link_to_nothing_and_a_folder_called_as_a_picture_are_dropped_by_what_they_are(root):
    draw(root, "a.jpg")
    (root / "b.jpg").symlink_to(root / "gone.jpg")
    (root / "c.jpg").mkdir()
    result, kept = brought(root, "a.jpg", "b.jpg", "c.jpg")
    assert [*kept] == ["a"]
    assert {reason: told["files"] for reason, told in result["reasons"].items()} == {
        "picture that cannot be read": ["b.jpg"],
        "folder in the place of a picture": ["c.jpg"],
    }


def test_a_pipe_is_not_waited_for(root):
    draw(root, "p1.jpg", "p2.jpg")
    os.mkfifo(root / "p3.jpg")
    os.mkfifo(root / "p4")
    result, kept = brought(root, "p1.jpg", "p2.jpg", "p3.jpg", "p4")
    assert set(kept) == {"p1", "p2"}
    assert result["reasons"]["picture that cannot be read"]["files"] == ["p3.jpg"]


def test_the_command_says_so_in_one_line_with_status_2(root):
    draw(root, "photos/p1.jpg", "masks/p1.png")
    (root / "visits.csv").write_text("file,patient\np1,001\n")
    mapping = root.with_name("mapping.yaml")
    mapping.write_text("table: visits.csv\ncolumns: {image: file, subject_id: patient}\n")
    arguments = ["import", "folder", "--root", root, "--mapping", mapping, "--out", root.with_name("records")]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 2
    assert result.stderr.strip().splitlines() == [
        f"synth: {root}/visits.csv line 2: 'p1' could be masks/p1.png or photos/p1.jpg below {root}; "
        "write the path that is meant, or take the other picture out"
    ]
