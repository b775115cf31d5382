"""Training with differential privacy: the gradients are each patient's own, the sums are right, nothing else leaks."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from generators import tiny
from killing import Work, kill_often
from opacus.accountants import PRVAccountant
from opacus.optimizers import DPOptimizer
from pictures import folder, rows
from typer.testing import CliRunner

from synth import pipeline
from synth.base import checkpoint
from synth.base.errors import UserError
from synth.base.runs import read_json, read_metrics, sha256
from synth.commands.app import app
from synth.data.records import write_records
from synth.diffusion.losses import channel_weights, loss
from synth.diffusion.process import VPrediction
from synth.model.denoiser import Denoiser
from synth.model.labels import current
from synth.model.wavelet import WaveletSpace
from synth.training import dp_budget, dp_gradients, dp_sampling
from synth.training import dp_trainer as private
from synth.training.examples import Examples
from synth.training.trainer import train

pytestmark = pytest.mark.slow

TINY = tiny(images=96, batch=8, micro_batch=4, dp=dp_budget.DpConfig(epsilon=8, draws=2))
SET = ["batch=8", "micro_batch=4", "sheet=0", "dp.draws=2"]
SET += ["preprocessing.size=16", "network.channels=[16,32]", "network.attention_from=1"]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("records"), 60)


@pytest.fixture(scope="module")
def run(records, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "tiny"
    train(TINY, [records], out)
    return out


def invoke(*arguments: object):
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.mark.parametrize("weights", [{}, {"snr_floor": 1.0, "channel_power": 0.5}], ids=["plain", "weighted"])
def test_each_patients_gradient_is_what_their_photograph_alone_gives(records, tmp_path, weights):
    """Opacus against one backward pass per patient, over the whole denoiser, in both layouts of memory."""
    examples = Examples([records], TINY.preprocessing, tmp_path, 0, 0, current())
    space, config = WaveletSpace(1), TINY.model_copy(update=weights)
    space.deviation.copy_(torch.linspace(2, 0.1, 12))
    more: dict[str, Any] = {
        "floor": config.snr_floor,
        "channels": channel_weights(space.scales, config.channel_power),
    }
    drawn, when, draws = [(0, 3), (5, 11), (7, 1)], (1234, 6), range(1, 3)
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        denoiser = Denoiser(TINY.network, 16).to(memory_format=layout)  # type: ignore[call-overload]
        network = dp_gradients.per_sample(denoiser)
        private.take_gradients(network, space, examples, drawn, config, when)
        found: dict = {name: p.grad_sample for name, p in denoiser.named_parameters()}  # type: ignore[attr-defined]
        for place, (patient, row) in enumerate(drawn):
            alone = Denoiser(TINY.network, 16)
            alone.load_state_dict(denoiser.state_dict())
            chances = [dp_gradients.randomness(*when, patient, draw) for draw in draws]
            images, *others = examples.shown(np.full(2, row), chances, alone.shape, True, 0.15).on(
                torch.device("cpu")
            )
            codes, noise, time = others
            loss(alone, VPrediction(), space.encode(images), noise, time, codes, **more).backward()
            for name, p in alone.named_parameters():
                assert torch.allclose(found[name][place], p.grad, atol=1e-6), name  # type: ignore[arg-type]


def test_a_step_is_the_clipped_sum_and_the_noise_over_the_batch():
    """One weight, three patients: gradients 3, -0.5 and 1, clipped to 1."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = dp_gradients.NoisyOptimizer(
        torch.optim.SGD([weight], lr=1.0), noise_multiplier=2.0, max_grad_norm=1.0, expected_batch_size=4
    )
    assert isinstance(optimizer, DPOptimizer)
    for values, last in (([3.0, -0.5], False), ([1.0], True)):
        weight.grad_sample = torch.tensor(values)[:, None]  # type: ignore[attr-defined]
        optimizer.chance = dp_gradients.randomness(7, 0, draw=1)
        optimizer.signal_skip_step(not last)
        optimizer.step()
        optimizer.zero_grad()
    noise = 2.0 * dp_gradients.randomness(7, 0, draw=1).standard_normal((4, 1)).sum() / 2
    assert float(weight.detach()) == pytest.approx(-(1 - 0.5 + 1 + noise) / 4, abs=1e-5)


def test_the_noise_has_the_deviation_that_is_accounted_for():
    weight = torch.nn.Parameter(torch.zeros(100_000))
    optimizer = dp_gradients.NoisyOptimizer(
        torch.optim.SGD([weight], lr=1.0), noise_multiplier=1.5, max_grad_norm=0.2, expected_batch_size=1
    )
    weight.grad_sample = torch.zeros(0, 100_000)  # type: ignore[attr-defined]
    optimizer.chance = dp_gradients.randomness(1, 1, draw=1)
    optimizer.step()
    assert float(weight.detach().std()) == pytest.approx(1.5 * 0.2, rel=0.01)


def test_patients_are_drawn_at_the_rate_that_is_accounted_for():
    rows_of = [np.array([2 * i, 2 * i + 1]) for i in range(500)]
    drawn = [dp_sampling.poisson_sample(rows_of, 0.1, 99, step) for step in range(100)]
    assert np.mean([len(d) for d in drawn]) == pytest.approx(50, abs=3)
    assert len({len(d) for d in drawn}) > 10  # a Poisson sample has no fixed size
    assert all(row in rows_of[patient] for d in drawn for patient, row in d)
    assert np.mean([row % 2 for d in drawn for _, row in d]) == pytest.approx(0.5, abs=0.05)


def test_no_patients_draw_hangs_on_another_patients_presence():
    """Else one patient's absence would change everybody's gradient, and clipping would not bound it."""
    rows_of = [np.array([i, i + 100]) for i in range(100)]
    whole = dict(dp_sampling.poisson_sample(rows_of, 0.3, 5, 1))
    absent = next(iter(whole))
    assert (
        dp_gradients.randomness(5, 1, absent).random() != dp_gradients.randomness(5, 1, absent + 1).random()
    )
    chosen = {
        patient: int(dp_gradients.randomness(5, 1, patient).choice(rows_of[patient])) for patient in whole
    }
    assert chosen == whole


def guarantee(run: Path) -> dict[str, Any]:
    """What the generator of a run says of its privacy."""
    told = pipeline.read_card(run / "model").differential_privacy
    assert told
    return told.to_json()


def test_the_epsilon_of_the_checkpoint_is_that_of_a_straight_computation(run, records):
    told = guarantee(run)
    assert told["steps"] == told["steps_planned"] == 12
    assert told["patients"] == len(dp_sampling.rows_by_patient([records]))
    assert told["sampling_rate"] == 8 / told["patients"] and told["delta"] == 0.1 / told["patients"]
    accountant = PRVAccountant()
    for _ in range(12):
        accountant.step(noise_multiplier=told["noise_multiplier"], sample_rate=told["sampling_rate"])
    assert told["epsilon"] == pytest.approx(accountant.get_epsilon(told["delta"]))
    assert 7.9 < told["epsilon"] <= 8
    saved = checkpoint.load(run / "state.pt")
    assert saved["differential_privacy"] == told
    assert saved["accountant"]["history"] == [(told["noise_multiplier"], told["sampling_rate"], 12)]
    assert read_json(run / "config.json")["mechanism"]["noise_multiplier"] == told["noise_multiplier"]


@pytest.mark.parametrize("noise_multiplier, rate, steps", [(0.9, 0.032, 1000), (5.39, 0.01, 20_000)])
def test_another_library_finds_the_same_epsilon(noise_multiplier, rate, steps):
    """Google's privacy loss distributions against Microsoft's privacy random variables in Opacus."""
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
    from dp_accounting.pld import PLDAccountant

    ours, theirs = PRVAccountant(), PLDAccountant(value_discretization_interval=1e-3)
    ours.history = [(noise_multiplier, rate, steps)]
    theirs.compose(PoissonSampledDpEvent(rate, GaussianDpEvent(noise_multiplier)), steps)
    assert dp_budget.spent(ours.history, 1e-5) == pytest.approx(theirs.get_epsilon(1e-5), rel=0.02)


def test_nothing_measured_on_photographs_stands_in_the_models_folder(run, records, tmp_path):
    """Bands, mix and facts are the same after training on other photographs of as many patients.

    The card's checksums say nothing but what the weights that it lies beside are, which are private themselves.
    """
    others = [record | {"image": rows(60, seed=9)[place]["image"]} for place, record in enumerate(rows(60))]
    write_records(tmp_path / "others", others, {"kind": "others"}, (8, 1, 1))
    other = tmp_path / "other"
    train(TINY, [tmp_path / "others"], other)
    for part in ("mix.json", "space/diffusion_pytorch_model.safetensors"):
        assert sha256(other / "model" / part) == sha256(run / "model" / part), part
    cards = [read_json(each / "model" / "visionclip.json") for each in (run, other)]
    for each, card in zip((run, other), cards, strict=True):
        sums = card.pop("files")
        assert sums and all(sha256(each / "model" / name) == told for name, told in sums.items())
    assert cards[0] == cards[1]
    assert pipeline.read_card(run / "model").data is None
    assert read_json(other / "config.json")["data"] != read_json(run / "config.json")["data"]


def test_the_secret_is_another_for_each_run_and_not_in_the_models_folder(run, records, tmp_path):
    train(TINY, [records], tmp_path / "again")
    secrets = [checkpoint.load(folder / "state.pt")["secret"] for folder in (run, tmp_path / "again")]
    assert secrets[0] != secrets[1] and len(secrets[0]) == 32
    kept = b"".join(p.read_bytes() for p in (run / "model").rglob("*") if p.is_file())
    assert secrets[0].encode() not in kept


def command(arguments: list[str]) -> None:
    """The command `synth`, in this process."""
    app(arguments)


def test_only_its_owner_can_read_the_file_that_holds_the_secret(run):
    assert (run / "state.pt").stat().st_mode & 0o777 == 0o600
    assert (run / "config.json").stat().st_mode & 0o044  # the umask of this machine would let others read


def test_private_training_killed_at_random_moments_ends_with_the_same_weights_and_epsilon(records, tmp_path):
    def work(out: Path) -> Work:
        settings = [*SET, "images=120", "save_every=40"]
        flags = [part for assignment in settings for part in ("--set", assignment)]
        arguments = ["train", "--data", str(records), "--out", str(out), "--dp-epsilon", "8", *flags]
        return Work(command, (arguments,), out / "state.pt")

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = work(whole).begin()
    process.kill()
    process.join()
    shutil.copytree(whole, killed)  # the secret with it
    kill_often(work(killed), work(whole).finish(), kills=3)
    assert sha256(killed / "state.pt") == sha256(whole / "state.pt")
    assert read_metrics(killed / "metrics.jsonl") == read_metrics(whole / "metrics.jsonl")
    told = [guarantee(folder) for folder in (whole, killed)]
    assert told[0] == told[1] and told[0]["steps"] == 15 and told[0]["epsilon"] <= 8


def test_a_finished_run_cannot_be_trained_past_its_budget(run, records):
    with pytest.raises(UserError, match=r"another budget \(config\.images is 96 there, 192 here\)"):
        train(TINY.model_copy(update={"images": 192}), [records], run)
    looser = TINY.model_copy(update={"dp": dp_budget.DpConfig(epsilon=20, draws=2)})
    with pytest.raises(UserError, match=r"another budget \(config\.dp\.epsilon is 8\.0 there, 20\.0 here\)"):
        train(looser, [records], run)
    with pytest.raises(UserError, match=r"another run"):
        train(TINY.model_copy(update={"dp": None}), [records], run)


def test_another_noise_in_the_settings_of_a_run_is_seen(run, records, tmp_path):
    path = shutil.copytree(run, tmp_path / "run") / "config.json"
    settings = read_json(path)
    settings["mechanism"]["noise_multiplier"] /= 10
    path.write_text(json.dumps(settings))
    with pytest.raises(UserError, match=f"{path}: damaged, its sha256 is not that of config.json.sha256"):
        train(TINY, [records], tmp_path / "run")


def test_a_refused_run_keeps_the_checksum_of_its_settings(run, records, tmp_path):
    path = shutil.copytree(run, tmp_path / "run") / "config.json"
    with pytest.raises(UserError, match="another budget"):
        train(TINY.model_copy(update={"lr": TINY.lr / 2}), [records], tmp_path / "run")
    path.write_text(path.read_text().replace('"noise_multiplier": ', '"noise_multiplier": 1'))
    with pytest.raises(UserError, match=f"{path}: damaged"):
        train(TINY, [records], tmp_path / "run")


def test_a_private_generator_samples_like_any_other(run, tmp_path):
    sampling = ("--n", 8, "--steps", 2, "--batch", 4, "--workers", 1)
    result = invoke("generate", "--model", run, "--out", tmp_path / "set", *sampling)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    "settings, message",
    [
        (["batch=64", "images=640"], "batch=64: must be less than the 19 patients"),
        (["dp.delta=0.5"], "dp.delta=0.5: must be less than 1 / patients"),
        (["balance=0.1"], "--set: balance=0.1 counts labels"),
        (["precision=bf16"], "--set: precision=bf16"),
        (["compile=true"], "--set: compile=true is not"),
        (["dp.epsilon=1e-9"], "dp.epsilon=1e-09: no noise keeps"),
    ],
)
def test_what_would_break_the_guarantee_is_refused_in_one_line(records, tmp_path, settings, message):
    flags = [part for assignment in (*SET, "images=96", *settings) for part in ("--set", assignment)]
    result = invoke("train", "--data", records, "--out", tmp_path / "x", "--dp-epsilon", 8, *flags)
    assert result.exit_code == 2 and result.stderr.startswith(f"synth: {message}"), result.output
    assert len(result.stderr.strip().splitlines()) == 1


def test_several_processes_are_refused(records, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="start it without torchrun"):
        train(TINY, [records], tmp_path / "x")
