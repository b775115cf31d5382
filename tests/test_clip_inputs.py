"""What a CLIP is trained on: four kinds of input, decoding, and what another camera would have made of it."""

import base64
import csv
import io
import json
import pickle
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pictures import drawn, rows
from PIL import Image
from webdataset.writer import TarWriter

from clip import inputs
from clip.augmentation import camera
from clip.augmentation.augment import Augment, augment
from clip.augmentation.camera import Camera
from clip.inputs.listing import Slices
from clip.model.encoders import ClipConfig, ImageTower, TextTower
from clip.training import cost, decoding, resume
from clip.training.config import TrainConfig
from clip.training.trainer import train
from synth.base import disk_errors, processes
from synth.base.errors import UserError
from synth.data.images import Preprocessing, encode
from synth.data.pictures import Decoder
from synth.data.records import SCHEMA, SPLITS, write_records
from synth.data.shards import writing

SMALL = Preprocessing(size=32)
TEXTS = ["caption_zh", "caption_en"]


@pytest.fixture(scope="module")
def made() -> list[dict]:
    """Forty records of twenty people, in memory."""
    return rows(40, side=48)


def content(source: inputs.Input, columns: list[str] = [*TEXTS, "dr_grade", "is_gc"]) -> list[tuple]:
    """Every split's pictures with their texts and labels, in an order that no input knows."""
    found = []
    for split in SPLITS:
        table, pictures = source.table(split, columns), source.pictures(split)
        assert table.num_rows == len(pictures)
        found += [(split, pictures[i], *line.values()) for i, line in enumerate(table.to_pylist())]
    return sorted(found, key=lambda each: each[1])


def as_tars(made: list[dict], out: Path) -> Path:
    """Two shards that the webdataset library writes, as people do."""
    out.mkdir()
    for number in range(2):
        with TarWriter(str(out / f"{number:05d}.tar")) as sink:
            for each in made[number::2]:
                told = {key: each[key] for key in ("subject_id", "dr_grade", "is_gc")}
                sink.write({"__key__": each["id"], "jpg": each["image"]["bytes"], "json": told,
                            "zh.txt": each["caption_zh"], "en.txt": each["caption_en"]})  # fmt: skip
    return out


def as_table(made: list[dict], out: Path) -> Path:
    (out / "photos").mkdir(parents=True)
    with open(out / "list.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["image", *TEXTS, "subject_id", "dr_grade", "is_gc", "findings", "age"])
        writer.writeheader()
        for each in made:
            (out / "photos" / f"{each['id']}.jpg").write_bytes(each["image"]["bytes"])
            told = {key: each[key] for key in (*TEXTS, "subject_id", "dr_grade", "is_gc", "age")}
            writer.writerow(
                told
                | {"image": f"photos/{each['id']}.jpg", "findings": "drusen;exudate" if each["is_gc"] else ""}
            )
    return out


def as_lmdb(pairs: Sequence[object], pictures: dict[str, bytes], out: Path) -> Path:
    """One split as cn_clip's own builder lays it out."""
    for name, values in (("imgs", {key: base64.urlsafe_b64encode(data) for key, data in pictures.items()}),
                         ("pairs", {str(i): pickle.dumps(pair) for i, pair in enumerate(pairs)})):  # fmt: skip
        (out / name).mkdir(parents=True)
        with lmdb.open(str(out / name), map_size=2**24) as base, base.begin(write=True) as writing:
            for key, value in values.items():
                writing.put(key.encode(), value)
            writing.put(b"num_images" if name == "imgs" else b"num_samples", str(len(values)).encode())
    return out


def test_tars_tables_and_records_of_the_same_pairs_are_the_same(made, tmp_path):
    write_records(tmp_path / "records", [dict(each) for each in made], {"kind": "drawn"})
    ours = content(inputs.opened(tmp_path / "records"))
    assert {line[0] for line in ours} == set(SPLITS)
    assert content(inputs.opened(as_tars(made, tmp_path / "tars"))) == ours
    assert content(inputs.opened(as_table(made, tmp_path / "table"))) == ours
    assert content(inputs.opened(tmp_path / "table" / "list.csv")) == ours


def test_webdataset_of_ours_is_read_as_the_records_that_it_holds(made, tmp_path):
    out = tmp_path / "ours"
    with writing(out / "data" / "train-00000-of-00001.tar", SCHEMA, "plan", 0) as add:
        add(made)
    source = inputs.opened(out)
    assert isinstance(source, inputs.Records)
    assert content(source) == sorted(
        (("train", m["image"]["bytes"], m["caption_zh"], m["caption_en"], m["dr_grade"], m["is_gc"]) for m in made),
        key=lambda line: line[1],
    )  # fmt: skip


def test_a_tar_as_img2dataset_makes_it_is_read(made, tmp_path):
    path = tmp_path / "00000.tar"
    with tarfile.open(path, "w") as file:
        for i, each in enumerate(made[:20]):
            text = each["caption_zh"] if i % 2 else each["caption_en"]
            told = {"caption": text, "key": f"{i:09d}", "status": "success", "width": 48}
            parts = {"jpg": each["image"]["bytes"], "json": json.dumps(told).encode(), "txt": text.encode()}
            for ending, data in parts.items():
                member = tarfile.TarInfo(f"{i:09d}.{ending}")
                member.size = len(data)
                file.addfile(member, io.BytesIO(data))
    found = content(inputs.opened(path), TEXTS)
    said = {data: (zh, en) for _, data, zh, en in found}
    for i, each in enumerate(made[:20]):
        assert said[each["image"]["bytes"]] == (
            (each["caption_zh"], None) if i % 2 else (None, each["caption_en"])
        )


def test_chinese_clips_lmdb_is_read_with_every_text_of_a_picture(made, tmp_path):
    for split, chosen in (("train", made[:30]), ("valid", made[30:])):
        pictures = {each["id"]: each["image"]["bytes"] for each in chosen}
        pairs = [(each["id"], i, each["caption_zh"]) for i, each in enumerate(chosen)]
        as_lmdb([*pairs, (chosen[0]["id"], 99, "another text")], pictures, tmp_path / "lmdb" / split)
    for data in (tmp_path, tmp_path / "lmdb"):
        source = inputs.opened(data)
        assert [len(source.pictures(split)) for split in SPLITS] == [31, 11, 0]
    assert source.table("train", TEXTS).to_pylist()[30] == {"caption_zh": None, "caption_en": "another text"}
    assert source.table("train", TEXTS).to_pylist()[7]["caption_zh"] == made[7]["caption_zh"]
    assert source.pictures("train")[30] == source.pictures("train")[0] == made[0]["image"]["bytes"]
    assert source.pictures("validation")[3] == made[33]["image"]["bytes"]


def test_cn_clip_reads_the_lmdb_that_these_tests_write(made, tmp_path):
    from cn_clip.training.data import LMDBDataset

    pictures = {each["id"]: each["image"]["bytes"] for each in made[:3]}
    as_lmdb(
        [(each["id"], i, each["caption_zh"]) for i, each in enumerate(made[:3])], pictures, tmp_path / "train"
    )
    assert len(LMDBDataset(str(tmp_path / "train"), "train")) == 3


class Harmful:
    def __reduce__(self):
        return (Path.touch, (Path("harm-was-done"),))


def test_an_lmdb_that_holds_code_is_refused_and_nothing_runs(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pictures = {"a": made[0]["image"]["bytes"]}
    as_lmdb([("a", 0, "fine"), Harmful()], pictures, tmp_path / "train")
    with pytest.raises(UserError, match=r"pairs pair 1: .*names pathlib\S*\.Path\b.*is not run"):
        inputs.opened(tmp_path / "train")
    assert not (tmp_path / "harm-was-done").exists()


def test_nobody_is_on_two_sides_of_the_split(made, tmp_path):
    for data in (as_tars(made, tmp_path / "tars"), as_table(made, tmp_path / "table")):
        source = inputs.opened(data)
        people = [set(source.table(split, ["subject_id"])["subject_id"].to_pylist()) for split in SPLITS]
        assert all(people) and sum(map(len, people)) == len(set.union(*people)) == 20


def bad_table(*lines: str) -> str:
    return "\n".join(["image,caption_zh,subject_id,dr_grade,split", *lines])


@pytest.mark.parametrize(
    "text, message",
    [
        (bad_table("a.jpg,,p,9,train"), r"list\.csv line 2: dr_grade='9' is outside the vocabulary; known: 0, 1, 2, 3, 4"),
        (bad_table("a.jpg,,p,,train", "a.jpg,,p,x,train"), r"line 3: dr_grade='x' is outside the vocabulary"),
        (bad_table("b.jpg,,p,,train"), r"line 2: .*b\.jpg is absent"),
        (bad_table("a.jpg,,p,,train", "a.jpg,,p,,val"), r"line 3: subject_id='p' is in split validation, but in train "
         r"in .*line 2; keep everyone on one side"),
        (bad_table("a.jpg,,p,,holdout"), r"line 2: split='holdout' is unknown; known: train"),
        (bad_table("a.jpg,,p,,"), "line 2: split is empty"),
        (bad_table("a.jpg,,,,train"), "line 2: subject_id is empty"),
        ("image,caption_zh\na.jpg,x", "column 'subject_id' is missing; without it one patient's"),
        ("image,subject_id,grade\na.jpg,p,1", "column 'grade' is unknown; known: image, split, id"),
        ("file,subject_id\na.jpg,p", "column 'image' is missing; it has file, subject_id"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_is_refused_with_its_line(text, message, made, tmp_path):
    (tmp_path / "a.jpg").write_bytes(made[0]["image"]["bytes"])
    (tmp_path / "list.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message) as error:
        inputs.opened(tmp_path)
    assert "\n" not in str(error.value)


def test_damaged_and_foreign_files_are_refused_in_one_line(made, tmp_path):
    whole = (as_tars(made, tmp_path / "tars") / "00000.tar").read_bytes()
    cut, compressed, nothing = tmp_path / "cut", tmp_path / "compressed", tmp_path / "nothing"
    for place in (cut, compressed, nothing):
        place.mkdir()
    (cut / "00000.tar").write_bytes(whole[:1200])
    (compressed / "00000.tar.gz").write_bytes(b"")
    for place, message in ((cut, r"00000\.tar: damaged tar"), (compressed, "unpack it with 'gunzip'"),
                           (nothing, "no records in it, no pairs and no pictures; known: records"), (tmp_path / "x", "no such file")):  # fmt: skip
        with pytest.raises(UserError, match=message):
            inputs.opened(place)


def test_another_picture_or_caption_is_another_input(made, tmp_path):
    names = [as_table(made, tmp_path / "a"), as_table(made, tmp_path / "b")]
    said = [dict(each) for each in made]
    said[3]["caption_zh"] = "别的"
    names.append(as_table(said, tmp_path / "c"))
    shown = [dict(each) for each in made]
    shown[3]["image"] = {"bytes": encode(drawn(99, 1, 47)), "path": None}
    names.append(as_table(shown, tmp_path / "d"))
    prints = [inputs.opened(name).fingerprint for name in names]
    assert prints[0] == prints[1] and len(set(prints)) == 3


@pytest.mark.parametrize("workers", [0, 2])
def test_pictures_are_the_same_however_they_are_decoded(made, tmp_path, workers):
    write_records(tmp_path / "records", [dict(each) for each in made], {"kind": "drawn"})
    for data in (tmp_path / "records", as_tars(made, tmp_path / "tars"), as_table(made, tmp_path / "table")):
        source = inputs.opened(data)
        store = tmp_path / f"{data.name}-store"
        once = decoding.squares(source, "train", SMALL, store, "once", workers)
        always = decoding.squares(source, "train", SMALL, store, "always", workers)
        chosen = np.array([5, 0, 5, len(once) - 1])
        assert np.array_equal(once[chosen], always[chosen])
        assert np.array_equal(once[np.array([3])][0], SMALL(source.pictures("train")[3]))


def as_parquet(made: list[dict], out: Path) -> Path:
    """As img2dataset and Hugging Face write it."""
    out.mkdir()
    columns = {"image": [each["image"] for each in made], "caption": [each["caption_en"] for each in made]}
    pq.write_table(pa.table(columns), out / "train-00000.parquet")
    return out


def lmdb_of(made: list[dict], out: Path) -> Path:
    pairs = [(each["id"], i, each["caption_zh"]) for i, each in enumerate(made)]
    as_lmdb(pairs, {each["id"]: each["image"]["bytes"] for each in made}, out / "train")
    return out


@pytest.mark.parametrize("form", [as_tars, as_table, as_parquet, lmdb_of], ids=lambda form: form.__name__)
def test_a_set_that_is_written_again_under_its_name_is_read_again(made, tmp_path, form):
    """By one process, as a notebook is; not what was kept in memory of it."""
    shown = []
    for part in (made[:20], made[20:]):
        shutil.rmtree(tmp_path / "set", ignore_errors=True)
        pictures = inputs.opened(form(part, tmp_path / "set")).pictures("train")
        shown.append({bytes(pictures[i]) for i in range(len(pictures))})
        assert shown[-1] <= {each["image"]["bytes"] for each in part}
    assert shown[0] and shown[1]


def test_photographs_are_kept_where_half_of_the_free_disk_holds_them(made, tmp_path, monkeypatch):
    source = inputs.opened(as_table(made, tmp_path / "table"))
    size = decoding.decoded_size(len(source.pictures("train")), SMALL)
    monkeypatch.setattr(disk_errors, "free", lambda path: 2 * size - 1)
    told = list(cost.lines(SHORT, tmp_path / "table", tmp_path / "run"))
    assert any("they are decoded each time, by" in line for line in told)
    assert isinstance(decoding.squares(source, "train", SMALL, tmp_path / "a", "auto", 0), Decoder)
    assert decoding.readers("auto", 0) >= 1 == decoding.readers("auto", 1)
    monkeypatch.setattr(disk_errors, "free", lambda path: 4 * size)
    assert not any(
        "decoded each time" in line for line in cost.lines(SHORT, tmp_path / "table", tmp_path / "run")
    )
    assert isinstance(decoding.squares(source, "train", SMALL, tmp_path / "a", "auto", 0), np.ndarray)


def test_a_picture_of_records_is_read_by_itself(made, tmp_path):
    write_records(tmp_path / "records", [dict(each) for each in made], {"kind": "drawn"})
    source = inputs.opened(tmp_path / "records")
    whole = source.pictures("train")
    found = decoding._located(source.shards("train"), whole, tmp_path / "places.npy")
    assert isinstance(found, Slices)
    assert [found[i] for i in range(len(found))] == [whole[i] for i in range(len(whole))]
    assert found.where(4) == whole.where(4)


def square(span: range) -> list[int]:
    if span.start == 9:
        raise UserError("shard 9: damaged")
    return [position**2 for position in span]


@pytest.mark.parametrize("workers", [0, 2])
def test_spans_come_in_their_order_and_an_error_is_one_line(workers):
    walk = processes.in_turn(square, (range(at, at + 3) for at in range(0, 30, 3)), workers)
    assert [next(walk) for _ in range(3)] == [[0, 1, 4], [9, 16, 25], [36, 49, 64]]
    with pytest.raises(UserError, match=r"^shard 9: damaged$"):
        next(walk)


def still(**values: float) -> Augment:
    """Nothing but what is given."""
    return Augment(crop=1, brightness=0, contrast=0, saturation=0, camera=Camera.model_validate(values))


MODEL = ClipConfig(
    image=ImageTower(layers=(1, 1, 1, 1), width=8),
    text=TextTower(layers=1, width=32, heads=2, feedforward=64, positions=64),
    embedding=32,
    preprocessing=SMALL,
)
SHORT = TrainConfig(model=MODEL, caption="both", images=48, batch=8, warmup=16, save_every=16, validation=4)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "ckpt.pt", weights_only=True)["weights"]


@pytest.mark.slow
def test_weights_are_the_same_whoever_decodes_and_wherever_it_stopped(made, tmp_path, monkeypatch):
    """Decoded once by this process; always by two others, and stopped half-way; then gone on with by one."""
    data, save = as_tars(made, tmp_path / "tars"), resume.save
    train(SHORT, data, tmp_path / "once")

    def killed(*arguments: Any) -> None:
        save(*arguments)
        raise KeyboardInterrupt

    always = SHORT.model_copy(update={"decode": "always", "workers": 2})
    monkeypatch.setattr(resume, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        train(always, data, tmp_path / "always")
    monkeypatch.undo()
    train(always.model_copy(update={"workers": 1}), data, tmp_path / "always")
    assert len((tmp_path / "always" / "metrics.jsonl").read_text().splitlines()) == 3
    once, other = weights(tmp_path / "once"), weights(tmp_path / "always")
    assert all(torch.equal(once[name], other[name]) for name in once)


def test_a_run_goes_on_only_with_the_input_that_it_began_with(made, tmp_path):
    table = as_table(made, tmp_path / "table")
    train(SHORT.model_copy(update={"images": 8}), table, tmp_path / "run")
    other = as_lmdb([(m["id"], 0, m["caption_zh"]) for m in made], {m["id"]: m["image"]["bytes"] for m in made},
                    tmp_path / "lmdb" / "train")  # fmt: skip
    with pytest.raises(UserError, match=r"holds another run \(data is"):
        train(SHORT.model_copy(update={"images": 8}), other, tmp_path / "run")
    train(SHORT.model_copy(update={"images": 8}), other, tmp_path / "other")  # without a validation split


STRENGTHS = {"zoom": 0.3, "rotate": 15, "vignette": 0.5, "blur": 0.02, "gain": 0.2, "hue": 10, "gamma": 0.3,
             "noise": 0.05, "jpeg": 70}  # fmt: skip


@pytest.fixture(scope="module")
def photographs() -> torch.Tensor:
    """(6, 3, 64, 64) in [0, 1]."""
    pixels = torch.from_numpy(np.stack([drawn(i, i % 2) for i in range(6)]))
    return pixels.permute(0, 3, 1, 2).float() / 255


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_every_strength_of_the_camera_is_there():
    assert set(STRENGTHS) == set(Camera.model_fields)


@pytest.mark.parametrize("name", STRENGTHS)
def test_a_strength_changes_pictures_and_nothing_of_the_surround(name, photographs):
    changed = augment(photographs, still(**{name: STRENGTHS[name]}), generator())
    assert (changed - photographs).abs().amax(dim=(1, 2, 3)).gt(0.01).sum() >= 2
    assert changed.min() >= 0 and changed.max() <= 1
    assert changed[:, :, ~camera.aperture(photographs)[0, 0]].max() == 0
    assert torch.equal(changed, augment(photographs, still(**{name: STRENGTHS[name]}), generator()))


@pytest.mark.parametrize("name", STRENGTHS)
def test_a_strength_near_nothing_changes_next_to_nothing(name, photographs):
    """The identity is the limit, not only the switch at 0; a JPEG of quality 99 keeps all but a level or two."""
    small = {"rotate": 1e-3, "hue": 1e-3, "jpeg": 1e-3}.get(name, 1e-6)
    changed = augment(photographs, still(**{name: small}), generator())
    assert (changed - photographs).abs().mean() < (0.01 if name == "jpeg" else 1e-3)


def test_nothing_is_changed_at_zero_whatever_is_drawn(photographs):
    assert torch.equal(augment(photographs, still(), generator()), photographs)
    pixels = (photographs * 255).round().byte().permute(0, 2, 3, 1)
    assert torch.equal(augment(pixels, still(), generator()), photographs)


def test_a_zoom_keeps_the_aperture_and_magnifies(photographs):
    changed = augment(photographs, still(zoom=0.5), generator())
    assert camera.aperture(changed).float().mean() == pytest.approx(
        camera.aperture(photographs).float().mean().item(), rel=0.02
    )
    assert torch.all(bright(changed) >= 0.95 * bright(photographs))
    assert bright(changed).sum() > 1.2 * bright(photographs).sum()


def bright(images: torch.Tensor) -> torch.Tensor:
    """The area of the disc, in pixels."""
    return (images[:, 1] > 0.6).float().sum(dim=(1, 2))


@pytest.mark.parametrize("quality", [20, 50, 75, 95])
def test_compression_is_that_of_libjpeg(quality, photographs):
    """The error that we make is theirs: what is left between the two is a fifth of it, and their rounding."""
    ours = camera.compressed(photographs, torch.full((6,), float(quality)))
    for image, mine in zip(photographs, ours, strict=True):
        pixels = (image.permute(1, 2, 0) * 255).round().byte().numpy()
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality)
        theirs = np.asarray(Image.open(file), float)
        mine = mine.permute(1, 2, 0).numpy() * 255
        lost = np.abs(theirs - pixels).mean()
        assert np.abs(mine - theirs).mean() < 0.35 * lost + 0.6


def test_each_picture_is_changed_by_itself(photographs):
    """What is drawn for a picture does not depend on what stands beside it."""
    settings = Augment(camera=Camera.model_validate(STRENGTHS))
    other = photographs.clone()
    other[1:] = 0.5
    assert torch.equal(
        augment(photographs, settings, generator())[0], augment(other, settings, generator())[0]
    )


@pytest.mark.parametrize("flip", [True, False])
def test_bytes_and_floats_are_changed_alike(photographs, flip):
    """On the CPU bytes are cropped as bytes: to a level, but at the window's edge, where floats see what lies outside."""
    pixels = (photographs * 255).round().byte().permute(0, 2, 3, 1).contiguous()
    settings = Augment(flip=flip)
    first, second = augment(pixels, settings, generator()), augment(photographs, settings, generator())
    assert (first - second)[:, :, 2:-2, 2:-2].abs().max() < 2 / 255
    assert (first - second).abs().mean() < 0.5 / 255
