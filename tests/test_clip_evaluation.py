"""Zero-shot: prompts, classes, metrics, the report, and what `clip` refuses."""

import json
import pickle
from pathlib import Path
from typing import Any

import languages
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pictures import drawn, folder, write_wide_or_normal
from sklearn.metrics import accuracy_score, balanced_accuracy_score, cohen_kappa_score, roc_auc_score
from typer.testing import CliRunner

from clip import embed, loading, prompts
from clip.commands.app import app
from clip.evaluation import metrics, tasks, zero_shot
from clip.model import checkpoints, encoders
from clip.model.encoders import ClipConfig, ImageTower, TextTower, build
from clip.model.wordpiece import tokenize
from clip.training.config import TrainConfig
from clip.training.trainer import train
from synth.data import captions
from synth.data.images import Preprocessing, encode
from synth.data.pictures import Pictures
from synth.data.records import COLUMNS, SPLITS, read_table

MODEL = ClipConfig(
    image=ImageTower(layers=(1, 1, 1, 1), width=8),
    text=TextTower(layers=1, width=32, heads=2, feedforward=64, positions=64),
    embedding=32,
    preprocessing=Preprocessing(size=32),
)
LEARN = TrainConfig(
    model=MODEL,
    caption="both",
    loss="multi-positive",
    images=1600,
    batch=16,
    warmup=80,
    save_every=800,
    lr=5e-3,
)


@pytest.fixture(scope="module")
def records(tmp_path_factory) -> Path:
    return write_wide_or_normal(tmp_path_factory.mktemp("clip") / "records", 200)


@pytest.fixture(scope="module")
def checkpoint(records, tmp_path_factory) -> Path:
    return train(LEARN, records, tmp_path_factory.mktemp("clip") / "run")


def invoke(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refusal(*arguments: Any) -> str:
    """The one line with which a command refuses."""
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    return result.stderr


# What a checkpoint knows


def test_what_a_wide_disc_means_is_learnt_and_told_in_both_languages(checkpoint, records, tmp_path):
    """Chance and majority are about a half; the photographs are of people that training has not seen."""
    result = invoke("eval", "--model", checkpoint, "--data", records, "--split", "validation,test", "--prompts", "is_gc",
                    "--set", "n_bootstrap=50", "--out", tmp_path, "--json")  # fmt: skip
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    [judged] = report["results"]
    assert judged["n"] == report["data"]["rows"] == 2 * judged["patients"]
    assert judged["n"] == sum(judged["classes"].values())
    for lang in ("zh", "en", "both"):
        assert judged["metrics"][lang]["macro_auc"]["value"] > 0.95
        assert judged["metrics"][lang]["balanced_accuracy"]["low"] > 0.5
    assert judged["without_pictures"]["chance"] == {
        "accuracy": 0.5,
        "balanced_accuracy": 0.5,
        "macro_auc": 0.5,
        "brier": 0.25,
        "ece": 0.0,
    }
    assert report["checkpoint"]["preprocessing"] == {"name": "fov-square", "version": 1, "size": 32}
    assert json.loads((tmp_path / "report.json").read_text()) == report
    page = (tmp_path / "report.html").read_text()
    assert "疑似青光眼。" in page and report["checkpoint"]["sha256"] in page and "<script" not in page
    languages.whole(tmp_path / "report.html")


def test_without_prompts_every_task_that_the_records_answer_is_judged(checkpoint, records, tmp_path):
    result = invoke("eval", "--model", checkpoint, "--data", records, "--split", "train", "--lang", "zh",
                    "--set", "n_bootstrap=10", "--out", tmp_path)  # fmt: skip
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert {judged["name"] for judged in report["results"]} == {"is_gc", "odir7"}
    seven = next(judged for judged in report["results"] if judged["name"] == "odir7")
    assert set(seven["classes"]) == {"normal", "glaucoma"}
    assert set(seven["left_out"]) == {"dr", "cataract", "amd", "hypertension", "pathologic_myopia"}
    assert "odir7" in result.stdout and "majority" in result.stdout


def test_a_prediction_names_all_eleven_diseases(checkpoint, tmp_path):
    (tmp_path / "wide.jpg").write_bytes(encode(drawn(5, glaucoma=1)))
    (tmp_path / "narrow.jpg").write_bytes(encode(drawn(5, glaucoma=0)))
    made = [json.loads(invoke("predict", tmp_path / name, "--model", checkpoint, "--json").stdout)["diseases"]
            for name in ("wide.jpg", "narrow.jpg")]  # fmt: skip
    wide, narrow = ({row["key"]: row["probability"] for row in rows} for rows in made)
    assert len(wide) == 11
    assert wide["is_gc"] > 0.5 > narrow["is_gc"]
    assert "青光眼 glaucoma: 0." in invoke("predict", tmp_path / "wide.jpg", "--model", checkpoint).stdout


def test_embeddings_stand_in_the_order_of_the_records(checkpoint, records, tmp_path):
    result = invoke("embed", "--model", checkpoint, "--data", records, "--out", tmp_path / "e.parquet")
    assert result.exit_code == 0, result.output
    written = pq.read_table(tmp_path / "e.parquet")
    table = read_table(records)
    assert written["id"].to_pylist() == table["id"].to_pylist()
    assert written["subject_id"].to_pylist() == table["subject_id"].to_pylist()
    vectors = np.array(written["embedding"].to_pylist())
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    model = loading.load_model(checkpoint)
    alone = embed.pixels(model, MODEL.preprocessing(Pictures(records, SPLITS)[123])[None])
    assert vectors[123] == pytest.approx(alone[0], abs=1e-5)


def test_an_untrained_model_is_the_same_network_with_other_weights(checkpoint):
    model = loading.load_model(checkpoint)
    first, again, other = (encoders.untrained(model, seed).state_dict() for seed in (1, 1, 2))
    assert first.keys() == model.state_dict().keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["text_projection"], other["text_projection"])
    assert not torch.equal(first["text_projection"], model.state_dict()["text_projection"])


def test_prototypes_of_flair_are_shorter_than_those_of_clip(checkpoint):
    model = loading.load_model(checkpoint)
    classes = list(prompts.tasks("is_gc")["is_gc"].classes.values())
    lengths = {
        how: np.linalg.norm(zero_shot.prototypes(model, classes, "zh", how), axis=1)
        for how in ("clip", "flair")
    }
    assert lengths["clip"] == pytest.approx(1)
    assert (lengths["flair"] < 1).all()


# Metrics


@pytest.mark.parametrize("classes", [2, 5])
def test_metrics_are_those_of_sklearn_weighted_too(classes):
    rng = np.random.default_rng(classes)
    truth = np.concatenate([np.arange(classes), rng.integers(0, classes, 60)])
    probability = rng.dirichlet(np.ones(classes), len(truth)).round(1) + 1e-9  # rounded, for ties
    said = probability.argmax(axis=1)
    found = metrics.statistics(truth, probability, ordinal=True)
    for weight in (np.ones(len(truth)), rng.integers(1, 4, len(truth)).astype(float)):
        areas = [roc_auc_score(truth == k, probability[:, k], sample_weight=weight) for k in range(classes)]
        expected = {
            "accuracy": accuracy_score(truth, said, sample_weight=weight),
            "balanced_accuracy": balanced_accuracy_score(truth, said, sample_weight=weight),
            "macro_auc": np.mean(areas),
            "kappa": cohen_kappa_score(truth, said, weights="quadratic", sample_weight=weight),
        }
        assert {key: found[key](weight[None])[0] for key in expected} == pytest.approx(expected)


# Prompts


@pytest.mark.parametrize("name", sorted(key for file in prompts.files() for key in prompts.tasks(file)))
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_prompts_fit_the_context_and_no_two_classes_share_one(name, lang):
    texts = [each.texts(lang) for each in prompts.tasks(name)[name].classes.values()]
    together = [text for each in texts for text in each]
    assert len(set(together)) == len(together)
    tokens = tokenize(together, 512)
    assert (tokens != 0).sum(dim=1).max() <= 52


def test_prompts_that_are_not_on_request_are_in_the_style_of_training_captions():
    for task in prompts.tasks().values():
        for each in task.classes.values():
            for lang in ("zh", "en"):
                for text in each.texts(lang):
                    assert captions.parse(text)


def test_each_disease_is_told_by_its_own_name():
    for name, task in prompts.tasks("diseases").items():
        present = task.classes["present"]
        key = "dr_grade" if name == "dr" else name
        assert all(captions.parse(text)[key] for lang in ("zh", "en") for text in present.texts(lang))


def table(*records: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([dict.fromkeys(COLUMNS) | record for record in records])


def test_records_are_sorted_into_classes_and_unknown_is_no_class():
    normal = dict(prompts.NORMAL)
    found = prompts.tasks("odir")["odir"].classify(table(
        normal, normal | {"is_pm": 1}, normal | {"findings": ["drusen", "cataract"]},
        normal | {"is_pm": 1, "findings": ["cataract"]}, normal | {"findings": None}, normal | {"is_dm": 1}, {},
    ))  # fmt: skip
    assert found.tolist() == [0, 1, 2, -1, -1, -1, -1]


def test_fives_tells_retinopathy_by_what_it_is_not():
    fives = {"source": "fives", "is_amd": 0, "is_gc": 0}
    found = prompts.tasks("fives")["fives"].classify(table(
        fives | {"dr_grade": 0}, fives | {"dr_grade": 0, "is_amd": 1}, fives, fives | {"dr_grade": 0, "is_gc": 1}
    ))  # fmt: skip
    assert found.tolist() == [0, 1, 2, 3]


def test_a_public_set_is_judged_in_its_own_layout(checkpoint, tmp_path):
    """REFUGE as its authors ship it: g and n files."""
    images = tmp_path / "REFUGE" / "Training400"
    for i in range(12):
        wide = i % 2
        name = f"{'g' if wide else 'n'}{i:04d}.jpg"
        path = images / ("Glaucoma" if wide else "Non-Glaucoma") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(drawn(700 + i, wide)))
    result = invoke("eval", "--model", checkpoint, "--benchmark", "refuge", "--root", tmp_path / "REFUGE",
                    "--partial", "--prompts", "glaucoma", "--set", "n_bootstrap=10", "--out", tmp_path / "report", "--json")  # fmt: skip
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["results"][0]["classes"] == {"absent": 6, "glaucoma": 6}
    assert report["data"]["import"]["kept"] == 12


# What is refused


class Bomb:
    """Would leave a file behind if unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_checkpoints_that_are_not_ours_are_refused_unexecuted(tmp_path, records):
    torch.save({"weights": {}}, tmp_path / "foreign.pt")
    torch.save({"format": "visionclip-clip", "bomb": Bomb(tmp_path / "mark")}, tmp_path / "bomb.pt")
    (tmp_path / "pickle.pt").write_bytes(pickle.dumps(Bomb(tmp_path / "mark")))
    (tmp_path / "noise.pt").write_bytes(b"\x80\x02noise")
    messages = {
        "foreign.pt": "not a visionclip-clip checkpoint",
        "bomb.pt": "holds Python objects that could run code; refused",
        "pickle.pt": "nothing in it was run",
        "noise.pt": "",
        "none.pt": "no such file",
    }
    for name, message in messages.items():
        line = refusal("eval", "--model", tmp_path / name, "--data", records, "--out", tmp_path / "out")
        assert str(tmp_path / name) in line and message in line
    assert not (tmp_path / "mark").exists()


def test_weights_of_another_architecture_are_refused(tmp_path):
    from synth.base import checkpoint as files

    model = build(MODEL)
    head = checkpoints.header(build(MODEL.model_copy(update={"embedding": 16})))
    files.save(tmp_path / "ckpt.pt", head | {"weights": model.state_dict()})
    (tmp_path / "eye.jpg").write_bytes(encode(drawn(1, 1)))
    line = refusal("predict", tmp_path / "eye.jpg", "--model", tmp_path / "ckpt.pt")
    assert "weights do not fit the model that it names" in line


def test_bad_arguments_are_refused(checkpoint, records, tmp_path):
    base = ["eval", "--model", checkpoint, "--out", tmp_path / "out"]
    (tmp_path / "empty").mkdir()
    assert "--prompts 'glacoma' is no task; did you mean 'glaucoma'?" in refusal(
        *base, "--data", records, "--prompts", "glacoma"
    )
    assert "no records in it" in refusal(*base, "--data", tmp_path / "empty")
    assert "cannot answer 'fives'" in refusal(*base, "--data", records, "--prompts", "fives")
    assert "--split 'tests' is unknown" in refusal(*base, "--data", records, "--split", "tests")
    assert "give --data RECORDS, or --benchmark NAME" in refusal(*base)
    assert f"--root {tmp_path}: goes with --benchmark" in refusal(
        *base, "--data", records, "--root", tmp_path
    )
    assert "give --root DIR" in refusal(*base, "--benchmark", "fives")
    assert "--benchmark 'fivs' is unknown; did you mean 'fives'?" in refusal(
        *base, "--benchmark", "fivs", "--root", tmp_path
    )
    assert "unknown key 'round'; did you mean 'n_bootstrap'?" in refusal(
        *base, "--data", records, "--set", "round=5"
    )
    assert "--task 'zeroshot' is unknown" in refusal(*base, "--data", records, "--task", "zeroshot")
    assert "no such picture" in refusal("predict", tmp_path / "no.jpg", "--model", checkpoint)
    (tmp_path / "cut.jpg").write_bytes(encode(drawn(1, 1))[:400])
    assert "damaged picture" in refusal("predict", tmp_path / "cut.jpg", "--model", checkpoint)


def test_a_misspelt_training_key_names_the_right_one(tmp_path):
    (tmp_path / "bad.yaml").write_text("model: {embeding: 5}\n")
    line = refusal("train", "--data", tmp_path, "--out", tmp_path / "run", "--config", tmp_path / "bad.yaml")
    assert line == f"clip: {tmp_path}/bad.yaml: unknown key 'model.embeding'; did you mean 'embedding'?\n"


def test_records_that_lack_a_column_are_refused(tmp_path):
    path = folder(tmp_path / "records", 20)
    [shard] = (path / "data").glob("train-*.parquet")
    pq.write_table(pq.read_table(shard).drop_columns(["caption_zh"]), shard)
    line = refusal("train", "--data", path, "--out", tmp_path / "run", "--set", "images=8")
    assert "column 'caption_zh' is missing" in line


def test_an_old_name_of_a_setting_is_read_and_the_new_one_said(capsys):
    settings = tasks.settings("zero-shot", {}, ["least=2", "rounds=7"])
    assert (settings.min_count, settings.n_bootstrap) == (2, 7)
    assert sorted(capsys.readouterr().err.splitlines()) == [
        "--set: 'least' is called 'min_count' now; it is read as that",
        "--set: 'rounds' is called 'n_bootstrap' now; it is read as that",
    ]
    written = settings.model_dump(by_alias=True)  # reports keep the keys that they had
    assert (written["least"], written["rounds"]) == (2, 7)
