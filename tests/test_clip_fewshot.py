"""What learns from labels: linear probe, few shots, fine-tuning; and the report that all evaluations share."""

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import languages
import numpy as np
import pytest
import torch
from pictures import folder, rows
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score, brier_score_loss, roc_auc_score
from typer.testing import CliRunner

from clip import embed, loading, prompts
from clip.commands.app import app
from clip.evaluation import adapters, core, few_shot, finetune, learning, linear, report, zero_shot
from clip.evaluation.provenance import DataProvenance
from clip.evaluation.results import EvaluationReport, Metric
from clip.model import checkpoints
from clip.model.checkpoints import Header
from clip.model.encoders import ClipConfig, ImageTower, TextTower, build
from synth.base import checkpoint as files
from synth.base import checksums
from synth.base.errors import UserError
from synth.data import pictures
from synth.data.images import Preprocessing
from synth.data.records import read_table, write_records
from synth.data.shards import writing

MODEL = ClipConfig(
    image=ImageTower(layers=(1, 1, 1, 1), width=8),
    text=TextTower(layers=1, width=32, heads=2, feedforward=64, positions=64),
    embedding=32,
    preprocessing=Preprocessing(size=32),
)
SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> Path:
    """Discs that are wide in glaucoma and else normal, of 60 people."""
    path = tmp_path_factory.mktemp("few") / "records"
    said = [made | prompts.NORMAL | {"is_gc": made["is_gc"]} for made in rows(120, side=32)]
    write_records(path, said, {"kind": "wide or normal"}, shares=(5, 2, 3))
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """Random weights: whatever is learnt here is learnt by the evaluation."""
    path = tmp_path_factory.mktemp("few") / "ckpt.pt"
    model = build(MODEL)
    files.save(path, checkpoints.header(model) | {"weights": model.state_dict()})
    return path


@pytest.fixture(scope="module")
def parts(records) -> learning.Parts:
    return learning.tasks("is_gc", learning.tables(records, ["test"]), 5, records)["is_gc"][1]


def evaluated(task: str, *arguments: Any) -> dict[str, Any]:
    """The report that `clip eval` prints."""
    result = CliRunner().invoke(
        app, ["eval", "--task", task, "--json", "--prompts", "is_gc", *map(str, arguments)]
    )
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refusal(*arguments: Any) -> str:
    """The one line with which `clip eval` refuses."""
    result = CliRunner().invoke(app, ["eval", *map(str, arguments)])
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    return result.stderr


def sphere(count: int, size: int, seed: int) -> np.ndarray:
    """Points of length 1."""
    points = np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)
    return points / np.linalg.norm(points, axis=1, keepdims=True)


# Linear probe


def test_the_metrics_of_a_linear_probe_are_those_of_sklearn(checkpoint, records, tmp_path):
    made = evaluated(
        "linear", "--model", checkpoint, "--data", records, "--out", tmp_path, "--set", "n_bootstrap=50"
    )
    [judged] = made["results"]
    model, tables = loading.load_model(checkpoint), [read_table(records, [split]) for split in SPLITS]
    seen = [embed.images(model, records, [split]) for split in SPLITS]
    truth = [np.array(table["is_gc"]) for table in tables]
    exact = seen[0].astype(float)
    probes = [LogisticRegression(C=c, class_weight="balanced", max_iter=10_000, tol=1e-9).fit(exact, truth[0])
              for c in linear.STRENGTHS]  # fmt: skip
    best = max(probes, key=lambda probe: roc_auc_score(truth[1], probe.predict_proba(seen[1])[:, 1]))
    expected = {
        "accuracy": accuracy_score(truth[2], best.predict(seen[2])),
        "balanced_accuracy": balanced_accuracy_score(truth[2], best.predict(seen[2])),
        "macro_auc": roc_auc_score(truth[2], best.predict_proba(seen[2])[:, 1]),
        "brier": brier_score_loss(truth[2], best.predict_proba(seen[2])[:, 1]),
    }
    found = judged["metrics"]["linear probe"]
    assert {key: found[key]["value"] for key in expected} == pytest.approx(expected, abs=1e-5)
    assert judged["chosen"]["linear probe"]["C"] == best.C
    assert found["macro_auc"]["value"] > 0.9 > judged["without_pictures"]["majority"]["accuracy"]
    assert judged["n"] == len(tables[2]) and judged["train"]["n"] == len(tables[0])


def test_the_score_that_chooses_is_the_macro_auc_of_sklearn_over_classes_that_are_there():
    rng = np.random.default_rng(3)
    truth, probability = rng.integers(0, 3, 50), rng.dirichlet(np.ones(4), 50)
    expected = np.mean([roc_auc_score(truth == k, probability[:, k]) for k in range(3)])
    assert learning.score(truth, probability) == pytest.approx(expected)


@pytest.mark.parametrize("strength", [1.0, 100.0, 10_000.0])
def test_a_linear_probe_is_at_its_optimum_and_does_not_hang_on_the_seventh_digit(strength):
    """On embeddings whose directions are of very unequal size, where a loose tolerance stops far away."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 600)
    features = rng.normal(size=(600, 40)) * np.exp(-np.arange(40) / 4) + 0.2 * rng.normal(size=(3, 40))[truth]
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    seen, held = features[:400].astype(np.float32), features[400:]
    probe = linear.fit(seen, truth[:400], strength, balanced=True)
    assert linear.has_converged(probe)
    shaken = linear.fit(seen * np.float32(1 + 1e-7), truth[:400], strength, balanced=True)
    assert np.abs(probe.predict_proba(held) - shaken.predict_proba(held)).max() < 1e-4
    weight = 400 / 3 / np.bincount(truth[:400])[truth[:400]]
    wrong = probe.predict_proba(seen.astype(float)) - np.eye(3)[truth[:400]]
    slope = (weight[:, None] * wrong).T @ seen + probe.coef_ / strength
    assert np.abs(slope).max() / weight.sum() < 1e-6


# Few shots


def test_tip_adapter_without_weight_and_clip_adapter_without_ratio_are_zero_shot():
    text, shots, seen = adapters.Text(sphere(3, 16, 0), 50.0), sphere(12, 16, 1), sphere(30, 16, 2)
    truth = np.arange(12) % 3
    zero_shot = softmax(text.logits(seen), axis=1)
    assert adapters.tip(text, shots, truth, weight=0).probability(seen) == pytest.approx(zero_shot)
    assert adapters.tip(text, shots, truth, weight=1).probability(seen) != pytest.approx(zero_shot)
    moved = [
        adapters.clip_adapter(text, shots, truth, ratio, 5, 1e-3, 0).probability(seen) for ratio in (0, 0.5)
    ]
    assert moved[0] == pytest.approx(zero_shot, abs=1e-6)
    assert moved[1] != pytest.approx(zero_shot, abs=1e-6)


def test_the_zero_shot_of_few_shot_is_that_of_zero_shot(checkpoint):
    model, seen = loading.load_model(checkpoint), sphere(20, 32, 4)
    classes = list(prompts.tasks("is_gc")["is_gc"].classes.values())
    text = adapters.Text(zero_shot.prototypes(model, classes, "both", "clip"), model.logit_scale.exp().item())
    expected = zero_shot.classify(model, seen, classes, "both", "clip")
    assert softmax(text.logits(seen), axis=1) == pytest.approx(expected)


def test_tip_adapter_equals_a_naive_loop():
    text, shots, seen = adapters.Text(sphere(4, 8, 0), 30.0), sphere(9, 8, 1), sphere(7, 8, 2)
    truth, weight, sharpness = np.arange(9) % 4, 1.7, 4.2
    logits = np.zeros((7, 4))
    for i in range(7):
        for k in range(4):
            logits[i, k] = 30.0 * sum(
                float(a) * float(b) for a, b in zip(seen[i], text.prototypes[k], strict=True)
            )
            for j in range(9):
                if truth[j] == k:
                    cosine = sum(float(a) * float(b) for a, b in zip(seen[i], shots[j], strict=True))
                    logits[i, k] += weight * np.exp(-sharpness * (1 - cosine))
    found = adapters.tip(text, shots, truth, weight, sharpness).probability(seen)
    assert found == pytest.approx(torch.tensor(logits).softmax(dim=1).numpy())


def test_training_the_keys_of_tip_adapter_lowers_the_loss_on_the_shots():
    text, shots, truth = adapters.Text(sphere(3, 16, 0), 5.0), sphere(24, 16, 1), np.arange(24) % 3

    def loss(cache: adapters.Tip) -> float:
        return -float(np.log(cache.probability(shots)[np.arange(24), truth]).mean())

    start = adapters.tip(text, shots, truth)
    tuned = adapters.tune_keys(start, truth, 100, 1e-2)
    assert loss(tuned) < loss(start) - 0.01
    assert start.keys is shots and not np.array_equal(tuned.keys, shots)


def test_shots_are_of_different_patients_and_few_are_among_many(parts):
    drawn = {k: few_shot.draw(parts.train, k, np.random.default_rng(5)) for k in (1, 4, 8)}
    for size, places in drawn.items():
        assert np.bincount(parts.train.truth[places]).tolist() == [size, size]
        assert len(set(parts.train.patient_ids[places])) == 2 * size  # nobody here is in both classes
    assert set(drawn[1]) < set(drawn[4]) < set(drawn[8])
    assert set(drawn[8]) != set(few_shot.draw(parts.train, 8, np.random.default_rng(6)))


def test_no_patient_is_in_both_the_shots_and_the_test(records, parts, tmp_path):
    tables = learning.tables(records, ["test"])
    people = [set(table["subject_id"].to_pylist()) for table in tables]
    assert not people[0] & people[2] and not people[1] & people[2]
    broken = folder(tmp_path / "broken", 60)
    [shard] = (broken / "data").glob("test-*.parquet")
    moved = [row for row in rows(60) if row["subject_id"] == "drawn-0-0"]
    known = set(read_table(broken, ["train"])["subject_id"].to_pylist())
    assert moved[0]["subject_id"] in known
    with writing(shard, pq_schema(shard), "x", 0) as add:
        add(moved)
    with pytest.raises(
        UserError, match=r"'drawn-0-0' is in both train and test; split the records by patient"
    ):
        learning.tables(broken, ["test"])


def pq_schema(path: Path) -> Any:
    import pyarrow.parquet as pq

    return pq.read_schema(path)


def test_few_shot_reports_every_method_with_intervals_and_a_picture(checkpoint, records, tmp_path):
    made = evaluated("few-shot", "--model", checkpoint, "--data", records, "--out", tmp_path,
                     "--set", "n_bootstrap=50", "--set", "shots=[1,8,64]", "--set", "draws=3", "--set", "steps=20")  # fmt: skip
    [judged] = made["results"]
    assert set(judged["metrics"]) == {"zero-shot"} | {
        f"{method}, {shots}" for method in few_shot.METHODS[1:] for shots in ("1 shot", "8 shots")
    }
    assert judged["metrics"]["linear, 8 shots"]["macro_auc"]["value"] > 0.75
    assert len(judged["chosen"]["tip-adapter, 8 shots"]["weight"]) == 3
    assert any(note.startswith("64 shots are left out") for note in judged["notes"])
    alone = evaluated(
        "zero-shot",
        "--model",
        checkpoint,
        "--data",
        records,
        "--out",
        tmp_path / "0",
        "--set",
        "n_bootstrap=50",
    )
    assert judged["metrics"]["zero-shot"] == alone["results"][0]["metrics"]["both"]
    page = (tmp_path / "report.html").read_text()
    rows = re.findall(r'<span class="name">([^<]*)</span>\s*<svg', page)
    assert rows == list(judged["metrics"])[:6]
    curves, calibration = re.findall(r"<svg [^>]*xmlns.*?</svg>", page, re.DOTALL)
    assert set(few_shot.METHODS) <= set(_words(curves))
    assert [name for name in _words(calibration) if name in judged["metrics"]] == list(judged["reliability"])
    assert "<script" not in page
    languages.whole(tmp_path / "report.html", " ".join(few_shot.METHODS))


def _words(figure: str) -> list[str]:
    """What is written in a figure, in its order."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", figure)


def test_an_interval_over_draws_is_wider_than_one_over_patients_alone(parts):
    """Three classifiers of which one is right, one wrong and one guesses: which one is drawn matters more."""
    truth = parts.test.truth
    right = np.eye(2)[truth]
    guess = np.random.default_rng(0).dirichlet([1, 1], len(truth))
    config = core.EvaluationSettings(n_bootstrap=200)
    many = core.measure(config, parts.test, np.stack([right, 1 - right, guess]), False)["accuracy"]
    one = core.measure(config, parts.test, guess, False)["accuracy"]
    assert many.value == pytest.approx((1 + one.value) / 3)
    assert many.low < 0.1 and many.high > 0.7
    assert one.high - one.low < 0.4


def test_equal_draws_make_the_interval_of_one(parts):
    made = np.random.default_rng(1).dirichlet([1, 1], len(parts.test.truth))
    config = core.EvaluationSettings(n_bootstrap=100)
    assert core.measure(config, parts.test, np.stack([made] * 4), False)[
        "macro_auc"
    ].model_dump() == pytest.approx(core.measure(config, parts.test, made, False)["macro_auc"].model_dump())


# Fine-tuning


@pytest.fixture(scope="module")
def squares(records, parts, tmp_path_factory) -> list[finetune.Squares]:
    cache = tmp_path_factory.mktemp("few")
    return [
        finetune.Squares(pictures.pixels(records, [split], MODEL.preprocessing, cache), part.rows, part.truth)
        for split, part in zip(SPLITS, parts, strict=True)
    ]


@pytest.mark.parametrize(
    "tower", [MODEL.image, ImageTower(name="vit_tiny_patch16_224", kwargs={"img_size": 32, "depth": 2})]
)
def test_lora_changes_adapters_and_the_head_only(tower, squares):
    model = build(MODEL.model_copy(update={"image": tower}))
    before = deepcopy(model.state_dict())
    config = finetune.FinetuneConfig(epochs=2)
    tuned, _ = finetune.tune(config, "lora", model, squares[0], squares[1], 2, 0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    found = {name.replace(".base_layer", ""): value for name, value in tuned.model.state_dict().items()}
    added = {name for name in found if "lora_" in name}
    assert {name for name in found if name not in added} == before.keys()
    assert all(torch.equal(found[name], value) for name, value in before.items())
    assert added and any(found[name].abs().max() > 0 for name in added if "lora_B" in name)
    assert sum(found[name].numel() for name in added) < sum(value.numel() for value in before.values())


def test_full_fine_tuning_changes_the_image_tower_only_and_lower_layers_less(squares):
    model = build(MODEL)
    config = finetune.FinetuneConfig(epochs=2, lr=1e-2, weight_decay=0, layer_decay=0.3)
    tuned, _ = finetune.tune(config, "full", model, squares[0], squares[1], 2, 0)
    before, after = model.state_dict(), tuned.model.state_dict()
    changed = {name: float((after[name] - before[name]).float().abs().max()) for name in before}
    assert {name.split(".")[0] for name, change in changed.items() if change} == {"visual"}
    lower, upper = (changed[f"visual.stages.{stage}.0.shortcut.conv.conv.weight"] for stage in (0, 3))
    assert 0 < lower < upper / 5


def test_fine_tuning_learns_and_says_which_epoch_was_judged(checkpoint, records, tmp_path):
    made = evaluated("finetune", "--model", checkpoint, "--data", records, "--out", tmp_path, "--set", "n_bootstrap=50",
                     "--set", "epochs=5", "--set", "lr=1e-3", "--set", "lora_lr=1e-2", "--set", "seeds=2")  # fmt: skip
    [judged] = made["results"]
    for mode in ("full", "lora"):
        assert judged["metrics"][mode]["macro_auc"]["value"] > 0.9
        assert judged["metrics"][mode]["macro_auc"]["low"] > 0.7
        assert len(judged["chosen"][mode]["epoch"]) == 2
    assert "its interval draws patients and trainings" in judged["notes"][0]


# Other people's models


def test_an_image_tower_alone_is_probed_and_tuned_and_few_shots_say_that_it_reads_nothing(records, tmp_path):
    """RETFound in small, in its authors' format."""
    from timm.models.vision_transformer import VisionTransformer

    torch.manual_seed(0)
    tower = VisionTransformer(img_size=32, patch_size=16, embed_dim=192, depth=1, num_heads=3, num_classes=0)
    decoder = {"mask_token": torch.zeros(1, 1, 64)}
    torch.save({"model": tower.state_dict() | decoder}, tmp_path / "small.pth")
    spec = f"retfound:{tmp_path / 'small.pth'}"
    base = ["--model", spec, "--data", records, "--set", "n_bootstrap=20", "--out", tmp_path / "out"]
    probed = evaluated("linear", *base)["results"][0]["metrics"]["linear probe"]
    assert probed["macro_auc"]["value"] > 0.9
    shot = evaluated("few-shot", *base, "--set", "methods=[linear]", "--set", "shots=[4]", "--set", "draws=2")
    assert set(shot["results"][0]["metrics"]) == {"linear, 4 shots"}
    tuned = evaluated("finetune", *base, "--set", "epochs=1")["results"][0]
    assert set(tuned["metrics"]) == {"full", "lora"}
    assert "has no text tower, which prompts need" in refusal(*base, "--task", "few-shot")


# The report


def whole() -> EvaluationReport:
    """A report in which nothing lacks."""
    table = read_rows(np.array([0, 1] * 10))
    made = core.measure(core.EvaluationSettings(n_bootstrap=20), table, np.tile([0.4, 0.6], (20, 1)), False)
    task = prompts.tasks("is_gc")["is_gc"]
    result = core.result("linear", "is_gc", task, table, metrics={"probe": made})
    data = DataProvenance(data="x", fingerprint="y", splits=["test"], rows=20)
    header = Header(format="z", model={"preprocessing": {}}, sha256=None)
    return report.compose(core.EvaluationSettings(), Path("z"), header, data, [result], "clip eval")


def read_rows(truth: np.ndarray) -> core.Answers:
    places = np.arange(len(truth))
    return core.Answers(places, truth, places, len(truth), {"absent": 10, "present": 10}, {})


@pytest.mark.parametrize("key", ["n", "patients", "metrics", "without_pictures"])
def test_a_report_without_counts_metrics_or_baselines_cannot_be_written(key, tmp_path):
    report.write(tmp_path / "whole", whole())
    made = whole()
    setattr(made.results[0], key, type(getattr(made.results[0], key))())
    with pytest.raises(ValueError, match="linear is_gc"):
        report.write(tmp_path / "out", made)
    assert not (tmp_path / "out").exists()


def test_a_number_without_interval_or_baseline_cannot_be_written(tmp_path):
    made = whole()
    made.results[0].metrics["probe"]["accuracy"] = 0.5  # type: ignore[assignment]
    with pytest.raises(ValueError, match="accuracy needs an interval"):
        report.write(tmp_path, made)
    made.results[0].metrics["probe"]["accuracy"] = Metric(value=0.5, low=float("nan"), high=1.0)
    with pytest.raises(UserError, match="no interval of accuracy from 20 patients"):
        report.write(tmp_path, made)
    made = whole()
    for row in made.results[0].without_pictures.values():
        del row["macro_auc"]
    with pytest.raises(ValueError, match="macro_auc needs a row of an answer without the picture"):
        report.write(tmp_path, made)
    with pytest.raises(ValueError, match="needs a result"):
        report.write(tmp_path, whole().model_copy(update={"results": []}))


def test_a_report_that_was_written_is_read_again(tmp_path):
    report.write(tmp_path, whole())
    again = report.read(tmp_path / "report.json")
    assert again.as_json() == whole().as_json() == json.loads((tmp_path / "report.json").read_text())
    assert report.html(again) == (tmp_path / "report.html").read_text()
    checksums.write_json(tmp_path / "report.json", {"format": "visionclip-evaluation", "version": 99})
    with pytest.raises(UserError, match="no report of 'clip eval' that can be read"):
        report.read(tmp_path / "report.json")


# What is refused


def test_what_cannot_be_learnt_is_refused(checkpoint, records, tmp_path):
    base = ["--model", checkpoint, "--data", records, "--out", tmp_path / "out"]
    assert "--split train: this task learns from train" in refusal(
        *base, "--task", "linear", "--split", "train"
    )
    assert "'fives' cannot be learnt" in refusal(*base, "--task", "few-shot", "--prompts", "fives")
    assert "choose one with --prompts: " in refusal(*base, "--task", "finetune")
    test_only = tmp_path / "test-only"
    write_records(test_only, rows(20, side=32), {"kind": "judged"}, shares=(0, 0, 1))
    assert f"{test_only}: no records in train; this task learns" in refusal(
        "--model", checkpoint, "--data", test_only, "--task", "linear", "--out", tmp_path / "out"
    )
    assert "--lang: --task linear has no such choice" in refusal(*base, "--task", "linear", "--lang", "zh")
    assert "known: zero-shot, linear, few-shot, finetune" in refusal(*base, "--task", "tuning")
