"""The latent route: an autoencoder trained first, a denoiser on its latents, one pipeline and file format."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from killing import Work, kill_often
from pictures import folder
from typer.testing import CliRunner

from synth import pipeline
from synth.base.config import load
from synth.base.errors import UserError
from synth.base.runs import read_json, read_metrics, sha256
from synth.base.speed import operations
from synth.commands.app import app
from synth.data.images import Preprocessing
from synth.data.records import read_table
from synth.data.tensors import as_tensor
from synth.diffusion.losses import loss as denoising_loss
from synth.diffusion.process import VPrediction
from synth.model.denoiser import Denoiser, NetworkConfig
from synth.model.labels import current
from synth.model.latent import BOUND, LatentConfig, LatentSpace
from synth.model.wavelet import WaveletSpace
from synth.training import autoencoder
from synth.training.autoencoder import AutoencoderConfig, HeldOut, loss, rate, reconstruction
from synth.training.config import TrainConfig
from synth.training.cost import cost
from synth.training.examples import Examples
from synth.training.trainer import train

LATENT = LatentConfig(channels=4, halvings=1, width=8, blocks=1)
SET = ["batch=16", "micro_batch=8", "sheet=4", "preprocessing.size=32"]
SET += ["network.channels=[16,32]", "network.attention_from=1"]
SET += ["network.latent.channels=4", "network.latent.halvings=1"]
SET += ["network.latent.width=8", "network.latent.blocks=1"]
SET += ["autoencoder.images=192", "autoencoder.batch=8", "autoencoder.warmup=16", "autoencoder.save_every=24"]
CONFIGS = sorted(Path("configs/synth").glob("*.yaml"))


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("records"), 60)


@pytest.fixture(scope="module")
def run(records, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "latent"
    train(load(TrainConfig, None, [*SET, "images=64", "save_every=32"]), [records], out)
    return out


def command(arguments: list[str]) -> None:
    """The command `synth`, in this process."""
    app(arguments)


def invoke(*arguments: object):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def photographs(count: int, size: int = 32) -> torch.Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_latents_are_standardised_bounded_and_as_small_as_the_config_says():
    torch.manual_seed(0)
    space = LatentSpace(levels=1, **LATENT.model_dump())
    images = photographs(6)
    space.begin(images)
    space.fit(images)
    latents = space.encode(images)
    assert latents.shape == (6, 4, 8, 8) and space.factor == 4
    assert latents.mean(dim=(0, 2, 3)).numpy() == pytest.approx(np.zeros(4), abs=1e-4)
    assert latents.std(dim=(0, 2, 3)).numpy() == pytest.approx(np.ones(4), abs=1e-4)
    assert float(space.compress(100 * images).abs().max()) <= BOUND
    assert space.decode(latents).shape == images.shape and not latents.requires_grad


def test_an_untrained_autoencoder_is_the_best_linear_code_of_patches():
    from sklearn.decomposition import PCA

    images = torch.nn.functional.interpolate(photographs(20, 4), 32, mode="bicubic")
    space = LatentSpace(levels=1, **LATENT.model_dump())
    space.begin(images)
    patches = torch.nn.functional.pixel_unshuffle(images, 4).movedim(1, -1).flatten(0, 2).numpy()
    known = PCA(4).fit(patches)
    best = float(np.square(patches - known.inverse_transform(known.transform(patches))).mean())
    assert float((space.decode(space.encode(images)) - images).square().mean()) == pytest.approx(
        best, rel=0.02
    )


def test_linear_latents_are_principal_components_alone_and_a_decoder_corrects_them():
    space = LatentSpace(levels=1, **LATENT.model_copy(update={"linear": True}).model_dump())
    images = photographs(6)
    space.begin(images)
    space.fit(images)
    assert not any("encoder" in name.split(".") for name in space.state_dict())
    patches = torch.nn.functional.pixel_unshuffle(images, 4) - space.centre[:, None, None]
    code = torch.einsum("cp,bphw->bchw", space.axes, patches) / space.spread[:, None, None]
    assert torch.allclose(space.compress(images), BOUND * torch.tanh(code / BOUND), atol=1e-5)
    before, latents = space.decode(space.encode(images)), space.encode(images)
    last: Any = space.autoencoder.decoder.layers[-1]
    torch.nn.init.normal_(last.weight, std=0.1)
    assert not torch.allclose(space.decode(latents), before, atol=1e-3)
    assert torch.equal(space.encode(images), latents)


def test_a_generator_of_linear_latents_trains_opens_and_samples(records, tmp_path):
    flags = [*SET, "images=32", "save_every=32", "network.latent.linear=true", "snr_floor=1"]
    out = train(load(TrainConfig, None, flags), [records], tmp_path / "linear")
    opened, card = pipeline.load(out)
    assert opened.space.config["linear"] and opened.space.autoencoder.encoder is None
    assert card.to_json()["reconstruction"] is None or card.to_json()["reconstruction"]["psnr"] > 0
    codes = torch.from_numpy(current().unknown)[None]
    assert opened(codes, torch.zeros(1, *opened.shape), steps=2).shape == (1, 32, 32, 3)


def test_channels_are_weighted_by_what_they_move():
    from synth.diffusion.losses import channel_weights

    scales = torch.tensor([4.0, 1.0])
    assert channel_weights(scales, 0) is None
    weights = channel_weights(scales, 0.5)
    assert weights is not None and weights.tolist() == pytest.approx([4 / 3, 2 / 3])
    clean, noise, time = torch.zeros(2, 2, 4, 4), torch.ones(2, 2, 4, 4), torch.tensor([500, 500])
    wrong = torch.stack([torch.ones(4, 4), torch.zeros(4, 4)]).expand(2, 2, 4, 4)
    process = VPrediction()

    class Off(torch.nn.Module):
        def forward(self, noisy, timestep, codes):
            return process.target(clean, noise, timestep) + wrong

    off, codes = Off(), torch.zeros(2, 1, dtype=torch.int64)
    plain = denoising_loss(off, process, clean, noise, time, codes)
    assert denoising_loss(off, process, clean, noise, time, codes, channels=weights) == pytest.approx(
        float(plain) * 4 / 3
    )


def test_a_floor_gives_noisy_times_their_weight_and_leaves_the_rest():
    times, process = torch.arange(1000), VPrediction()
    plain, floored = process.weight(times), process.weight(times, 1.0)
    assert plain[-1] == 0 and floored[-1] == 1  # at the end of the schedule there is no signal
    signal = torch.tensor([process.coefficients(t)[0] ** 2 for t in range(1000)])
    assert torch.allclose(plain[signal >= 0.5], floored[signal >= 0.5])
    assert (floored[signal < 0.45] > plain[signal < 0.45]).all() and floored.max() <= 1


def test_either_space_tells_its_channels_and_factor_as_its_config_does():
    for config in (NetworkConfig(levels=2), NetworkConfig(levels=0), NetworkConfig(latent=LATENT)):
        space, denoiser = config.space(), Denoiser(config, 64)
        assert (space.channels, space.factor) == (config.bands, config.factor)
        assert denoiser.shape == (space.channels, 64 // space.factor, 64 // space.factor)


def test_a_space_without_latents_keeps_its_weights_and_its_layout():
    """Generators trained before there were latents must open."""
    assert set(WaveletSpace(1).state_dict()) == {"mean", "deviation", "unit"}
    shapes = {name: tuple(value.shape) for name, value in Denoiser(NetworkConfig(), 64).state_dict().items()}
    assert shapes["unet.conv_in.weight"] == (64, 14, 3, 3) and shapes["unet.conv_out.weight"] == (
        12,
        64,
        3,
        3,
    )


def test_the_loss_is_zero_for_a_faithful_picture_and_punishes_blur_more_when_sharpness_is_asked():
    images = photographs(2)
    blurred = torch.nn.functional.avg_pool2d(images, 3, 1, 1)
    assert float(loss(images, images, 1.0)) == 0
    darker = images - (blurred - images).abs().mean()
    for plain in (blurred, darker):
        assert float(loss(plain, images, 0)) == pytest.approx(
            float((blurred - images).abs().mean()), rel=1e-3
        )
    assert float(loss(blurred, images, 1.0)) > 1.5 * float(loss(darker, images, 1.0))


def test_the_rate_rises_and_ends_at_nothing():
    config = AutoencoderConfig(images=6400, batch=32, warmup=320, lr=1e-3)
    assert rate(config, 0) == pytest.approx(1e-4) and rate(config, 320) > 0.99e-3 > rate(config, 3200)
    assert rate(config, 6400 - 32) < 1e-6


def test_the_reconstruction_is_worse_for_a_coarser_picture_and_counts_patients():
    space = LatentSpace(levels=1, **LATENT.model_dump())
    pictures = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8)
    found = reconstruction(space, HeldOut(pictures, np.array([7, 7, 7, 9, 9, 9])))
    images, made = as_tensor(pictures), space.decode(space.encode(as_tensor(pictures))).clamp(-1, 1)
    ratios = [10 * np.log10(4 / float((a - b).square().mean())) for a, b in zip(images, made, strict=True)]
    assert found["psnr"] == pytest.approx(np.mean(ratios), abs=0.01)
    assert (found["pictures"], found["patients"], found["split"]) == (6, 2, "validation")
    assert found["low"] <= found["psnr"] <= found["high"]


@pytest.mark.slow
def test_the_autoencoder_learns_to_give_pictures_back(records, tmp_path):
    examples = Examples([records], Preprocessing(size=32), tmp_path, 0, 0, current())
    judged = autoencoder.held_out([records], Preprocessing(size=32), tmp_path)
    assert judged
    torch.manual_seed(0)
    space = LatentSpace(levels=1, channels=8, halvings=1, width=16, blocks=1)
    config = AutoencoderConfig(images=1600, batch=4, warmup=40, lr=3e-3, save_every=400)
    found = autoencoder.train(config, space, examples, judged, Accelerator(cpu=True), tmp_path)
    curve = read_metrics(tmp_path / "autoencoder.jsonl")
    assert [row["images"] for row in curve] == [400, 800, 1200, 1600]
    assert found and found["psnr"] == curve[-1]["psnr"] > curve[0]["psnr"] + 2 and found["psnr"] > 22
    assert not any(p.requires_grad for p in space.parameters())


def test_one_command_trains_both_and_the_generator_says_how_faithful_its_autoencoder_is(run, records):
    assert [row["images"] for row in read_metrics(run / "metrics.jsonl")] == [32, 64]
    curve = read_metrics(run / "autoencoder.jsonl")
    held_out = read_table(records, ["validation"])["subject_id"].to_pylist()
    assert curve[-1]["images"] == 192
    assert (curve[-1]["pictures"], curve[-1]["patients"]) == (len(held_out), len(set(held_out)))
    known = pipeline.read_card(run / "model")
    assert known.reconstruction == {k: v for k, v in curve[-1].items() if k not in ("images", "loss")}
    assert read_json(run / "model/model_index.json")["space"][1] == "LatentSpace"
    assert pipeline.FundusPipeline.from_pretrained(run / "model").size == 32


def test_a_saved_latent_space_gives_the_same_pictures(run):
    loaded, _ = pipeline.load(run)
    state = torch.load(run / "autoencoder.pt", weights_only=True)
    assert all(
        torch.equal(value, state["weights"][name]) for name, value in loaded.space.state_dict().items()
    )
    assert float(loaded.space.deviation.min()) > 0 and not torch.equal(loaded.space.mean, torch.zeros(4))
    codes = torch.from_numpy(current().unknown).expand(2, -1)
    drawn = loaded(codes, torch.randn(2, *loaded.shape, generator=torch.Generator().manual_seed(0)), steps=2)
    assert drawn.shape == (2, 32, 32, 3) and drawn.dtype == torch.uint8


def test_a_latent_generator_is_sampled_verified_and_previewed_like_any_other(run, tmp_path):
    out = tmp_path / "set"
    made = invoke(
        "generate", "--model", run, "--n", 10, "--steps", 2, "--batch", 5, "--out", out, "--workers", 1
    )
    assert made.exit_code == 0, made.output
    assert invoke("verify", out).exit_code == 0
    assert invoke("preview", out, "--out", tmp_path / "sheet.png", "--count", 4).exit_code == 0


def launch(records: Path, out: Path, *settings: str, launcher: Sequence[str] = ("-m",)) -> None:
    """`synth train` in processes of its own: accelerate keeps one precision per process."""
    flags = [part for assignment in [*SET, *settings] for part in ("--set", assignment)]
    command = [sys.executable, *launcher, "synth", "train", "--data", str(records), "--out", str(out), *flags]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_two_processes_train_the_autoencoder_that_one_does(run, records, tmp_path):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
    launch(records, tmp_path / "run", "images=64", "save_every=32", launcher=launcher)
    for name in ("autoencoder.jsonl", "metrics.jsonl"):
        curves = [[row["loss"] for row in read_metrics(place / name)] for place in (run, tmp_path / "run")]
        assert curves[1] == pytest.approx(curves[0], rel=1e-4)


@pytest.mark.slow
def test_sixteen_bits_in_training_leave_a_space_of_thirty_two(records, tmp_path):
    short = ["images=32", "save_every=32", "autoencoder.images=24", "precision=bf16"]
    launch(records, tmp_path / "run", *short)
    loaded, _ = pipeline.load(tmp_path / "run")
    assert {value.dtype for value in loaded.space.state_dict().values()} == {torch.float32}
    assert all(torch.isfinite(value).all() for value in loaded.space.state_dict().values())


@pytest.mark.slow
def test_a_run_killed_in_either_half_ends_with_the_same_weights(records, tmp_path):
    def work(out: Path) -> Work:
        settings = [*SET, "images=192", "save_every=32", "autoencoder.images=384"]
        flags = [part for assignment in settings for part in ("--set", assignment)]
        arguments = ["train", "--data", str(records), "--out", str(out), *flags]
        return Work(command, (arguments,), out / "config.json")

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    kill_often(work(killed), work(whole).finish())
    for name in ("autoencoder.pt", "state.pt"):
        assert sha256(killed / name) == sha256(whole / name)
    for name in ("autoencoder.jsonl", "metrics.jsonl"):
        assert read_metrics(killed / name) == read_metrics(whole / name)
    weights = [
        {p.parent.name: sha256(p) for p in (run / "model").rglob("*.safetensors")} for run in (whole, killed)
    ]
    assert weights[0] == weights[1] and set(weights[0]) == {"unet", "conditioning", "space"}


def test_a_generator_does_not_open_in_the_space_of_another(run, tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(run / "model", copy)
    path = copy / "model_index.json"
    path.write_text(json.dumps(read_json(path) | {"space": ["synth.model.wavelet", "WaveletSpace"]}))
    with pytest.raises(UserError, match=r"config\.json: .*not among the arguments that a file may give"):
        pipeline.load(copy)


@pytest.mark.parametrize(
    "assignments, message",
    [
        (
            ["autoencoder.batch=8"],
            "'network.latent' and 'autoencoder' need one another; give both or neither",
        ),
        (
            ["network.latent.width=8"],
            "'network.latent' and 'autoencoder' need one another; give both or neither",
        ),
        ([*SET, "preprocessing.size=36"], "preprocessing.size=36 must be a multiple of 8"),
        ([*SET, "autoencoder.images=100"], "autoencoder: images=100 must be a multiple of batch=8"),
    ],
)
def test_a_wrong_latent_config_is_one_clear_line(assignments, message):
    with pytest.raises(UserError) as error:
        load(TrainConfig, None, assignments)
    assert str(error.value) == f"--set: {message}"


def test_gradient_checkpointing_changes_no_loss_and_no_gradient():
    torch.manual_seed(0)
    plain = Denoiser(NetworkConfig(channels=(16, 32), attention_from=1), 16)
    saving = Denoiser(NetworkConfig(channels=(16, 32), attention_from=1), 16)
    saving.load_state_dict(plain.state_dict())
    saving.unet.enable_gradient_checkpointing()
    clean, noise = torch.randn(4, 12, 8, 8), torch.randn(4, 12, 8, 8)
    codes = torch.from_numpy(current().unknown).expand(4, -1)
    found = []
    for denoiser in (plain, saving):
        error = denoising_loss(denoiser, VPrediction(), clean, noise, torch.tensor([1, 300, 600, 999]), codes)
        error.backward()
        found.append((error.item(), [p.grad for p in denoiser.parameters()]))
    assert found[0][0] == found[1][0]
    assert all(torch.equal(a, b) for a, b in zip(found[0][1], found[1][1], strict=True) if a is not None)


def test_gradient_checkpointing_can_be_switched_within_a_run(run, records, tmp_path):
    finished = load(TrainConfig, None, [*SET, "images=64", "save_every=32", "gradient_checkpointing=true"])
    other = tmp_path / "checkpointed"
    train(finished, [records], other)
    assert sha256(other / "state.pt") == sha256(run / "state.pt")
    train(finished, [records], run)  # the same folder takes it too


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU compiles")
def test_compiling_on_the_cpu_is_refused_in_one_line(records, tmp_path):
    with pytest.raises(UserError, match="compile=true needs a GPU"):
        train(load(TrainConfig, None, [*SET, "compile=true"]), [records], tmp_path / "out")


@pytest.mark.parametrize(
    "path", [path for path in CONFIGS if path.stem.startswith(("fundus", "latent"))], ids=str
)
def test_the_figures_in_a_config_are_those_of_its_network(path):
    config = load(TrainConfig, path)
    stated = [line.removeprefix("# ") for line in path.read_text().splitlines() if line.startswith("#")]
    counted = cost(config.network, config.preprocessing.size)
    if torch.__version__.startswith("2.6."):  # keeps 0 to 5 % more for the backward pass than the newest
        [line] = [line for line in stated if line.startswith("training keeps")]
        kept = float(line.split(" + ")[1].split()[0])
        assert kept - 0.005 <= counted.kept <= 1.05 * (kept + 0.005)
        counted = counted._replace(kept=kept)
    assert set(counted.lines()) <= set(stated)
    page = Path("docs/generator.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith(f"| `{path.stem}` |")]
    decoder = f"{counted.decode:.1f}" if counted.decode else "–"
    cells = [f"{counted.forward:.1f}", f"{counted.picture:.0f}", f"{counted.guided:.0f}", decoder]
    assert row.endswith(f"| {' | '.join(cells)} |") and f"| {counted.parameters / 1e6:.1f} " in row


def test_a_cost_is_that_of_the_network_that_runs():
    """What is counted without memory for weights equals what is counted on real ones."""
    config = NetworkConfig(channels=(16, 32), attention_from=1, latent=LATENT)
    counted, denoiser, space = cost(config, 32), Denoiser(config, 32), LatentSpace(1, **LATENT.model_dump())
    codes = torch.from_numpy(current().unknown)[None]
    latents = torch.zeros(1, *denoiser.shape)
    assert counted.forward == operations(denoiser, latents, torch.zeros(1, dtype=torch.int64), codes) / 1e9
    assert counted.decode == operations(space.decode, latents) / 1e9
    assert counted.parameters == sum(p.numel() for p in denoiser.parameters())
    assert counted.picture == 20 * counted.forward + counted.decode
    assert counted.guided == 34 * counted.forward + counted.decode


def test_a_dry_run_prints_a_config_that_can_be_used_and_the_cost_beside_it(records, tmp_path):
    flags = [part for assignment in SET for part in ("--set", assignment)]
    result = invoke("train", "--data", records, "--out", tmp_path / "out", *flags, "--dry-run")
    assert result.exit_code == 0, result.output
    (tmp_path / "resolved.yaml").write_text(result.stdout)
    assert load(TrainConfig, tmp_path / "resolved.yaml") == load(TrainConfig, None, SET)
    lines = cost(load(TrainConfig, None, SET).network, 32).lines()
    assert result.stderr.splitlines()[: len(lines)] == lines
    assert not (tmp_path / "out").exists()
