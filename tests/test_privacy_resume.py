"""An audit that is killed again and again ends as one that was left alone, and does nothing twice."""

import json
from pathlib import Path
from typing import Any

import pytest
import releases
import yaml
from killing import Work, kill_often

from privacy.config import AuditConfig
from privacy.data.inputs import Inputs

PATIENTS = {"attackers": 60, "members": 24, "nonmembers": 24}
KILLS = 3
FEWER: dict[str, Any] = dict(folds=3, bootstrap=100, untrained_seeds=1, copies_steps=10)
QUICK = AuditConfig(**(releases.QUICK | releases.COMPLETED | FEWER))


def audited(arguments: list[str], passes: Path, started: Path) -> None:
    """`privacy audit`, in a process of its own, which notes every pass over photographs that it has finished."""
    from privacy.commands.app import app

    once = Inputs.once

    def noted(inputs: Inputs, key: Any, make: Any) -> Any:
        done = []
        found = once(inputs, key, lambda: (done.append(key), make())[1])
        if done:
            with passes.open("a", encoding="utf-8") as file:
                print(json.dumps(list(key)), file=file)
        return found

    Inputs.once = noted  # type: ignore[method-assign]
    started.touch()
    app(["audit", *arguments], standalone_mode=False)


def inputs(root: Path) -> list[str]:
    """The options of an audit of everything, whose models were never trained."""
    people = {
        group: releases.people(root / group, count, seed)
        for seed, (group, count) in enumerate(PATIENTS.items(), 1)
    }
    pictures = people["attackers"].photographs(releases.SMALL)[:40]
    given: dict[str, Path] = {group: each.folder for group, each in people.items()}
    given["synthetic"] = releases.released(root / "synthetic", pictures).folder
    given["model"] = releases.encoder(root / "ckpt.pt")
    given["generator"] = releases.generator(root / "generator", None, 0)
    given["independent"] = releases.generator(root / "independent", None, 0, seed=1)
    given["config"] = root / "config.yaml"
    given["config"].write_text(yaml.safe_dump(json.loads(QUICK.model_dump_json(exclude_unset=True))))
    options = [part for option, path in given.items() for part in (f"--{option}", str(path))]
    return [*options, "--members-split", "all", "--nonmembers-split", "all"]


@pytest.mark.slow
def test_a_killed_audit_ends_as_one_that_was_not_and_repeats_no_finished_pass(tmp_path):
    arguments = inputs(tmp_path)
    runs, passes, seconds = {}, {}, 0.0
    for name in ("whole", "killed"):
        out, noted, started = (tmp_path / f"{name}{suffix}" for suffix in ("", ".passes", ".started"))
        work = Work(audited, ([*arguments, "--out", str(out)], noted, started), started)
        if name == "whole":
            seconds = work.finish()
        else:
            kill_often(work, seconds, KILLS)
        runs[name] = json.loads((out / "report.json").read_text())
        passes[name] = noted.read_text().splitlines()
        assert not (out / ".cache").exists()
    for made in runs.values():
        for key in ("finished", "command"):
            del made[key]
    assert runs["killed"] == runs["whole"]
    assert len(passes["whole"]) > 20
    assert sorted(passes["killed"]) == sorted(passes["whole"])
    assert len(set(passes["whole"])) == len(passes["whole"])
