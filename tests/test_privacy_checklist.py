"""The checklist of ethics: nothing is ticked that no file and no person answered, and reports of another release are refused."""

import json
import re
import shutil
from pathlib import Path

import pictures
import pytest
import releases
import yaml
from typer.testing import CliRunner

from clip.commands.app import app as clip
from clip.evaluation import report as evaluation
from clip.evaluation.results import ClassificationResult
from privacy import threats
from privacy.checklist import answers, audit_evidence, checklist, page
from privacy.checklist.answers import ChecklistAnswer
from privacy.checklist.checklist import Checklist
from privacy.checklist.items import Evidence, items
from privacy.commands.app import app
from privacy.config import AuditConfig
from privacy.data.inputs import Inputs, People
from privacy.decisions import verdict
from privacy.decisions.decision import decide
from privacy.report import build
from privacy.report.schema import AuditReport
from synth.base import runs
from synth.base.errors import UserError
from synth.data import records

GOLDEN = Path(__file__).parent / "golden"
ANSWER = {"answer": "yes", "explanation": "Committee 7 approved it.", "source": "approval 2026-14"}


@pytest.fixture
def release(tmp_path) -> Path:
    folder = tmp_path / "synthetic"
    shutil.copytree(GOLDEN / "synthetic", folder)
    shutil.copytree(GOLDEN / "whole", folder, dirs_exist_ok=True)
    return folder


def audited(release: Path, home: Path) -> AuditReport:
    """The report of an audit in which nothing could be asked of the release but its captions."""
    questions = [each for row in threats.CATALOGUE if row.attack for each in row.attack().QUESTIONS]
    results = [each._replace(missing="needs --members RECORDS") for each in questions]
    inputs = Inputs(home / ".cache", synthetic=People(release, kept=home / ".cache"))
    made = build(inputs, decide(results), AuditConfig(), "privacy audit")
    runs.write_json(home / "report.json", made.as_json())
    return made


def marks(made: Checklist) -> dict[str, str]:
    return {each.key: each.mark for each in made.items}


def invoke(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["checklist", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_nothing_is_ticked_that_no_file_and_no_person_answered():
    made = checklist.combine({}, {})
    assert len(made.items) == len(items()) > 25
    assert set(marks(made).values()) == {"open"}
    assert "☑" not in page.section(made)
    assert "☑ yes 0" in page.html(made, "en") and "☑ 是 0" in page.html(made, "zh")


def test_files_answer_what_they_can_and_the_yaml_asks_for_the_rest(release, tmp_path):
    home = tmp_path / "audit"
    status, _, _ = invoke("--out", home, "--synthetic", release)
    made = Checklist.model_validate(json.loads((home / "checklist.json").read_text()))
    found = marks(made)
    assert status == 0
    assert found["integrity.reproducible"] == "yes" and found["privacy.bound"] == "no"
    assert found["equity.population"] == "partly" and found["equity.subgroups"] == "open"
    asked = yaml.safe_load((home / answers.NAME).read_text())
    assert set(asked) == {key for key, mark in found.items() if mark in ("open", "partly")}
    assert all(each["answer"] is None and each["question_zh"] for each in asked.values())


def test_answers_are_kept_and_completed_when_the_command_is_repeated(release, tmp_path):
    home = tmp_path / "audit"
    invoke("--out", home, "--synthetic", release)
    path = home / answers.NAME
    before = path.read_text()
    filled = before.replace("accountability.ethics_review:", "# checked by A.\naccountability.ethics_review:")
    part = filled.partition("accountability.ethics_review:")
    rest = (
        part[2].replace("answer:", "answer: yes", 1).replace("explanation:", "explanation: Committee 7.", 1)
    )
    path.write_text(part[0] + part[1] + rest.replace("source:", "source: approval 2026-14", 1))
    written = path.read_bytes()
    status, out, _ = invoke("--out", home, "--synthetic", release)
    made = Checklist.model_validate(json.loads((home / "checklist.json").read_text()))
    assert status == 0 and path.read_bytes() == written
    assert marks(made)["accountability.ethics_review"] == "yes"
    assert 'Committee 7. <span class="source">[approval 2026-14]' in (home / "checklist.html").read_text()
    assert "Has an ethics committee" not in out


@pytest.mark.parametrize(
    "change, words",
    [
        ({"source": ""}, "answer='yes' without 'source'"),
        ({"explanation": None}, "answer='yes' without 'explanation'"),
        ({"answer": None}, "'answer' is empty beside what was filled in"),
        ({"answer": "sure"}, "answer"),
        ({"anwser": "yes"}, "unknown key 'anwser'"),
    ],
)
def test_an_answer_that_nobody_can_check_is_refused(tmp_path, change, words):
    path = tmp_path / answers.NAME
    path.write_text(yaml.safe_dump({"trust.involved": ANSWER | change}))
    with pytest.raises(UserError) as error:
        answers.read(path)
    assert str(error.value).startswith(f"{path}: trust.involved") and words in str(error.value)
    assert "\n" not in str(error.value)


def test_an_item_that_is_not_known_is_refused(tmp_path):
    path = tmp_path / answers.NAME
    path.write_text(yaml.safe_dump({"trust.involvd": ANSWER}))
    with pytest.raises(UserError, match=r"unknown item 'trust\.involvd'"):
        answers.read(path)


def test_a_person_cannot_turn_a_measured_no_into_a_yes():
    """What an audit found stays found, whatever stands in the YAML."""
    leak = Evidence("FAIL.", "泄露。", "report.json", "no")
    answer = ChecklistAnswer.model_validate(ANSWER)
    made = checklist.combine({"privacy.members": [leak]}, {"privacy.members": answer})
    assert marks(made)["privacy.members"] == "no"
    assert [each.en for each in made.items[15].evidence] == ["FAIL.", "Committee 7 approved it."]


def test_an_audit_in_which_nothing_could_be_tested_ticks_nothing(release, tmp_path):
    home = tmp_path / "audit"
    home.mkdir()
    report = audited(release, home)
    assert {panel.verdict for panel in report.panels} == {verdict.NOT_TESTABLE}
    found = marks(checklist.gather(home))
    assert {mark for key, mark in found.items() if key.startswith("privacy.")} == {"open"}


@pytest.mark.parametrize(
    "word, answered, mark",
    [
        (verdict.PASS, 4, "yes"),
        (verdict.FAIL, 1, "no"),
        (verdict.REVEALS, 4, "no"),
        (verdict.INCONCLUSIVE, 4, "partly"),
        (verdict.INVALID, 4, "open"),
        (verdict.NOT_TESTABLE, 3, "partly"),
        (verdict.NOT_TESTABLE, 0, "open"),
    ],
)
def test_a_panel_is_ticked_only_where_it_passes(release, tmp_path, word, answered, mark):
    report = audited(release, tmp_path)
    panel = report.panels[1].model_copy(update={"verdict": word, "answered": answered, "of": 4})
    found = audit_evidence.evidence(report.model_copy(update={"panels": [panel]}), None)
    assert found[f"privacy.{panel.key}"][0].mark == mark
    assert f"{answered} of 4" in found[f"privacy.{panel.key}"][0].en


@pytest.mark.parametrize("by, mark", [([], "open"), (["--by", "sex,age"], "yes")])
def test_groups_of_patients_are_those_that_clip_eval_measured(tmp_path, by, mark):
    """Bands of ages here have fewer than ten photographs of a class: they are counted, and no number is read of them."""
    rows = pictures.rows(48)
    for place, each in enumerate(rows):
        each["age"] = 30.0 + place
    records.write_records(tmp_path / "records", rows, {"kind": "drawn"}, (1, 0, 0))
    model = releases.encoder(tmp_path / "m.pt")
    line = ["eval", "--model", model, "--data", tmp_path / "records", "--split", "all", "--prompts", "is_gc", *by,
            "--out", tmp_path / "evaluated", "--set", "n_bootstrap=20"]  # fmt: skip
    assert CliRunner().invoke(clip, list(map(str, line))).exit_code == 0
    status, _, _ = invoke("--out", tmp_path / "out", "--evaluation", tmp_path / "evaluated")
    made = Checklist.model_validate(json.loads((tmp_path / "out" / "checklist.json").read_text()))
    [found] = [each for each in made.items if each.key == "equity.subgroups"]
    assert (status, found.mark) == (0, mark)
    [result] = evaluation.read(tmp_path / "evaluated" / "report.json").results
    assert isinstance(result, ClassificationResult)
    parts = result.subgroups or []
    measured = [
        (
            each.value,
            f"{part.attribute} {part.name}, {language} {each.value:.3f} ({each.low:.3f}–{each.high:.3f})",
        )
        for part in parts
        for language, each in part.auc.items()
    ]
    assert len(measured) == (6 if by else 0)  # two sexes by three rows
    assert not by or f"the lowest: {min(measured, key=lambda each: each[0])[1]}" in found.evidence[0].en


def test_the_audit_of_another_release_is_refused(release, tmp_path):
    home, other = tmp_path / "audit", tmp_path / "other"
    home.mkdir()
    audited(release, home)
    checklist.gather(home, synthetic=release)
    rows = [records.row(id="a", subject_id="a", image={"bytes": b"x", "path": None})]
    records.write_records(other, rows, json.loads((release / "plan.json").read_text()), (1, 0, 0))
    status, _, error = invoke("--out", home, "--synthetic", other)
    assert status == 2 and "the audit is of other released records" in error
    assert len(error.splitlines()) == 1


def test_without_a_report_or_a_release_nothing_is_written(tmp_path):
    status, _, error = invoke("--out", tmp_path / "audit")
    assert status == 2 and "no report.json of 'privacy audit' is there" in error
    assert not (tmp_path / "audit").exists()


def test_the_card_of_the_data_set_gets_a_section_and_later_one_in_its_place(release, tmp_path):
    home = tmp_path / "audit"
    invoke("--out", home, "--synthetic", release)
    invoke("--out", home, "--synthetic", release)
    card = (release / "README.md").read_text()
    assert card.count("## Ethics checklist") == 1 and card.count("## 伦理检查清单") == 1
    assert "☐ Has an ethics committee reviewed the work" in card
    assert card.index("## Ethics checklist") < card.index("## Verify and reproduce")


def test_what_people_write_is_text(release, tmp_path):
    evil = "<script>document.title='taken'</script>"
    answer = ChecklistAnswer(answer="yes", explanation=evil, source=evil)
    made = checklist.combine({}, {"trust.involved": answer})
    for language in page.LANGUAGES:
        assert evil not in page.html(made, language)
    assert "<script" not in page.section(made)


def test_the_chinese_page_holds_no_english_sentence(release, tmp_path):
    home = tmp_path / "audit"
    home.mkdir()
    audited(release, home)
    made = checklist.gather(home, synthetic=release)
    shown = re.sub(r"(?s)<(style|a|span).*?</\1>", " ", page.html(made, "zh"))
    shown = re.sub(r"<[^>]*>|--\w+ \w+|训练数据[^；]*：|许可证：[^。]*|[0-9a-f]{16}", " ", shown)
    left = set(re.findall(r"[A-Za-z]{3,}", shown)) - set(
        ["Ning", "TREGAI", "arXiv", "visionclip", "GDPR", "AUC", "synth", "verify", "source", "sha"]
    )
    assert left == set()
