"""Which attacker is assumed: what needs more than that one has is left out, and every first page says who it is."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import releases
from typer.testing import CliRunner

from privacy import auditing, report, threats
from privacy.attacks import repeats
from privacy.attacks.copies import QUESTION
from privacy.commands.app import app
from privacy.config import AuditConfig
from privacy.data import access
from privacy.data.inputs import Inputs, People
from privacy.decisions import verdict
from privacy.decisions.decision import decide
from privacy.decisions.results import ValidityCheck, left_out
from privacy.report.chinese import translated
from privacy.report.counts import regulations
from privacy.report.schema import AuditReport
from privacy.statistics.inference import exact_difference
from synth.data import images, records

QUICK = AuditConfig(permutations=60, bootstrap=100, detection_rounds=50)
ASKABLE = {
    "data": {"T3": 2, "T4": 3, "T4b": 1, "T7": 1, "T9": 1},
    "data+captions": {"T3": 2, "T4": 3, "T4b": 1, "T7": 3, "T9": 1},
    "embeddings": {"T1": 3, "T2": 6, "T3": 3, "T4": 3, "T4b": 1, "T7": 3, "T8": 2, "T9": 1},
    "api": {"T1": 3, "T2": 9, "T3": 5, "T4": 3, "T4b": 1, "T7": 3, "T8": 2, "T9": 1},
    "weights": {"T1": 3, "T2": 9, "T3": 7, "T4": 3, "T4b": 1, "T5": 4, "T6": 1, "T7": 3, "T8": 2, "T9": 1},
}
"""What each attacker can ask -> questions of each threat."""


def questions() -> list:
    return [each for row in threats.CATALOGUE if row.attack for each in row.attack().QUESTIONS]


def released(folder: Path, pictures: np.ndarray, name: str = "s") -> People:
    rows = [
        records.row(
            id=f"{name}{i:03d}",
            subject_id=f"{name}{i:03d}",
            image={"bytes": images.encode(each), "path": None},
        )
        for i, each in enumerate(pictures)
    ]
    records.write_records(folder, rows, {"kind": name}, (1, 0, 0))
    return People(folder, kept=folder / ".cache")


@pytest.mark.parametrize("given", access.LEVELS)
def test_an_attacker_asks_what_can_be_asked_with_so_much(given):
    counts: dict[str, int] = {}
    for each in questions():
        if access.reaches(given, each.access):
            counts[each.threat] = counts.get(each.threat, 0) + 1
    assert counts == ASKABLE[given]


@pytest.mark.parametrize("given", access.LEVELS)
def test_what_needs_more_is_left_out_however_much_was_given(tmp_path, given):
    """The auditor has a model; nothing of what it says may be told of an attacker who has none."""
    inputs = Inputs(tmp_path / ".cache", given=given)
    results = [each for row in threats.CATALOGUE for each in auditing.results_of(row, inputs, QUICK)]
    left = {each.attack for each in results if each.left_out}
    assert left == {each.attack for each in questions() if not access.reaches(given, each.access)}
    assert all(each.missing.startswith("not asked: it needs '--given ") for each in results if each.left_out)


def test_a_weak_attacker_has_no_model_and_no_text_tower(tmp_path):
    encoder, generator = SimpleNamespace(reads_captions=True), SimpleNamespace()
    whole = Inputs(tmp_path, encoder=encoder, generator=generator, independent=generator, given="embeddings")  # type: ignore[arg-type]
    part = whole.limited()
    assert part.generator is part.independent is None and part.references == ()
    assert part.encoder and not part.encoder.reads_captions and encoder.reads_captions
    whole.given = "data"
    assert whole.limited().encoder is None and whole.encoder is encoder
    whole.given = "weights"
    assert whole.limited().encoder is encoder and whole.limited().generator is generator


def test_a_panel_counts_what_its_attacker_can_ask_and_a_law_all(tmp_path):
    """A PASS against somebody who has pictures alone is none against everybody."""
    inputs = Inputs(tmp_path / ".cache", given="data")
    results = [
        each._replace(missing="too few patients")
        if access.reaches("data", each.access)
        else left_out(each, "data")
        for each in questions()
    ]
    made = report.build(inputs, decide(results), QUICK, "privacy audit")
    assert [(panel.key, panel.of) for panel in made.panels] == [("anyone", 1), ("members", 5), ("copies", 2)]
    rows = regulations(made, "en")
    inference = next(row for row in rows if row.law.endswith("inference"))
    assert inference.word == verdict.NOT_TESTABLE and inference.answered == "0 of 18 questions asked"


@pytest.mark.parametrize("given", access.LEVELS)
def test_pages_label_and_terminal_name_the_attacker(tmp_path, given):
    inputs = Inputs(tmp_path / ".cache", given=given)
    results = [left_out(each, given) for each in questions() if not access.reaches(given, each.access)]
    made = report.build(inputs, decide(results), QUICK, "privacy audit")
    english, chinese = access.HOLDS[given]
    for language, words in (("en", english), ("zh", chinese)):
        first = report.html(made, language).partition("</main>")[0]
        assert f"--given {given}" in first and words in first
    assert f"an attacker with: {given}" in " ".join(report.label(made).replace("</", " </").split())
    assert report.summary(made).startswith(f"Attacker assumed (--given {given}): has {english}.")
    if results:
        assert f"{len(results)} questions that need more were not asked" in report.summary(made)
        assert "未提出" in translated(results[0].missing) and "not asked" not in translated(
            results[0].missing
        )


def test_an_earlier_report_was_of_an_attacker_with_weights(tmp_path):
    made = report.build(Inputs(tmp_path / ".cache"), decide(questions()), QUICK, "privacy audit").as_json()
    del made["given"]
    assert AuditReport.model_validate(made).given == "weights"


def test_an_access_that_is_not_known_is_refused(tmp_path):
    result = CliRunner().invoke(app, ["audit", "--given", "logits", "--out", str(tmp_path / "audit")])
    assert result.exit_code == 2
    assert (
        result.stderr == "privacy: --given 'logits': known: data, data+captions, embeddings, api, weights\n"
    )


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """(160,) eyes of nobody, of a hundred and sixty people."""
    return releases.eyes(160, 5)


def test_an_audit_of_the_release_alone_looks_for_repeats_beside_held_out_controls(tmp_path, pictures):
    """Nobody's records of training are needed: eight drawings of one photograph are found, and said to be no proof."""
    again = np.concatenate([releases.altered(np.repeat(pictures[:1], 8, axis=0), 3), pictures[8:80]])
    released(tmp_path / "s", again)
    released(tmp_path / "h", pictures[100:], "h")
    command = [
        "audit",
        "--synthetic",
        tmp_path / "s",
        "--nonmembers",
        tmp_path / "h",
        "--nonmembers-split",
        "train",
    ]
    options = ["--given", "data", "--out", tmp_path / "audit", "--json", "--set", "bootstrap=100"]
    result = CliRunner().invoke(app, list(map(str, [*command, *options])))
    made = json.loads(result.stdout)
    (found,) = [each for each in made["results"] if each["attack"] == repeats.QUESTION.attack]
    assert made["given"] == "data" and result.exit_code == 0
    assert found["verdict"]["word"] == "INCONCLUSIVE" and found["details"]["repeated"] >= 2
    assert "repeat another one" in found["verdict"]["why"]
    other = CliRunner().invoke(app, list(map(str, [*command, "--given", "data+captions", *options[2:]])))
    assert other.exit_code == 2 and "holds another audit (given" in other.stderr


def test_a_release_without_repeats_is_no_alarm_and_no_clearance(pictures):
    found = repeats.evaluate(*repeats.nearest(pictures[:100], pictures[100:], 0))
    assert found.details["repeated"] == 0
    assert decide([found])[0].answer.word == verdict.INCONCLUSIVE and "no alarm" in found.suspected


def test_the_same_picture_twice_is_a_repeat(pictures):
    twice = np.concatenate([pictures[:60], pictures[:60]])
    found = repeats.evaluate(*repeats.nearest(twice, pictures[100:], 0))
    assert found.details["repeated"] > 20


@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize(
    "copied", [{"certain": "1 copy"}, {"checks": (ValidityCheck("twins", True, "2 %"),)}, {"tested": True}]
)
def test_repeats_change_no_panel_and_no_exit_status_where_members_were_given(tmp_path, copied, repeated):
    """An alarm cannot unsay a PASS of copies: that question is an alarm too, and nothing it finds is one."""
    if "tested" in copied:
        nobody = np.zeros(300, bool)
        copied = {"tested": exact_difference(nobody, nobody)}
    near = np.where(repeated, 0.0, 1.0) * np.ones(60)
    found = QUESTION._replace(**copied), repeats.evaluate(near, np.full(40, 0.8))
    made = [report.build(Inputs(tmp_path), decide(each), QUICK, "") for each in (found[:1], found)]
    without, beside = ((each.panels[2].verdict, each.exit_status) for each in made)
    assert without == beside and beside[0] != verdict.PASS
