"""Folders of pictures as people keep them: nested classes and splits, and the lists that Hugging Face puts beside pictures."""

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pictures import rows

from clip import inputs, prompts
from clip.evaluation import tasks
from clip.inputs import photographs
from synth.base.errors import UserError
from synth.data.records import SPLITS

CLASSES = "classes:\n  normal: {zh: 正常眼底。, en: normal}\n  gc: {folders: [青光眼，疑似, gc], zh: 青光眼, en: glaucoma}\n"


@pytest.fixture(scope="module")
def made() -> list[dict]:
    return rows(12, side=16)


def placed(root: Path, made: list[dict], place: str) -> Path:
    """Every picture at a place that names its class, split and person."""
    for i, each in enumerate(made):
        path = root / place.format(
            split=("train", "val", "test")[i % 3],
            kind=("normal", "青光眼，疑似")[each["is_gc"]],
            person=each["subject_id"],
            i=i,
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(each["image"]["bytes"])
    return root


@pytest.mark.parametrize(
    "place",
    [
        "{kind}/{i}.jpg",
        "{split}/{kind}/{i}.jpg",
        "{kind}/{split}/{i}.jpg",
        "set/{split}/{kind}/{i}.jpg",
        "{kind}/{person}/2020/left/{i}.jpg",
        "a/b/c/d/{kind}/{i}.jpg",
        "normal/{kind}/{i}.jpg",
    ],
)
def test_a_class_is_told_by_the_innermost_folder_that_is_named(place, made, tmp_path):
    data, file = placed(tmp_path / "set", made, place), tmp_path / "classes.yaml"
    file.write_text(CLASSES, encoding="utf-8")
    table = photographs.table(data)
    numbers = dict(zip(table["id"].to_pylist(), prompts.own(file).classify(table).tolist(), strict=True))
    assert len(numbers) == len(made)
    for key, number in numbers.items():
        assert number == made[int(Path(key).stem)]["is_gc"]
    assert [*tasks.unnamed(data, SPLITS, file)] == []
    if "{split}" in place:
        assert [len(photographs.table(data, [split])) for split in SPLITS] == [4, 4, 4]


def test_names_of_folders_are_compared_without_case_and_width(made, tmp_path):
    data, file = tmp_path / "set", tmp_path / "classes.yaml"
    placed(data, made, "{kind}/{i}.jpg")
    (data / "normal").rename(data / "Normal ")
    (data / "青光眼，疑似").rename(data / "青光眼,疑似")
    file.write_text(CLASSES, encoding="utf-8")
    assert sorted(prompts.own(file).classify(photographs.table(data)).tolist()) == [0] * 6 + [1] * 6


def test_folders_that_no_class_names_are_told_in_one_line(made, tmp_path):
    data, file = placed(tmp_path / "set", made, "{kind}/{i}.jpg"), tmp_path / "classes.yaml"
    for i in range(20):
        placed(data, made[:1], f"other{i}/{{i}}.jpg")
    file.write_text(CLASSES, encoding="utf-8")
    [line] = tasks.unnamed(data, SPLITS, file)
    assert "left out: 1 in 'other0'" in line and "and 12 more folders" in line


def test_a_folder_that_links_to_what_it_lies_in_is_walked_once(made, tmp_path):
    data = placed(tmp_path / "set", made, "{kind}/{i}.jpg")
    (data / "normal" / "again").symlink_to(data)
    assert len(photographs.table(data)) == len(made)


@pytest.mark.parametrize(
    "text, message",
    [
        ("classes:\n  a: {zh: ' ', en: x}\n  b: {zh: 乙, en: y}\n", "text ' ' says nothing of its class"),
        ("classes:\n  a: {zh: 甲, en: nan}\n  b: {zh: 乙, en: y}\n", "text 'nan' says nothing of its class"),
        ("classes:\n  a: {zh: 甲, en: x}\n  b: {zh: 甲, en: y}\n", "'a' and 'b' have the same zh texts"),
        (
            "classes:\n  no: {zh: 甲, en: x}\n  yes: {zh: 乙, en: y}\n",
            "a class is called False, as YAML reads it",
        ),
        ("", "no key 'classes' in it"),
        ("tasks: {}\n", "a file of tasks is --prompts"),
    ],
)
def test_classes_that_nothing_tells_apart_are_refused(text, message, tmp_path):
    (tmp_path / "classes.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        prompts.own(tmp_path / "classes.yaml")


def test_classes_may_be_called_by_numbers(tmp_path):
    (tmp_path / "classes.yaml").write_text(
        "classes:\n  0: {zh: 无, en: none}\n  1: {zh: 轻, en: mild}\n", encoding="utf-8"
    )
    task = prompts.own(tmp_path / "classes.yaml")
    assert task.classify(pa.table({"source": ["1", "0", "2", None]})).tolist() == [1, 0, -1, -1]


# What Hugging Face's datasets call an image folder


def listed(folder: Path, names: list[str], texts: list[str], form: str) -> None:
    lines = [{"file_name": name, "text": text} for name, text in zip(names, texts, strict=True)]
    path = folder / f"metadata.{form}"
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(lines), path)
    elif form == "jsonl":
        path.write_text("\n".join(map(json.dumps, lines)))
    else:
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["file_name", "text"])
            writer.writeheader()
            writer.writerows(lines)


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("per_split", [True, False])
def test_captions_of_an_image_folder_are_those_of_its_pictures(form, per_split, made, tmp_path):
    """A list in each split's folder names its pictures from there, one above all from there; both are one layout."""
    data = tmp_path / "set"
    for split, chosen in (("train", range(8)), ("validation", range(8, 10)), ("test", range(10, 12))):
        (data / split).mkdir(parents=True)
        for i in chosen:  # each split counts its files from 0
            (data / split / f"{i - chosen[0]}.jpg").write_bytes(made[i]["image"]["bytes"])
        if per_split:
            names = [f"{i - chosen[0]}.jpg" for i in chosen]
            listed(data / split, names, [f"caption {i}" for i in chosen], form)
    if not per_split:
        names = [
            f"{split}/{i}.jpg"
            for split, n in (("train", 8), ("validation", 2), ("test", 2))
            for i in range(n)
        ]
        listed(data, names, [f"caption {i}" for i in range(12)], form)
    source, found = inputs.opened(data), []
    for split in SPLITS:
        pictures = source.pictures(split)
        for i, text in enumerate(source.table(split, ["caption_en"])["caption_en"].to_pylist()):
            found.append((split, int(text.split()[1]), pictures[i]))
    assert [number for _, number, _ in found] == [*range(12)]
    assert [split for split, *_ in found] == ["train"] * 8 + ["validation"] * 2 + ["test"] * 2
    assert all(data == made[number]["image"]["bytes"] for _, number, data in found)
    assert any("tells not who it is" in note for note in source.notes)


def test_a_column_that_is_unknown_is_refused_with_what_would_take_it(made, tmp_path):
    placed(tmp_path, made[:2], "{i}.jpg")
    (tmp_path / "list.csv").write_text("image,subject_id,Caption\n0.jpg,a,x\n1.jpg,b,y\n")
    with pytest.raises(
        UserError, match=r"did you mean 'caption'.*--caption-column 'Caption'.*--image-column image to leave"
    ):
        inputs.opened(tmp_path)
