"""Damaged, foreign and hostile files of every kind: one line that names the file and the remedy, at once, and nothing runs."""

import io
import json
import os
import random
import shutil
import tarfile
import time
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import pyarrow.parquet as pq
import pytest
import torch
from fence import watching
from pictures import folder
from PIL import Image
from test_untrusted import MODEL, Code, refused

from clip.inputs import opened
from clip.model import checkpoints
from clip.model.encoders import build
from clip.zoo.preprocessing import ForeignPreprocessing
from privacy.canaries import planting
from synth import phantom
from synth.base import arrays, checkpoint, documents, private_table, weights
from synth.base.errors import UserError
from synth.base.runs import append_metrics, read_metrics
from synth.data import records as shards_of
from synth.data.images import Preprocessing
from synth.data.pictures import Pictures
from synth.data.records import SCHEMA, data_fingerprint, read_table, row
from synth.data.shards import open_shard, writing
from synth.sampling.verify import verify
from synth.sources import workbooks

# Hostile artefacts: each is refused in one line under the fence, unexecuted


def bomb(path: Path) -> None:
    """64 MB of zeros in 64 kB, as a torch file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * (64 << 20))


def overlapping(path: Path) -> None:
    torch.save({"a": torch.zeros(4)}, path)
    content = path.read_bytes()
    at = content.rindex(b"PK\x01\x02")
    path.write_bytes(content[: at + 24] + (2**31).to_bytes(4, "little") + content[at + 28 :])


def object_array(path: Path) -> None:
    with open(path, "wb") as file:
        np.save(file, np.array([Code(path.parent / "ran")], dtype=object), allow_pickle=True)


def npz(path: Path) -> None:
    with open(path, "wb") as file:
        np.savez(file, a=np.zeros(3))


def huge_array(path: Path) -> None:
    """A header that asks for 10^15 numbers, and no numbers."""
    with open(path, "wb") as file:
        np.save(file, np.zeros(0))
    path.write_bytes(path.read_bytes().replace(b"(0,)", b"(1000000000000000,)")[:300])


def safetensors(path: Path) -> None:
    path.write_bytes((2**62).to_bytes(8, "little") + b"{}")


HOSTILE = {
    "a zip bomb for a checkpoint": (bomb, checkpoint.load, "would become"),
    "a zip with a false size": (overlapping, checkpoint.load, ""),
    "a pickle in an array": (object_array, arrays.read, "nothing in it was run"),
    "an archive for an array": (npz, arrays.read, "one plain .npy"),
    "an array of 10^15 numbers": (huge_array, arrays.read, "cut short"),
    "a safetensors header of 4 EB": (safetensors, weights.read, "damaged or cut short"),
    "an empty safetensors file": (lambda path: path.write_bytes(b""), weights.read, "damaged or cut short"),
    "a folder for JSON": (lambda path: path.mkdir(), documents.read_json, "a folder, where a JSON file"),
    "100,000 brackets": (lambda path: path.write_text("[" * 100_000), documents.read_json, "deeper than 64"),
    "65 brackets": (lambda path: path.write_text("[" * 65 + "]" * 65), documents.read_json, "deeper than 64"),
    "an integer of 5,000 digits": (lambda path: path.write_text("9" * 5000), documents.read_json, "damaged JSON"),
    "UTF-16": (lambda path: path.write_bytes("{}".encode("utf-16")), documents.read_json, "damaged JSON"),
    "a list for an object": (lambda path: path.write_text("[]"), documents.read_mapping, "holds a list"),
    "a tag of YAML": (
        lambda path: path.write_text(f"a: !!python/object/apply:os.mkdir [{path.parent / 'ran'}]"),
        documents.read_yaml,
        "not YAML",
    ),
    "a million laughs": (
        lambda path: path.write_text(
            "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
            + "".join(f"a{i + 1}: &a{i + 1} [{','.join([f'*a{i}'] * 10)}]\n" for i in range(9))
        ),
        documents.read_yaml,
        "more than 20,000,000 values",
    ),
    "YAML within itself": (lambda path: path.write_text("a: &a [*a]"), documents.read_yaml, "deeper than 64"),
    "brackets of YAML": (lambda path: path.write_text("a: " + "[" * 5000), documents.read_yaml, "not YAML"),
    "a date of month 13": (lambda path: path.write_text("a: 2026-13-45"), documents.read_yaml, "not YAML"),
    "a list as a key": (lambda path: path.write_text("? [a, b]\n: c"), documents.read_yaml, "not YAML"),
}  # fmt: skip
"""Name -> what writes it, what reads it, and what the line says."""


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_one_line_and_runs_nothing(case, tmp_path):
    write, read, words = HOSTILE[case]
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    write(stranger / "file")
    since = time.monotonic()
    with watching(stranger, tmp_path / "nowhere") as fence, pytest.raises(UserError) as error:
        read(stranger / "file")
    assert fence.events == [] and not (stranger / "ran").exists()
    assert str(stranger / "file") in str(error.value) and words in str(error.value)
    assert "\n" not in str(error.value) and time.monotonic() - since < 60


def test_an_excel_file_that_unpacks_to_gigabytes_is_refused(tmp_path):
    path = tmp_path / "t.xlsx"
    book = openpyxl.Workbook()
    book.save(path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/more.xml", b" " * (100 << 20))
    with pytest.raises(UserError, match="would become"):
        workbooks.sheets(path)


@pytest.mark.parametrize("name", ["../../evil.jpg", "/tmp/evil.jpg"])
def test_a_tar_writes_nothing_wherever_its_members_lead(name, tmp_path):
    picture = io.BytesIO()
    Image.new("RGB", (8, 8)).save(picture, "JPEG")
    (tmp_path / "in").mkdir()
    with tarfile.open(tmp_path / "in/a.tar", "w") as file:
        for member, content in ((name, picture.getvalue()), (name.replace("jpg", "txt"), b"an eye")):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    with watching(tmp_path / "in", tmp_path / "nowhere") as fence:
        try:
            assert len(opened(tmp_path / "in").pictures("train")) <= 1
        except UserError as error:
            assert "\n" not in str(error)
    assert fence.events == [] and not Path("/tmp/evil.jpg").exists()


def test_a_checkpoint_of_a_million_layers_is_refused_at_once(tmp_path):
    made = build(MODEL)
    content = checkpoints.header(made, images=0, data=None) | {"weights": made.state_dict()}
    given: dict = dict(content["model"])  # type: ignore[arg-type]
    since = time.process_time()  # a busy machine is no fault
    for part, more in (
        ("image", {"name": "resnet50_clip", "layers": [1_000_000, 1, 1, 1], "kwargs": {}}),
        ("image", {"name": "test_vit", "kwargs": {"depth": 1_000_000}}),
        ("image", {"name": "test_vit", "kwargs": {"embed_dim": 10**15}}),
        ("text", {"layers": 1_000_000}),
        ("text", {"width": 10**9, "heads": 1}),
    ):
        torch.save(content | {"model": given | {part: given[part] | more}}, tmp_path / "m.pt")
        refused(tmp_path / "none", tmp_path, "clip", "doctor", tmp_path / "m.pt")
    assert time.process_time() - since < 60


@pytest.mark.parametrize(
    "key, value",
    [("version", "x"), ("version", None), ("vocabulary", "x"), ("vocabulary", None), ("version", ...)],
)
def test_a_header_of_another_kind_is_one_line(key, value, tmp_path):
    made = build(MODEL)
    content = checkpoints.header(made, images=0, data=None) | {"weights": made.state_dict(), key: value}
    torch.save({k: v for k, v in content.items() if v is not ...}, tmp_path / "m.pt")
    assert key in refused(tmp_path / "none", tmp_path, "clip", "doctor", tmp_path / "m.pt")


# Records


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("damaged") / "phantoms"
    phantom.write(phantom.PhantomConfig(size=32), 40, out)
    return out


@pytest.fixture
def copied(drawn, tmp_path) -> Path:
    return shutil.copytree(drawn, tmp_path / "p")


def test_verify_accepts_what_is_whole(drawn):
    assert sum(verify(drawn)["rows"].values()) == 40


@pytest.mark.parametrize("gone", ["test-*", "test-*.parquet", "validation-*.json", "train-*"])
def test_a_shard_that_is_gone_is_missed_without_a_plan(gone, copied):
    for path in (copied / "data").glob(gone):
        path.unlink()
    with pytest.raises(
        UserError,
        match=rf"damaged or missing: data/{gone.partition('-')[0]}-00000-of-00001.parquet \(.*missing",
    ):
        verify(copied)


def several(out: Path) -> Path:
    """Records of several shards a split."""
    rows = [
        row(id=f"i{n}", subject_id=f"s{n}", source="x", image={"bytes": b"x" * (n + 1), "path": None})
        for n in range(30)
    ]
    shards_of.write_records(out, rows, {"kind": "x"}, rows_per_shard=5)
    return out


def test_one_of_several_shards_is_missed_with_its_sidecar(tmp_path):
    out = several(tmp_path / "r")
    for path in (out / "data").glob("train-00002-*"):
        path.unlink()
    with pytest.raises(UserError, match=r"train-00002-of-\d{5}.parquet \(missing\)"):
        verify(out)


def test_shards_that_are_exchanged_with_their_sidecars_are_seen(tmp_path):
    out = several(tmp_path / "r")
    assert verify(out)
    for ending in ("parquet", "json"):
        one, two = (next((out / "data").glob(f"train-0000{n}-*.{ending}")) for n in (0, 1))
        one.rename(out / "x")
        two.rename(one)
        (out / "x").rename(two)
    with pytest.raises(UserError, match="shards are exchanged"):
        verify(out)


def test_a_shard_that_somebody_copies_or_renames_is_read(tmp_path):
    data = several(tmp_path / "r") / "data"
    for ending in ("parquet", "json"):
        first, last = (next(data.glob(f"train-0000{n}-*.{ending}")) for n in (0, 2))
        shutil.copy(first, data / f"test-00000-of-00001.{ending}")
        last.rename(data / f"validation-00000-of-00001.{ending}")
    for split in ("test", "validation"):
        assert open_shard(data / f"{split}-00000-of-00001.parquet").metadata.num_rows > 0


def test_fewer_rows_than_were_written_are_seen(copied):
    done = json.loads((copied / "data/done.json").read_text())
    (copied / "data/done.json").write_text(json.dumps(done | {"test": done["test"] + 1}))
    with pytest.raises(UserError, match=r"test has \d+ rows, \d+ were written"):
        verify(copied)


@pytest.mark.parametrize(
    "content", ["[]", "null", "5", '{"sha256": 1}', "{", '{"sha256": "x", "plan": "y", "rows": "z"}']
)
def test_a_sidecar_of_another_shape_is_one_line(content, copied):
    path = next((copied / "data").glob("train-*.json"))
    path.write_text(content)
    with pytest.raises(UserError, match=f"its sidecar {path.name} is damaged"):
        verify(copied)
    if "sha256" not in content:
        with pytest.raises(UserError, match=str(path)):
            data_fingerprint(copied)


def test_a_flipped_byte_of_a_shard_is_one_line_for_every_reader(copied):
    path = next((copied / "data").glob("train-*.parquet"))
    whole = path.read_bytes()
    for place in range(len(whole) - 400, len(whole), 7):  # its footer
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        for read in (lambda: read_table(copied, ["train"]), lambda: list(Pictures(copied, ["train"]))):
            try:
                read()
            except UserError as error:
                assert str(path) in str(error) and "\n" not in str(error)


def test_verify_finds_every_flipped_byte(copied):
    """Of pictures, footers and sidecars, also in the name of a key, which would then be none of the known ones."""
    chance = random.Random(0)
    paths = sorted((copied / "data").glob("*-of-*"))
    for _ in range(60):
        path = chance.choice(paths)
        whole = path.read_bytes()
        place, bit = chance.randrange(len(whole)), 1 << chance.randrange(8)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
        with pytest.raises(UserError, match=r"damaged or missing|no set of ours|rows"):
            verify(copied)
        path.write_bytes(whole)
    sidecar = next((copied / "data").glob("train-*-of-*.json"))
    sidecar.write_text(sidecar.read_text().replace('"bytes"', '"bytms"'))
    with pytest.raises(UserError, match=r"its sidecar train.*json is damaged"):
        verify(copied)


@pytest.mark.parametrize(
    "change",
    [
        str.rstrip,
        lambda text: text + "\n",
        lambda text: text.replace("  ", "\t"),
        lambda text: text.replace(": ", ":"),
    ],
)
def test_a_sidecar_that_means_the_same_in_other_bytes_is_seen(change, copied):
    path = next((copied / "data").glob("train-*-of-*.json"))
    path.write_text(change(path.read_text()))
    with pytest.raises(UserError, match=r"its sidecar train.*json is damaged"):
        verify(copied)


def test_columns_of_another_type_are_one_line(copied):
    path = next((copied / "data").glob("train-*.parquet"))
    table = pq.read_table(path)
    place = table.schema.get_field_index("is_gc")
    pq.write_table(table.set_column(place, "is_gc", [["no"] * len(table)]), path)
    with pytest.raises(UserError, match=f"{path}: damaged"):
        read_table(copied, ["train"])
    pq.write_table(
        table.set_column(table.schema.get_field_index("image"), "image", [["x"] * len(table)]), path
    )
    with pytest.raises(UserError, match=f"{path}: damaged"):
        list(Pictures(copied, ["train"]))


def tarred(out: Path) -> Path:
    path = out / "data/train-00000-of-00001.tar"
    path.parent.mkdir(parents=True)
    with writing(path, SCHEMA, "p", 0) as add:
        add(
            row(id=f"i{n}", subject_id="s", source="x", image={"bytes": b"x" * 700, "path": None})
            for n in range(8)
        )
    return path


@pytest.mark.parametrize("kind", ["header", "picture", "zeros", "flipped", "end", "empty"])
def test_a_tar_of_records_that_is_not_whole_is_refused(kind, tmp_path):
    path = tarred(tmp_path)
    assert read_table(tmp_path, ["train"]).num_rows == 8
    with tarfile.open(path) as file:
        middle = file.getmembers()[16]
    os.utime(path, (1, 1))
    cut = tmp_path / "cut/data" / path.name
    cut.parent.mkdir(parents=True)
    content = bytearray(path.read_bytes())
    if kind == "flipped":
        content[middle.offset + 3] ^= 1
    ends = {
        "header": middle.offset + 256,
        "picture": middle.offset_data + 100,
        "end": len(content) - 10_240,
        "empty": 0,
    }
    cut.write_bytes(b"\0" * 10_240 if kind == "zeros" else content[: ends.get(kind, len(content))])
    shutil.copy(path.with_suffix(".json"), cut.parent)
    with pytest.raises(UserError, match=f"{cut}: damaged tar"):
        read_table(tmp_path / "cut", ["train"])


@pytest.mark.parametrize(
    "change, words",
    [({"n": 10**12}, "n=1000000000000"), ({"n": 10**9, "rows_per_shard": 1}, "more than 1,000,000 shards"), ({"rows_per_shard": 0}, "rows_per_shard=0"),
     ({"n": "x"}, "n='x'"), ({"mix": 5}, "mix=5"), ({"n": None}, "n=None"), ({"seed": 2**64}, "seed=18446744073709551616")],
)  # fmt: skip
def test_a_plan_that_nobody_made_is_refused_at_once(change, words, tmp_path):
    whole = json.loads((Path(__file__).parent / "golden/plan-1.json").read_text())
    (tmp_path / "plan.json").write_text(json.dumps(whole | change))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train-00000-of-00001.parquet").touch()
    since = time.monotonic()
    assert words in refused(tmp_path / "none", tmp_path, "synth", "verify", tmp_path)
    assert time.monotonic() - since < 30


def test_lines_of_metrics_that_are_none_of_ours_are_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"images": 1}\n{"images": 2\n\xff\xfe\n')
    assert read_metrics(path) == [{"images": 1}]
    for line in ("5", "[]", "{}", '{"images": "x"}'):
        path.write_text(f'{{"images": 1}}\n{line}\n')
        with pytest.raises(UserError, match=r"metrics\.jsonl line 2: no object with a number"):
            read_metrics(path)


@pytest.mark.parametrize("change", [
    lambda lines: [lines[0], lines[1].replace("0.5", "0.4"), lines[2]],
    lambda lines: [lines[0], lines[2]],
    lambda lines: [lines[1], lines[0], lines[2]],
])  # fmt: skip
def test_another_digit_of_metrics_and_a_line_that_is_gone_are_noticed(change, tmp_path):
    """By them `clip train` chooses its best checkpoint."""
    path = tmp_path / "metrics.jsonl"
    for images, loss in ((8, 1.5), (16, 0.5), (24, 0.25)):
        append_metrics(path, images=images, loss=loss)
    assert read_metrics(path)[1] == {"images": 16, "loss": 0.5}
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    for use in (read_metrics, lambda path: append_metrics(path, images=32, loss=0.1)):
        with pytest.raises(UserError, match=r"metrics\.jsonl line \d: it, or a line before it, was changed"):
            use(path)


@pytest.mark.parametrize("bit", [2, -1, True, 0.5, "1", None, [1]])
def test_a_key_of_canaries_that_holds_no_bits_is_one_line(bit, tmp_path):
    path = tmp_path / "key.json"
    whole = {"planted": {"p1": 1}, "withheld": {"p2": 0}, "records": "x", "share": 1.0, "seed": None}
    for other in ({}, {"planted": {"p1": bit}}, {"planted": bit}):
        content = {"format": planting.FORMAT, "version": planting.VERSION} | (other and whole | other)
        path.write_text(json.dumps(content))
        with pytest.raises(UserError, match=rf"{path}: .*'?planted"):
            planting.read_key(path)


def test_a_shard_that_is_no_parquet_is_one_line(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1" + b"\0" * 50)
    with pytest.raises(UserError, match="damaged parquet"):
        open_shard(tmp_path / "x.parquet")


# What costs too much, and what others would run


@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1), (3, 30_000)])
def test_a_strip_costs_no_gigabytes(size):
    import resource

    picture = io.BytesIO()
    Image.new("RGB", size, (200, 90, 40)).save(picture, "PNG")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for preprocessing in (Preprocessing(size=32), ForeignPreprocessing(name="shortest-side", size=32)):
        assert preprocessing(picture.getvalue()).shape == (32, 32, 3)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_500_000  # kB


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "\tx"])
def test_no_cell_of_a_table_is_a_formula(name):
    assert private_table.text(name) == f"'{name}"
    assert private_table.text("p=1") == "p=1"


def test_a_cache_of_pictures_is_its_owners_alone(tmp_path):
    records = folder(tmp_path / "records", 4, shares=(1, 0, 0))
    from synth.data.pictures import pixels

    pixels(records, ["train"], Preprocessing(size=16), tmp_path / "cache")
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "cache").glob("*.npy")} == {0o600}
