"""`clip compare`: finished reports of several machines in one table, with pictures, or refused in one line."""

import csv
import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import languages
import numpy as np
import pytest
from pictures import folder
from test_clip_evaluation import MODEL, invoke

from clip import prompts
from clip.evaluation import forest, report, tasks
from clip.evaluation.languages import translated
from clip.evaluation.results import Metric
from clip.evaluation.tables import Headline
from clip.model import checkpoints
from clip.model.encoders import build
from synth.base import checkpoint, checksums


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Two reports of two models on the same records, with probabilities, and the comparison that one machine made."""
    root = tmp_path_factory.mktemp("compare")
    folder(root / "records", 40)
    for seed in range(2):
        model = build(MODEL, seed)
        checkpoint.save(root / f"{seed}.pt", checkpoints.header(model) | {"weights": model.state_dict()})
    both = ["--model", root / "0.pt", "--model", root / "1.pt", "--data", root / "records", "--split", "all"]
    result = invoke("eval", *both, "--prompts", "is_gc", "--set", "n_bootstrap=40", "--set", "probabilities=true",
                    "--out", root / "one")  # fmt: skip
    assert result.exit_code == 0, result.output
    return root / "one"


@pytest.fixture
def two(made, tmp_path) -> tuple[Path, Path]:
    """The two reports as if they had come from two machines."""
    for k in (1, 2):
        shutil.copytree(made / f"model-{k}", tmp_path / f"machine-{k}")
    return tmp_path / "machine-1", tmp_path / "machine-2"


def changed(folder: Path, **values) -> None:
    """Write a report anew with other values of its first result."""
    told = json.loads((folder / "report.json").read_text())
    told["results"][0].update(values)
    checksums.write_json(folder / "report.json", told)


def refused(*arguments) -> str:
    result = invoke("compare", *arguments)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1, result.output
    return result.stderr


def test_reports_of_two_machines_give_the_table_of_one(two, made, tmp_path):
    """Differences are drawn anew from the probabilities, and are those that one process drew."""
    result = invoke("compare", *two, "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    told, before = json.loads(result.stdout), json.loads((made / "comparison.json").read_text())
    assert json.loads((tmp_path / "out" / "comparison.json").read_text()) == told
    assert told["tables"][0]["rows"] == before["tables"][0]["rows"]
    for here, there in zip(told["tables"][0]["differences"], before["tables"][0]["differences"], strict=True):
        assert here["paired"] and here["row"] == there["row"] and here["from"] == there["from"]
        for key, value in there["metrics"].items():
            assert here["metrics"][key] == pytest.approx(value, abs=2e-3)
    [line] = told["headlines"]
    assert line["metric"] == "macro_auc" and line["n"] == 40 and list(line["paired"].values()) == [True]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "comparison.json", "comparison.md", "comparison.html", "comparison.zh.html", "comparison.svg", "comparison.zh.svg",
    }  # fmt: skip
    assert "未配对" not in (tmp_path / "out" / "comparison.zh.html").read_text()


def test_without_probabilities_a_difference_is_wider_and_says_so(two, tmp_path):
    paired = json.loads(invoke("compare", *two, "--out", tmp_path / "a", "--json").stdout)
    (two[1] / "is_gc.csv").unlink()
    result = invoke("compare", *two, "--out", tmp_path / "b", "--json")
    assert result.exit_code == 0, result.output
    loose = json.loads(result.stdout)
    here, there = (each["tables"][0]["differences"][0] for each in (loose, paired))
    assert not here["paired"] and here["metrics"].keys() == there["metrics"].keys()
    for key, value in here["metrics"].items():
        assert value["value"] == pytest.approx(there["metrics"][key]["value"])
    width = [each["metrics"]["brier"]["high"] - each["metrics"]["brier"]["low"] for each in (here, there)]
    assert width[0] > width[1]
    assert "* Not paired" in (tmp_path / "b" / "comparison.md").read_text()
    assert "未配对" in (tmp_path / "b" / "comparison.zh.html").read_text()


@pytest.mark.parametrize(
    "values, line",
    [
        ({"n": 39}, "machine-2/report.json: zero-shot is_gc has n 39, "),
        ({"classes": {"absent": 1, "gc": 39}}, "zero-shot is_gc has classes {'absent': 1, 'gc': 39}, "),
        ({"name": "is_amd"}, "no test in common with another report: zero-shot is_amd (n 40) on "),
    ],
)
def test_what_is_not_of_one_test_is_refused(two, tmp_path, values, line):
    changed(two[1], **values)
    assert line in refused(*two, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_protocol_is_refused_by_name(two, tmp_path):
    told = json.loads((two[1] / "report.json").read_text())
    told["config"]["prior"] = "uniform"
    checksums.write_json(two[1] / "report.json", told)
    assert "has the setting prior uniform, " in refused(*two, "--out", tmp_path / "out")


def test_other_photographs_of_the_same_number_are_refused(two, tmp_path):
    path = two[1] / "is_gc.csv"
    lines = list(csv.reader(path.read_text().splitlines()))
    lines[1][0] = "another"
    path.chmod(0o600)
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows(lines)
    line = refused(*two, "--out", tmp_path / "out")
    assert "is_gc.csv: other photographs than" in line and "1 of 40 are not there" in line


def test_probabilities_of_another_run_are_refused(two, tmp_path):
    shutil.copy(two[0] / "is_gc.csv", two[1] / "is_gc.csv")
    assert "machine-2/is_gc.csv: is not of report.json: its " in refused(*two, "--out", tmp_path / "out")


def test_one_model_twice_and_one_report_are_refused(two, tmp_path):
    out = ("--out", tmp_path / "out")
    assert "one report is no comparison" in refused(two[0], *out)
    assert "given twice" in refused(two[0], two[0] / "report.json", *out)
    shutil.copytree(two[0], tmp_path / "again")
    assert "stands in" in refused(*two, tmp_path / "again", *out)
    assert "no report of 'clip eval'" in refused(two[0], _text(tmp_path / "x.json", "{}"), *out)


def _text(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def line_of(**values) -> Headline:
    metric = Metric(value=0.8, low=0.7, high=0.9)
    named = dict.fromkeys(values.get("models", ["a", "b"]), metric)
    return Headline(
        title=values.get("title", "a test"), task="zero-shot", name="x", data="d", n=40, patients=20, metric="macro_auc",
        chance=0.5, rows=dict.fromkeys(named, "both"), values=named, differences={}, paired={},
    )  # fmt: skip


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_interval_runs_through_a_label(language):
    """Labels stand in lines of their own, within the plot, whatever the models are called."""
    models = ["runs/" + "a-very-long-folder/" * 6 + "ckpt.pt", "眼底模型" * 12, "flair:x<&>.pth"]
    tree = ElementTree.fromstring(
        forest.svg([line_of(models=models, title="糖尿病视网膜病变分级" * 4)] * 2, language)
    )
    space = "{http://www.w3.org/2000/svg}"
    texts = [
        (float(each.get("y", 0)) - 10, float(each.get("y", 0)) + 3, each.text or "")
        for each in tree.iter(f"{space}text")
    ]
    lines = [float(each.get("y1", 0)) for each in tree.iter(f"{space}line") if each.get("class") == "line"]
    assert len(lines) == 6
    for y in lines:
        assert [text for top, bottom, text in texts if top < y - 1 and y + 1 < bottom] == []
    for _, _, text in texts:
        assert forest.width(text) * 6.2 <= 352, text
    heights = {top for top, _, text in texts}
    for top in heights:
        assert sum(forest.width(text) for at, _, text in texts if at == top) * 6.2 <= 352


def test_the_page_is_whole_in_both_languages(two, tmp_path):
    invoke("compare", *two, "--out", tmp_path / "out")
    chinese = (tmp_path / "out" / "comparison.zh.html").read_text()
    assert "95 % 置信区间" in chinese and "宏平均 AUC" in chinese and "prefers-color-scheme: dark" in chinese
    languages.whole(tmp_path / "out" / "comparison.html")
    for page in (tmp_path / "out").glob("*.html"):
        found = languages.shown(page.read_text())
        assert "−0." in found and not re.search(r"(?<![\w–])-\.?\d|[−-]0\.0+\b", found)


def test_a_written_table_of_probabilities_reads_back(made):
    from clip.evaluation import calls

    [result] = report.read(made / "model-1" / "report.json").results
    told = calls.read(made / "model-1" / "is_gc.csv", [*result.metrics], [*result.classes])
    assert len(told.ids) == result.n and np.bincount(told.truth).tolist() == list(result.classes.values())
    assert all(np.allclose(each.sum(axis=1), 1, atol=1e-5) for each in told.probability.values())


def test_every_title_of_a_test_is_there_in_chinese():
    shipped = {task.title for file in prompts.files().values() for task in file.tasks.values()}
    built = {
        "long tail: glaucoma",
        "segmentation of disc, cup",
        "questions of type side",
        "image to text: the caption",
    }
    for text in shipped | built:
        assert any("\u4e00" <= letter <= "\u9fff" for letter in translated(text, "zh")), text
        assert translated(text, "en") == text
    assert translated("long tail: glaucoma", "zh") == "长尾：青光眼"
    assert translated("mine", "zh") == "mine"


def test_every_class_metric_and_way_of_evaluating_is_there_in_chinese():
    classes = {
        name for file in prompts.files().values() for task in file.tasks.values() for name in task.classes
    }
    for text in (*classes, *tasks.TASKS, *report.METRICS.values()):
        assert translated(text, "zh") != text or re.fullmatch(r"R@\d+|Dice|IoU", text), text
