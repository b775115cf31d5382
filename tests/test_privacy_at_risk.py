"""The list of patients whom attacks name: off by default, for its owner alone, and nowhere but in its file."""

import csv
import os
from pathlib import Path

import numpy as np

from privacy.auditing import run
from privacy.config import AuditConfig
from privacy.data.inputs import Inputs, People
from privacy.decisions import at_risk
from privacy.decisions.results import AUC, Result
from synth.data import images, records


def listed(folder: Path) -> list[dict[str, str]]:
    with open(folder / at_risk.NAME, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_it_is_off_by_default():
    assert not AuditConfig().at_risk


def test_one_stranger_in_a_hundred_would_be_named():
    rng = np.random.default_rng(0)
    named = [at_risk.beyond(rng.normal(size=500), rng.normal(size=1000)).mean() for _ in range(50)]
    assert 0.006 < np.mean(named) < 0.014
    assert at_risk.beyond(np.array([9.0]), rng.normal(size=100)).all()
    assert not at_risk.beyond(np.array([9.0]), rng.normal(size=99)).any()


def test_who_is_named_most_comes_first_and_only_the_owner_reads_it(tmp_path):
    results = [
        Result("T3", "by nearness", "members", AUC, named=("a,b", "c")),
        Result("T4", "copies", "copies", AUC, named=("c",)),
        Result("T8", "linkage", "members", AUC),
    ]
    before = os.umask(0)
    try:
        path = at_risk.write(tmp_path, results)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert listed(tmp_path) == [
        {"subject_id": "c", "attacks": "2", "named_by": "T3 by nearness; T4 copies"},
        {"subject_id": "a,b", "attacks": "1", "named_by": "T3 by nearness"},
    ]
    at_risk.write(tmp_path, [])
    assert listed(tmp_path) == [] and [each.name for each in tmp_path.iterdir()] == [at_risk.NAME]


def group(folder: Path, pictures: np.ndarray) -> People:
    rows = (
        records.row(id=f"{folder.name}-{n:03d}", subject_id=f"{folder.name}-{n:03d}", source="test",
                    image={"bytes": images.encode(picture), "path": None})
        for n, picture in enumerate(pictures)
    )  # fmt: skip
    records.write_records(folder, rows, {"source": folder.name}, shares=(1, 0, 0))
    return People(folder, kept=folder.parent / "kept")


def test_who_was_copied_is_on_the_list_and_in_no_report(tmp_path):
    rng = np.random.default_rng(1)
    pictures = rng.normal(120, 40, (60, 8, 8, 3)).repeat(4, 1).repeat(4, 2).clip(0, 255).astype(np.uint8)
    config = AuditConfig(
        at_risk=True, bootstrap=100, detection_rounds=50, copies_permutations=999, copies_steps=20
    )
    out = tmp_path / "report"
    given = Inputs(
        out / ".cache",
        synthetic=group(tmp_path / "synthetic", np.concatenate([pictures[:4], pictures[48:]])),
        members=group(tmp_path / "members", pictures[:24]),
        nonmembers=group(tmp_path / "nonmembers", pictures[24:48]),
        attributes=["sex"],
    )
    run(given, config, "privacy audit")
    named = {row["subject_id"]: row["named_by"] for row in listed(out)}
    copied = [f"members-{n:03d}" for n in range(4)]
    assert set(copied) <= named.keys() and all("T4 copies" in named[subject] for subject in copied)
    assert (out / at_risk.NAME).stat().st_mode & 0o777 == 0o600
    told = {name: (out / name).read_text() for name in ("report.json", "report.html", "report.zh.html")}
    assert not any("members-0" in text for text in told.values())
    assert at_risk.NAME in told["report.html"] and at_risk.NAME in told["report.zh.html"]
