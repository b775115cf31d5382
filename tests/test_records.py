"""The data contract: what is written opens anywhere, and is written once."""

import json
import os
import shutil
import socket
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from datasets import load_dataset

from synth.base import checkpoint, runs
from synth.base.errors import UserError
from synth.data import images, records
from synth.data.pictures import Pictures
from synth.data.records import Row, row, write_records

PLAN = {"kind": "test", "n": 40}


def rows(count: int = 40) -> list[Row]:
    """Two small pictures of each subject, with labels that are partly unknown."""
    rng = np.random.default_rng(0)
    return [
        row(
            id=f"i{i}",
            subject_id=f"s{i // 2}",
            image={"bytes": images.encode(rng.integers(0, 255, (8, 8, 3), np.uint8)), "path": None},
            caption_zh="疑似青光眼。",
            caption_en="Suspected glaucoma.",
            dr_grade=i % 5 if i % 2 else None,
            is_gc=i % 2,
            findings=[[], ["cataract"], None][i % 3],
            source="test",
            seed=2**63 + i,
        )
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    write_records(folder, rows(), PLAN, rows_per_shard=10)
    return folder


def test_hugging_face_opens_it(folder, tmp_path):
    data = load_dataset(str(folder), cache_dir=str(tmp_path))
    assert set(data) == set(records.SPLITS)
    assert sum(split.num_rows for split in data.values()) == 40
    first = data["train"][0]
    assert first["image"].size == (8, 8)
    assert first["caption_zh"] == "疑似青光眼。"
    assert tuple(data["train"].column_names) == records.COLUMNS


def test_hugging_face_streams_it(folder):
    data = load_dataset(str(folder), split="train", streaming=True)
    assert next(iter(data))["image"].size == (8, 8)


def test_duckdb_counts_it(folder):
    query = f"select dr_grade, count(*) from '{folder}/data/*.parquet' group by 1"
    assert dict(duckdb.connect().execute(query).fetchall()) == {None: 20, 0: 4, 1: 4, 2: 4, 3: 4, 4: 4}


def test_no_subject_is_in_two_splits(folder):
    of = {
        split: set(records.read_table(folder, [split], ["subject_id"])["subject_id"].to_pylist())
        for split in records.SPLITS
    }
    assert sum(len(subjects) for subjects in of.values()) == len(set.union(*of.values())) == 20


def test_splits_keep_their_shares():
    splits = [records.split_of(f"s{i}") for i in range(10_000)]
    assert splits.count("train") / 10_000 == pytest.approx(0.8, abs=0.015)
    assert splits.count("test") / 10_000 == pytest.approx(0.1, abs=0.012)


def test_the_split_of_a_subject_never_changes():
    """A later release that moved people between splits would leak training patients into tests."""
    wanted = "tetetrtrtrtrtrtrtrtevatrtetrtrtr"
    assert "".join(records.split_of(f"s{i}")[:2] for i in range(16)) == wanted


def test_unknown_stays_null_and_none_found_stays_empty(folder):
    table = records.read_table(folder, columns=["id", "dr_grade", "is_amd", "findings", "age"])
    found = {r["id"]: r for r in table.to_pylist()}
    assert found["i0"]["dr_grade"] is None
    assert found["i0"]["findings"] == []
    assert found["i2"]["findings"] is None
    assert found["i1"]["findings"] == ["cataract"]
    assert {r["is_amd"] for r in found.values()} == {r["age"] for r in found.values()} == {None}


def test_pictures_come_in_the_order_of_the_table(folder):
    wanted = {r["id"]: r["image"]["bytes"] for r in rows()}
    pictures = Pictures(folder)
    ids = records.read_table(folder, columns=["id"])["id"].to_pylist()
    assert len(pictures) == 40
    assert [wanted[i] for i in ids] == list(pictures)


def test_sidecars_tell_the_truth(folder):
    shards = records.shards(folder, "train")
    seen = 0
    for path in shards:
        sidecar = json.loads(path.with_suffix(".json").read_text())
        assert sidecar["rows"] == pq.read_metadata(path).num_rows
        assert sidecar["first_index"] == seen
        seen = sidecar["last_index"] + 1
    assert seen == records.read_table(folder, ["train"], ["id"]).num_rows


def test_the_same_rows_give_the_same_bytes(folder, tmp_path):
    write_records(tmp_path, rows(), PLAN, rows_per_shard=10)
    assert records.data_fingerprint(tmp_path) == records.data_fingerprint(folder)


def test_writing_again_does_nothing(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    write_records(folder, iter(()), PLAN, rows_per_shard=10)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_write_cut_short_is_finished_by_the_next(folder, tmp_path):
    def cut():
        yield from rows()[:25]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_records(tmp_path, cut(), PLAN, rows_per_shard=10)
    write_records(tmp_path, rows(), PLAN, rows_per_shard=10)
    assert records.data_fingerprint(tmp_path) == records.data_fingerprint(folder)
    assert sorted(p.name for p in (tmp_path / "data").iterdir()) == sorted(
        p.name for p in (folder / "data").iterdir()
    )


def test_another_plan_is_refused_and_named(folder):
    with pytest.raises(UserError) as caught:
        write_records(folder, rows(), {**PLAN, "n": 41})
    assert str(caught.value) == (
        f"{folder}: holds another plan (n is 40 there, 41 here); choose another --out or delete the folder"
    )


def test_a_folder_that_is_not_ours_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty, and without a plan"):
        write_records(tmp_path, rows(), PLAN)


def test_an_empty_folder_says_how_to_fill_it(tmp_path):
    with pytest.raises(UserError, match="no records in it"):
        records.read_table(tmp_path)
    with pytest.raises(UserError, match="no such folder of records"):
        records.read_table(tmp_path / "none")


@pytest.mark.parametrize("read", [records.read_table, lambda folder: list(Pictures(folder))])
def test_a_damaged_shard_is_one_clear_line(tmp_path, read):
    write_records(tmp_path, rows(), PLAN)
    path = records.shards(tmp_path, "train")[0]
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError) as caught:
        read(tmp_path)
    assert str(caught.value) == (
        f"{path}: damaged parquet; delete it with its .json and repeat the command that wrote it"
    )


def test_a_missing_column_is_named(tmp_path):
    write_records(tmp_path, rows(), PLAN)
    path = records.shards(tmp_path, "train")[0]
    pq.write_table(pq.read_table(path).drop_columns(["subject_id"]), path)
    with pytest.raises(UserError, match="column 'subject_id' is missing; it has id, image"):
        records.read_table(tmp_path, ["train"], ["is_gc", "subject_id"])


def test_a_shard_without_its_sidecar_is_told_with_what_helps(tmp_path):
    """As a Hugging Face data set lies there, or records that were copied in part."""
    write_records(tmp_path, rows(), PLAN)
    path = records.shards(tmp_path, "train")[0].with_suffix(".json")
    path.unlink()
    with pytest.raises(
        UserError, match=r"json: missing beside .*parquet; copy the records with all their files"
    ):
        records.data_fingerprint(tmp_path)


def test_a_label_that_a_shard_does_not_have_is_null(tmp_path):
    write_records(tmp_path, rows(), PLAN)
    whole = records.read_table(tmp_path, ["train"])
    for path in records.shards(tmp_path, "train")[:1]:
        pq.write_table(pq.read_table(path).drop_columns(["is_gc", "findings"]), path)
    table = records.read_table(tmp_path, ["train"])
    assert table.schema == whole.schema
    assert table["is_gc"].null_count == table["findings"].null_count == len(table) > 0
    assert table.drop_columns(["is_gc", "findings"]) == whole.drop_columns(["is_gc", "findings"])


@pytest.mark.parametrize(
    "values, line",
    [
        ({"is_glaucoma": 1}, "unknown column 'is_glaucoma'; known: id,"),
        ({"dr_grade": 5}, "record: dr_grade=5 is outside the vocabulary; known: 0, 1, 2, 3, 4, null"),
        ({"is_gc": 2}, "record: is_gc=2 is outside the vocabulary"),
        ({"eye_side": "OS"}, "record: eye_side='OS' is outside the vocabulary"),
        ({"modality": "mri"}, "record: modality='mri' is outside the vocabulary"),
        ({"sex": "female"}, "record: sex='female' is outside the vocabulary"),
        ({"findings": ["squint"]}, "record: findings='squint' is outside the vocabulary"),
    ],
)
def test_a_label_outside_the_vocabulary_is_named(values, line):
    with pytest.raises(UserError) as caught:
        row(**values)
    assert str(caught.value).startswith(line)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: runs.write_json(path, {"a": 1}),
        lambda path: checkpoint.save(path, {"a": torch.zeros(1000)}),
        lambda path: records.write_shard(path, rows(), "plan", 0),
    ],
    ids=["json", "checkpoint", "shard"],
)
def test_a_full_disk_is_one_clear_line_and_the_old_file_stays(tmp_path, write):
    path = tmp_path / "file"
    path.write_text("old")
    # Where a writer begins, put a device whose every write fails for want of space.
    (tmp_path / f".file.{socket.gethostname()}-{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(UserError, match="file: disk full; free some space and repeat the command"):
        write(path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_is_written_anew_under_its_name_shows_its_new_pictures(tmp_path, monkeypatch):
    """A notebook does so; one that changes its working folder meets another file of the same relative name."""
    seen = []
    for place, made in enumerate((rows(4), rows(8)[4:])):
        (tmp_path / str(place)).mkdir()
        monkeypatch.chdir(tmp_path / str(place))
        write_records(Path("records"), made, PLAN | {"n": place}, (1, 0, 0))
        seen.append([*Pictures(Path("records"))])
        shutil.rmtree("records")
        write_records(Path("records"), made[::-1], PLAN | {"n": -place}, (1, 0, 0))
        assert [*Pictures(Path("records"))] == seen[-1][::-1]
    assert not set(seen[0]) & set(seen[1])
