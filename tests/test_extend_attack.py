"""An attack more is one module and one row of the catalogue: settings, report and both pages follow."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import releases
from pydantic import Field, ValidationError

from privacy import audit, threats
from privacy.attack_config import AttackConfig
from privacy.config import AuditConfig, audit_config
from privacy.data.inputs import Inputs
from privacy.decisions.results import DIFFERENCE, Result
from privacy.statistics import inference
from privacy.threats import Threat

QUESTION = Result("T10", "names whispered by a generator", "members", DIFFERENCE)


class WhisperConfig(AttackConfig):
    """How often one listens."""

    whisper_nights: int = Field(default=3, ge=1)
    """So many."""


def whisper(inputs: Inputs, config: AttackConfig) -> list[Result]:
    """Find that one member in so many is named, and nobody else is."""
    assert inputs.members and isinstance(config, WhisperConfig)
    hits, trials = inputs.members.cohort.patients, config.whisper_nights * inputs.members.cohort.patients
    counted = inference.share(hits, trials)
    return [
        QUESTION._replace(tested=inference.Tested(counted, 1e-9), details={"nights": config.whisper_nights})
    ]


class Whispers(NamedTuple):
    """What a module of `privacy.attacks` has."""

    NEEDS: Sequence[str] = ("members",)
    QUESTIONS: Sequence[Result] = (QUESTION,)
    CONFIG: type[AttackConfig] = WhisperConfig

    @property
    def attack(self):
        return whisper


@pytest.fixture
def row(monkeypatch) -> Threat:
    added = Threat("T10", "whispers", "低语", (threats.QUERIES,), (threats.STATE_IT,), Whispers)
    monkeypatch.setattr(threats, "CATALOGUE", (*threats.CATALOGUE, added))
    return added


QUICK = {
    "bootstrap": 100,
    "permutations": 60,
    "detection_rounds": 50,
    "copies_steps": 1,
    "copies_permutations": 999,
}


def audited(folder: Path, synthetic: Path, members: Path | None = None) -> Path:
    config = audit_config().model_validate({**QUICK, "whisper_nights": 2})
    made = audit(folder / "audit", synthetic=synthetic, members=members, config=config)
    assert made.as_json() == json.loads((folder / "audit" / "report.json").read_text())
    return folder / "audit"


def test_an_attack_in_the_catalogue_is_in_the_report_and_on_both_pages(row, tmp_path):
    people = releases.people(tmp_path / "members", 24, 1)
    released = releases.released(tmp_path / "synthetic", people.photographs(releases.SMALL)[:4])
    out = audited(tmp_path, synthetic=released.folder, members=people.folder)
    report = json.loads((out / "report.json").read_text())
    [found] = [each for each in report["results"] if each["threat"] == "T10"]
    assert found["attack"] == QUESTION.attack and found["details"] == {"nights": 2}
    assert found["verdict"]["word"] == "FAIL" and report["exit_status"] == 3
    assert report["config"]["whisper_nights"] == 2
    english, chinese = ((out / name).read_text() for name in ("report.html", "report.zh.html"))
    assert f"T10 {QUESTION.attack}" in english and f"T10 低语：{QUESTION.attack}" in chinese
    for page in (english, chinese):
        assert (
            "T10" in page.partition(threats.QUERIES.name if page is english else threats.QUERIES.name_zh)[2]
        )


def test_what_it_needs_is_named_where_it_is_missing(row, tmp_path):
    released = releases.released(tmp_path / "synthetic", releases.eyes(4, 0))
    report = json.loads((audited(tmp_path, synthetic=released.folder) / "report.json").read_text())
    [found] = [each for each in report["results"] if each["threat"] == "T10"]
    assert found["verdict"]["word"] == "NOT TESTABLE" and "--members" in found["verdict"]["why"]


def test_its_settings_are_among_those_of_an_audit_and_no_others(row):
    kind = audit_config()
    assert issubclass(kind, AuditConfig) and issubclass(kind, WhisperConfig)
    assert set(kind.model_fields) - set(AuditConfig.model_fields) == {"whisper_nights"}
    with pytest.raises(ValidationError, match="whisper_nights"):
        kind.model_validate({"whisper_nights": 0})
    assert "whisper_nights" not in AuditConfig.model_fields


def test_without_it_the_settings_are_those_that_ship():
    assert audit_config() is AuditConfig
