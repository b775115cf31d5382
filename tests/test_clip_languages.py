"""Models that read one language, or none: every evaluation asks them in what they read."""

from pathlib import Path

import pytest
import torch
from pictures import rows
from test_clip_baselines import chinese, retfound
from test_clip_evaluation import refusal

from clip.evaluation import long_tail, retrieval, vqa
from clip.evaluation.answering import VqaConfig
from clip.evaluation.long_tail import LongTailConfig
from clip.evaluation.retrieval import RetrievalConfig
from clip.zoo.chinese_clip import HEAD_WIDTH, HEADS
from synth.data.records import write_records


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("languages") / "records"
    made = [
        each | {"is_rvo": int(i % 4 == 0), "findings": ["drusen"] if i % 3 else []}
        for i, each in enumerate(rows(40, side=32))
    ]
    write_records(folder, made, {"kind": "drawn"})
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A Chinese-CLIP, which was trained on Chinese alone."""
    path = tmp_path_factory.mktemp("languages") / "epoch1.pt"
    torch.save({"state_dict": chinese().state_dict(), HEADS: 2, HEAD_WIDTH: 64}, path)
    return f"cn_clip:{path}"


@pytest.mark.parametrize(
    "evaluate, config, name",
    [
        (retrieval.evaluate, RetrievalConfig(n_bootstrap=20, exchanges=9), "image-to-text"),
        (vqa.evaluate, VqaConfig(n_bootstrap=20, head=False), None),
        (long_tail.evaluate, LongTailConfig(n_bootstrap=20), None),
        (long_tail.evaluate, LongTailConfig(n_bootstrap=20), "is_gc"),
    ],
    ids=["retrieval", "vqa", "long-tail", "long-tail of a task"],
)
def test_a_model_of_one_language_is_asked_in_that_alone(evaluate, config, name, records, model):
    report = evaluate(config, model, records, ("train", "validation", "test"), name, "clip eval")
    said = {row.split()[0] for result in report.results for row in result.metrics}
    assert said == {"zh"}
    assert report.config["lang"] == "zh"


@pytest.mark.parametrize("task", ["retrieval", "vqa", "long-tail"])
def test_a_language_that_a_model_does_not_read_is_refused(task, records, model, tmp_path):
    line = refusal("eval", "--model", model, "--data", records, "--task", task, "--lang", "en",
                   "--out", tmp_path)  # fmt: skip
    assert "--lang en: cn_clip is asked in zh; leave --lang out" in line


def test_a_tower_that_reads_nothing_still_finds_the_fellow_eye(records, tmp_path):
    """RETFound compares pictures, and has no captions to find."""
    torch.save({"model": retfound(True)[1]}, tmp_path / "RETFound.pth")
    report = retrieval.evaluate(
        RetrievalConfig(n_bootstrap=20, exchanges=9), Path(f"retfound:{tmp_path / 'RETFound.pth'}"), records,
        ("train", "validation", "test"), None, "clip eval",
    )  # fmt: skip
    assert [result.name for result in report.results] == ["cfp-fellow-eye"]
