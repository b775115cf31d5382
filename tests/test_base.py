"""The plumbing: settings, runs, checkpoints, intervals."""

import os
import pickle
import socket
import subprocess
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
import torch
from pydantic import PositiveInt, model_validator
from typer.testing import CliRunner

from synth.base import checkpoint, config, runs, stats
from synth.base.command import command
from synth.base.config import Config
from synth.base.errors import UserError


class Inner(Config):
    """A section."""

    images: PositiveInt = 64
    """Stop after this many."""
    lr: float = 2e-4
    """Of the optimiser."""


class Outer(Config):
    """What a command is given."""

    train: Inner = Inner()
    """How to train."""
    batch: PositiveInt = 8
    """Images per step."""
    micro_batch: PositiveInt = 8
    """Images per pass."""

    @model_validator(mode="after")
    def batches_divide(self) -> Self:
        if self.batch % self.micro_batch:
            raise ValueError(f"batch={self.batch} must be a multiple of micro_batch={self.micro_batch}")
        return self


def refused(*arguments: Any) -> str:
    with pytest.raises(UserError) as caught:
        config.load(*arguments)
    return str(caught.value)


def test_a_file_holds_only_what_differs(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text("train:\n  images: 5\n")
    assert config.load(Outer, path, ["batch=16", "train.lr=1e-3"]) == Outer(
        train=Inner(images=5, lr=1e-3), batch=16
    )


@pytest.mark.parametrize(
    "text, line",
    [
        ("image: 5\n", "unknown key 'image'; known: batch, micro_batch, train"),
        ("bach: 5\n", "unknown key 'bach'; did you mean 'batch'?"),
        ("train: {image: 5}\n", "unknown key 'train.image'; did you mean 'images'?"),
        ("train: {images: 0}\n", "train.images=0: input should be greater than 0"),
        ("batch: 9\n", "batch=9 must be a multiple of micro_batch=8"),
        ("- 1\n", "holds a list, not settings; write 'key: value' lines"),
    ],
)
def test_a_wrong_setting_is_named_with_its_remedy(tmp_path, text, line):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    assert refused(Outer, path) == f"{path}: {line}"


def test_a_missing_or_unreadable_file_is_named(tmp_path):
    assert refused(Outer, tmp_path / "none.yaml") == f"{tmp_path}/none.yaml: no such file"
    (tmp_path / "odd.yaml").write_text("a: [1\n")
    assert refused(Outer, tmp_path / "odd.yaml").startswith(f"{tmp_path}/odd.yaml: not YAML (")


@pytest.mark.parametrize(
    "assignment, line",
    [
        ("batch", "--set 'batch': write it as key=value"),
        ("batch.size=3", "--set: batch={'size': 3}: input should be a valid integer"),
        ("train.imges=3", "--set: unknown key 'train.imges'; did you mean 'images'?"),
    ],
)
def test_a_wrong_assignment_is_named(assignment, line):
    assert refused(Outer, None, [assignment]) == line


def test_a_fingerprint_ignores_the_order_of_keys():
    assert config.fingerprint({"a": 1, "b": 2}) == config.fingerprint({"b": 2, "a": 1})
    assert config.fingerprint({"a": 1}) != config.fingerprint({"a": 2})


def test_a_user_error_is_one_line_and_status_2(tmp_path):
    app = command("synth", "Make photographs.")

    @app.command()
    def train(path: Path) -> None:
        config.load(Outer, path)

    @app.command()
    def evaluate() -> None:
        raise UserError("nothing to judge; give --data")

    path = tmp_path / "bad.yaml"
    path.write_text("bach: 5\n")
    result = CliRunner().invoke(app, ["train", str(path)])
    assert result.exit_code == 2
    assert result.stderr == f"synth: {path}: unknown key 'bach'; did you mean 'batch'?\n"
    result = CliRunner().invoke(app, ["evaluate"])
    assert result.exit_code == 2
    assert result.stderr == "synth: nothing to judge; give --data\n"


def test_our_own_bug_keeps_its_traceback():
    app = command("synth", "Make photographs.")

    @app.command()
    def broken() -> None:
        raise ZeroDivisionError

    @app.command()
    def other() -> None: ...

    result = CliRunner().invoke(app, ["broken"])
    assert result.exit_code == 1
    assert isinstance(result.exception, ZeroDivisionError)


def test_a_write_cut_short_leaves_the_old_file(tmp_path):
    path = tmp_path / "weights"
    runs.write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), runs.atomic(path) as temporary:
        temporary.write_text("ne")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_is_removed_by_the_next_and_what_a_live_one_writes_is_not(tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    host, alive = socket.gethostname(), os.getppid()
    left = {name: tmp_path / f".{name}.tmp" for name in
            (f"x.json.{host}-{dead.pid}", f"x.json.{host}-{alive}", f"y.json.{host}-{dead.pid}",
             "x.json.elsewhere-5", "x.json.elsewhere-6")}  # fmt: skip
    for path in left.values():
        path.write_text("half")
    os.utime(left["x.json.elsewhere-6"], (0, 0))
    runs.write_json(tmp_path / "x.json", {"a": 1})
    assert {name for name, path in left.items() if not path.exists()} == {
        f"x.json.{host}-{dead.pid}",
        "x.json.elsewhere-6",
    }


def test_a_file_where_a_folder_is_needed_is_named(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(UserError, match="a file stands where a folder is needed; choose another --out"):
        runs.write_text(tmp_path / "run" / "metrics.json", "{}")


def test_damaged_json_is_named(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text('{"n": ')
    with pytest.raises(UserError, match=r"plan\.json: damaged JSON; delete it and repeat"):
        runs.read_json(path)


def test_metrics_forget_what_a_killed_run_will_repeat(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for images in (8, 16, 24):
        runs.append_metrics(path, images=images, loss=1.0)
    with open(path, "a") as file:
        file.write('{"images": 32, "lo')
    runs.rewind_metrics(path, 16)
    assert [row["images"] for row in runs.read_metrics(path)] == [8, 16]


class Bomb:
    """Unpickling this creates a file: what a hostile checkpoint would do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_that_would_run_code_is_refused_unexecuted(tmp_path, zipped):
    path, proof = tmp_path / "ckpt.pt", tmp_path / "proof"
    if zipped:
        torch.save({"format": "clip", "weights": Bomb(proof)}, path)
    else:
        path.write_bytes(pickle.dumps(Bomb(proof), protocol=2))
    with pytest.raises(UserError) as caught:
        checkpoint.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert not proof.exists()


@pytest.mark.parametrize("damage", ["empty", "cut", "text"])
def test_a_damaged_checkpoint_is_one_clear_line(tmp_path, damage):
    path = tmp_path / "ckpt.pt"
    checkpoint.save(path, {"weights": torch.zeros(1000)})
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "text": b"hello, world"}[damage])
    with pytest.raises(UserError) as caught:
        checkpoint.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_checkpoint_keeps_every_bit(tmp_path):
    weights = torch.randn(7, generator=torch.Generator().manual_seed(0))
    checkpoint.save(tmp_path / "a.pt", {**checkpoint.header("clip", 1, seed=3), "weights": weights})
    found: dict[str, Any] = checkpoint.check_header(
        tmp_path / "a.pt", checkpoint.load(tmp_path / "a.pt"), "clip", 1
    )
    assert torch.equal(found["weights"], weights)
    assert found["seed"] == 3


@pytest.mark.parametrize(
    "found, line",
    [
        ([1], "not a clip checkpoint; it carries no format name"),
        ({"format": "synth"}, "a 'synth' checkpoint, where 'clip' is needed"),
        ({"format": "clip", "version": 2}, "clip version 2, this visionclip reads up to 1"),
    ],
)
def test_a_foreign_checkpoint_is_named(found, line):
    with pytest.raises(UserError) as caught:
        checkpoint.check_header(Path("a.pt"), found, "clip", 1)
    assert str(caught.value).startswith(f"a.pt: {line}")


@pytest.mark.parametrize(
    "hits, trials, expected",
    [(0, 10, (0, 0.2775)), (10, 10, (0.7225, 1)), (5, 10, (0.2366, 0.7634))],
)
def test_wilson_matches_the_closed_form(hits, trials, expected):
    assert stats.wilson(hits, trials) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("hits, trials", [(0, 0), (3, 2), (-1, 5)])
def test_wilson_refuses_what_is_no_rate(hits, trials):
    with pytest.raises(UserError, match="is no rate"):
        stats.wilson(hits, trials)


def test_the_bootstrap_draws_as_many_patients_as_there_are():
    drawn = stats.draws(7, n_bootstrap=50, seed=0)
    assert drawn.shape == (51, 7)
    assert (drawn[0] == 1).all()
    assert (drawn.sum(axis=1) == 7).all()
    assert (drawn[1:] > 1).any() and (drawn[1:] == 0).any()


def test_an_interval_is_that_of_samples_with_every_row_of_a_patient_repeated():
    """By brute force: a patient drawn twice brings all of his or her rows twice."""
    values = np.random.default_rng(0).normal(size=12)
    whose = np.array([0, 0, 1, 2, 2, 2, 3, 4, 4, 5, 6, 6])
    drawn = stats.draws(7, n_bootstrap=60, seed=1)
    found = stats.over(drawn, whose, lambda weights: weights @ values / weights.sum(axis=1))
    brute = [np.mean(np.repeat(values, each[whose].astype(int))) for each in drawn]
    assert found == pytest.approx(brute)
    low, high = np.quantile(brute[1:], [0.025, 0.975])
    assert stats.estimate(found, 7) == pytest.approx((values.mean(), low, high, 7))


def test_repeated_photographs_of_a_patient_narrow_nothing():
    """Ten copies of each row add no patient, so the interval stays."""
    values = np.random.default_rng(0).normal(size=40)
    drawn = stats.draws(40, n_bootstrap=200, seed=0)

    def interval(whose):
        shown = values[whose]
        return stats.estimate(stats.over(drawn, whose, lambda w: w @ shown / w.sum(axis=1)), 40)

    assert interval(np.repeat(np.arange(40), 10)) == pytest.approx(interval(np.arange(40)))


def test_the_bootstrap_leaves_out_what_cannot_be_judged():
    values = np.array([1.0, np.nan, 1.0, 1.0])
    assert stats.estimate(values, 2) == (1.0, 1.0, 1.0, 2)


def test_one_of_a_thing_is_said_in_the_singular():
    from synth.base.words import number_of

    assert number_of(1, "caption", "is") == "1 caption is" and number_of(0, "picture") == "0 pictures"
    assert number_of(2000, "person", "has") == "2,000 people have" and number_of(3, "copy") == "3 copies"
