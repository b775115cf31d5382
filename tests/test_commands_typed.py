"""The three commands as a user types them: default folders, what they will cost, stopping, going on, being done."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import releases
import torch
from generators import untrained
from pictures import folder
from typer.testing import CliRunner

from clip.training import cost as training_cost
from clip.training import step, trainer
from clip.training.config import TrainConfig
from synth.base import speed, stopping
from synth.base.config import load
from synth.base.errors import UserError
from synth.base.runs import read_metrics
from synth.model.card import WEIGHTS
from synth.sampling import cost as sampling_cost
from synth.sampling import plan

TOWERS = """
model:
  image: {layers: [1, 1, 1, 1], width: 8}
  text: {layers: 1, width: 32, heads: 2, feedforward: 64, positions: 64}
  embedding: 32
  preprocessing: {size: 32}
caption: both
loss: multi-positive
batch: 8
warmup: 16
save_every: 32
images: 96
lr: 2e-3
"""
QUICK = "{permutations: 60, bootstrap: 100, untrained_seeds: 1, detection_rounds: 50, folds: 3}"


def invoke(line: str, *more: object) -> Any:
    command, *arguments = line.split()
    return CliRunner().invoke(import_module(f"{command}.commands.app").app, [*arguments, *map(str, more)])


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """An empty folder to type in, with records and the settings of a CLIP that trains in seconds."""
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "records", 60)
    (tmp_path / "towers.yaml").write_text(TOWERS)
    return tmp_path


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "ckpt.pt", weights_only=True)["weights"]


def metrics(run: Path) -> list[dict[str, Any]]:
    lines = read_metrics(run / "metrics.jsonl")
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def test_clip_train_writes_runs_clip_says_so_first_and_is_done_once(home):
    line = "clip train --data records --config towers.yaml"
    result = invoke(line)
    assert (result.exit_code, result.stdout) == (0, "runs/clip/ckpt.pt\n")
    first, second, *more = result.stderr.splitlines()
    third = next(line for line in more if line.startswith("96 images"))
    assert first.startswith("runs/clip: ckpt.pt is written there; ")
    assert second.startswith("records: train 38 pairs of ")
    assert re.match(
        r"96 images, of 32 px from \d+ photographs: less than a minute and about [\d.]+ MB of disk", third
    )
    again = invoke(line)
    assert (again.exit_code, again.stdout) == (0, "runs/clip/ckpt.pt\n")
    assert again.stderr == "runs/clip: finished, its 96 images are seen; nothing to do\n"
    other = invoke(line, "--set", "lr=1")
    assert other.exit_code == 2
    assert other.stderr == (
        "clip: runs/clip: holds another run (config.lr is 0.002 there, 1.0 here); choose another --out or delete the folder\n"
    )


@pytest.mark.parametrize("moment", ["before a step", "in a step"])
@pytest.mark.slow
def test_a_stopped_training_keeps_every_step_and_goes_on_to_the_same_bits(home, monkeypatch, moment):
    """SIGTERM comes when two steps are done; once before the third, once when its forward pass has changed batch norms."""
    line = "clip train --data records --config towers.yaml"
    assert invoke(line, "--out", "whole").exit_code == 0
    name = "_targets" if moment == "before a step" else "_loss"
    plain, calls = getattr(step, name), []

    def stops(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)  # the signal ends this
        return plain(*arguments)

    monkeypatch.setattr(step, name, stops)
    stopped = invoke(line, "--out", "cut")
    monkeypatch.undo()
    monkeypatch.chdir(home)
    assert stopped.exit_code == 128 + signal.SIGTERM
    assert stopped.stderr.splitlines()[-1] == (
        "clip: cut: stopped after 16 of 96 images; ckpt.pt holds what they taught, and the same command goes on from there"
    )
    assert torch.load(home / "cut" / "ckpt.pt", weights_only=True)["images"] == 16
    assert invoke("clip doctor cut/ckpt.pt --data records").exit_code in (0, 3)  # it can be used
    on = invoke(line, "--out", "cut")
    assert on.exit_code == 0 and "80 images more, after 16, of 32 px" in on.stderr
    whole, cut = weights(home / "whole"), weights(home / "cut")
    assert all(torch.equal(whole[key], cut[key]) for key in whole)
    assert metrics(home / "whole") == metrics(home / "cut")


def test_a_training_that_is_stopped_before_its_first_step_says_that_nothing_is_learnt(home, monkeypatch):
    def stops(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(step, "_loss", stops)
    stopped = invoke("clip train --data records --config towers.yaml")
    assert stopped.exit_code == 130
    assert (
        "stopped after 0 of 96 images; ckpt.pt holds the weights that it began with, which know nothing yet"
        in stopped.stderr
    )


def test_a_stop_waits_for_a_block_that_puts_it_off():
    done = []
    with pytest.raises(stopping.Stopped) as stop, stopping.by_signal():
        with stopping.put_off():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("whole")
        done.append("never")
    assert done == ["whole"] and stopping.status(stop.value) == 130
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_a_training_costs_is_told_before_it_and_changes_no_draw(home):
    """The recipe that two cores cannot train, and the one that they can; the random state is left as it was."""
    before = torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"].copy()
    lines = list(training_cost.lines(load(TrainConfig), home / "records", Path("runs/clip")))
    assert (
        torch.equal(torch.get_rng_state(), before[0])
        and (np.random.get_state(legacy=False)["state"]["key"] == before[1]).all()
    )
    assert lines[0].startswith("runs/clip: ")
    (long,) = [line for line in lines if line.startswith("1,000,000 images")]
    assert re.match(
        r"1,000,000 images, of 224 px from \d+ photographs: about [\d.]+ (days|months|years|hours)", long
    )
    assert re.match(
        r"smaller: --config tiny, 100,000 images of 64 px, .* with an --out of its own; or --set",
        lines[lines.index(long) + 1],
    )
    full = load(TrainConfig, Path("visionclip"))
    assert training_cost.counted(full).parameters == pytest.approx(140.8e6, rel=1e-3)
    hours = [
        training_cost.cost(each, each.images, 200).hours for each in (full, load(TrainConfig, Path("tiny")))
    ]
    assert hours[0] > 1000 * hours[1] > 0


def test_counted_operations_are_those_of_the_towers_that_are_trained():
    from clip.model.encoders import build

    config = load(TrainConfig, Path("demo"))
    found, clip = training_cost.counted(config), build(config.model)
    assert found.picture == speed.operations(
        clip.visual, torch.zeros(1, 3, *[config.model.preprocessing.size] * 2)
    )
    assert found.parameters == sum(p.numel() for p in clip.parameters())
    more = load(TrainConfig, Path("eyeclip-tiny"))
    alone = load(TrainConfig, Path("eyeclip-tiny"), ["weights.image_image=0", "weights.reconstruction=0"])
    assert training_cost.cost(more, 1000, 0).hours > 2 * training_cost.cost(alone, 1000, 0).hours


def test_an_estimate_is_near_what_it_takes():
    """A pass of the shipped generator, in time of this thread: within a factor of four, on any machine."""
    from synth import pipeline
    from synth.model.denoiser import add_coordinates

    generator, _ = pipeline.load(WEIGHTS / "fundus256")
    told = torch.zeros(16, generator.unet.config["block_out_channels"][0] * 4)
    noisy = add_coordinates(torch.zeros(16, *generator.shape))
    best = float("inf")
    with torch.inference_mode():
        for _ in range(4):
            start = time.process_time()
            generator.unet(noisy, torch.full((16,), 5), class_labels=told)
            best = min(best, time.process_time() - start)
    expected = speed.measured(1).hours(16 * sampling_cost.forward(WEIGHTS / "fundus256" / "unet")) * 3600
    assert expected / 4 < best < expected * 4


@pytest.mark.parametrize(
    "hours, words",
    [(0.001, "less than a minute"), (1 / 60, "about 1 minute"), (1.5, "about 90 minutes"), (2, "about 2 hours"),
     (72, "about 3 days"), (24 * 90, "about 3 months"), (8760 * 12, "about 12 years")],
)  # fmt: skip
def test_a_time_is_told_in_a_unit_that_people_use(hours, words):
    assert speed.span(hours) == words


def test_a_million_images_are_announced_with_what_takes_less(tmp_path):
    model = WEIGHTS / "fundus256"
    asked = plan.make(model, 1_000_000)
    first, second, third = sampling_cost.lines(asked, model, tmp_path / "synthetic", 1_000_000, 1_000_000)
    assert first.startswith(f"{tmp_path}/synthetic: images of 256 px are written there")
    assert re.match(r"1,000,000 images: about [\d.]+ (hours|days) and about [\d.]+ GB of disk", second)
    assert re.match(
        r"smaller, with an --out of its own: --n 10+, .*; --model fundus256-4, a student of 4 steps, about",
        third,
    )
    halves = list(sampling_cost.lines(asked, model, tmp_path / "synthetic", 400_000, 1_000_000))
    assert halves[1].startswith("400,000 images more, after 600,000: ")


def test_synth_generate_says_where_and_what_and_is_done_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = untrained(tmp_path / "model")
    line = f"synth generate --n 8 --batch 4 --steps 2 --guidance 1 --workers 1 --model {model}"
    result = invoke(line)
    assert result.exit_code == 0 and "shards_written: 4" in result.stdout
    assert result.stderr.splitlines()[0].startswith("synthetic: images of ")
    assert re.match(
        r"8 images: less than a minute and about [\d.]+ MB of disk", result.stderr.splitlines()[1]
    )
    again = invoke(line)
    assert again.stderr == "synthetic: finished, its 8 images are there; nothing to do\n"
    other = invoke(line, "--seed", 1)
    assert other.exit_code == 2 and "synthetic: holds another plan (seed is 0 there, 1 here)" in other.stderr


@pytest.fixture(scope="module")
def audited(tmp_path_factory) -> Path:
    """A folder in which a file ckpt.pt lies, attackers' records, and what an audit of them wrote."""
    home = tmp_path_factory.mktemp("audited")
    releases.encoder(home / "ckpt.pt")
    releases.people(home / "attackers", 60, 1)
    (home / "quick.yaml").write_text(QUICK)
    return home


AUDIT = "privacy audit --model ckpt.pt --attackers attackers --config quick.yaml"


def test_an_audit_has_a_folder_says_what_it_will_do_and_is_done_once(audited, monkeypatch):
    monkeypatch.chdir(audited)
    result = invoke(AUDIT)
    assert result.exit_code == 0 and "report: audit/report.html" in result.stdout
    first, second, third, *_ = result.stderr.splitlines()
    assert first.startswith("audit: report.html and report.json are written there; ")
    assert re.match(
        r"attackers \d+ photographs of 60 patients: \d+ passes of encoders, 0 of generators", second
    )
    passes, photographs = int(second.split()[6].replace(",", "")), int(second.split()[1])
    assert passes == 2 * photographs  # the encoder, and one untrained
    assert re.match(r"less than a minute and about [\d.]+ MB of disk", third)
    written = (audited / "audit" / "report.json").stat().st_mtime_ns
    again = invoke(AUDIT)
    assert again.stderr == "audit: finished, its report is there; nothing to do\n"
    assert (again.exit_code, again.stdout) == (result.exit_code, result.stdout)
    assert (audited / "audit" / "report.json").stat().st_mtime_ns == written


def test_an_audit_of_something_else_is_refused(audited, monkeypatch):
    monkeypatch.chdir(audited)
    assert invoke(AUDIT).exit_code == 0
    other = invoke(AUDIT, "--seed", 1)
    assert other.exit_code == 2
    assert other.stderr == (
        "privacy: audit: holds another audit (config.seed is 0 there, 1 here); choose another --out or delete the folder\n"
    )
    (audited / "mine").mkdir()
    (audited / "mine" / "thesis.txt").touch()
    assert "mine: not empty, and without a audit.json of ours" in invoke(AUDIT, "--out", "mine").stderr


def test_an_audit_that_was_refused_can_be_asked_for_in_other_words(audited, monkeypatch):
    """Its folder is not taken by what came to nothing."""
    monkeypatch.chdir(audited)
    both = "--members attackers --members-split all --nonmembers attackers --nonmembers-split all"
    refused = invoke(f"{AUDIT} --out other {both}")
    assert refused.exit_code == 2 and "are in --members (attackers) too" in refused.stderr
    assert invoke(f"{AUDIT} --out other").exit_code == 0


def test_an_audit_without_attackers_counts_the_phantoms_that_it_draws(tmp_path):
    from privacy import scope
    from privacy.config import AuditConfig
    from privacy.data.inputs import Inputs
    from privacy.targets import open_target

    inputs = Inputs(
        tmp_path / "audit" / ".cache", encoder=open_target(releases.encoder(tmp_path / "ckpt.pt"))
    )
    lines = list(scope.lines(inputs, AuditConfig()))
    assert "attackers 1,200 photographs of about 515 patients, phantoms" in lines[1]
    assert "7,200 passes of encoders" in lines[1]  # the encoder, and five untrained
    assert lines[3].startswith("smaller: --config quick, ")


DRY = [
    "synth train --data nowhere --config odir64 --dry-run",
    "synth distill --model nowhere --data nowhere --dry-run",
    "synth evaluate --data nowhere --real nowhere --dry-run",
    "synth generate --n 100 --dry-run",
    "synth generate --n 100 --dry-run --json",
    "clip train --data nowhere --config tiny --dry-run",
]


@pytest.mark.parametrize("line", DRY)
def test_a_dry_run_prints_json_alone_and_writes_nothing(tmp_path, monkeypatch, line):
    monkeypatch.chdir(tmp_path)
    result = invoke(line)
    assert result.exit_code == 0, result.output
    assert isinstance(json.loads(result.stdout), dict)
    assert not any(tmp_path.iterdir())


def test_a_dry_run_says_its_words_beside_the_json(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "100,000 images, of 64 px from 0 photographs: about" in invoke(DRY[5]).stderr
    assert "100 images in " in invoke(DRY[3]).stderr
    assert "160,000 images, of 64 px: about" in invoke(DRY[0]).stderr


def test_a_dry_run_tells_labels_that_are_to_be_absent(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mix.yaml").write_text(
        "mix:\n- {weight: 2, labels: {is_gc: 0}}\n- {weight: 1, labels: {is_gc: 1, is_pm: 0}}\n- {weight: 1, labels: {}}\n"
    )
    said = invoke("synth generate --n 8 --model fundus256-4 --labels mix.yaml --dry-run").stderr
    for line in ("50.00%  without is_gc", '25.00%  {"is_gc": 1}', "25.00%  every label unknown"):
        assert line in said


def test_every_verb_with_a_dry_run_is_tried_here_or_where_its_hub_is():
    from test_options_twice import COMMANDS, app_of, verbs
    from typer.main import get_command

    found = {
        " ".join([command, *path])
        for command in COMMANDS
        for path, verb in verbs(get_command(app_of(command)))
        if any("--dry-run" in option.opts for option in verb.params)
    }
    assert found == {" ".join(line.split()[:2]) for line in DRY} | {"synth push", "clip push"}


def test_only_the_first_process_says_what_it_will_take(monkeypatch, capsys):
    from synth.base.command import say

    def asked():
        yield "once"

    say(asked())
    monkeypatch.setenv("RANK", "1")
    say(asked())
    assert capsys.readouterr().err == "once\n"


@pytest.mark.parametrize("seconds", [0.5, 4])
@pytest.mark.slow
def test_ctrl_c_while_workers_begin_is_one_line(tmp_path, seconds):
    """As a shell sends it, to every process of the group: those that draw, and the server that they are forked from."""
    command = [sys.executable, "-m", "synth", "generate", "--n", "1000000", "--workers", "2"]
    work = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert work.stderr
    said = ""
    while "smaller" not in said:  # the last line before work begins
        said = work.stderr.readline()
        assert said
    time.sleep(seconds)
    os.killpg(work.pid, signal.SIGINT)
    left = work.communicate()[1]
    assert work.returncode == 130 and "Traceback" not in left
    assert f"synth: {stopping.WORDS}" in left


@pytest.mark.slow
def test_ctrl_c_in_any_verb_is_one_line(tmp_path):
    """A real process, a real signal: no traceback, and the status that shells know."""
    code = (
        "import os, signal, threading; from clip.commands.app import app; from clip.evaluation import diagnostics\n"
        "diagnostics.checkup = lambda *_: (os.kill(os.getpid(), signal.SIGINT), __import__('time').sleep(60))\n"
        "app(['doctor', 'x'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (130, f"clip: {stopping.WORDS}\n")


def test_a_training_whose_loss_is_no_number_keeps_nothing_when_it_is_stopped(home, monkeypatch):
    plain, calls = step._loss, []

    def diverges(*arguments: Any) -> Any:
        value, named = plain(*arguments)
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return value, {name: loss * float("nan") for name, loss in named.items()}

    monkeypatch.setattr(step, "_loss", diverges)
    with pytest.raises(UserError, match="the loss is nan at 8 images"):
        trainer.train(load(TrainConfig, Path("towers.yaml")), home / "records", home / "run")
    assert not (home / "run" / "ckpt.pt").exists()
