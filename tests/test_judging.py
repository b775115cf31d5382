"""Judging synthetic photographs: a classifier that learns only what is known, and what it says about samples."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from synth import classifier
from synth.augmentation import Augmentation, augment
from synth.base.config import load
from synth.base.errors import UserError
from synth.base.stats import auc
from synth.classifier import ClassifierConfig
from synth.fundus.images import Preprocessing
from synth.fundus.pictures import pixels
from synth.fundus.records import SCHEMA, read_table
from synth.targets import TARGETS, targets
from tests.pictures import folder, rows

TINY = ClassifierConfig(
    architecture="test_resnet",
    images=960,
    batch=16,
    warmup=64,
    least=5,
    save_every=96,
    lr=3e-3,
    preprocessing=Preprocessing(size=16),
)


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Path:
    return folder(tmp_path_factory.mktemp("real") / "records", 80, seed=1, shares=(6, 1, 3))


@pytest.fixture(scope="module")
def trained(real, tmp_path_factory) -> Path:
    return classifier.train(TINY, real, tmp_path_factory.mktemp("classifier"))


def test_a_classifier_finds_glaucoma_in_eyes_that_it_has_not_seen(trained, real, tmp_path):
    model, head = classifier.load(trained)
    probability = model.predict(pixels(real, ["test"], TINY.preprocessing, tmp_path))
    truth = targets(read_table(real, ["test"]))[:, TARGETS.index("is_gc")]
    assert head["labels"] == ["is_gc"]  # nobody has another disease
    assert auc(probability[:, 0], truth == 1, np.ones((1, len(truth))))[0] > 0.9


def test_a_resumed_classifier_equals_an_uninterrupted_one(trained, real, tmp_path, monkeypatch):
    class Killed(Exception):
        pass

    def save_and_die(path, content):
        kept(path, content)
        raise Killed

    kept = classifier.checkpoint.save
    with monkeypatch.context() as patch:
        patch.setattr(classifier.checkpoint, "save", save_and_die)
        with pytest.raises(Killed):
            classifier.train(TINY, real, tmp_path)
    assert not (tmp_path / "classifier.pt").exists()
    resumed, _ = classifier.load(classifier.train(TINY, real, tmp_path))
    whole, _ = classifier.load(trained)
    assert all(torch.equal(a, b) for a, b in zip(resumed.parameters(), whole.parameters(), strict=True))


def test_what_is_unknown_teaches_nothing(tmp_path):
    """Whatever picture carries an unknown label, the weights of that label's row do not move towards it."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (32, 16, 16, 3), np.uint8)
    truth = np.full((32, 2), np.nan, np.float32)
    truth[:, 0] = np.arange(32) % 2
    config = TINY.model_copy(update={"images": 64, "save_every": 64, "weight_decay": 0.0})
    path = classifier.fit(config, pictures, truth, ["is_gc", "is_pm"], tmp_path, "x")
    model, _ = classifier.load(path)
    torch.manual_seed(config.seed)
    fresh = classifier.Classifier(config, ["is_gc", "is_pm"])
    before, after = (net.network.get_classifier().weight for net in (fresh, model))  # type: ignore[operator]
    assert torch.equal(before[1], after[1])
    assert not torch.equal(before[0], after[0])


def test_targets_keep_unknown_apart_from_absent():

    people = rows(3)
    people[0] |= {"dr_grade": 1, "findings": ["cataract"]}
    people[1] |= {"dr_grade": None, "findings": []}
    truth = targets(pa.Table.from_pylist(people, schema=SCHEMA))
    column = {name: truth[:, i].tolist() for i, name in enumerate(TARGETS)}
    assert column["dr"][0] == 1 and column["referable_dr"][0] == 0 and np.isnan(column["dr"][1])
    assert column["cataract"][:2] == [1, 0] and np.isnan(column["cataract"][2])


def test_changes_of_nothing_change_nothing():
    images = torch.rand(4, 3, 16, 16) * 2 - 1
    same = augment(images, Augmentation(flip=False, turn=0, zoom=0, colour=0))
    assert torch.allclose(same, images, atol=1e-5)


def test_half_of_the_pictures_are_mirrored():
    torch.manual_seed(0)
    images = torch.rand(64, 3, 16, 16) * 2 - 1
    changed = augment(images, Augmentation(turn=0, zoom=0, colour=0))
    mirrored = [torch.allclose(a, b.flip(-1), atol=1e-5) for a, b in zip(changed, images, strict=True)]
    same = [torch.allclose(a, b, atol=1e-5) for a, b in zip(changed, images, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True))
    assert 20 < sum(mirrored) < 44


def test_a_misspelt_architecture_names_the_right_one():
    with pytest.raises(UserError, match="architecture: 'resnet81' is unknown to timm; did you mean 'resnet"):
        load(ClassifierConfig, None, ["architecture=resnet81"])


def test_records_without_positives_train_nothing_and_say_so(real, tmp_path):
    with pytest.raises(UserError, match="no label has 1000 positives and negatives among its") as error:
        classifier.train(TINY.model_copy(update={"least": 1000}), real, tmp_path / "out")
    assert "\n" not in str(error.value)


def test_pictures_of_another_size_are_refused(trained):
    model, _ = classifier.load(trained)
    with pytest.raises(UserError, match=r"reads \(N, 16, 16, 3\) uint8"):
        model.predict(np.zeros((2, 8, 8, 3), np.uint8))
