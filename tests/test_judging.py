"""Judging synthetic photographs: a classifier that learns only what is known, and what it says about samples."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import languages
import numpy as np
import pyarrow as pa
import pytest
import torch
from accessibility import faults
from chromium import PROGRAM, Browser
from generators import CLASSIFIER
from scipy import ndimage

from synth.base import networks, runs, weights
from synth.base.config import load
from synth.base.errors import UserError
from synth.base.stats import auc
from synth.classifier import classifier
from synth.classifier.augmentation import Augmentation, augment
from synth.classifier.classifier import ClassifierConfig
from synth.classifier.targets import TARGETS, targets
from synth.data.captions import write
from synth.data.images import Preprocessing
from synth.data.pictures import pixels
from synth.data.records import SCHEMA, read_table
from synth.data.shards import writing
from synth.quality import (
    captions,
    distances,
    evaluation,
    features,
    half_sampling,
    neighbours,
    prdc,
    samples,
    utility,
)
from synth.quality.settings import EvaluationConfig
from tests.pictures import folder, rows


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Path:
    return folder(tmp_path_factory.mktemp("real") / "records", 80, seed=1, shares=(6, 1, 3))


@pytest.fixture(scope="module")
def trained(real, tmp_path_factory) -> Path:
    return classifier.train(CLASSIFIER, real, tmp_path_factory.mktemp("classifier"))


def test_a_classifier_finds_glaucoma_in_eyes_that_it_has_not_seen(trained, real, tmp_path):
    model, head = classifier.load(trained)
    probability = model.predict(pixels(real, ["test"], CLASSIFIER.preprocessing, tmp_path))
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
            classifier.train(CLASSIFIER, real, tmp_path)
    assert not (tmp_path / "classifier.pt").exists()
    resumed, _ = classifier.load(classifier.train(CLASSIFIER, real, tmp_path))
    whole, _ = classifier.load(trained)
    assert all(torch.equal(a, b) for a, b in zip(resumed.parameters(), whole.parameters(), strict=True))


def weights_of(network: str, path: Path) -> Path:
    """Weights of timm's own form, with a last layer of a thousand kinds of things."""
    torch.manual_seed(7)
    weights.write(path, networks.build(network, 1000).state_dict())
    return path


@pytest.mark.parametrize("precision", [None, "bf16"])
def test_a_classifier_may_begin_with_weights_of_other_photographs(precision, tmp_path):
    """They are there below a new last layer, they see pictures in their own scale, and the file keeps both."""
    file = weights_of(CLASSIFIER.architecture, tmp_path / "imagenet.safetensors")
    config = CLASSIFIER.model_copy(
        update={
            "initial": file,
            "lr": 1e-12,
            "weight_decay": 0.0,
            "precision": precision,
            # Of fewer pixels the last layers see one, whose gradient in bf16 torch 2.15 takes from memory that nobody wrote.
            "preprocessing": Preprocessing(size=64),
        }
    )
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (64, *2 * (config.preprocessing.size,), 3), np.uint8)
    truth = np.tile([[0.0], [1.0]], (32, 1))
    model, head = classifier.load(classifier.fit(config, pictures, truth, ["dr"], tmp_path / "run", "drawn"))
    assert head["initial"] == runs.sha256(file)
    with pytest.raises(
        UserError, match=r"imagenet.safetensors: (weights of another shape|no weights of this network)"
    ):
        classifier.begun(config.model_copy(update={"architecture": "resnet18"}), ["dr"])

    theirs = networks.build(config.architecture, 0)
    networks.load(theirs, file)
    began = classifier.begun(config, ["dr"])
    scale = theirs.pretrained_cfg
    images = (
        torch.from_numpy(pictures).movedim(-1, 1) / 255 - torch.tensor(scale["mean"]).view(3, 1, 1)
    ) / torch.tensor(scale["std"]).view(3, 1, 1)
    with torch.inference_mode():
        expected = theirs.eval()(images).numpy()
    assert np.allclose(began.features(pictures), expected, atol=1e-4)
    assert not np.allclose(classifier.Classifier(config, ["dr"]).features(pictures), expected, atol=1e-2)
    for name, own in theirs.named_parameters():
        assert torch.allclose(own, model.network.get_parameter(name), atol=1e-6)


def test_what_is_unknown_teaches_nothing(tmp_path):
    """Whatever picture carries an unknown label, the weights of that label's row do not move towards it."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (32, 16, 16, 3), np.uint8)
    truth = np.full((32, 2), np.nan, np.float32)
    truth[:, 0] = np.arange(32) % 2
    config = CLASSIFIER.model_copy(update={"images": 64, "save_every": 64, "weight_decay": 0.0})
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
        classifier.train(CLASSIFIER.model_copy(update={"min_count": 1000}), real, tmp_path / "out")
    assert "\n" not in str(error.value)


def test_pictures_of_another_size_are_refused(trained):
    model, _ = classifier.load(trained)
    with pytest.raises(UserError, match=r"reads \(N, 16, 16, 3\) uint8"):
        model.predict(np.zeros((2, 8, 8, 3), np.uint8))


def clouds(rng: np.random.Generator, n: int, shift: float = 0.0) -> np.ndarray:
    return rng.normal(shift, 1, (n, 6))


def test_precision_recall_density_and_coverage_match_their_definitions():
    """Balls counted one by one, as in the papers."""
    rng, k = np.random.default_rng(0), 3
    real, fake = clouds(rng, 25), clouds(rng, 20, 0.7)

    def ball(points, i):
        return sorted(np.linalg.norm(points[i] - other) for j, other in enumerate(points) if j != i)[k - 1]

    def inside(point, points):
        return [i for i in range(len(points)) if np.linalg.norm(point - points[i]) < ball(points, i)]

    expected = [
        np.mean([bool(inside(point, real)) for point in fake]),
        np.mean([bool(inside(point, fake)) for point in real]),
        np.mean([len(inside(point, real)) for point in fake]) / k,
        np.mean([min(np.linalg.norm(real[i] - f) for f in fake) < ball(real, i) for i in range(len(real))]),
    ]
    whose = np.arange(len(real)), np.arange(len(fake))
    found = prdc.measure(real, fake, whose, k, n_subsamples=3, seed=0)
    assert [found[name].value for name in prdc.NAMES] == pytest.approx(expected)
    assert all(0 <= found[name].low <= found[name].high <= 1 for name in ("precision", "recall", "coverage"))


def test_the_frechet_distance_is_clean_fids():
    from cleanfid import fid

    rng = np.random.default_rng(0)
    a, b = clouds(rng, 50) @ rng.normal(size=(6, 6)), clouds(rng, 40, 0.5)
    theirs = fid.frechet_distance(a.mean(axis=0), np.cov(a.T), b.mean(axis=0), np.cov(b.T))
    assert distances.frechet(a, b) == pytest.approx(theirs, rel=1e-6)


def test_the_frechet_distance_survives_fewer_photographs_than_dimensions():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(5, 30))
    assert distances.frechet(a, a) == pytest.approx(0, abs=1e-9)
    assert distances.frechet(a, a + 2) == pytest.approx(4 * 30)


def test_the_kernel_distance_of_the_same_distribution_is_about_0_and_disturbs_no_seed():
    rng = np.random.default_rng(0)
    np.random.seed(7)
    before = np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    same, apart = (distances.kernel(clouds(rng, 300), clouds(rng, 300, shift)) for shift in (0, 1))
    assert abs(same) < 0.1 < apart
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index, union-attr]


def test_intervals_from_halves_hold_the_truth_as_often_as_they_say():
    """The mean of 60 patients with 2 photographs each, whose true value is 0, 100 times over."""
    whose = np.repeat(np.arange(60), 2)
    held = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        values = np.repeat(rng.normal(size=60), 2) + 0.1 * rng.normal(size=120)

        def mean(a, b, values=values):
            return np.array([values[a].mean() - values[b].mean() * 0])

        (found,) = half_sampling.estimates(mean, (whose, whose), 40, seed, [-np.inf], [np.inf])
        held += found.low <= 0 <= found.high
    assert 0.86 < held / 100 < 0.99


def textured(rng: np.random.Generator, n: int) -> np.ndarray:
    """(n, 32, 32, 3) uint8: blurred noise in a round field of view."""
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    noise = ndimage.gaussian_filter(rng.normal(size=(n, 32, 32)), (0, 1.5, 1.5))
    light = np.where(np.hypot(x, y) < 0.95, 128 + 300 * noise, 0)[..., None] * np.array([1, 0.6, 0.4])
    return light.clip(0, 255).astype(np.uint8)


def test_a_mirrored_and_darkened_copy_is_nearer_than_photographs_of_other_people():
    rng = np.random.default_rng(0)
    training, strangers, fresh = textured(rng, 80), textured(rng, 60), textured(rng, 60)
    samples = np.concatenate([fresh[:45], (training[:15, :, ::-1] * 0.8).astype(np.uint8)])
    near, far = neighbours.nearest([samples, strangers], training, np.arange(80))
    judged = neighbours.compare(near, far, len(training))
    assert judged["closer"]["value"] >= 0.25
    assert near.row[45:].tolist() == list(range(15))
    pairs = neighbours.closest(near, samples, training, 15)
    assert all(np.abs(p.picture / 0.8 - p.neighbour[:, ::-1]).mean() < 3 for p in pairs)


@pytest.mark.parametrize("text", ["resnet18", "timm:resnet18", "random:", "inception"])
def test_unknown_features_name_the_known(text):
    with pytest.raises(UserError, match=r"--features .*known: own, random:NAME"):
        features.parse(text, 16)


def test_only_the_inception_file_is_called_fid(trained, tmp_path):
    own = classifier.load(trained)[0]
    torch.save(own.network.state_dict(), tmp_path / "mine.pt")
    named = ("random:test_resnet", f"timm:test_resnet={tmp_path / 'mine.pt'}")
    for found in (
        features.own(trained / "classifier.pt" if trained.is_dir() else trained),
        *(features.parse(text, 16) for text in named),
    ):
        assert "FID" not in found.name + found.frechet + found.kernel
        assert found.call(np.zeros((2, 16, 16, 3), np.uint8)).shape[0] == 2
    with pytest.raises(UserError, match="other weights give no FID"):
        features.parse(f"inception:{tmp_path / 'mine.pt'}", 16)


def test_every_caption_that_we_write_is_read_back():
    for i, labels in enumerate(
        [{"is_gc": 1, "dr_grade": 2}, {"dr_grade": 0}, {"findings": ["drusen"], "is_pm": 1}]
    ):
        for lang in ("zh", "en"):
            assert captions.tells(labels, write(labels, lang, i))
    assert not captions.tells({"is_gc": 0}, "疑似青光眼")
    assert not captions.tells({"is_gc": 1, "is_pm": 1}, "疑似青光眼")
    assert not captions.tells({"is_gc": 1}, "a nice picture")


def test_chinese_terms_are_single_words():
    assert captions.words("左眼彩色眼底照片，疑似轻度糖尿病视网膜病变。", "zh") == [
        "左眼", "彩色眼底照片", "疑似", "轻度", "糖尿病视网膜病变"
    ]  # fmt: skip


def test_the_dictionary_repeats_no_term_of_the_vocabulary():
    extra = [
        line for line in captions._DICTIONARY.read_text(encoding="utf-8").splitlines() if line[:1] != "#"
    ]
    vocabulary = captions.dictionary()[: -len(extra)]
    assert len(captions.dictionary()) == len(set(captions.dictionary()))
    assert set(extra) & set(vocabulary) == set()


@pytest.fixture(scope="module")
def held_out(real, tmp_path_factory) -> samples.Sample:
    cache = tmp_path_factory.mktemp("cache")
    return samples.draw(real, ["test"], 1000, CLASSIFIER.preprocessing, cache, 0, "held-out photographs")


def test_a_disease_that_was_not_taught_counts_as_chance(trained, held_out):
    """Nobody raises a mean by leaving the hard diseases out of the synthetic set."""
    model, _ = classifier.load(trained)
    columns = [TARGETS.index("is_gc"), TARGETS.index("is_pm")]
    told = utility.scores(model, columns, held_out.pictures)
    assert len(set(told[:, 0])) > 1
    assert set(told[:, 1]) == {0.5}


def test_equal_classifiers_have_a_ratio_of_exactly_1(trained, held_out):
    """The draws of patients are paired, so what both share does not widen the interval."""
    columns = [TARGETS.index("is_gc")]
    rng = np.random.default_rng(0)
    told = utility.scores(classifier.load(trained)[0], columns, held_out.pictures)
    told = told + rng.normal(0, told.std(), told.shape)
    judged = utility.compare({"real": told, "synthetic": told}, held_out, columns, 5, 50, 0)
    assert judged["headline"]["ratio"] == {"value": 1, "low": 1, "high": 1}
    assert judged["headline"]["mean_auc"]["real"]["low"] < judged["headline"]["mean_auc"]["real"]["high"]


def test_samples_that_show_the_opposite_of_their_labels_are_found_out(trained, held_out):
    arm = utility.TrainingSet(
        "real", CLASSIFIER, held_out.pictures, held_out.truth, [TARGETS.index("is_gc")], "", Path()
    )
    config = EvaluationConfig(reported=2, n_bootstrap=50, classifier=CLASSIFIER)
    model, _ = classifier.load(trained)
    for truth, expected in ((held_out.truth, 1), (1 - held_out.truth, 0)):
        (found,) = evaluation._fidelity(config, (model, arm), held_out._replace(truth=truth))
        assert found["auc"]["value"] == pytest.approx(expected, abs=0.1)


def test_a_sample_is_whole_patients_and_any_part_of_it_is_one(held_out):
    assert (np.diff(held_out.patients) != 0).sum() == len(set(held_out.patients)) - 1
    part = held_out.first(6)
    assert part.patients.tolist() == held_out.patients[:6].tolist()
    assert part.table.num_rows == 6 and part.name != held_out.name


def test_photographs_in_tar_shards_are_judged_too(tmp_path):
    with writing(tmp_path / "data" / "train-00000-of-00001.tar", SCHEMA, "x", 0) as add:
        add(rows(8))
    found = samples.draw(
        tmp_path, ["train"], 6, CLASSIFIER.preprocessing, tmp_path / "cache", 0, "photographs"
    )
    assert found.pictures.shape == (6, 16, 16, 3)


SETTINGS = EvaluationConfig(
    reported=2,
    headline=5,
    shuffled=True,
    k=2,
    n_subsamples=5,
    n_bootstrap=30,
    closest=3,
    captions=40,
    classifier=CLASSIFIER,
)


@pytest.fixture(scope="module")
def judged(real, tmp_path_factory):
    data = folder(tmp_path_factory.mktemp("synthetic") / "<b>fake", 80, seed=2)
    out = tmp_path_factory.mktemp("report")
    made = evaluation.evaluate(SETTINGS, data, real, out, "synth evaluate", workers=1, show=True)
    return made.to_json(), out, data


def test_good_synthetic_photographs_teach_what_real_ones_do(judged):
    """The samples are drawn by the same pen as the real ones, and shuffled labels teach nothing."""
    head = judged[0]["utility"]["headline"]
    assert head["diseases"] == ["is_gc"]
    assert head["ratio"]["value"] > 0.9
    assert head["mean_auc"]["real"]["value"] > 0.9
    assert head["mean_auc"]["shuffled"]["value"] < head["mean_auc"]["synthetic"]["value"]
    assert judged[0]["fidelity"][0]["auc"]["value"] > 0.9


def test_both_sides_teach_with_equally_many_photographs(judged):
    taught = judged[0]["utility"]["taught"]
    assert len({each["photographs"] for each in taught.values()}) == 1


def test_the_report_holds_no_real_photograph_and_no_patient(judged, real):
    made, out, _ = judged
    page, text = ((out / name).read_text(encoding="utf-8") for name in ("report.html", "report.json"))
    people = read_table(real, columns=["subject_id", "id"]).to_pylist()
    assert not any(value in page or value in text for person in people for value in person.values())
    asked = [each["positives"] for each in made["fidelity"]]
    assert page.count("data:image/jpeg") == sum(min(8, positives) for positives in asked) > 0
    assert "http" not in page.replace("https://doi.org", "")


def test_what_shows_patients_is_for_its_owner_only(judged):
    private = judged[1] / "private"
    assert private.stat().st_mode & 0o077 == 0
    assert (private / "training-photographs.html").stat().st_mode & 0o077 == 0
    assert (private / "training-photographs.html").read_text(encoding="utf-8").count("data:image") == 2 * 3


@pytest.mark.slow
@pytest.mark.skipif(not PROGRAM, reason="no Chromium on this machine")
@pytest.mark.parametrize("name", ["report.html", "report.zh.html", "private/training-photographs.html"])
def test_the_pages_can_be_read_on_a_desk_and_on_a_phone_by_eye_and_by_ear(judged, tmp_path, name):
    with Browser(tmp_path / "profile") as browser:
        assert faults(browser, judged[1] / name) == []


def test_the_report_begins_with_a_sentence_and_three_figures(judged):
    page = (judged[1] / "report.html").read_text(encoding="utf-8")
    assert (
        "A classifier trained on synthetic photographs reaches a mean AUC of"
        in page.partition('<div class="figures">')[0]
    )
    assert page.count("<figcaption>") == 3


def test_the_chinese_page_of_the_report_is_whole(judged):
    languages.whole(judged[1] / "report.html", "test resnet")


def test_names_are_escaped_in_the_report(judged):
    page = (judged[1] / "report.html").read_text(encoding="utf-8")
    assert "<b>fake" not in page
    assert "&lt;b&gt;fake" in page


def test_a_repeated_evaluation_trains_nothing_again(judged, real, monkeypatch):
    made, out, data = judged

    def refuse(*arguments):
        raise AssertionError("trained again")

    monkeypatch.setattr(classifier, "augment", refuse)
    again = evaluation.evaluate(SETTINGS, data, real, out, "synth evaluate", workers=1).to_json()
    for key in ("utility", "fidelity", "comparison", "neighbours", "captions"):
        assert again[key] == made[key]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_classifier_goes_on_when_its_evaluation_is_stopped(judged, real, tmp_path, number):
    """Two processes train for hours; they end with the command, also where it cannot tell them."""
    given = [f"classifier.{key}={value}" for key, value in CLASSIFIER.model_dump(mode="json", exclude_defaults=True).items()
             if key not in ("images", "preprocessing")]  # fmt: skip
    command = [
        sys.executable,
        "-m",
        "synth",
        "evaluate",
        "--data",
        str(judged[2]),
        "--real",
        str(real),
        "--size",
        "16",
    ]
    command += [
        "--out",
        str(tmp_path / "out"),
        "--workers",
        "2",
        "--set",
        "reported=2",
        "--set",
        "classifier.images=960000",
    ]
    command += [word for pair in given for word in ("--set", pair)]
    children: set[str] = set()
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr or ():
            if "training on" in line:
                children = set(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())
                break
        process.send_signal(number)
        assert process.wait(120) == (128 + number if number == signal.SIGTERM else -number)
    assert len(children) >= 2
    deadline = time.monotonic() + 60
    while alive := [
        child
        for child in children
        if Path(f"/proc/{child}/cmdline").exists() and Path(f"/proc/{child}/cmdline").read_bytes()
    ]:
        assert time.monotonic() < deadline, alive
        time.sleep(0.1)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"reported": 500}, "no disease has 500 positives and negatives held out"),
        ({"held_out": "train"}, "the split 'train' is what is learnt from"),
        ({"k": 500}, "are too few to compare; at least 1002"),
        ({"features": "resnet18"}, "--features 'resnet18': known: own, "),
        (
            {"classifier": CLASSIFIER.model_copy(update={"preprocessing": Preprocessing(size=128)})},
            "--size asks for 128",
        ),
        (
            {"classifier": CLASSIFIER.model_copy(update={"initial": Path("none.safetensors")})},
            "none.safetensors: no such file",
        ),
    ],
)
def test_what_cannot_be_judged_is_said_in_one_line(judged, real, tmp_path, change, message):
    with pytest.raises(UserError, match=message) as error:
        evaluation.evaluate(
            SETTINGS.model_copy(update=change), judged[2], real, tmp_path / "out", "x", workers=1
        )
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_refusal_removes_nothing_that_was_there(judged, real):
    """An evaluation is kept when it is repeated with settings that cannot be."""
    before = sorted(judged[1].rglob("*"))
    with pytest.raises(UserError, match="are too few to compare"):
        evaluation.evaluate(
            SETTINGS.model_copy(update={"k": 500}), judged[2], real, judged[1], "x", workers=1
        )
    assert sorted(judged[1].rglob("*")) == before


def test_a_patient_on_both_sides_is_refused(judged, tmp_path):
    data = folder(tmp_path / "mixed", 40, seed=3)
    shutil.copy(*(data / "data" / f"{split}-00000-of-00001.parquet" for split in ("train", "test")))
    shutil.copy(*(data / "data" / f"{split}-00000-of-00001.json" for split in ("train", "test")))
    with pytest.raises(UserError, match="patients of its 'train' are in 'test' of"):
        evaluation.evaluate(SETTINGS, judged[2], data, tmp_path / "out", "x")
