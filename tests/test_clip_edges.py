"""Edges at which a number would be wrong without a word: texts that are cut, files of other models, what a form cannot say."""

import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pictures import rows
from test_clip_evaluation import MODEL, invoke, refusal

from clip import embed, loading
from clip.apps import search as searching
from clip.inputs import photographs
from clip.model import checkpoints
from clip.model.encoders import build
from synth.base import checkpoint
from synth.base.errors import UserError
from synth.data.records import write_records


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> Path:
    """Photographs wider than high, of which cropping to the field of view and squashing make other squares."""
    made = rows(12, side=48)
    path = tmp_path_factory.mktemp("edges") / "records"
    write_records(path, made, {"kind": "drawn"})
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return saved(tmp_path_factory.mktemp("edges") / "ckpt.pt", context=40)


def saved(path: Path, **more) -> Path:
    network = build(MODEL.model_copy(update=more), seed=0)
    checkpoint.save(path, checkpoints.header(network) | {"weights": network.state_dict()})
    return path


@pytest.fixture
def told(caplog):
    embed._warn.cache_clear()
    caplog.set_level(logging.WARNING, "clip")
    return caplog


def test_a_text_whose_end_is_not_read_is_told_once(model, told):
    network = loading.load_model(model)
    embed.texts(network, ["眼" * 38, "glaucoma."])  # with [CLS] and [SEP] 40 tokens: it fits
    assert not told.messages
    for _ in range(2):
        embed.texts(network, ["眼" * 39, "glaucoma."])
    [line] = told.messages
    assert line.startswith("1 of 2 texts are longer than the 40 tokens that the model reads")


def test_captions_that_a_table_wrote_for_empty_cells_are_told_in_retrieval(told, tmp_path):
    made = [each | {"caption_zh": "nan" if i % 3 else "眼底。"} for i, each in enumerate(rows(12, side=16))]
    write_records(tmp_path / "records", made, {"kind": "drawn"})
    photographs.captions(tmp_path / "records", ["train", "validation", "test"], "caption_zh")
    assert "8 captions are 'nan'" in told.messages[0]


def test_one_caption_for_all_allows_no_retrieval(model, tmp_path):
    made = [
        each | {"caption_zh": "眼底。", "caption_en": "Eye.", "eye_side": None} for each in rows(12, side=16)
    ]
    write_records(tmp_path / "records", made, {"kind": "drawn"})
    words = (
        "eval",
        "--model",
        model,
        "--data",
        tmp_path / "records",
        "--split",
        "all",
        "--task",
        "retrieval",
    )
    assert "two of them different" in refusal(*words, "--out", tmp_path / "out")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t.replace_schema_metadata({}), "does not tell which model embedded it"),
        (lambda t: scaled(t, 2.0), r"row \d+: its embedding is 2 long, not 1"),
        (lambda t: scaled(t, 0.0), r"row \d+: its embedding is 0 long, not 1"),
        (lambda t: t.set_column(0, "id", pa.array(["a"] * len(t))), "id 'a' is in it more than once"),
    ],
)
def test_embeddings_that_give_no_cosines_of_this_model_are_refused(change, message, model, records, tmp_path):
    path = tmp_path / "e.parquet"
    embed.write(path, loading.load_model(model), records)
    pq.write_table(change(pq.read_table(path)), path)
    with pytest.raises(UserError, match=message):
        searching.read(path)


def scaled(table: pa.Table, factor: float) -> pa.Table:
    vectors = factor * np.array(table["embedding"].to_pylist())
    return table.set_column(2, "embedding", pa.array([*vectors]))


@pytest.mark.parametrize("form", ["cn_clip", "open_clip"])
def test_an_export_sees_photographs_and_reads_texts_as_the_checkpoint_does(form, model, records, tmp_path):
    """Neither form has our cropping to the field of view, or a context other than its own, unless the file tells."""
    out = tmp_path / ("cn.pt" if form == "cn_clip" else "folder")
    done = invoke("export", model, "--to", form, "--out", out)
    assert done.exit_code == 0, done.stderr
    ours, theirs = loading.load_model(model), loading.load_model(f"{form}:{out}")
    assert theirs.config.preprocessing == ours.config.preprocessing
    assert np.abs(embed.images(ours, records) - embed.images(theirs, records)).max() < 1e-5
    texts = ["疑似青光眼", "glaucoma in the left eye " * 20]
    assert ours.tokenize(texts).shape == theirs.tokenize(texts).shape
    assert np.abs(embed.texts(ours, texts) - embed.texts(theirs, texts)).max() < 1e-5


def test_a_prediction_says_that_it_is_not_calibrated(model, tmp_path):
    (tmp_path / "a.jpg").write_bytes(rows(1, side=64)[0]["image"]["bytes"])
    said = invoke("predict", tmp_path / "a.jpg", "--model", model)
    assert said.exit_code == 0, said.stderr
    assert "not calibrated (1.000 does not mean certain), not a diagnosis" in said.stdout
