"""What is written carries a checksum that is compared when it is read; weights that are no numbers are written and read by nobody."""

import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from generators import untrained
from pictures import folder
from safetensors.torch import load_file, save_file
from test_untrusted import MODEL

from clip import embed, loading
from clip.apps import search
from clip.evaluation import report as reports
from clip.model import checkpoints
from clip.model.encoders import build
from privacy.advice import suggest, tradeoff
from privacy.report import AuditReport
from privacy.targets.embeddings import Embeddings
from synth import pipeline
from synth.base import arrays, checkpoint, checksums, weights
from synth.base.errors import UserError
from synth.base.runs import append_metrics, read_json
from synth.classifier import classifier
from synth.data.images import Preprocessing
from synth.data.pictures import pixels
from synth.model import card
from synth.training.averages import PowerAverages, combine


def flip(path: Path, place: float) -> None:
    """One bit of a file, at a share of its length."""
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 1
    path.write_bytes(content)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("sums") / "ckpt.pt"
    made = build(MODEL)
    checkpoint.save(path, checkpoints.header(made, images=0, data=None) | {"weights": made.state_dict()})
    return path


@pytest.fixture(scope="module")
def generator(tmp_path_factory) -> Path:
    return untrained(tmp_path_factory.mktemp("sums") / "generator")


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> Path:
    return folder(tmp_path_factory.mktemp("sums") / "records", 20)


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_a_flipped_bit_of_a_checkpoint_is_seen(place, model, tmp_path):
    path = Path(shutil.copy(model, tmp_path))
    flip(path, place)
    with pytest.raises(UserError, match=f"{path}: damaged"):
        loading.load_model(path)


@pytest.mark.parametrize("part", ["unet/diffusion_pytorch_model", "conditioning/diffusion_pytorch_model"])
def test_a_flipped_bit_of_a_generator_is_seen(part, generator, tmp_path):
    there = shutil.copytree(generator, tmp_path / "generator")
    flip(there / f"{part}.safetensors", 0.9)
    with pytest.raises(UserError, match=rf"damaged generator \({part}.safetensors is not what was written"):
        pipeline.load(there)


def test_a_file_of_weights_that_is_gone_or_beside_is_seen(generator, tmp_path):
    there = shutil.copytree(generator, tmp_path / "generator")
    shutil.copy(there / "unet/diffusion_pytorch_model.safetensors", there / "unet/more.safetensors")
    with pytest.raises(UserError, match=r"unet/more.safetensors is not what was written"):
        pipeline.load(there)


def test_a_generator_of_an_earlier_version_still_opens(generator, tmp_path):
    there = shutil.copytree(generator, tmp_path / "generator")
    said = read_json(there / card.FILE)
    assert set(said.pop("files")) == set(card.sums(there))
    (there / card.FILE).write_text(json.dumps(said))
    assert pipeline.load(there)[1].files == {}


def test_a_flipped_bit_of_a_snapshot_is_seen(tmp_path):
    averages = PowerAverages(torch.nn.Linear(64, 64), [0.1])
    averages.snapshot(tmp_path, 1000)
    [path] = tmp_path.glob("*.safetensors")
    combine(tmp_path, 0.1)
    flip(path, 0.9)
    with pytest.raises(UserError, match=f"{path}: damaged, its tensors are not those that were written"):
        combine(tmp_path, 0.1)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match=f"{path}: damaged or cut short"):
        combine(tmp_path, 0.1)
    save_file(
        {"weight": torch.zeros(64, 64), "bias": torch.zeros(64)}, path
    )  # as an earlier version wrote it
    assert set(combine(tmp_path, 0.1)[0]) == {"weight", "bias"}


def test_a_flipped_bit_of_a_cache_is_seen(records, tmp_path):
    settings = (records, ["train"], Preprocessing(size=16), tmp_path)
    before = np.array(pixels(*settings))
    [path] = tmp_path.glob("*.npy")
    assert path.stat().st_mode & 0o777 == 0o600
    assert np.array_equal(pixels(*settings), before)
    flip(path, 0.9)
    with pytest.raises(UserError, match=f"{path}: damaged, its sha256 is not that of"):
        pixels(*settings)
    checksums.beside(path).unlink()
    assert pixels(*settings).shape == before.shape  # as an earlier version left it
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="cut short; nothing in it was run; delete it and repeat"):
        pixels(*settings)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="cut short"):
        pixels(*settings)


@pytest.mark.parametrize("values", [np.zeros((3, 4)), np.zeros((2, 3, 3, 4), np.uint8)])
def test_a_cache_of_another_shape_is_refused(values, tmp_path):
    arrays.write(tmp_path / "x.npy", values)
    with pytest.raises(UserError, match="not 2 x 3 x 3 x 3; delete it"):
        arrays.read(tmp_path / "x.npy", (2, 3, 3, 3))


@pytest.mark.parametrize("place", [0.3, 0.5])
def test_a_flipped_bit_of_embeddings_is_seen(place, model, records, tmp_path):
    path = tmp_path / "e.parquet"
    embed.write(path, loading.load_model(model), records)
    assert len(search.read(path).ids) == 20
    flip(path, place)
    for read in (search.read, Embeddings):
        with pytest.raises(UserError, match=str(path)):
            read(path)


def test_embeddings_without_checksums_still_open(tmp_path):
    table = {"id": ["a", "b"], "subject_id": ["p", "q"], "embedding": [[1.0, 0.0], [0.0, 1.0]]}
    named = pa.table(table).replace_schema_metadata({embed.MODEL: "weights"})
    pq.write_table(named, tmp_path / "e.parquet")
    assert search.read(tmp_path / "e.parquet").ids == ["a", "b"]
    assert Embeddings(tmp_path / "e.parquet").metadata["dimensions"] == 2


def other_number(path: Path) -> None:
    """One digit of a JSON file, changed so that it still is JSON."""
    path.write_text(re.sub("[0-8]", lambda digit: str(int(digit[0]) + 1), path.read_text(), count=1))


REPORTS = {
    "privacy audit": {"schema": {"name": "visionclip-privacy-report", "version": 3}},
    "clip eval": {"format": "visionclip-evaluation", "version": 3},
    "synth evaluate": {
        "schema": {"name": "visionclip-evaluation", "version": 1},
        "utility": {"patients": 40},
    },
}
READERS = {
    "privacy audit": [AuditReport.read, suggest.suggest],
    "clip eval": [reports.read],
    "synth evaluate": [tradeoff.utility_of],
}


@pytest.mark.parametrize("verb", REPORTS)
def test_another_digit_of_a_report_is_seen(verb, tmp_path):
    path = tmp_path / "report.json"
    checksums.write_json(path, REPORTS[verb])
    other_number(path)
    for read in READERS[verb]:
        with pytest.raises(UserError, match=f"{path}: damaged, its sha256 is not that of report.json.sha256"):
            read(path)


def test_a_report_without_a_checksum_is_its_owners_word(tmp_path):
    path = tmp_path / "report.json"
    checksums.write_json(path, REPORTS["synth evaluate"])
    other_number(path)
    checksums.beside(path).unlink()
    with pytest.raises(UserError, match="damaged report"):  # it is read, and lacks what is needed
        tradeoff.utility_of(path)


def test_every_verb_writes_its_report_with_a_checksum():
    """By its source: a report that is written by another function would carry none."""
    root = Path(__file__).parents[1]
    found = [
        line.strip()
        for tool in ("synth", "clip", "privacy")
        for path in (root / tool).rglob("*.py")
        for line in path.read_text().splitlines()
        if '"report.json",' in line and "write" in line
    ]
    assert len(found) == 3 and all(line.startswith("checksums.write_json(") for line in found)


# Weights that are no numbers


def spoil(tensors: dict[str, torch.Tensor], value: float) -> None:
    name = next(name for name, each in tensors.items() if each.is_floating_point() and each.ndim)
    tensors[name].view(-1)[0] = value


def old_checkpoint(path: Path, model: Path, value: float) -> Path:
    """As a version that did not look would have written it."""
    content = checkpoint.load(model)
    spoil(content["weights"], value)
    torch.save(content, path)
    return path


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_encoder_that_is_no_numbers_is_neither_written_nor_read(value, model, tmp_path):
    path = old_checkpoint(tmp_path / "nan.pt", model, value)
    with pytest.raises(UserError, match=f"{path}: 'weights.+' holds what is no number"):
        loading.load_model(path)
    content = torch.load(path, weights_only=True)
    with pytest.raises(UserError, match="holds what is no number"):
        checkpoint.save(tmp_path / "again.pt", content)
    assert not (tmp_path / "again.pt").exists()


def test_a_generator_that_is_no_numbers_is_neither_written_nor_read(generator, tmp_path):
    there = shutil.copytree(generator, tmp_path / "generator")
    path = there / "unet/diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    spoil(tensors, math.nan)
    save_file(tensors, path, metadata={"format": "pt"})
    said = {name: value for name, value in read_json(there / card.FILE).items() if name != "files"}
    (there / card.FILE).write_text(json.dumps(said))
    with pytest.raises(UserError, match=f"{there}: 'unet.+' holds what is no number"):
        pipeline.load(there)
    made, known = pipeline.load(generator)
    with torch.no_grad():
        next(made.unet.parameters()).fill_(math.nan)
    with pytest.raises(UserError, match="holds what is no number"):
        pipeline.save(made, tmp_path / "out", known, [])
    assert not (tmp_path / "out").exists()


def test_no_exchange_of_weights_takes_what_is_no_number(tmp_path):
    broken = {"a": torch.tensor([1.0, math.nan])}
    with pytest.raises(UserError, match="'a' holds what is no number"):
        weights.write(tmp_path / "a.safetensors", broken)
    model = build(MODEL)
    with torch.no_grad():
        model.text_projection[0, 0] = math.inf
    with pytest.raises(UserError, match="x: 'text_projection' holds what is no number"):
        weights.check_finite(model, "x")


def test_a_classifier_that_is_no_numbers_is_not_read(tmp_path):
    config = classifier.ClassifierConfig(architecture="test_resnet")
    made = classifier.Classifier(config, ["is_gc"])
    spoil(dict(made.state_dict()), math.nan)
    head = checkpoint.header(classifier.FORMAT, classifier.VERSION, config=config.model_dump(mode="json"))
    torch.save(head | {"labels": ["is_gc"], "weights": made.state_dict()}, tmp_path / "classifier.pt")
    with pytest.raises(UserError, match="holds what is no number"):
        classifier.load(tmp_path / "classifier.pt")


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_a_training(loss, tmp_path):
    """Every trainer of `synth` notes its loss by this function, before it writes anything."""
    with pytest.raises(UserError, match=r"the loss is (nan|inf) at 64 images, .* lower lr"):
        append_metrics(tmp_path / "metrics.jsonl", images=64, loss=loss)
    assert not (tmp_path / "metrics.jsonl").exists()


@pytest.mark.parametrize("name", ["weights", "optimizer", "images"])
def test_a_state_that_lacks_a_part_is_one_line(name, tmp_path):
    config = classifier.ClassifierConfig(architecture="test_resnet")
    made = classifier.Classifier(config, ["is_gc"])
    optimizer = torch.optim.AdamW(made.parameters())
    parts = {"images": 1, "weights": made.state_dict(), "optimizer": optimizer.state_dict()}
    del parts[name]
    checkpoint.save(tmp_path / "state.pt", checkpoint.header(classifier._STATE, 1, **parts))
    with pytest.raises(UserError, match=rf"state.pt: what it holds does not fit \('{name}'\); copy it again"):
        classifier._resume(tmp_path / "state.pt", made, optimizer)
