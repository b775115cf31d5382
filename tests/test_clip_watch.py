"""A labelled set that is watched while other pairs are learnt: judged, refused by name, and what the best checkpoint is."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pictures import folder, rows
from test_clip_evaluation import MODEL

from clip import loading
from clip.evaluation import core, zero_shot
from clip.training import watching
from clip.training.config import TrainConfig
from clip.training.trainer import train
from synth.base.errors import UserError
from synth.base.runs import read_metrics
from synth.data.records import write_records

SHORT = {
    "model": MODEL.model_dump(),
    "caption": "both",
    "images": 48,
    "batch": 8,
    "warmup": 8,
    "save_every": 16,
    "lr": 2e-3,
}


def config(**settings: Any) -> TrainConfig:
    return TrainConfig.model_validate({**SHORT, **settings})


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("watch")
    silent = [each | {"caption_zh": None, "caption_en": None} for each in rows(40, seed=3, side=32)]
    write_records(root / "real", silent, {"kind": "real"})
    unlabelled = [each | {"is_gc": None, "dr_grade": None} for each in rows(40, side=32)]
    write_records(root / "unlabelled", unlabelled, {"kind": "unlabelled"})
    folder(root / "pairs", 40)
    return {name: root / name for name in ("real", "unlabelled", "pairs")}


def lines(run: Path) -> list[dict[str, Any]]:
    return [dict(line) for line in read_metrics(run / "metrics.jsonl")]


def test_real_photographs_without_captions_are_watched_and_the_best_checkpoint_kept(places, tmp_path):
    settings = config(watch={"data": str(places["real"]), "split": "all", "tasks": ["is_gc"]})
    train(settings, places["pairs"], tmp_path)
    found = [line["watch"]["is_gc"]["macro_auc"]["value"] for line in lines(tmp_path)]
    assert len(found) == 3 and all(line["watch"]["is_gc"]["n"] == 40 for line in lines(tmp_path))
    better = [k for k, value in enumerate(found) if value > max(found[:k], default=-1)]
    assert [k for k, line in enumerate(lines(tmp_path)) if "best" in line] == better
    kept, head = loading.load(tmp_path / "ckpt-best.pt")
    assert (
        head.images == 16 * (better[-1] + 1)
        and (head.model_extra or {})["best"]["value"] == found[better[-1]]
    )
    task = watching.answered(["is_gc"], core.labels(places["real"], ("train", "validation", "test")), "")[
        "is_gc"
    ]
    shown = core.load(kept, places["real"], ("train", "validation", "test"))
    answers = core.answers(task, shown.table, 5)
    again = zero_shot.evaluate_task(zero_shot.EvalConfig(n_bootstrap=10), kept, "is_gc", task, answers, shown)
    assert again.metrics["both"]["macro_auc"].value == pytest.approx(found[better[-1]], abs=1e-6)


def test_patience_ends_a_run_and_the_same_command_leaves_it_ended(places, tmp_path, monkeypatch):
    """A rate of next to nothing: no checkpoint is better than the first."""
    settings = config(watch={"data": str(places["real"]), "split": "all"}, patience=1, lr=1e-12, images=160)
    told: list[str] = []
    path = train(settings, places["pairs"], tmp_path, tell=told.extend)
    seen = lines(tmp_path)[-1]["images"]
    assert seen < 160 and "1 checkpoints were no better than that of" in told[-1]
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "ckpt-best.pt",
        "ckpt.pt",
        "config.json",
        "metrics.jsonl",
    ]
    before = path.read_bytes()
    train(settings, places["pairs"], tmp_path)
    assert path.read_bytes() == before and lines(tmp_path)[-1]["images"] == seen


@pytest.mark.parametrize(
    "settings, data, message",
    [
        ({"zero_shot": ["is_gc"]}, "unlabelled", r"zero_shot=\['is_gc'\]: .* cannot judge 'is_gc'"),
        ({"watch": {"data": "{unlabelled}", "split": "all"}}, "pairs", "cannot judge any task"),
        (
            {"watch": {"data": "{real}", "split": "all", "tasks": ["is_gc", "is_rvo"]}},
            "pairs",
            "cannot judge 'is_rvo'",
        ),
        ({"watch": "{real}/absent"}, "pairs", "no such file or folder"),
    ],
)
def test_what_cannot_be_judged_is_refused_by_name_before_the_first_step(
    settings, data, message, places, tmp_path
):
    text = json.dumps(settings)
    for name, path in places.items():
        text = text.replace(f"{{{name}}}", str(path))
    with pytest.raises(UserError, match=message):
        train(config(**json.loads(text)), places[data], tmp_path)
    assert not (tmp_path / "ckpt.pt").exists()


def test_labels_alone_are_enough_for_zero_shot_of_a_validation_split(places, tmp_path):
    """Captions of the train split, and photographs with labels alone to be validated on."""
    mixed = []
    for each in rows(120, side=32):
        mixed.append(
            each | {"split": "train" if int(each["subject_id"].rpartition("-")[2]) % 2 else "validation"}
        )
    for row in mixed:
        if row["split"] == "validation":
            row |= {"caption_zh": None, "caption_en": None}
    people = [{**each, "is_gc": k // 2 % 4 // 2} for k, each in enumerate(mixed)]
    write_records(tmp_path / "data", people, {"kind": "mixed"})
    train(config(zero_shot=["is_gc"], images=16), tmp_path / "data", tmp_path / "run")
    [line] = lines(tmp_path / "run")
    assert line["validation_loss"] is None and line["zero_shot"]["is_gc"]["n"] == 60


def test_patience_without_a_judge_is_refused():
    with pytest.raises(ValueError, match="needs what tells better from worse"):
        config(patience=2)


def test_a_resumed_run_keeps_the_best_of_an_uninterrupted_one(places, tmp_path, monkeypatch):
    settings = config(watch={"data": str(places["real"]), "split": "all", "tasks": ["is_gc"]})
    train(settings, places["pairs"], tmp_path / "whole")
    from clip.training import trainer

    plain, calls = trainer.gradients, []

    def stopped(*arguments):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return plain(*arguments)

    monkeypatch.setattr(trainer, "gradients", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(settings, places["pairs"], tmp_path / "halves")
    train(settings, places["pairs"], tmp_path / "halves")
    one, other = (
        torch.load(tmp_path / name / "ckpt-best.pt", weights_only=True) for name in ("whole", "halves")
    )
    assert one["best"] == other["best"] and one["images"] == other["images"]
    assert all(torch.equal(value, other["weights"][name]) for name, value in one["weights"].items())
