"""Filters: copies of training photographs and contradicted labels are found, counted and drawn again."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from generators import CLASSIFIER, tiny
from PIL import Image
from typer.testing import CliRunner

from synth import phantom
from synth.base.errors import UserError
from synth.base.runs import read_json, sha256
from synth.classifier import classifier
from synth.commands.app import app
from synth.data.images import Preprocessing, decode
from synth.data.pictures import Pictures
from synth.data.records import data_fingerprint, read_table, write_records
from synth.model.card import GeneratorCard
from synth.provenance import training_data
from synth.publishing.publish import publish
from synth.release import draw_shards
from synth.sampling import plan
from synth.sampling import rejection as filters
from synth.sampling.filters import copies, copy_filter, label_filter, source_check
from synth.sampling.filters.settings import LabelFilterSettings
from synth.sampling.plan import Draw, Plan
from synth.sampling.rejection import Candidate, Verdict, rejection_sample
from synth.training.trainer import train
from tests.pictures import folder, rows

TINY = tiny(averages=(0.1, 0.2), snapshot_every=32, sheet=2)


@pytest.fixture(scope="module")
def photographs() -> np.ndarray:
    """(40, 64, 64, 3) uint8: one eye each of forty phantoms."""
    made = phantom.records(phantom.PhantomConfig(size=64), 40)
    return np.stack([decode(row["image"]["bytes"]) for row in made])


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Path:
    return folder(tmp_path_factory.mktemp("real") / "records", 200, seed=1, shares=(5, 4, 1))


@pytest.fixture(scope="module")
def model(real, tmp_path_factory) -> Path:
    return train(TINY, [real], tmp_path_factory.mktemp("runs") / "tiny")


def recoloured(picture: np.ndarray, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    light = (picture / 255) ** rng.uniform(0.7, 1.4) * rng.uniform(0.7, 1.3, 3)
    return (light.clip(0, 1) * 255).astype(np.uint8)


def compressed(picture: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def test_a_mirrored_recoloured_compressed_photograph_is_nearest_to_itself(photographs):
    """All forty."""
    changed = [compressed(recoloured(p[:, ::-1], i), 50) for i, p in enumerate(photographs)]
    search = copies.Search(copies.descriptor(photographs), np.arange(40))
    assert search.closeness(copies.descriptor(np.stack(changed)))[1].tolist() == list(range(40))


def test_a_photograph_is_closest_to_itself_and_a_blank_one_is_near_to_nothing(photographs):
    references = copies.descriptor(photographs)
    search = copies.Search(references, np.arange(40))
    assert search.closeness(references)[0] == pytest.approx(0, abs=5e-3)
    blank = copies.descriptor(np.zeros((1, 64, 64, 3), np.uint8))
    assert search.closeness(blank)[0] == pytest.approx(1)


def test_a_turned_and_cropped_copy_comes_nearer_than_any_stranger(photographs):
    members, strangers = photographs[:20], photographs[20:]
    search = copies.Search(copies.descriptor(members), np.arange(20))
    changed = []
    for picture in members:
        turned = Image.fromarray(picture[2:62, 4:64]).rotate(4, Image.Resampling.BICUBIC)
        changed.append(np.asarray(turned.resize((64, 64), Image.Resampling.BICUBIC)))
    near, index = search.closeness(copies.descriptor(np.stack(changed)))
    far, _ = search.closeness(copies.descriptor(strangers))
    assert index.tolist() == list(range(20))
    assert near.max() < far.min()


def test_many_photographs_of_one_patient_do_not_hide_a_copy_of_one(photographs):
    """The neighbours that a sample is compared with are other people's."""
    ten = np.stack([compressed(photographs[0], q) for q in range(50, 95, 3)])
    references = copies.descriptor(np.concatenate([ten, photographs[1:]]))
    whose = np.array([0] * len(ten) + list(range(1, 40)))
    near, _ = copies.Search(references, whose).closeness(copies.descriptor(photographs[:1]))
    assert near[0] < 0.5


def test_held_out_patients_are_rejected_no_more_often_than_promised():
    """Over 300 calibrations with 100 patients of two photographs each, one in fifty of new patients may be."""
    rng = np.random.default_rng(0)
    rates, promises = [], []
    for _ in range(300):
        eyes = rng.beta(8, 2, (600, 1)) + rng.normal(0, 0.02, (600, 2))
        threshold, flagged, patients = copy_filter.calibrate(
            eyes[:100].ravel(), np.repeat(np.arange(100), 2), 0.02
        )
        rates.append((eyes[100:].min(axis=1) < threshold).mean())
        promises.append((flagged + 1) / (patients + 1))
    assert max(promises) <= 0.02
    assert np.mean(rates) <= 0.02 + 3 * np.std(rates) / 300**0.5


def test_the_copy_filter_counts_patients_not_photographs():
    near, whose = np.linspace(0.4, 0.9, 50), np.arange(50)
    once = copy_filter.calibrate(near, whose, 0.1)
    assert copy_filter.calibrate(np.repeat(near, 3), np.repeat(whose, 3), 0.1) == once
    assert once[1:] == (4, 50)


def test_too_few_held_out_patients_are_refused():
    with pytest.raises(UserError, match=r"9 held-out patients are too few .* --split 7:1:2"):
        copy_filter.calibrate(np.ones(9), np.arange(9), 0.01)


def test_the_copy_filter_knows_its_photographs(real, tmp_path):
    facts = copy_filter.prepare([real], 64, tmp_path)
    assert copy_filter.prepare([real], 64, tmp_path) == facts
    pictures = Pictures(real, ["train"])
    learnt = np.stack([Preprocessing(size=64)(pictures[i])[:, ::-1] for i in range(len(pictures))])
    assert copy_filter.CopyFilter(facts, tmp_path).copies(learnt).mean() > 0.9
    assert facts.false_alarms_expected == pytest.approx(1 / (facts.held_out_patients + 1), abs=1e-6)


def test_the_copy_filter_compares_photographs_of_the_fundus_alone(tmp_path):
    """Tomograms look alike: they would loosen the threshold, whoever's they are."""
    kinds = ["cfp", None, "oct", "ffa"]
    made = [record | {"modality": kinds[i % 4]} for i, record in enumerate(rows(120, seed=4))]
    write_records(tmp_path / "records", made, {"kind": "drawn"}, (1, 1, 0))
    facts = copy_filter.prepare([tmp_path / "records"], 64, tmp_path)
    train = read_table(tmp_path / "records", ["train"], ["modality"])["modality"].to_pylist()
    assert facts.photographs == sum(kind in ("cfp", None) for kind in train)
    assert facts.other_modalities == len(train) - facts.photographs > 0


@pytest.mark.slow
def test_one_copy_filter_is_of_several_folders_and_tells_their_people_apart(real, tmp_path):
    other = folder(tmp_path / "other", 120, seed=1, shares=(5, 4, 1))  # the same names as in `real`
    one, both = (copy_filter.prepare(folders, 64, tmp_path) for folders in ([real], [real, other]))
    for key in ("photographs", "patients", "held_out_patients"):
        assert getattr(both, key) == getattr(one, key) + getattr(
            copy_filter.prepare([other], 64, tmp_path), key
        )


def known(*origins: tuple[str, Path], data: str | None = "another") -> GeneratorCard:
    """What a generator says that learnt from some sources."""
    found = [
        origin.replaced(source=source)
        for source, path in origins
        for origin in training_data.training_sources([path])
    ]
    return GeneratorCard.of(images=0, config={}, preprocessing={}, vocabulary=1, data=data, trained_on=found)


def test_a_generators_own_records_and_a_part_of_them_may_be_given(real, model, tmp_path, caplog):
    facts = GeneratorCard.read(model / "visionclip.json")
    source_check.check([real], facts)
    other = folder(tmp_path / "other", 60, seed=2)
    source_check.check(
        [other, real],
        known(("drawn", real)).replaced(
            trained_on=[source.to_json() for source in training_data.training_sources([real, other])]
        ),
    )
    assert not caplog.text
    source_check.check([real], known(("drawn", real), ("clinic", other)))
    assert (
        "learnt from 44 photographs of 22 subjects from 'clinic' too, which nothing protects" in caplog.text
    )


def test_photographs_of_a_training_before_are_told(real, tmp_path, caplog):
    """A generator that began with another one's weights may copy what that one saw."""
    own = known(
        ("drawn", real), ("clinic", folder(tmp_path / "other", 60, seed=2)), data=data_fingerprint(real)
    )
    source_check.check([real], own)
    assert not caplog.text
    source_check.check([real], own.replaced(start="of another"))
    assert "from 'clinic' too, which nothing protects" in caplog.text


def test_phantoms_need_no_copy_filter(real, tmp_path, caplog):
    source_check.check([real], known(("drawn", real), ("phantom", folder(tmp_path / "phantoms", 60, seed=2))))
    assert not caplog.text


def test_records_that_the_generator_did_not_learn_from_are_refused(model, tmp_path):
    """The same set with other splits too: its held-out patients are not."""
    other = folder(tmp_path / "other", 200, seed=1, shares=(8, 1, 1))
    with pytest.raises(UserError, match="give the records that it was trained on, with the same") as error:
        source_check.check([other], GeneratorCard.read(model / "visionclip.json"))
    assert "\n" not in str(error.value) and str(other) in str(error.value)


def test_of_a_generator_that_does_not_tell_its_data_nothing_is_known(real, caplog):
    source_check.check([real], known(data=None))
    assert "does not say what it learnt from" in caplog.text


def test_another_attempt_has_the_labels_and_nothing_else_of_the_first(model):
    asked = plan.make(model, 8, seed=3)
    first, again = (list(plan.draws(asked, range(8), attempt)) for attempt in (0, 1))
    assert [d.labels for d in first] == [d.labels for d in again]
    assert not {d.seed for d in first} & {d.seed for d in again}
    assert again == list(plan.draws(asked, range(8), 1))
    assert [(d.image, d.attempt) for d in again] == [(index, 1) for index in range(8)]


class Attempts:
    """Pictures that say which attempt at which image they are, and verdicts by a table of the bad ones."""

    def __init__(self, bad: dict[tuple[int, int], Verdict]) -> None:
        self.bad, self.batches = bad, 0

    def draw(self, place: int, attempt: int) -> Draw:
        return Draw({"dr_grade": place}, 100 * place + attempt, place, attempt)

    def sample(self, drawn: list[Draw]) -> torch.Tensor:
        self.batches += 1
        return torch.tensor([[draw.seed // 100, draw.seed % 100] for draw in drawn])

    def judge(self, pictures: np.ndarray, labels) -> list[Verdict]:
        assert [asked["dr_grade"] for asked in labels] == pictures[:, 0].tolist()
        return [self.bad.get((place, attempt), Verdict(False, {})) for place, attempt in pictures.tolist()]

    def sift(self, size: int, kept: int, attempts: int = 10) -> tuple[list[Candidate], dict[str, int]]:
        asked = [self.draw(place, 0) for place in range(size)]
        found, counts = rejection_sample(50, asked, kept, self.sample, self.draw, self.judge, attempts)
        return found, dict(counts)


COPY, WRONG = Verdict(True, {}), Verdict(False, {"is_gc": 1.0})


def test_the_first_good_attempt_is_kept_and_what_was_good_is_not_drawn_again():
    made = Attempts({(1, 0): COPY, (1, 1): WRONG, (1, 2): COPY, (3, 0): WRONG})
    found, counts = made.sift(size=4, kept=4)
    assert [candidate.picture.tolist() for candidate in found] == [[0, 0], [1, 3], [2, 0], [3, 1]]
    assert counts == {
        "drawn": 8,
        "copies": 2,
        "mislabelled": 2,
        "mislabelled is_gc": 2,
        "kept though mislabelled": 0,
    }
    assert made.batches == 3  # attempts 1 and 2 share a batch, 3 needs another


def test_what_the_last_batch_holds_beyond_its_shard_is_not_drawn_again():
    made = Attempts({(3, attempt): COPY for attempt in range(20)})
    found, counts = made.sift(size=4, kept=3)
    assert (len(found), counts["drawn"], made.batches) == (3, 3, 1)


def test_a_copy_is_never_kept():
    made = Attempts({(2, attempt): COPY for attempt in range(20)})
    with pytest.raises(
        UserError, match=r"image 52, .*dr_grade.*: 11 draws in a row are copies .* train it on more"
    ):
        made.sift(size=4, kept=4)


def test_of_mislabelled_draws_the_least_contradicted_is_kept_and_counted():
    by = [3.0, 2.0, 0.5, 4.0]
    bad = {(0, attempt): Verdict(False, {"is_gc": amount}) for attempt, amount in enumerate(by)}
    found, counts = Attempts(bad | {(0, 1): COPY}).sift(size=2, kept=1, attempts=3)
    assert found[0].picture.tolist() == [0, 2]
    assert (counts["drawn"], counts["copies"], counts["mislabelled"]) == (4, 1, 2)
    assert counts["kept though mislabelled"] == 1


@pytest.fixture(scope="module")
def check(real, tmp_path_factory) -> tuple[LabelFilterSettings, Path]:
    """The label check of a classifier that tells glaucoma."""
    trained = classifier.train(CLASSIFIER, real, tmp_path_factory.mktemp("classifier"))
    cache = tmp_path_factory.mktemp("check")
    return label_filter.prepare(real, trained, 16, cache), cache


def test_a_label_is_contradicted_by_eyes_without_it(check, real):
    facts, cache = check
    pictures = Pictures(real, ["validation"])
    eyes = np.stack([Preprocessing(size=16)(data) for data in pictures])
    truth = read_table(real, ["validation"], ["is_gc"])["is_gc"].to_pylist()
    opened = label_filter.LabelFilter(facts, cache)
    told = opened.contradictions(eyes, [{"is_gc": value} for value in truth])
    lied = opened.contradictions(eyes, [{"is_gc": 1 - value} for value in truth])
    silent = opened.contradictions(eyes, [{"is_gc": None} for _ in truth])
    assert np.mean([bool(found) for found in told]) <= 0.05
    assert np.mean([bool(found) for found in lied]) > 0.8
    assert not any(silent)


def test_few_photographs_with_their_true_labels_would_be_rejected(check):
    facts, _ = check
    assert list(facts.checks) == ["is_gc"]
    assert facts.validation_rejected.value <= 0.05


def test_a_classifier_that_guesses_checks_nothing(tmp_path):
    """Labels that the pictures do not show."""
    rng = np.random.default_rng(0)
    made = [record | {"is_gc": int(rng.integers(2))} for record in rows(100, seed=3, side=16)]
    write_records(tmp_path / "records", made, {"kind": "drawn"}, (5, 4, 1))
    settings = CLASSIFIER.model_copy(update={"images": 16, "save_every": 16})
    trained = classifier.train(settings, tmp_path / "records", tmp_path / "classifier")
    with pytest.raises(UserError, match=r"no label can be checked, is_gc: no better than chance: AUC"):
        label_filter.prepare(tmp_path / "records", trained, 16, tmp_path)


def test_a_classifier_of_other_records_is_refused(check, tmp_path):
    other = folder(tmp_path / "other", 20, seed=2)
    trained = next(check[1].glob("check-*.pt"))
    with pytest.raises(UserError, match="learnt from other records"):
        label_filter.prepare(other, trained, 16, tmp_path)


@pytest.fixture(scope="module")
def filtered(model, real, check, tmp_path_factory) -> tuple[Plan, Path]:
    """A plan whose filters reject much, and a folder where it was carried out by one process."""
    out = tmp_path_factory.mktemp("filtered") / "one"
    asked = plan.make(model, 24, steps=2, batch=8)
    cache = filters.folder(out)
    prepared = filters.prepare(out, 16, [real], real, next(check[1].glob("check-*.pt")))
    assert prepared and prepared.copies
    near = copy_filter.CopyFilter(prepared.copies, cache)
    plain = out.with_name("plain")
    draw_shards(asked, model, plain, workers=1)
    drawn = np.stack([decode(data) for data in Pictures(plain)])
    # A threshold that takes every third sample for a copy.
    nearest = near._search.closeness(copies.descriptor(drawn))[0]
    values = prepared.to_json()
    values["copies"]["closeness"] = float(np.quantile(nearest, 1 / 3))
    asked = asked.replaced(filters=values)
    draw_shards(asked, model, out, workers=1)
    return asked, out


@pytest.mark.slow
def test_filtered_samples_are_the_same_whatever_the_workers(filtered, model, tmp_path):
    asked, out = filtered
    shutil.copytree(filters.folder(out), filters.folder(tmp_path / "two"))
    draw_shards(asked, model, tmp_path / "two", workers=2)
    names = sorted(p.name for p in (out / "data").glob("*.parquet"))
    assert names == sorted(p.name for p in (tmp_path / "two" / "data").glob("*.parquet"))
    for name in names:
        assert sha256(out / "data" / name) == sha256(tmp_path / "two" / "data" / name)


def test_sidecars_count_what_was_drawn_and_the_card_tells(filtered):
    asked, out = filtered
    sidecars = [read_json(path) for path in (out / "data").glob("*.json")]
    rejected = sum(s["filtered"]["copies"] + s["filtered"]["mislabelled"] for s in sidecars)
    assert sum(s["filtered"]["copies"] for s in sidecars) > 0
    assert sum(s["filtered"]["drawn"] for s in sidecars) == 24 + rejected
    assert publish(out, asked)
    card = (out / "README.md").read_text()
    assert f"{24 + rejected} pictures were drawn" in card
    assert "**copies**" in card and "**mislabelled**" in card and "filters: none" not in card


def test_no_file_of_the_filters_is_in_the_folder_that_is_published(filtered):
    _, out = filtered
    assert not list(out.rglob("guard-*")) + list(out.rglob("check-*"))
    assert list(filters.folder(out).glob("guard-*.npy"))


def test_without_flags_nothing_is_filtered(model, tmp_path):
    asked = plan.make(model, 8, steps=2, batch=8)
    assert "filters" not in asked.to_json()
    draw_shards(asked, model, tmp_path / "plain", workers=1)
    assert all("filtered" not in read_json(path) for path in (tmp_path / "plain" / "data").glob("*.json"))


def test_the_flags_reach_the_plan(model, real, tmp_path):
    line = [
        "generate",
        "--model",
        model,
        "--n",
        8,
        "--batch",
        8,
        "--steps",
        2,
        "--out",
        tmp_path / "s",
        "--dry-run",
    ]
    found = CliRunner().invoke(app, [*map(str, line), "--reject-copies", str(real)])
    assert found.exit_code == 0
    assert "drawn again, at most 10 times: copies of" in found.output
    assert not (tmp_path / "s").exists()


def test_a_classifier_without_records_is_refused(model, tmp_path):
    line = ["generate", "--model", model, "--n", 8, "--out", tmp_path / "s", "--label-classifier", tmp_path]
    found = CliRunner().invoke(app, [*map(str, line)])
    assert found.exit_code == 2
    assert "--label-classifier needs --reject-mislabelled RECORDS" in found.stderr
