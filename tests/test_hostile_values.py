"""Values that no file of ours has: each is one line that names the file, and nothing is drawn or told of it."""

import io
import json
import math
import os
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from generators import untrained
from pictures import drawn, folder
from PIL import Image
from test_untrusted import APPS, MODEL
from typer.testing import CliRunner

from clip import zoo
from clip.inputs import kinds, metadata
from clip.model import checkpoints
from clip.model.encoders import build
from privacy.targets import open_target
from privacy.targets.embeddings import Embeddings
from synth import pipeline
from synth.base import archives, arrays, checkpoint, documents, runs, weights
from synth.base.errors import UserError
from synth.data import formats
from synth.data.pictures import Pictures
from synth.data.records import read_table, shards
from synth.model import folders
from synth.training import averages


def line(*words: Any) -> str:
    """The one line with which a command refuses."""
    command, *rest = map(str, words)
    result = CliRunner().invoke(APPS[command], rest)
    assert result.exit_code == 2, (result.output, result.exception)
    assert result.stderr.count("\n") == 1 or result.stderr.splitlines()[-1].startswith(f"{command}: ")
    return result.stderr.splitlines()[-1]


# Weights

ODD = {
    "sparse": lambda plain: plain.to_sparse(),
    "compressed": lambda plain: plain.to_sparse_csr(),
    "complex": lambda plain: plain.to(torch.complex64),
    "without values": lambda plain: plain.to("meta"),
    "repeated": lambda plain: torch.zeros(1).expand(10**9, 10**9),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support:UserWarning")
@pytest.mark.parametrize("kind", ODD)
def test_a_tensor_that_is_not_plain_is_refused(kind):
    with pytest.raises(UserError, match=r"ckpt.pt: 'a.b' is no plain tensor"):
        weights.check_finite({"a": {"b": ODD[kind](torch.ones(4, 4))}}, "ckpt.pt")


@pytest.fixture(scope="module")
def model() -> dict[str, Any]:
    """What a checkpoint of `clip train` holds."""
    made = build(MODEL)
    return checkpoints.header(made, images=0, data=None) | {"weights": made.state_dict()}


def saved(content: dict[str, Any], path: Path, change: Any) -> Path:
    torch.save(content | {"weights": {k: change(k, v) for k, v in content["weights"].items()}}, path)
    return path


def test_weights_of_another_kind_are_not_taken_for_floats(model, tmp_path):
    for kind in (torch.bool, torch.int64):
        path = saved(model, tmp_path / "ckpt.pt", lambda _, v, kind=kind: v.to(kind) if v.ndim == 2 else v)
        with pytest.raises(UserError, match=rf"ckpt.pt: '.*' holds {kind}, where torch.float32 is needed"):
            checkpoints.load(path)


def test_an_encoder_that_gives_no_numbers_tells_nothing(model, tmp_path):
    """Finite weights, so large that what they give is not."""
    Image.fromarray(drawn(1, 0)).save(tmp_path / "photo.png")
    large = saved(
        model,
        tmp_path / "large.pt",
        lambda k, v: v * 1e25 if "scale" not in k and v.is_floating_point() else v,
    )
    scale = saved(model, tmp_path / "scale.pt", lambda k, v: v * 0 + 1e30 if k == "logit_scale" else v)
    for path, words in ((large, "its embeddings are no numbers"), (scale, "logit_scale=1e+30")):
        told = line("clip", "predict", tmp_path / "photo.png", "--model", path)
        assert f"{path}: {words}" in told
    folder(tmp_path / "records", 8)
    out = tmp_path / "e.parquet"
    assert f"{large}: its" in line(
        "clip", "embed", "--model", large, "--data", tmp_path / "records", "--out", out
    )
    assert not out.exists()


def test_a_checkpoint_behind_other_bytes_is_damaged(model, tmp_path):
    path = saved(model, tmp_path / "ckpt.pt", lambda _, v: v)
    archives.check_sums(path)
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(UserError, match=r"its begin or end|its list of members"):
        archives.check_sums(path)


@pytest.mark.parametrize("change", [{"vocabulary": 0}, {"images": 5}, {"config": {"lr": 1}}])
def test_what_a_checkpoint_says_of_itself_is_what_was_written(change, model, tmp_path):
    checkpoint.save(tmp_path / "ckpt.pt", model)
    content = torch.load(tmp_path / "ckpt.pt", weights_only=True)
    checkpoints.load(tmp_path / "ckpt.pt")
    torch.save(content | change, tmp_path / "ckpt.pt")
    with pytest.raises(UserError, match=rf"{tmp_path}/ckpt.pt: damaged, what it says of itself"):
        checkpoints.load(tmp_path / "ckpt.pt")


@pytest.mark.parametrize(
    "section, key", [("", "preprocessing"), ("preprocessing", "size"), ("text", "width")]
)
def test_a_checkpoint_that_leaves_out_a_setting_is_not_taken_for_the_default(section, key, model, tmp_path):
    said = json.loads(json.dumps(model["model"]))
    del (said[section] if section else said)[key]
    torch.save(model | {"model": said}, tmp_path / "ckpt.pt")
    with pytest.raises(
        UserError, match=rf"{tmp_path}/ckpt.pt: .*'{f'{section}.' if section else ''}{key}' is missing"
    ):
        checkpoints.load(tmp_path / "ckpt.pt")


STRANGE = {
    "retfound": {"cls_token": (1,), "pos_embed": (), "patch_embed.proj.weight": (2,)},
    "cn_clip": {"visual.conv1.weight": (), "bert.embeddings.word_embeddings.weight": (3,), "text_projection": ()},
    "eyeclip": {"visual.proj": (), "text_projection": (), "token_embedding.weight": (2,), "logit_scale": (3,)},
    "flair": {"vision_model.projection_head_vision.projection.weight": (), "logit_scale": (),
              "text_model.model.embeddings.word_embeddings.weight": ()},
}  # fmt: skip


@pytest.mark.parametrize("kind", STRANGE)
def test_weights_of_others_of_no_shape_are_one_line(kind, tmp_path):
    torch.save({name: torch.zeros(shape) for name, shape in STRANGE[kind].items()}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=rf"{tmp_path}/w\.pth"):
        zoo.load(f"{kind}:{tmp_path}/w.pth")


# Generators

SETTINGS: dict[str, tuple[str, Any, str]] = {
    "timesteps": ("scheduler/scheduler_config.json", {"num_train_timesteps": 10**9}, "num_train_timesteps=1000000000"),
    "betas": ("scheduler/scheduler_config.json", {"trained_betas": [math.nan] * 1000}, "trained_betas=[nan"),
    "spacing": ("scheduler/scheduler_config.json", {"timestep_spacing": "x"}, "timestep_spacing=x"),
    "order": ("scheduler/scheduler_config.json", {"solver_order": 99}, "solver_order=99"),
    "large": ("unet/config.json", {"sample_size": 10**6}, "sample_size=1000000"),
    "no pixels": ("unet/config.json", {"sample_size": 0}, "sample_size=0"),
    "two sides": ("unet/config.json", {"sample_size": [8, 16]}, "sample_size=[8, 16]"),
    "student": ("model_index.json", {"student": {"steps": 2, "guidance": "x"}}, "student.guidance"),
    "times": ("model_index.json", {"student": {"steps": 2, "guidance": 1, "times": [10**9, 5]}}, "student.times.0"),
    "process": ("model_index.json", {"process": "x"}, "process"),
}  # fmt: skip


@pytest.fixture(scope="module")
def generator(tmp_path_factory) -> Path:
    return untrained(tmp_path_factory.mktemp("hostile") / "generator")


def generate(generator: Path, out: Path) -> str:
    return line("synth", "generate", "--model", generator, "--n", 2, "--workers", 1, "--out", out)


@pytest.mark.parametrize("case", SETTINGS)
def test_a_setting_that_would_draw_other_pictures_is_refused(case, generator, tmp_path):
    file, more, words = SETTINGS[case]
    shutil.copytree(generator, tmp_path / "generator")
    path = tmp_path / "generator" / file
    path.write_text(json.dumps(json.loads(path.read_text()) | more))
    told = generate(tmp_path / "generator", tmp_path / "out")
    assert str(path) in told and words in told


@pytest.mark.parametrize(
    "file, key, value", [("unet/config.json", "norm_eps", 0.5), ("mix.json", "weight", 7)]
)
def test_a_setting_that_is_another_one_is_damage(file, key, value, generator, tmp_path):
    shutil.copytree(generator, tmp_path / "generator")
    path = tmp_path / "generator" / file
    content = json.loads(path.read_text())
    (content if isinstance(content, dict) else content[0])[key] = value
    path.write_text(json.dumps(content))
    assert f"{file} is not what was written" in generate(tmp_path / "generator", tmp_path / "out")


def test_snapshots_of_other_tensors_are_not_averaged(tmp_path):
    for number, names in ((1, "ab"), (2, "ac")):
        kept = {name: torch.ones(2) for name in names}
        weights.write(tmp_path / f"{number:012d}-0.1.safetensors", kept)
    with pytest.raises(UserError, match=r"000000000002-0.1.safetensors: other tensors than"):
        averages.combine(tmp_path, 0.1)


@pytest.mark.parametrize("weight", [0, -1, math.nan, math.inf, 1e308, 10**400, "x"])
def test_a_weight_that_is_no_share_is_refused(weight, generator, tmp_path):
    shutil.copytree(generator, tmp_path / "generator")
    path = tmp_path / "generator/mix.json"
    path.write_text(json.dumps([{"weight": 1, "labels": {}}, {"weight": weight, "labels": {"dr_grade": 1}}]))
    assert f"{path} entry 1: weight" in generate(tmp_path / "generator", tmp_path / "out")


def test_a_generator_that_draws_no_numbers_writes_no_picture(generator):
    made = pipeline.load(generator)[0]
    with torch.no_grad():
        for value in made.unet.parameters():
            value.mul_(1e25)
    codes = torch.from_numpy(made.conditioning.labels.unknown)[None]
    with pytest.raises(UserError, match="draws no numbers"):
        made(codes, torch.ones(1, *made.shape), steps=2)


def test_every_scheduler_that_ships_is_one_that_is_known():
    for path in (*Path("synth/weights").glob("fundus*"), Path("tests/golden/generator")):
        index = folders.read_index(path)
        kinds_of = folders.kinds_of(path, index, pipeline.FundusPipeline.__annotations__)
        folders.check_schedule(path, kinds_of["scheduler"], pipeline._schedulers(path, index))


# Arrays


@pytest.mark.parametrize(
    "head", ["-" * 9000 + "1", "(" * 9000, "{'descr': '<f4', 'fortran_order': False, 'shape': (10**12,)}"]
)
def test_the_head_of_an_array_is_no_program(head, tmp_path):
    text = head.encode() + b"\n"
    (tmp_path / "e.npy").write_bytes(b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text)
    with pytest.raises(UserError, match=r"not a plain \.npy of numbers"):
        arrays.read(tmp_path / "e.npy")


def test_embeddings_of_no_dimension_are_refused(tmp_path):
    np.save(tmp_path / "e.npy", np.zeros((3, 0), np.float32))
    (tmp_path / "e.ids.txt").write_text("a\nb\nc\n")
    with pytest.raises(UserError, match=r"where \(N, D\) numbers are needed"):
        Embeddings(tmp_path / "e.npy")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # numpy leaves the file open
def test_an_archive_that_is_cut_is_no_array(tmp_path):
    (tmp_path / "e.npy").write_bytes(b"PK\3\4 cut")
    with pytest.raises(UserError, match=r"not a plain \.npy of numbers"):
        arrays.read(tmp_path / "e.npy")


def test_ids_of_embeddings_begin_behind_the_mark_of_byte_order(tmp_path):
    np.save(tmp_path / "E.NPY", np.ones((2, 3)))
    (tmp_path / "E.NPY.npy").rename(tmp_path / "E.NPY")
    (tmp_path / "E.ids.txt").write_bytes("\ufeffa\r\nb\r\n".encode())
    embeddings: Any = open_target(tmp_path / "E.NPY")
    assert embeddings.embed(None, np.array(["a", "b"]), None, tmp_path).shape == (2, 3)


def test_an_id_that_is_another_one_is_missed_by_the_file_that_says_it(tmp_path):
    np.save(tmp_path / "e.npy", np.ones((2, 3)))
    for names, words in (("a\nb\n", "no embedding for 1 of 2"), ("a\na\n", "occurs twice")):
        (tmp_path / "e.ids.txt").write_text(names)
        with pytest.raises(UserError, match=rf"{tmp_path}/e.ids.txt: .*{words}"):
            Embeddings(tmp_path / "e.npy").embed(None, np.array(["a", "c"]), None, tmp_path)


# Pictures


def encoded(kind: str, **settings: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(drawn(1, 0)).save(file, kind, **settings)
    return file.getvalue()


@pytest.mark.parametrize("tag, kind", [(0x010E, 5), (0x010E, 12), (0x011A, 1), (0x8769, 2)])
def test_exif_data_of_other_kinds_turn_a_picture_as_they_say(tag, kind):
    """A text that is a fraction, a fraction that is bytes: a camera's picture is sound all the same."""
    entries = struct.pack("<HHI4s", 0x0112, 3, 1, b"\6\0\0\0") + struct.pack(
        "<HHI4s", tag, kind, 1, b"\1\0\0\0"
    )
    exif = b"Exif\0\0II*\0\x08\0\0\0\x02\0" + entries + bytes(4)
    plain, turned = (np.asarray(formats.read(encoded("JPEG", exif=each))) for each in (b"", exif))
    assert np.array_equal(np.rot90(plain, -1), turned)


def test_a_tiff_without_its_size_is_one_line():
    whole = encoded("TIFF")
    for tag in (256, 257):  # width and height
        at = whole.index(struct.pack("<H", tag), 8)
        with pytest.raises(UserError, match=r"photo\.tif: .*damaged"):
            formats.read(whole[:at] + b"\xff\xfe" + whole[at + 2 :], "photo.tif")


# What keeps a reader waiting


def test_a_pipe_or_a_device_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "x.tar")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    with pytest.raises(UserError, match="a pipe or a device"):
        kinds.kind(tmp_path / "x.tar")
    with pytest.raises(UserError, match="a pipe or a device"), archives.opened_tar(tmp_path / "x.tar"):
        pass
    for read in (documents.read_json, runs.sha256):
        with pytest.raises(UserError, match=r"zero.json: a pipe or a device"):
            read(tmp_path / "zero.json")


def test_a_link_to_nowhere_or_to_itself_is_one_line(tmp_path):
    folder(tmp_path / "records", 40)
    path = shards(tmp_path / "records", "train")[0]
    for target in (path.name, "nowhere"):
        path.unlink()
        path.symlink_to(target)
        with pytest.raises(UserError, match=rf"{path}: a link that leads nowhere"):
            read_table(tmp_path / "records", ["train"])
    (tmp_path / "x.csv").symlink_to("x.csv")
    link = tmp_path / "x.csv"
    plant = ("privacy", "canary", "plant", "--data", tmp_path / "records", "--out", tmp_path / "o")
    for words in (
        ("clip", "train", "--data", link),
        ("clip", "compare", link, link, "--out", tmp_path / "o"),
        (*plant, "--key", link),
    ):
        assert f"{link}: a link that leads nowhere" in line(*words)


def test_metrics_are_not_written_through_a_link(tmp_path):
    (tmp_path / "profile").write_text("mine\n")
    (tmp_path / "metrics.jsonl").symlink_to("profile")
    with pytest.raises(UserError, match=r"metrics.jsonl: a link"):
        runs.append_metrics(tmp_path / "metrics.jsonl", images=8, loss=1.0)
    assert (tmp_path / "profile").read_text() == "mine\n"


# Documents


def test_merges_of_merges_end_at_once(tmp_path):
    """Thirty lines of YAML that would stand for 2^30 keys."""
    lines = [f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 30)]
    (tmp_path / "x.yaml").write_text("\n".join(["a0: &a0 {k: 1}", *lines]))
    with pytest.raises(UserError, match=r"x.yaml: not YAML \(more than 100,000 keys"):
        documents.read_yaml(tmp_path / "x.yaml")
    (tmp_path / "x.yaml").write_text("a: &a {k: 1, l: 2}\nb: {<<: *a, k: 3}\n")
    assert documents.read_yaml(tmp_path / "x.yaml")["b"] == {"k": 3, "l": 2}


def test_a_key_that_stands_twice_is_not_taken_for_its_last_value(tmp_path):
    (tmp_path / "x.yaml").write_text("images: 64\nlr: 1\nimages: 8\n")
    with pytest.raises(UserError, match=r"x.yaml: not YAML \(key 'images' stands twice"):
        documents.read_yaml(tmp_path / "x.yaml")
    (tmp_path / "x.json").write_text('{"a": {"n": 5, "n": 6}}')
    with pytest.raises(UserError, match=r"x.json: damaged JSON \(key 'n' stands twice"):
        documents.read_json(tmp_path / "x.json")


# Records


def test_records_that_lack_a_shard_are_not_read(tmp_path):
    folder(tmp_path / "records", 40)
    lost = shards(tmp_path / "records", "test")[0]
    lost.unlink()
    with pytest.raises(UserError, match=rf"{lost}: missing"):
        read_table(tmp_path / "records", ["test"])
    assert read_table(tmp_path / "records", ["train"]).num_rows


def test_a_shard_of_fewer_rows_than_were_written_is_damaged(tmp_path):
    import pyarrow.parquet as pq

    folder(tmp_path / "records", 40)
    path = shards(tmp_path / "records", "train")[0]
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(UserError, match=rf"{path}: damaged parquet"):
        read_table(tmp_path / "records", ["train"])


@pytest.mark.parametrize("format", ["parquet", "webdataset"])
def test_a_reader_of_records_sees_a_flipped_bit_of_a_picture_and_exchanged_shards(
    format, generator, tmp_path
):
    out = tmp_path / "set"
    draw = f"generate --model {generator} --n 20 --steps 2 --workers 1 --format {format} --out {out}"
    assert CliRunner().invoke(APPS["synth"], draw.split()).exit_code == 0
    one, other = (shards(out, split)[0] for split in ("validation", "test"))
    first, second = one.read_bytes(), other.read_bytes()
    picture = Pictures(out, ["validation"])[0]
    damaged = first.replace(picture, picture[:-20] + bytes([picture[-20] ^ 1]) + picture[-19:])
    for mine, theirs in ((damaged, second), (second, first)):
        one.write_bytes(mine)
        other.write_bytes(theirs)
        with pytest.raises(UserError, match=rf"{one}: (damaged|holds the rows of test-00000)"):
            list(Pictures(out, ["validation"]))
    one.write_bytes(first)
    assert len(list(Pictures(out, ["validation"]))) == 2


@pytest.mark.parametrize("name", ["caption_en", "subject_id", "id", "source", "eye_side", "findings"])
def test_half_a_character_is_one_line_that_names_its_row(name):
    """JSON can name one; no file can hold it."""
    value = ["a\ud800"] if name == "findings" else "a\ud800"
    with pytest.raises(UserError, match=rf"a.tar 1.json: {name}="):
        metadata.columns({name: value}, "a.tar 1.json")


# Words of the command line


@pytest.mark.parametrize("character", ["\x1b[2J", "\r", "\x07", "\u202e", "\ud800"])
def test_a_line_tells_a_terminal_nothing_but_text(character, tmp_path):
    """A name in a stranger's file may clear the screen, ring, or turn what follows around."""
    (tmp_path / "x.yaml").write_text(json.dumps({f"im{character}ages": 5}))
    told = line("clip", "train", "--data", tmp_path, "--out", tmp_path / "o", "--config", tmp_path / "x.yaml")
    assert told.isprintable() and "x.yaml: " in told


def test_a_file_that_may_not_be_read_is_one_line(tmp_path):
    told = line("clip", "predict", tmp_path / "none.png", "--model", "x", "--lang", "fr")
    assert told.startswith("clip: ") and "--help'" in told
