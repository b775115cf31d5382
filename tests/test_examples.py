"""The examples say what is true: their files are read, their commands parse, their page is built."""

import os
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import clinic
import numpy as np
import page
import pytest
import run
import typer

from synth.base.runs import append_metrics, write_json
from synth.data import images, records
from synth.data.records import read_table, row, write_records
from synth.sources.importing import import_source
from synth.sources.suggest import suggest

EXAMPLES = Path(__file__).parent.parent / "examples"
FLAT = images.encode(np.full((16, 16, 3), 90, np.uint8))


def test_the_folder_example_is_read_as_it_says(tmp_path):
    shutil.copy(EXAMPLES / "folder" / "visits.csv", tmp_path)
    (tmp_path / "photos").mkdir()
    for place, name in enumerate(("p001_od", "p001_os", "p002_od")):
        picture = np.full((16, 16, 3), 60 + 40 * place, np.uint8)
        (tmp_path / "photos" / f"{name}.jpg").write_bytes(images.encode(picture))
    result = import_source("folder", tmp_path, tmp_path / "out", mapping=EXAMPLES / "folder" / "mapping.yaml")
    assert (result["kept"], result["dropped"]) == (3, 0)
    found = {(r["subject_id"], r["eye_side"]): r for r in read_table(tmp_path / "out").to_pylist()}
    assert found["folder-p001", "right"]["dr_grade"] == 2
    assert found["folder-p001", "right"]["findings"] == ["haemorrhage", "exudate"]
    assert found["folder-p001", "left"]["findings"] == []
    assert found["folder-p002", "right"]["findings"] is None
    assert found["folder-p002", "right"]["is_gc"] == 1
    assert found["folder-p002", "right"]["sex"] is None


@pytest.mark.parametrize("kind", ["excel", "gbk", "dicom"])
def test_the_export_of_a_clinic_goes_the_way_that_the_example_tells(tmp_path, kind):
    clinic.make(tmp_path / "clinic", n=6)
    root, mapping = tmp_path / "clinic" / kind, tmp_path / "clinic.yaml"
    suggest(root, mapping)
    text = mapping.read_text(encoding="utf-8")
    filled = text.replace("'1': TODO", "'1': F").replace("糖网2级: TODO", "糖网2级: {dr_grade: 2}")
    assert filled != text and "TODO " not in filled.partition("table:")[2]
    mapping.write_text(filled, encoding="utf-8")
    result = import_source("folder", root, tmp_path / "out", mapping=mapping)
    assert (result["kept"], result["dropped"]) == (6, 0)
    assert ("门诊导出.csv is not UTF-8, read as GB18030" in result["notes"]) == (kind == "gbk")
    rows = {row["id"]: row for row in read_table(tmp_path / "out").to_pylist()}
    first, second, third = (rows[f"folder-{name}"] for name in ("000001_00", "000001_01", "000002_02"))
    assert (first["eye_side"], first["sex"], first["age"], first["is_gc"]) == ("left", "F", 50, 0)
    assert second["subject_id"] == "folder-000001" and second["is_gc"] is None
    assert (third["dr_grade"], third["camera"]) == (2, "TRC-NW8")


def test_the_dicom_of_the_clinic_needs_no_table(tmp_path):
    clinic.make(tmp_path / "clinic", n=6)
    result = import_source("dicom", tmp_path / "clinic" / "dicom", tmp_path / "out")
    assert (result["kept"], result["dropped"]) == (6, 0)
    rows = read_table(tmp_path / "out").to_pylist()
    assert len({row["subject_id"] for row in rows}) == 3
    assert {(row["eye_side"], row["sex"], row["age"]) for row in rows} > {("left", "F", 50)}


@pytest.mark.parametrize("step", run.steps(Path("demo")), ids=lambda step: step.command[:20])
def test_a_command_of_the_demo_has_flags_and_files_that_exist(step, monkeypatch):
    monkeypatch.chdir(EXAMPLES.parent)
    words = shlex.split(step.command)
    name, verb, *arguments = words[words.index("-m") + 1 :] if words[0] == "torchrun" else words
    group = typer.main.get_command(import_module(f"{name}.commands.app").app)
    known = {option for parameter in group.commands[verb].params for option in parameter.opts}  # type: ignore[attr-defined]
    assert {argument for argument in arguments if argument.startswith("--")} <= known
    assert all(Path(argument).is_file() for argument in arguments if argument.endswith(".yaml"))


def demo_folder(folder: Path) -> Path:
    """What the commands of the demo leave, as small as can be."""
    labels = [{"is_gc": 1}, {"dr_grade": 3}, dict.fromkeys(records.FLAGS, 0) | {"dr_grade": 0}] * 2
    for name in ("phantoms", "synthetic"):
        rows = [
            row(id=f"i{i}", subject_id=f"s{i}", image={"bytes": FLAT, "path": None}, caption_zh="疑似青光眼。",
                caption_en="<glaucoma>", **each)
            for i, each in enumerate(labels)
        ]  # fmt: skip
        write_records(folder / name, rows, {"kind": name})
    (folder / "clip").mkdir()
    append_metrics(folder / "clip" / "metrics.jsonl", images=8, loss=1.5)
    append_metrics(folder / "clip" / "metrics.jsonl", images=16, loss=1.2)
    answer = {"word": "REVEALS", "level": "weak", "why": "lower bound of AUC 0.600 > 0.520, p = 0.001"}
    number = {"value": 0.7, "low": 0.6, "high": 0.8, "patients": 6}
    attribute = {"name": "sex", "reveals": answer, "training_adds": answer, "patients": 6, "images": 6,
                 "rows": [{"name": "the encoder", "person": {"auc": number}, "image": {}}]}  # fmt: skip
    panel = {
        "question": "Does it hold copies of their photographs?",
        "verdict": "NOT TESTABLE",
        "asked": 0,
        "of": 1,
        "why": "no attack asks this yet",
    }
    write_json(folder / "audit" / "report.json", {"attributes": [attribute], "panels": [panel]})
    found = {"accuracy": number, "balanced_accuracy": number, "macro_auc": number}
    blind = {"accuracy": 0.5, "balanced_accuracy": 0.5, "macro_auc": 0.5}
    result = {"title": "glaucoma", "patients": 6, "n": 6, "classes": {"absent": 3, "present": 3},
              "metrics": {"zh": found, "en": found}, "without_pictures": {"chance": blind}}  # fmt: skip
    write_json(folder / "eval" / "report.json", {"results": [result]})
    return folder


def test_the_page_of_the_demo_carries_everything_in_itself(tmp_path):
    commands = [
        {"name": "what they look like", "command": "synth phantom --n 6", "seconds": 75.4, "status": 0}
    ]
    page.build(demo_folder(tmp_path), commands)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert html.count('<img src="data:image/jpeg;base64,') == 12 + 3  # in the table, and on the first page
    assert "&lt;glaucoma&gt;" in html and "<glaucoma>" not in html
    assert "疑似青光眼。" in html
    assert "1:15" in html
    assert "http" not in html.replace("http://www.w3.org", "")


@pytest.mark.slow
def test_the_path_at_256_pixels_can_be_rehearsed(tmp_path):
    """Every command of the script, on phantoms."""
    script, path = EXAMPLES / "fundus256/run.sh", f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    line = ["bash", script, "rehearse", tmp_path]
    called = subprocess.run(line, env=os.environ | {"PATH": path}, capture_output=True, text=True)
    assert called.returncode == 0, called.stderr[-2000:]
    assert (tmp_path / "teaches/report.html").exists() and (tmp_path / "audit/report.html").exists()
    assert "both-0" in (tmp_path / "eval/idrid-linear/comparison.json").read_text(encoding="utf-8")
