"""What an import says of itself: who and what it holds, what it lost, what looks the same; on one screen and as a page."""

import csv
import io
import re
import stat

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage
from typer.testing import CliRunner

from synth.commands.app import app
from synth.data import classes, formats
from synth.data.records import read_table, split_of
from synth.sources.copies import copies, describe
from synth.sources.importing import import_source
from synth.sources.report import Report

MAPPING = """table: t.csv
columns: {image: file, subject_id: patient, age: age, sex: sex, eye_side: eye, dr_grade: grade}
"""
HEADER = ["file", "patient", "age", "sex", "eye", "grade"]


def drawn(tag, size=96):
    """A round picture with structures of its own on black, as a photograph of an eye is."""
    rng = np.random.default_rng(tag)
    texture = ndimage.gaussian_filter(rng.normal(0, 1, (size, size, 3)), (3, 3, 0))
    y, x = np.mgrid[:size, :size] - size / 2
    inside = (np.hypot(y, x) < 0.48 * size)[..., None]
    return Image.fromarray(np.where(inside, np.clip(110 + 500 * texture, 0, 255), 0).astype(np.uint8))


def encoded(image, quality=95):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def copied(image):
    """The same smaller and compressed again."""
    return encoded(image.resize((67, 67), Image.Resampling.LANCZOS), 60)


def placeholder(text):
    image = Image.new("RGB", (160, 120), "black")
    ImageDraw.Draw(image).text((30, 50), text, fill="white")
    return encoded(image)


def set_of(root, pictures, lines):
    root.mkdir()
    for name, data in pictures.items():
        (root / name).write_bytes(data)
    with (root / "t.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([HEADER, *lines])
    (root / "m.yaml").write_text(MAPPING)
    return root


def load(root, **options):
    return import_source("folder", root, root / "out", mapping=root / "m.yaml", **options)


def run(root, *more):
    return CliRunner().invoke(
        app, ["import", "folder", "--root", str(root), "--mapping", str(root / "m.yaml"), "--out", str(root / "out"), *more]
    )  # fmt: skip


def patient(split):
    """The name of somebody whom 8:1:1 puts there."""
    return next(f"{split}{i}" for i in range(1000) if split_of(f"folder-{split}{i}") == split)


def test_a_copy_on_the_other_side_of_the_split_is_found_and_named(tmp_path):
    one, other = patient("train"), patient("test")
    pictures = {f"{i}.jpg": encoded(drawn(i)) for i in range(12)} | {"again.jpg": copied(drawn(3))}
    lines = [[f"{i}.jpg", one if i == 3 else f"p{i}", 50, "F", "left", 0] for i in range(12)]
    root = set_of(tmp_path / "set", pictures, [*lines, ["again.jpg", other, 50, "F", "left", 0]])
    result = load(root)
    assert result["kept"] == 13 and result["cohort"]["duplicates"] == [
        {"pictures": ["3.jpg", "again.jpg"], "subjects": [f"folder-{one}", f"folder-{other}"], "splits": ["train", "test"]}
    ]  # fmt: skip
    told = run(root).stdout
    assert (
        "compressed or resized again: 1, on two sides of a split 1: 3.jpg and again.jpg (train/test)" in told
    )
    assert "on two sides of a split" in (root / "out" / "import.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("count", [2, 150])
def test_copies_are_found_in_sets_of_any_size_and_strangers_are_not(count):
    images = [encoded(drawn(i, 64)) for i in range(count)]
    images += [copied(drawn(i, 64)) for i in range(count)]
    descriptors = [found for image in images if (found := describe(formats.read(image)).descriptor)]
    subjects = [f"a{i}" for i in range(count)] + [f"b{i}" for i in range(count)]
    found = copies(descriptors, subjects, lambda place: images[place])
    assert found == [(i, count + i) for i in range(count)]


def test_copies_within_one_patient_are_nobodys_business(tmp_path):
    pictures = {"a.jpg": encoded(drawn(1)), "b.jpg": copied(drawn(1))}
    root = set_of(tmp_path / "set", pictures, [[name, "p", 50, "F", "left", 0] for name in pictures])
    assert load(root)["cohort"]["duplicates"] == []


def test_a_viewers_placeholder_joins_nobody_and_is_noted(tmp_path):
    same = placeholder("image not available")
    pictures = {"a.jpg": encoded(drawn(1)), "b.jpg": encoded(drawn(2)), "x.jpg": same, "y.jpg": same}
    lines = [[name, "ab"[name in "b.jpg y.jpg"], 50, "F", "left", 0] for name in pictures]
    root = set_of(tmp_path / "set", pictures, lines)
    result = load(root)
    assert result["shared"] == []
    assert result["cohort"]["blank"] == 2
    assert set(read_table(root / "out")["subject_id"].to_pylist()) == {"folder-a", "folder-b"}


def test_a_cohort_is_counted_over_patients(tmp_path):
    pictures = {f"{i}.jpg": encoded(drawn(i)) for i in range(6)}
    lines = [[f"{i}.jpg", f"p{i // 2}", [34, 61, ""][i // 2], "FMF"[i // 2], ["left", "right"][i % 2], i % 3] for i in range(6)]  # fmt: skip
    result = load(set_of(tmp_path / "set", pictures, lines), shares=(1, 0, 0))
    cohort = result["cohort"]
    assert (cohort["patients"], cohort["eyes"]) == (3, 6)
    assert cohort["splits"] == {"train": {"pictures": 6, "patients": 3}}
    assert cohort["classes"]["dr_grade"] == {
        str(grade): {"train": 2 if grade < 3 else 0} for grade in range(5)
    }
    assert [(lack["label"], lack["value"], lack["is_nowhere"]) for lack in cohort["lacking"]] == [
        ("dr_grade", "3", True), ("dr_grade", "4", True)
    ]  # fmt: skip
    assert cohort["ages"] == {"30-39": 1, "40-49": 0, "50-59": 0, "60-69": 1, "unknown": 1}
    assert cohort["sexes"] == {"F": 2, "M": 1} and cohort["sizes"] == {"96 x 96": 6}


def test_a_patient_of_two_sexes_is_noted_once(tmp_path):
    pictures = {f"{i}.jpg": encoded(drawn(i)) for i in range(6)}
    sexes = ["M", "F", "F", "", "M", "M"]  # of two pictures of one patient, and so on
    lines = [[f"{i}.jpg", "aabbcc"[i], 50, sexes[i], "right", 0] for i in range(6)]
    set_of(tmp_path / "in", pictures, [*lines])
    result = import_source("folder", tmp_path / "in", tmp_path / "out", mapping=tmp_path / "in" / "m.yaml")
    assert result["notes"] == {"patients with more than one sex: is it one id for several people?": 1}


def test_an_import_that_loses_most_pictures_ends_with_status_2_and_keeps_its_records(tmp_path):
    lines = [[f"{i}.jpg", f"p{i}", 50, "F", "left", 0] for i in range(10)]
    root = set_of(tmp_path / "set", {"0.jpg": encoded(drawn(0)), "1.jpg": encoded(drawn(1))}, lines)
    for result in (run(root), run(root)):  # repeated, it says so again
        assert result.exit_code == 2 and result.stderr.splitlines()[-1] == (
            f"synth: {root / 'out'}: ONLY 2 PICTURES KEPT, 80.0% of what is listed is lost (--max-dropped 0.5); the records "
            f"are written, see why in {root / 'out' / 'import.html'}"
        )
    assert len(read_table(root / "out")) == 2 and "dropped: 8 picture absent" in run(root).stdout
    assert run(root, "--max-dropped", "0.8").exit_code == 0
    assert run(root, "--max-dropped", "0.79").exit_code == 2


def test_pictures_that_no_table_names_are_not_lost(tmp_path):
    pictures = {f"{i}.jpg": encoded(drawn(i)) for i in range(8)}
    root = set_of(tmp_path / "set", pictures, [["0.jpg", "p0", 50, "F", "left", 0]])
    result = run(root)
    assert result.exit_code == 0 and "not asked for: 7 picture without a line in the table" in result.stdout


def test_the_page_is_whole_in_both_languages_and_for_its_owner_alone(tmp_path):
    pictures = {f"{i}.jpg": encoded(drawn(i)) for i in range(4)} | {"<b>.jpg": b"<html>404</html>"}
    lines = [[name, f"p{name}", 50, "F", "left", 0] for name in pictures]
    root = set_of(tmp_path / "set", pictures, lines)
    load(root)
    path = root / "out" / "import.html"
    page = path.read_text(encoding="utf-8")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (
        'lang="en" id="en"' in page
        and 'lang="zh" id="zh"' in page
        and "不是图像" in page
        and "not a picture" in page
    )
    assert "<script" not in page and set(re.findall(r'src="([^"]{0,10})', page)) == {"data:image"}
    assert "<b>.jpg" not in page and "&lt;b&gt;.jpg" in page
    assert page.count("data:image/jpeg") == 4 and "nothing to see" in page
    assert "Kept 4 of 5 listed pictures (80.0 %). Patients: 4; eyes: 4." in page
    assert "所列 5 张图像中保留 4 张（80.0 %）。患者数：4；眼数：4。" in page


def test_a_cell_that_leads_out_of_the_set_shows_nothing_of_the_disk(tmp_path):
    (tmp_path / "other.jpg").write_bytes(encoded(drawn(9)))
    names = ["0.jpg", "../other.jpg", str(tmp_path / "other.jpg")]
    lines = [[name, f"p{i}", 50, "F", "left", 0] for i, name in enumerate(names)]
    root = set_of(tmp_path / "set", {"0.jpg": encoded(drawn(0))}, lines)
    assert load(root)["kept"] == 1
    assert (root / "out" / "import.html").read_text(encoding="utf-8").count("data:image/jpeg") == 1


def test_dropped_names_are_drawn_from_all_of_them():
    report = Report("x")
    for i in range(1000):
        report.drop("damaged picture", f"{i}")
    assert (
        len(report.sampled["damaged picture"]) == 8 and max(map(int, report.sampled["damaged picture"])) > 100
    )


def table(**columns):
    length = len(next(iter(columns.values())))
    known = {name: [None] * length for name in classes.COLUMNS} | columns
    types = {name: pa.list_(pa.string()) if name == "findings" else pa.int8() for name in known}
    return pa.table({name: pa.array(values, types[name]) for name, values in known.items()})


def test_a_class_that_one_split_lacks_is_named_and_one_that_nobody_has_is_not():
    tables = {
        "train": table(is_gc=[0, 1], findings=[["drusen"], []]),
        "validation": table(is_gc=[0, 0], findings=[[], None]),
        "test": table(is_gc=[]),
    }
    assert classes.warning(tables, "records") == (
        "records: no picture of is_gc=1 in validation, findings=drusen in validation; of these nothing can be said there"
    )
    assert classes.warning({"train": table(is_gc=[0]), "test": table(is_gc=[0])}, "records") is None


def test_few_patients_are_named_before_a_training(tmp_path):
    pictures = {f"{i}.jpg": encoded(drawn(i)) for i in range(3)}
    root = set_of(tmp_path / "set", pictures, [[name, "p", 50, "F", "left", 0] for name in pictures])
    load(root, shares=(1, 0, 0))
    assert (classes.few_patients(root / "out") or "").startswith(
        f"{root / 'out'}: only 1 patient to learn from; below 100"
    )


def test_the_counts_of_an_import_stand_in_columns(tmp_path):
    """One line of 1,500 characters is read by nobody."""
    lines = [[f"{i}.jpg", f"p{i}", 50, "F", "left", i % 3] for i in range(6)]
    root = set_of(tmp_path / "set", {f"{i}.jpg": encoded(drawn(i)) for i in range(6)}, lines)
    told = run(root).stdout.splitlines()
    [head] = [
        line for line in told if line.split() == ["train", "validation", "test"] or line.split() == ["train"]
    ]
    place = told.index(head)
    rows = {tuple(line.split()[: -len(head.split())]): line for line in told[place + 1 : place + 6]}
    assert {("pictures",), ("patients",), ("dr_grade", "0"), ("dr_grade", "2")} <= set(rows)
    assert {len(line) for line in rows.values()} == {len(head)}
    assert max(map(len, told)) < 200 + len(str(root))
