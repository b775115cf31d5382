"""What other trainers read, read as they would: every caption with its own picture, and one line for what cannot be read."""

import base64
import csv
import io
import json
import os
import pickle
import tarfile
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from unicodedata import normalize

import datasets
import lmdb
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clip import inputs
from clip.apps import image_io
from clip.inputs import photographs
from synth.base.errors import UserError
from synth.data.records import SPLITS

COUNT = 12
TEXTS = {f"{number:09d}": f"caption of picture {number}" for number in range(COUNT)}
"""Key -> caption."""


def picture(key: str) -> bytes:
    """Bytes that tell whose they are; no reader looks into them."""
    return b"\xff\xd8\xff picture " + key.encode()


def pairs(data: Path) -> dict[bytes, set[str | None]]:
    """Picture -> its captions, over all splits."""
    found: dict[bytes, set[str | None]] = {}
    source = inputs.opened(data)
    for split in SPLITS:
        table, pictures = source.table(split, ["caption_zh", "caption_en"]), source.pictures(split)
        for i, row in enumerate(table.to_pylist()):
            found.setdefault(pictures[i], set()).add(row["caption_zh"] or row["caption_en"])
    return found


def column(data: Path, name: str) -> list:
    source = inputs.opened(data)
    return [value for split in SPLITS for value in source.table(split, [name])[name].to_pylist()]


EXPECTED = {picture(key): {text} for key, text in TEXTS.items()}


def pack(path: Path, members: Sequence[tuple[str, bytes]]) -> Path:
    """A tar of members in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as file:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return path


def told(key: str, **more: object) -> bytes:
    """The json that img2dataset writes beside a picture."""
    content = {"caption": TEXTS[key], "url": f"https://x/{key}", "key": key, "status": "success", "width": 48}
    return json.dumps(content | more).encode()


def members(key: str) -> list[tuple[str, bytes]]:
    return [(f"{key}.jpg", picture(key)), (f"{key}.json", told(key)), (f"{key}.txt", TEXTS[key].encode())]


def as_tars(out: Path) -> Path:
    half = list(TEXTS)[::2], list(TEXTS)[1::2]
    for number, keys in enumerate(half):
        pack(out / f"{number:05d}.tar", [member for key in keys for member in members(key)])
        metadata(out / f"{number:05d}.parquet", keys, with_pictures=False)
        (out / f"{number:05d}_stats.json").write_text("{}")
    return out


def as_folders(out: Path) -> Path:
    for number, key in enumerate(TEXTS):
        folder = out / f"{number % 2:05d}"
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in members(key):
            (folder / name).write_bytes(content)
    metadata(out / "00000.parquet", list(TEXTS), with_pictures=False)
    (out / "00000_stats.json").write_text("{}")
    return out


def metadata(path: Path, keys: Sequence[str], with_pictures: bool) -> Path:
    """What img2dataset writes beside each shard, or, with pictures, its form `parquet`; one download failed."""
    rows = [{"key": key, "caption": TEXTS[key], "status": "success", "jpg": picture(key)} for key in keys]
    rows.insert(1, {"key": "x", "caption": "never fetched", "status": "failed_to_download", "jpg": None})
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows)
    pq.write_table(table if with_pictures else table.drop_columns(["jpg"]), path, row_group_size=5)
    return path


def as_hugging_face(out: Path, column: str = "text") -> Path:
    """What the library itself writes, below data/ as on its hub."""
    keys = list(TEXTS)
    for split, chosen in (("train", keys[:8]), ("validation", keys[8:])):
        rows = [{"image": {"bytes": picture(key), "path": "same.jpg"}, column: TEXTS[key]} for key in chosen]
        features = datasets.Features(
            {"image": datasets.Image(decode=False), column: datasets.Value("string")}
        )
        (out / "data").mkdir(parents=True, exist_ok=True)
        made = datasets.Dataset.from_list(rows, features=features)
        made.to_parquet(out / "data" / f"{split}-00000-of-00001.parquet", batch_size=3)
    return out


def as_open_clip(out: Path) -> Path:
    write_pictures(out / "img")
    with open(out / "train.csv", "w", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerows([("filepath", "title"), *((f"img/{key}.jpg", text) for key, text in TEXTS.items())])
    return out


def as_json_lines(out: Path) -> Path:
    """What `datasets` calls an image folder."""
    write_pictures(out)
    lines = [{"file_name": f"{key}.jpg", "text": text, "subject_id": key} for key, text in TEXTS.items()]
    (out / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return out


def write_pictures(folder: Path) -> None:
    folder.mkdir(parents=True)
    for key in TEXTS:
        (folder / f"{key}.jpg").write_bytes(picture(key))


def as_raw_chinese_clip(out: Path) -> Path:
    out.mkdir(parents=True)
    keys = list(TEXTS)
    for split, chosen in (("train", keys[:8]), ("valid", keys[8:])):
        lines = [f"{key}\t{base64.urlsafe_b64encode(picture(key)).decode()}\n" for key in reversed(chosen)]
        (out / f"{split}_imgs.tsv").write_text("".join(lines))
        texts = [{"text_id": i, "text": TEXTS[key], "image_ids": [key]} for i, key in enumerate(chosen)]
        texts.append({"text_id": 99, "text": "a text of no picture", "image_ids": []})
        (out / f"{split}_texts.jsonl").write_text("\n".join(map(json.dumps, texts)))
    return out


def as_lmdb(out: Path, keys: Sequence[str], size: int = 1) -> None:
    """One split as Chinese-CLIP's own builder lays it out, with pictures of so many times their size."""
    pictures = {key: base64.urlsafe_b64encode(picture(key) * size) for key in keys}
    texts = {str(i): pickle.dumps((key, i, TEXTS[key])) for i, key in enumerate(keys)}
    for name, count, values in (("imgs", b"num_images", pictures), ("pairs", b"num_samples", texts)):
        (out / name).mkdir(parents=True)
        with lmdb.open(str(out / name), map_size=2**24) as base, base.begin(write=True) as writing:
            for key, value in (values | {count.decode(): str(len(values)).encode()}).items():
                writing.put(key.encode(), value)


FORMS = {
    "img2dataset webdataset": as_tars,
    "img2dataset files": as_folders,
    "img2dataset parquet": lambda out: metadata(out / "00000.parquet", list(TEXTS), True).parent,
    "Hugging Face": as_hugging_face,
    "open_clip": as_open_clip,
    "image folder": as_json_lines,
    "Chinese-CLIP raw": as_raw_chinese_clip,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_caption_is_that_of_its_picture(form, tmp_path):
    """A Mac's notes lie among the files, and the order of the pictures is not that of the texts."""
    data = FORMS[form](tmp_path / "data")
    for junk in (
        "._00000.tar",
        "._1.jpg",
        "._train.csv",
        "__MACOSX/._00000.parquet",
        "__MACOSX/a.txt",
        ".DS_Store",
    ):
        (data / junk).parent.mkdir(exist_ok=True)
        (data / junk).write_bytes(b"\0\5\26\7Mac OS X")
    assert pairs(data) == EXPECTED
    people = column(data, "subject_id")
    assert len(set(people)) == len(people) == COUNT


@pytest.mark.parametrize("form", ["img2dataset parquet", "img2dataset files"])
def test_what_img2dataset_could_not_fetch_is_left_out_and_said(form, tmp_path):
    data = FORMS[form](tmp_path / "data")
    if form == "img2dataset files":
        (data / "00001" / "x.json").write_bytes(told("000000001", status="failed_to_download"))
        (data / "00001" / "x.txt").write_text("never fetched")
    assert pairs(data) == EXPECTED
    assert list(inputs.opened(data).notes) == [f"{data}: 1 failed downloads of img2dataset are left out"]


def test_names_of_a_hugging_face_repository_tell_splits(tmp_path):
    source = inputs.opened(as_hugging_face(tmp_path / "repository"))
    assert [len(source.pictures(split)) for split in SPLITS] == [8, 4, 0]


def test_the_files_that_an_lmdb_is_built_from_are_read_as_the_lmdb(tmp_path):
    raw = as_raw_chinese_clip(tmp_path / "raw")
    for split, keys in (("train", list(TEXTS)[:8]), ("valid", list(TEXTS)[8:])):
        as_lmdb(tmp_path / "lmdb" / split, keys)
    ours, theirs = inputs.opened(raw), inputs.opened(tmp_path / "lmdb")
    for split in SPLITS:
        assert ours.table(split, ["caption_en"]) == theirs.table(split, ["caption_en"])
        assert [*map(bytes, ours.pictures(split))] == [*map(bytes, theirs.pictures(split))]  # type: ignore[arg-type]
    assert len(inputs.opened(raw / "train_texts.jsonl").pictures("train")) == 8


@pytest.mark.parametrize("many", [False, True], ids=["one class", "several"])
def test_numbers_of_classes_become_their_names(many, tmp_path):
    kind = datasets.ClassLabel(names=["no_glaucoma", "glaucoma", "cataract"])
    features = datasets.Features(
        {"image": datasets.Image(decode=False), "label": datasets.Sequence(kind) if many else kind}
    )
    labels = [[1, 2], [0], []] if many else [2, 0, 1]
    rows = [
        {"image": {"bytes": picture(str(i)), "path": None}, "label": label} for i, label in enumerate(labels)
    ]
    datasets.Dataset.from_list(rows, features=features).to_parquet(tmp_path / "train.parquet")
    expected = (
        ["glaucoma, cataract", "no glaucoma", None] if many else ["cataract", "no glaucoma", "glaucoma"]
    )
    assert pairs(tmp_path) == {picture(str(i)): {text} for i, text in enumerate(expected)}


def test_a_picture_of_parquet_with_several_captions_counts_once_for_each(tmp_path):
    rows = [{"img": picture("a"), "caption": ["one", "two", ""]}, {"img": picture("b"), "caption": ["three"]}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    assert pairs(tmp_path) == {picture("a"): {"one", "two"}, picture("b"): {"three"}}
    assert sorted(column(tmp_path, "subject_id")) == ["x/0", "x/0", "x/1"]


def test_names_in_a_chinese_encoding_are_read(tmp_path):
    name = os.fsdecode("眼底1".encode("gbk"))
    files = [(f"{name}.jpg", picture("a")), (f"{name}.txt", "青光眼".encode())]
    pack(tmp_path / "tars" / "0.tar", files)
    write(tmp_path / "folder", dict(files))
    for data in (tmp_path / "tars", tmp_path / "folder"):
        assert pairs(data) == {picture("a"): {"青光眼"}} and column(data, "id") == ["眼底1"]


def test_labels_and_people_of_parquet_are_read(tmp_path):
    rows = [
        {"image": picture("a"), "patient_id": 7.0, "dr_grade": 2, "age": 61, "is_gc": True},
        {"image": picture("b"), "patient_id": 7.0, "dr_grade": None, "age": float("nan"), "is_gc": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    assert column(tmp_path, "subject_id") == ["7", "7"]
    assert [column(tmp_path, name) for name in ("dr_grade", "age", "is_gc")] == [
        [2, None],
        [61, None],
        [1, None],
    ]


@pytest.mark.parametrize(
    "form, file, name",
    [
        ("img2dataset parquet", "00000.parquet", "downloaded.csv"),
        ("Hugging Face", "data/train-00000-of-00001.parquet", "blob"),
        ("img2dataset webdataset", "00000.tar", "shard.bin"),
        ("open_clip", "train.csv", "train.txt"),
        ("image folder", "metadata.jsonl", "list.json"),
    ],
)
def test_a_file_is_what_it_holds_whatever_it_is_called(form, file, name, tmp_path):
    path = FORMS[form](tmp_path / "data") / file
    renamed = path.rename(path.with_name(name))
    found = pairs(renamed)
    assert len(found) >= 6 and found.items() <= EXPECTED.items()


def test_a_key_of_two_shards_is_two_pairs_of_two_people(tmp_path):
    for number, split in enumerate(("train", "val")):
        pack(tmp_path / f"{split}.tar", [("0001.jpg", picture(f"{number}")), ("0001.txt", split.encode())])
    assert pairs(tmp_path) == {picture("0"): {"train"}, picture("1"): {"val"}}
    assert column(tmp_path, "id") == column(tmp_path, "subject_id") == ["train/0001", "val/0001"]


def test_ids_that_begin_anew_in_every_file_are_those_of_their_file(tmp_path):
    for part in ("train-0", "train-1", "test-0"):
        rows = [{"id": i, "image": picture(f"{part} {i}"), "text": f"{part} {i}"} for i in range(2)]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{part}.parquet")
    assert pairs(tmp_path) == {
        picture(f"{part} {i}"): {f"{part} {i}"} for part in ("train-0", "train-1", "test-0") for i in (0, 1)
    }
    assert sorted(column(tmp_path, "id")) == [f"{part}/{i}" for part in ("test-0", "train-0", "train-1") for i in (0, 1)]  # fmt: skip
    assert len(photographs.table(tmp_path)) == 6


@pytest.mark.parametrize("form", ["parquet", "tar", "files"])
def test_an_id_that_two_pictures_have_is_refused_with_both(form, tmp_path):
    """As one photograph the second would be embedded and judged nowhere."""
    told = json.dumps({"id": "x", "caption": "c"}).encode()
    if form == "parquet":
        rows = [{"id": "x", "image": picture(key), "text": key} for key in "ab"]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    elif form == "tar":
        pack(tmp_path / "x.tar", [(f"{key}.{end}", content) for key in "ab" for end, content in (("jpg", picture(key)), ("json", told))])  # fmt: skip
    else:
        write(tmp_path, {f"{key}.jpg": picture(key) for key in "ab"} | {f"{key}.json": told for key in "ab"})
    refused(tmp_path, "id 'x' is that of .* too; give every picture its own, or leave id out")


@pytest.mark.parametrize(
    "label", [["a", "b"], pa.array(["a", "b"]).dictionary_encode(), [["a"], ["b", None]]],
    ids=["text", "categories", "lists"],
)  # fmt: skip
def test_classes_that_are_text_are_captions_however_they_are_kept(label, tmp_path):
    pq.write_table(pa.table({"image": [picture("0"), picture("1")], "label": label}), tmp_path / "x.parquet")
    assert pairs(tmp_path) == {picture("0"): {"a"}, picture("1"): {"b"}}


def test_visits_may_be_numbers_or_days_and_ages_decimals(tmp_path):
    rows = [
        {"image": picture("0"), "visit": 2, "camera": 7, "age": Decimal("61.5")},
        {"image": picture("1"), "visit": 3, "camera": 7, "age": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train-0.parquet")
    days = pa.table({"image": [picture("2")], "visit": [date(2020, 5, 1)]})
    pq.write_table(days, tmp_path / "train-1.parquet")
    assert column(tmp_path, "visit") == ["2", "3", "2020-05-01"]
    assert column(tmp_path, "camera") == ["7", "7", None] and column(tmp_path, "age") == [61.5, None, None]


@pytest.mark.parametrize(
    "name, stored",
    [("é", normalize("NFD", "é").encode()), ("眼", "眼".encode("gb18030"))],
    ids=["composed", "GB18030"],
)
def test_a_picture_of_a_list_is_found_in_whatever_bytes_its_name_is_stored(name, stored, tmp_path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + stored))
    write(folder, {os.fsdecode(stored) + ".jpg": picture("0")})
    (tmp_path / "x.csv").write_text(f"filepath,title\n{name}/{name}.jpg,x\n", encoding="utf-8")
    assert pairs(tmp_path) == {picture("0"): {"x"}}


@pytest.mark.parametrize("ending", ["jp2", "jfif", "gif", "dcm"])
def test_pictures_of_any_suffix_that_an_import_reads_are_pictures(tmp_path, ending):
    pack(tmp_path / "0.tar", [(f"a.{ending}", picture("a")), ("a.txt", b"first")])
    assert pairs(tmp_path) == {picture("a"): {"first"}}


ONE = [("a.jpg", b"1"), ("a.txt", b"first")]


@pytest.mark.parametrize(
    "contents, message",
    [
        ([*ONE, ("b.jpg", b"2"), *ONE], r"0\.tar: key 'a' comes again with a\.jpg"),
        ([*ONE, *ONE], r"0\.tar: key 'a' comes again with a\.jpg"),
        ([*ONE, ("b.jpg", b"2"), ("a.json", b"{}")], "key 'a' comes again with a.json"),
        ([*ONE, ("a.png", b"2")], r"0\.tar a: has two pictures \(jpg, png\)"),
        ([("a.txt", b"first")], r"0\.tar a: no picture \(txt\); give it one"),
        ([("1.2.840.jpg", b"1"), ("1.2.840.txt", b"x")], "0.tar 1: no picture .*; a key ends at the first dot of a name"),
        ([*ONE, ("a.json", b'{"caption_zh": "\\ud83d half"}')], r"0\.tar a\.json: caption_zh=.* holds half a character"),
        ([ONE[0], ("a.json", b'{"caption": ["x", "y"]}')], r"a\.json: caption=\['x', 'y'\] is no text"),
        ([*ONE, ("a.json", b'{"age": 1e999}')], "age=inf is nobody's"),
        ([*ONE, ("a.json", b'{"age": "fifty"}')], r"0\.tar a\.json: age='fifty' is outside the vocabulary; it is no age in years"),
        ([*ONE, ("a.json", b'{"age": 160}')], r"0\.tar a\.json: age=160 is nobody's"),
        ([*ONE, ("a.json", b'{"age": [50]}')], r"0\.tar a\.json: age=\[50\] is not a number"),
        ([*ONE, ("a.json", b'{"dr_grade": 7}')], r"a\.json: dr_grade=7 is outside the vocabulary"),
        ([*ONE, ("a.json", b'{"eye_side": 1}')], r"a\.json: eye_side=1 is no text"),
        ([*ONE, ("a.json", b'{"findings": [1]}')], r"a\.json: findings=\[1\] is no list of texts"),
        ([*ONE, ("a.json", b"[" * 100_000)], r"a\.json: not JSON"),
        ([("a.jpg", b"1"), ("a.txt", "疑似".encode("gbk"))], r"a\.txt: not UTF-8 text"),
    ],
)  # fmt: skip
def test_a_shard_that_cannot_be_is_refused_with_file_and_key(contents, message, tmp_path):
    refused(pack(tmp_path / "0.tar", contents), message)


def test_numbers_in_json_may_be_text(tmp_path):
    pack(tmp_path / "0.tar", [*ONE, ("a.json", b'{"age": "50", "dr_grade": "2", "sex": "", "is_gc": null}')])
    assert [column(tmp_path, name) for name in ("age", "dr_grade", "sex")] == [[50], [2], [None]]


@pytest.mark.parametrize("kept", [512, 1024, 1536, 1700, 2048, 3072])
def test_a_tar_cut_anywhere_is_refused(kept, tmp_path):
    """Each of its four members takes a block for the header and one for the content."""
    whole = pack(tmp_path / "whole.tar", [*ONE, ("b.jpg", b"2"), ("b.txt", b"second")])
    path = tmp_path / "cut.tar"
    path.write_bytes(whole.read_bytes()[:kept])
    refused(path, r"cut\.tar: damaged tar")


def test_a_tar_with_a_damaged_header_or_another_behind_it_is_refused(tmp_path):
    whole = pack(tmp_path / "whole.tar", [*ONE, ("b.jpg", b"2")]).read_bytes()
    path = tmp_path / "0.tar"
    for content in (whole[:1024] + b"?" + whole[1025:], whole + whole, whole + bytes(2**21)):
        path.write_bytes(content)
        inputs._foreign.cache_clear()
        refused(path, r"0\.tar: damaged tar")


def test_a_link_in_a_tar_is_no_empty_caption(tmp_path):
    path = pack(tmp_path / "0.tar", ONE)
    with tarfile.open(path, "a") as file:
        link = tarfile.TarInfo("b.txt")
        link.type, link.linkname = tarfile.LNKTYPE, "a.txt"
        file.addfile(link)
    refused(path, r"b\.txt is a link or sparse")


@pytest.mark.parametrize("name", ["imgs", "pairs"])
def test_an_lmdb_cut_short_is_one_line_and_does_not_kill_the_process(name, tmp_path):
    as_lmdb(tmp_path / "train", list(TEXTS), size=500)
    path = tmp_path / "train" / name / "data.mdb"
    with lmdb.open(str(path.parent), readonly=True, lock=False) as base:
        needed = (base.info()["last_pgno"] + 1) * base.stat()["psize"]
    path.write_bytes(path.read_bytes()[: needed - 1])
    refused(tmp_path, rf"{name}/data\.mdb: cut short, {needed - 1:,} of {needed:,} bytes")


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


LIST = b"image,caption_en,subject_id\n"


@pytest.mark.parametrize(
    "files, message",
    [
        ({"list.csv": LIST + b"img,x,1\n", "img/0.jpg": b"1"}, r"list\.csv line 2: .*img is a folder; name the picture"),
        ({"list.csv": LIST + b"https://x/0.jpg,x,1\n"}, "line 2: 'https://x/0.jpg' is a web address"),
        ({"list.csv": LIST + b"a.jpg,x,1\na.jpg,y,2\n", "a.jpg": b"1"}, r"line 3: a\.jpg is of '2', but of '1' in .* line 2"),
        ({"list.csv": b"image,filepath,subject_id\n1,2,3\n"}, "has the columns image and filepath; nobody can tell"),
        ({"list.csv": b"filepath,title,text\n1,2,3\n"}, "has the columns title and text; nobody can tell"),
        ({"list.csv": b"filepath,title,patient\na.jpg,x,1\n"}, "column 'patient' is unknown"),
        ({"list.csv": LIST.replace(b"_id", b"_id,age") + b"a.jpg,x,1,300\n", "a.jpg": b"1"}, "line 2: age='300' is outside the vocabulary; it is no age between 0 and 120"),
        ({"list.tsv": b"0\t" + b"QUJD" * 50_000 + b"\n"}, r"list\.tsv: its first row is no header"),
        ({"list.csv": b"<!DOCTYPE html><html>"}, r"list\.csv: is a web page"),
        ({"x.tar": b"<html><body>404"}, r"x\.tar: is a web page"),
        ({"x.parquet": b"version https://git-lfs.github.com/spec/v1\noid sha256:0"}, r"x\.parquet: is a pointer of Git LFS"),
        ({"x.parquet": b""}, r"x\.parquet: is empty"),
        ({"x.parquet": b"PARE and no more"}, r"x\.parquet: is not what its name says"),
        ({"x.parquet": b"PAR1 and no more"}, r"x\.parquet: damaged parquet"),
        ({"state.json": b"{}", "data-0.arrow": b"\xff\xff\xff\xff\0"}, r"data-0\.arrow: is Arrow, .* to_parquet"),
        ({"metadata.jsonl": b'{"image": "a.jpg"}\nx'}, r"metadata\.jsonl: not JSON"),
        ({"metadata.jsonl": b'{"file_name": "a.jpg", "text": ["x", "y"]}'}, r"line 1: text=\['x', 'y'\] is no text"),
        ({"metadata.jsonl": b'{"file_name": "a.jpg", "text": "x", "text": "y"}'}, "not JSON .*key 'text' stands twice"),
        ({"metadata.jsonl": b'{"image": "a.jpg"}\n[1]'}, r"metadata\.jsonl entry 2: holds a list"),
        ({"a/1.jpg": b"1", "a/1.txt": b"x", "a/2.txt": b"y"}, r"a/2: no picture \(txt\)"),
        ({"a/1.jpg": b"1", "a/1.png": b"2", "a/1.txt": b"x"}, r"a/1: has two pictures \(jpg, png\)"),
        ({"train/test/1.jpg": b"1", "train/test/1.txt": b"x"}, "is named after test and train"),
        ({"train_imgs.tsv": b"0\tQUJD\n"}, r"train_texts\.jsonl: no such file; Chinese-CLIP's raw form has"),
        ({"train_imgs.tsv": b"0\tQUJD\n0\tQUJD\n", "train_texts.jsonl": b""}, r"line 2: image '0' comes again"),
        ({"train_imgs.tsv": b"0,QUJD\n", "train_texts.jsonl": b""}, "line 1: not an id and a picture in base64"),
        ({"train_imgs.tsv": b"0\tQUJD\n", "train_texts.jsonl": b'{"text": "x", "image_ids": [1]}'},
         r"train_texts\.jsonl line 1: image '1' is not in .*train_imgs\.tsv"),
        ({"train_imgs.tsv": b"", "train_texts.jsonl": b'{"text": "x"}'}, "line 1: no key 'image_ids' with a list"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_one_line(files, message, tmp_path):
    refused(write(tmp_path, files), message)


@pytest.mark.parametrize(
    "rows, message",
    [
        ([{"image": "a.jpg", "text": "x"}], r"no column of pictures; it has image \(string\), text \(string\)"),
        ([{"image": {"bytes": b"1", "path": None}}, {"image": {"bytes": None, "path": "a.jpg"}}],
         r"x\.parquet row 1: image holds no bytes"),
        ([{"left": b"1", "right": b"2"}], "left and right could be the picture"),
        ([{"image": b"1", "label": 3}], "label is int64 and nothing says what its numbers mean"),
        ([{"image": b"1", "text": 5}], r"x\.parquet row 0: text is no text, and no list of texts"),
        ([{"image": b"1", "age": "old"}], r"x\.parquet row 0: age='old' is outside the vocabulary"),
    ],
)  # fmt: skip
def test_parquet_without_pictures_or_meaning_is_refused(rows, message, tmp_path):
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    refused(tmp_path / "x.parquet", message)


def test_no_number_is_no_caption(tmp_path):
    lines = b'{"file_name": "a.jpg", "text": NaN, "age": NaN}\n{"file_name": "b.jpg", "text": "b"}'
    write(tmp_path, {"metadata.jsonl": lines, "a.jpg": picture("a"), "b.jpg": picture("b")})
    assert pairs(tmp_path) == {picture("a"): {None}, picture("b"): {"b"}}


def test_a_column_that_stands_twice_is_refused(tmp_path):
    columns = [pa.array([picture("0")]), pa.array(["a"]), pa.array(["b"])]
    pq.write_table(pa.Table.from_arrays(columns, names=["image", "text", "text"]), tmp_path / "x.parquet")
    refused(tmp_path, r"x\.parquet: several columns are called 'text'")


def test_a_list_of_pictures_beside_tars_or_parquet_is_refused(tmp_path):
    """Whose captions are meant, nobody can tell."""
    write(tmp_path, {"list.csv": b"filepath,title\na.jpg,x\n", "a.jpg": picture("a")})
    pack(tmp_path / "0.tar", [("a.jpg", picture("other"))])
    refused(tmp_path, r"list\.csv: a list of pictures beside tars; give it as --data, or take it out")
    assert pairs(tmp_path / "list.csv") == {picture("a"): {"x"}}


def test_a_list_may_be_an_excel_file(tmp_path):
    book = openpyxl.Workbook()
    for row in (("image", "caption_zh", "subject_id"), ("a.jpg", "青光眼", "007")):
        book.worksheets[0].append(row)
    write(tmp_path, {"a.jpg": picture("a"), "~$x.xlsx": b"open in Excel"})
    book.save(tmp_path / "x.xlsx")
    assert pairs(tmp_path) == {picture("a"): {"青光眼"}} and column(tmp_path, "subject_id") == ["007"]


def test_pictures_of_one_name_in_two_lists_are_of_two_people(tmp_path):
    for folder in "AB":
        text = f"file_name,id,text\nOD.jpg,1,{folder}\n".encode()
        write(tmp_path / folder, {"OD.jpg": picture(folder), "metadata.csv": text})
    assert sorted(column(tmp_path, "subject_id")) == ["A/OD.jpg", "B/OD.jpg"]
    assert sorted(column(tmp_path, "id")) == ["A/1", "B/1"]


def test_dicom_without_a_suffix_is_found_in_folders(tmp_path):
    write(tmp_path, {f"P{i}/IM0001": bytes(128) + b"DICM" + bytes([i]) for i in (1, 2)} | {"P1/README": b"x"})
    assert {key[-1] for key in pairs(tmp_path)} == {1, 2}
    assert len(image_io.find([tmp_path])) == 2


def test_links_to_nothing_among_pictures_are_said_and_a_pipe_is_not_waited_for(tmp_path):
    write(tmp_path, {"a/1.jpg": picture("1")})
    (tmp_path / "a" / "2.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(tmp_path / "a" / "IM0001")
    assert pairs(tmp_path) == {picture("1"): {None}}
    note = f"{tmp_path}: pictures that are links to nothing, or no files, left out: 1"
    assert inputs.opened(tmp_path).notes == (note,)
    assert image_io.find([tmp_path / "a"]) == [tmp_path / "a" / "1.jpg", tmp_path / "a" / "2.jpg"]


def test_marks_of_bytes_order_are_no_part_of_an_id(tmp_path):
    texts = b'\xef\xbb\xbf{"text": "x", "image_ids": [7]}\r\n'
    lines = b"\xef\xbb\xbf7\t" + base64.b64encode(picture("7")) + b"\r\n"
    write(tmp_path, {"train_imgs.tsv": lines, "train_texts.jsonl": texts})
    assert pairs(tmp_path) == {picture("7"): {"x"}}


def test_an_id_that_no_lmdb_can_hold_is_refused(tmp_path):
    as_lmdb(tmp_path, list(TEXTS))
    with lmdb.open(str(tmp_path / "pairs")) as base, base.begin(write=True) as writing:
        writing.put(b"0", pickle.dumps(("\udcff", 0, "x")))
    refused(tmp_path, "pair 0: image .* is not in")


def test_a_picture_that_went_away_is_one_line_when_it_is_read(tmp_path):
    source = inputs.opened(as_open_clip(tmp_path / "data"))
    (tmp_path / "data" / "img" / "000000000.jpg").unlink()
    with pytest.raises(UserError, match=r"train\.csv line 2 \(000000000\.jpg\): cannot be read"):
        pictures = [source.pictures(split) for split in SPLITS]
        [part[i] for part in pictures for i in range(len(part))]


def test_a_path_of_open_clip_may_begin_where_the_command_runs(tmp_path, monkeypatch):
    write_pictures(tmp_path / "photos")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "x.csv").write_text("filepath\ttitle\nphotos/000000003.jpg\tthree\n")
    monkeypatch.chdir(tmp_path)
    assert pairs(tmp_path / "lists") == {picture("000000003"): {"three"}}
    write(tmp_path / "lists", {"photos/000000003.jpg": b"another"})
    inputs._foreign.cache_clear()
    refused(tmp_path / "lists", "line 2: 'photos/000000003.jpg' could be ")


def refused(data: Path, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        inputs.opened(data)
    assert "\n" not in str(error.value) and len(str(error.value)) < 700
