"""Files that are typed: what earlier versions wrote gives the same bytes, and the importable names of `synth`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import Field

import synth
from synth.base.config import Config, check, load
from synth.base.errors import UserError
from synth.base.runs import announced, append_metrics, write_json
from synth.base.stored import Stored
from synth.model.card import SHIPPED, WEIGHTS, GeneratorCard, read_card
from synth.sampling.plan import Plan

GOLDEN = Path(__file__).parent / "golden" / "plan-1.json"
"""A plan with both filters as visionclip 0.3 wrote it."""


@pytest.mark.parametrize(
    "kind, path",
    [
        (Plan, GOLDEN),
        *((GeneratorCard, WEIGHTS / name / "visionclip.json") for name in ("fundus256", "fundus256-4")),
    ],
    ids=["plan", "generator", "student"],
)
def test_what_is_read_is_written_with_the_same_bytes(kind, path, tmp_path):
    write_json(tmp_path / "again.json", kind.read(path).to_json())
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


def test_a_plan_of_an_earlier_version_keeps_its_name():
    assert Plan.read(GOLDEN).fingerprint == "69e87b88061e3acf8e07d16d2ef482a15337d65296fe48db0ab6e98c71773a83"


def test_a_key_of_a_later_version_is_kept_and_a_later_version_refused():
    values = json.loads(GOLDEN.read_text())
    assert Plan.parse(values | {"new": 1}, "plan.json").to_json()["new"] == 1
    with pytest.raises(UserError, match=r"plan\.json: version 2, this visionclip reads up to 1; update"):
        Plan.parse(values | {"version": 2}, "plan.json")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"n": None}, "plan.json: n=None: input should be a valid integer"),
        ({"mix": [{"weight": "x", "labels": {}}]}, "plan.json: mix.0.weight"),
    ],
)
def test_a_damaged_plan_is_one_line(change, message):
    with pytest.raises(UserError) as caught:
        Plan.parse(json.loads(GOLDEN.read_text()) | change, "plan.json")
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_a_card_without_what_it_needs_is_one_line(tmp_path):
    values = json.loads((SHIPPED / "visionclip.json").read_text())
    write_json(tmp_path / "visionclip.json", {k: v for k, v in values.items() if k != "preprocessing"})
    with pytest.raises(UserError, match=r"visionclip\.json: key 'preprocessing' is missing"):
        read_card(tmp_path)


def test_a_replaced_value_is_checked_and_the_rest_stays_unset():
    class Kept(Stored):
        n: int
        more: int | None = None

    assert Kept(n=1).replaced(n=2).to_json() == {"n": 2}
    with pytest.raises(ValueError, match="valid integer"):
        Kept(n=1).replaced(n="x")


def test_a_key_may_have_another_name_in_files():
    class Settings(Config):
        n_bootstrap: int = Field(default=10, validation_alias="rounds", serialization_alias="rounds")
        more: int = 0

    assert check(Settings, {"rounds": 3}, "x") == check(Settings, {"n_bootstrap": 3}, "x")
    assert check(Settings, {"rounds": 3}, "x").model_dump() == {"rounds": 3, "more": 0}
    with pytest.raises(UserError, match="unknown key 'round'; did you mean 'n_bootstrap'"):
        check(Settings, {"round": 3}, "x")
    with pytest.raises(UserError, match="x: n_bootstrap='a': input should be a valid integer"):
        check(Settings, {"n_bootstrap": "a"}, "x")

    class Outer(Config):
        inner: Settings = Settings.model_validate({"rounds": 5, "more": 7})

    for key in ("rounds", "n_bootstrap"):
        assert check(Outer, {"inner": {key: 3}}, "x").model_dump() == {"inner": {"rounds": 3, "more": 7}}
    assert check(Outer, {"inner": {"more": 1}}, "x").model_dump() == {"inner": {"rounds": 5, "more": 1}}


class _Inner(Config):
    n_bootstrap: int = Field(default=10, validation_alias="rounds", serialization_alias="rounds")


class _Outer(Config):
    inner: _Inner = _Inner()
    n: int = Field(default=1, validation_alias="count", serialization_alias="count")


def test_an_assignment_goes_over_a_file_by_whichever_name(tmp_path, capsys):
    path = tmp_path / "a.yaml"
    for mine, theirs in (("rounds", "n_bootstrap"), ("n_bootstrap", "rounds")):
        path.write_text(f"inner: {{{mine}: 3}}")
        assert load(_Outer, path).inner.n_bootstrap == 3
        assert load(_Outer, path, [f"inner.{theirs}=5"]).inner.n_bootstrap == 5
        assert load(_Outer, path, [f"inner={{{theirs}: 6}}", "count=2"]).model_dump() == {
            "inner": {"rounds": 6},
            "count": 2,
        }
    assert "'count' is called 'n' now" in capsys.readouterr().err


def test_a_setting_given_by_both_of_its_names_is_refused(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("inner: {rounds: 3, n_bootstrap: 4}")
    with pytest.raises(UserError, match=r"a\.yaml: 'n_bootstrap' is given twice, once by an earlier name"):
        load(_Outer, path)
    with pytest.raises(UserError, match="x: one setting has two names among rounds, n_bootstrap"):
        check(_Outer, {"inner": {"rounds": 3, "n_bootstrap": 4}}, "x")


def test_the_importable_names_are_there_and_cost_nothing_before_they_are_asked_for():
    assert all(getattr(synth, name) is not None for name in synth.__all__)
    with pytest.raises(AttributeError, match="module 'synth' has no attribute 'nothing'"):
        _ = synth.nothing
    line = "import sys, synth; sys.exit('torch' in sys.modules or 'pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", line], check=False).returncode == 0


def test_a_training_says_first_where_it_writes_or_that_it_is_done(tmp_path):
    line = announced(tmp_path, "the student", 1000, 100)
    assert (
        line
        == f"{tmp_path}: the student is written there, every 100 images; the same command goes on from there"
    )
    append_metrics(tmp_path / "metrics.jsonl", images=1000)
    assert (
        announced(tmp_path, "x", 1000, 100)
        == f"{tmp_path}: finished, its 1,000 images are seen; nothing to do"
    )
