"""The generator: training, sampling, resuming, and what it refuses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from generators import tiny
from killing import Work, kill_often
from pictures import folder
from typer.testing import CliRunner

from synth import pipeline
from synth.base.config import load
from synth.base.errors import UserError
from synth.base.runs import read_json, read_metrics, sha256
from synth.commands.app import app
from synth.data.pictures import Pictures
from synth.data.records import read_table
from synth.diffusion.losses import loss
from synth.diffusion.process import VPrediction
from synth.diffusion.schedulers import noising
from synth.model.conditioning import LabelConditioning
from synth.model.denoiser import Denoiser, NetworkConfig
from synth.model.labels import current
from synth.model.wavelet import WaveletSpace, haar, unhaar
from synth.sampling import plan
from synth.training.config import TrainConfig
from synth.training.examples import mix_of
from synth.training.trainer import train

TINY = tiny(images=96, micro_batch=8, averages=(0.1, 0.2), snapshot_every=32, sheet=2)
SET = ["batch=16", "micro_batch=8", "averages=[0.1,0.2]", "snapshot_every=32", "sheet=2"]
SET += ["preprocessing.size=16", "network.channels=[16,32]", "network.attention_from=1"]


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("records"), 60)


@pytest.fixture(scope="module")
def run(records, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "tiny"
    train(TINY, [records], out)
    return out


def weights(run: Path) -> dict[str, str]:
    return {p.parent.name: sha256(p) for p in sorted((run / "model").rglob("*.safetensors"))}


def invoke(*arguments: object):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_the_wavelet_space_loses_nothing():
    images = torch.rand(5, 3, 16, 16) * 2 - 1
    assert torch.allclose(unhaar(haar(images)), images, atol=1e-6)
    space = WaveletSpace(levels=2)
    space.fit(images)
    assert torch.allclose(space.decode(space.encode(images)), images, atol=1e-5)


def test_the_haar_transform_keeps_energy():
    images = torch.randn(2, 3, 8, 8)
    assert float(haar(images).square().sum()) == pytest.approx(float(images.square().sum()), rel=1e-5)


def test_unknown_is_not_absent():
    place = current().place("is_gc")
    assert current().code({})[place] == current().code({"is_gc": None})[place] == current().unknown[place]
    assert current().code({"is_gc": 0})[place] == 0
    cataract = current().place("cataract")
    assert current().code({"findings": None})[cataract] == current().unknown[cataract]
    assert current().code({"findings": []})[cataract] == 0
    assert current().code({"findings": ["cataract"]})[cataract] == 1


def test_a_mirrored_right_eye_is_a_left_eye_and_an_unknown_one_stays_unknown():
    left, right = (
        current().code({"eye_side": "left", "is_gc": 1}),
        current().code({"eye_side": "right", "is_gc": 1}),
    )
    assert (current().mirror(left) == right).all() and (current().mirror(right) == left).all()
    assert (current().mirror(current().unknown) == current().unknown).all()


def test_every_condition_changes_the_vector():
    network = LabelConditioning(16)
    with torch.inference_mode():
        vectors = network(
            torch.from_numpy(np.stack([current().unknown, *(_with(name) for name in current().sizes)]))
        )
    assert len({tuple(v.tolist()) for v in vectors}) == len(current()) + 1


def _with(name: str) -> np.ndarray:
    changed = current().unknown.copy()
    changed[current().place(name)] = 1
    return changed


def test_the_last_diffusion_step_holds_no_signal():
    assert float(noising().alphas_cumprod[-1]) < 1e-6


def test_a_perfect_denoiser_has_no_loss_and_a_blind_one_has():
    process = VPrediction()
    clean, noise = torch.randn(4, 3, 8, 8), torch.randn(4, 3, 8, 8)
    step = torch.tensor([1, 300, 700, 999])

    class Knowing(torch.nn.Module):
        def forward(self, noisy, step, codes):
            return process.target(clean, noise, step)

    class Blind(torch.nn.Module):
        def forward(self, noisy, step, codes):
            return torch.zeros_like(noisy)

    codes = torch.zeros(4, len(current()), dtype=torch.int64)
    assert float(loss(Knowing(), process, clean, noise, step, codes)) < 1e-10
    assert float(loss(Blind(), process, clean, noise, step, codes)) > 0.01


def test_training_writes_a_curve_and_a_diffusers_folder(run):
    assert [row["images"] for row in read_metrics(run / "metrics.jsonl")] == [32, 64, 96]
    assert {p.name for p in (run / "model").iterdir() if p.is_dir()} == {
        "unet",
        "scheduler",
        "conditioning",
        "space",
    }
    assert pipeline.FundusPipeline.from_pretrained(run / "model").size == 16
    known = pipeline.read_card(run / "model")
    assert known.images == 96 and known.preprocessing.name == "fov-square"
    assert known.config["network"]["channels"] == [16, 32]


def test_the_average_is_not_the_last_weight(run):
    state = torch.load(run / "state.pt", weights_only=True)
    loaded, _ = pipeline.load(run)
    assert not torch.equal(loaded.unet.conv_in.weight, state["weights"]["unet.conv_in.weight"])


def test_a_finished_run_does_nothing_and_a_longer_one_goes_on(run, records, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    before = (copy / "state.pt").stat().st_mtime_ns
    train(TINY, [records], copy)
    assert (copy / "state.pt").stat().st_mtime_ns == before
    train(TINY.model_copy(update={"images": 128}), [records], copy)
    assert pipeline.read_card(copy / "model").images == 128


def test_another_config_in_the_same_run_folder_is_refused(run, records):
    with pytest.raises(UserError, match=r"another run \(config\.lr is 0\.0008 there, 0\.1 here\); choose"):
        train(TINY.model_copy(update={"lr": 0.1}), [records], run)


def command(arguments: list[str]) -> None:
    """The command `synth`, in this process."""
    app(arguments)


@pytest.mark.slow
def test_training_killed_at_five_random_moments_ends_with_the_same_weights(records, tmp_path):
    def work(out: Path) -> Work:
        settings = [*SET, "images=960", "save_every=48"]
        flags = [part for assignment in settings for part in ("--set", assignment)]
        arguments = ["train", "--data", str(records), "--out", str(out), *flags]
        return Work(command, (arguments,), out / "config.json")

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    kill_often(work(killed), work(whole).finish())
    assert weights(killed) == weights(whole)
    assert read_metrics(killed / "metrics.jsonl") == read_metrics(whole / "metrics.jsonl")
    assert sha256(killed / "state.pt") == sha256(whole / "state.pt")


@pytest.mark.slow
def test_generating_killed_at_five_random_moments_ends_with_the_same_shards(run, tmp_path):
    def work(out: Path) -> Work:
        sampling = ["--n", "400", "--steps", "3", "--batch", "8", "--workers", "1"]
        arguments = ["generate", "--model", str(run), "--out", str(out), *sampling]
        return Work(command, (arguments,), out / "plan.json")

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    kill_often(work(killed), work(whole).finish())
    assert len(_shards(whole)) == 50 and _shards(killed) == _shards(whole)
    assert (killed / "README.md").read_text() == (whole / "README.md").read_text()
    assert invoke("verify", killed).exit_code == 0


def _shards(out: Path) -> dict[str, str]:
    return {p.name: sha256(p) for p in (out / "data").glob("*.parquet") if not p.name.startswith(".")}


@pytest.fixture(scope="module")
def synthetic(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("synthetic") / "set"
    result = invoke(
        "generate", "--model", run, "--n", 50, "--steps", 3, "--batch", 8, "--out", out, "--workers", 1
    )
    assert result.exit_code == 0, result.output
    return out


def test_image_i_does_not_depend_on_how_many_were_asked_for(run, synthetic, tmp_path):
    asked = plan.Plan.read(synthetic / "plan.json")
    assert list(plan.draws(asked, range(7, 8))) == list(plan.draws(asked, range(0, 50)))[7:8]


def test_shares_of_a_plan_fill_the_same_folder_with_the_same_files(run, synthetic, tmp_path):
    for share in ("1/2", "0/2"):
        named = ("--model", run, "--n", 50, "--steps", 3, "--batch", 8, "--out", tmp_path / "shared")
        assert invoke("generate", *named, "--workers", 1, "--shards", share).exit_code == 0
    assert _shards(tmp_path / "shared") == _shards(synthetic)
    assert (tmp_path / "shared/README.md").read_text() == (synthetic / "README.md").read_text()


def test_the_synthetic_set_opens_in_hugging_face_duckdb_and_croissant(synthetic):
    import datasets
    import duckdb
    import mlcroissant

    opened = datasets.load_dataset(str(synthetic))
    assert {split: len(opened[split]) for split in opened} == {"train": 40, "validation": 5, "test": 5}
    assert opened["train"][0]["image"].size == (16, 16)
    query = f"select dr_grade, count(*) from '{synthetic}/data/*.parquet' group by 1"
    found = duckdb.connect().execute(query).fetchall()
    assert sum(count for _, count in found) == 50
    croissant = mlcroissant.Dataset(jsonld=synthetic / "croissant.json")
    assert not croissant.metadata.issues.errors
    first = next(iter(croissant.records("records")))
    assert first["records/source"] == b"visionclip"


def test_synthetic_records_carry_captions_and_no_patient(synthetic):
    rows = read_table(synthetic).to_pylist()
    assert all(
        r["age"] is None and r["sex"] is None and r["race"] is None and r["canary"] is None for r in rows
    )
    assert all(r["caption_zh"] and r["caption_en"] and r["plan"] == rows[0]["plan"] for r in rows)
    assert len({bytes(data) for data in Pictures(synthetic)}) == 50


def test_preview_draws_a_sheet(synthetic, tmp_path):
    assert invoke("preview", synthetic, "--out", tmp_path / "sheet.png", "--count", 9).exit_code == 0
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_the_mix_hides_label_combinations_of_fewer_than_five_subjects(tmp_path):
    from pictures import rows as drawn_rows

    from synth.data.records import write_records

    made = drawn_rows(40)
    for record in made[:8]:  # four people
        record["is_rvo"] = 1
    write_records(tmp_path / "few", made, {"kind": "few"}, (1, 0, 0))
    mix = mix_of([tmp_path / "few"])
    assert mix and not any(entry["labels"].get("is_rvo") for entry in mix)


def test_labels_follow_the_file(run, tmp_path):
    path = tmp_path / "mix.yaml"
    path.write_text(
        "mix:\n- {weight: 3, labels: {is_gc: 1}}\n- {weight: 1, labels: {dr_grade: 2, findings: []}}\n"
    )
    asked = plan.make(pipeline.locate(run), 2000, labels=str(path))
    drawn = [draw.labels for draw in plan.draws(asked, range(2000))]
    assert sum(labels.get("is_gc") == 1 for labels in drawn) == pytest.approx(1500, abs=80)


@pytest.mark.parametrize(
    "text, message",
    [
        ("mix: []", "must be a list"),
        ("mix: [{weight: 1, labels: {is_gx: 1}}]", "unknown label 'is_gx'"),
        ("mix: [{weight: 1, labels: {dr_grade: 7}}]", "dr_grade=7 is outside the vocabulary"),
        ("mix: [{weight: -1, labels: {}}]", "weight=-1: input should be greater than 0"),
    ],
)
def test_a_wrong_label_file_is_one_clear_line(run, tmp_path, text, message):
    path = tmp_path / "mix.yaml"
    path.write_text(text)
    result = invoke("generate", "--model", run, "--n", 5, "--labels", path, "--out", tmp_path / "out")
    assert result.exit_code == 2 and message in result.stderr and str(path) in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_an_output_folder_of_another_plan_is_refused_and_left_alone(run, synthetic):
    before = _shards(synthetic)
    result = invoke(
        "generate", "--model", run, "--n", 50, "--steps", 3, "--seed", 9, "--batch", 8, "--out", synthetic
    )
    assert result.exit_code == 2
    assert result.stderr == (
        f"synth: {synthetic}: holds another plan (seed is 0 there, 9 here); "
        "choose another --out or delete the folder\n"
    )
    assert _shards(synthetic) == before


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--model", "nowhere"], "nowhere: no generator there"),
    ],
)
def test_what_generate_cannot_do_is_one_clear_line(arguments, message):
    result = invoke("generate", "--n", 5, *arguments)
    assert result.exit_code == 2 and result.stderr.startswith(f"synth: {message}")
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_foreign_diffusers_folder_is_refused(run, tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(run / "model", copy)
    (copy / "visionclip.json").unlink()
    with pytest.raises(UserError, match="that 'synth train' did not write"):
        pipeline.load(copy)
    shutil.copytree(run / "model", tmp_path / "other")
    index = json.loads((tmp_path / "other/model_index.json").read_text())
    index["space"] = ["os", "system"]
    (tmp_path / "other/model_index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match="not a WaveletSpace"):
        pipeline.load(tmp_path / "other")


def test_a_damaged_generator_is_one_clear_line(run, tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(run / "model", copy)
    path = copy / "unet/diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match="damaged generator"):
        pipeline.load(copy)


def test_a_generator_of_another_shape_is_one_clear_line(run, tmp_path):
    from diffusers import UNet2DModel  # type: ignore[attr-defined]

    copy = tmp_path / "model"
    shutil.copytree(run / "model", copy)
    whole = json.loads((copy / "unet/config.json").read_text())
    blind = UNet2DModel.from_config({**whole, "in_channels": whole["out_channels"]})
    blind.save_pretrained(copy / "unet")  # type: ignore[attr-defined]
    said = {name: value for name, value in read_json(copy / "visionclip.json").items() if name != "files"}
    (copy / "visionclip.json").write_text(json.dumps(said))
    with pytest.raises(UserError, match="does not take 12 bands and 2 coordinates"):
        pipeline.load(copy)


def test_guidance_moves_the_picture_and_scale_one_is_none(run):
    loaded, _ = pipeline.load(run)
    codes = torch.from_numpy(np.stack([current().code({"is_gc": 1})] * 2))
    noise = torch.randn(2, *loaded.shape, generator=torch.Generator().manual_seed(0))
    plain = loaded(codes, noise, steps=3, guidance=1.0)
    assert torch.equal(plain, loaded(codes, noise, steps=3, guidance=1.0))
    assert not torch.equal(plain, loaded(codes, noise, steps=3, guidance=4.0))


def test_a_plan_is_named_by_its_content(run):
    made = [plan.make(pipeline.locate(run), 10, seed) for seed in (0, 0, 1)]
    assert made[0].fingerprint == made[1].fingerprint != made[2].fingerprint


@pytest.mark.parametrize("n", [1, 9, 100, 12_345])
def test_shards_cover_every_index_once(run, n):
    asked = plan.make(pipeline.locate(run), n)
    covered = [i for shard in plan.shards(asked) for i in range(shard.first, shard.first + shard.rows)]
    assert covered == list(range(n))


@pytest.mark.parametrize("name", [None, *sorted(p.name for p in Path("configs/synth").glob("*.yaml"))])
def test_the_defaults_and_every_shipped_config_are_valid(name):
    """Without --config, and with each file that we ship."""
    assert load(TrainConfig, Path("configs/synth") / name if name else None).images > 0


def test_a_misspelt_training_key_names_the_right_one(records, tmp_path):
    result = invoke("train", "--data", records, "--out", tmp_path / "x", "--set", "network.chanels=[16]")
    assert result.exit_code == 2
    assert result.stderr == "synth: --set: unknown key 'network.chanels'; did you mean 'channels'?\n"


def test_the_denoiser_is_as_large_as_its_config_says():
    small = Denoiser(NetworkConfig(channels=(16, 32)), 16)
    large = Denoiser(NetworkConfig(channels=(32, 32)), 16)
    assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in large.parameters())
    with pytest.raises(ValueError, match="not a multiple of 16"):
        NetworkConfig(channels=(20,))
    with pytest.raises(ValueError, match="16 is too narrow for attention, at least 32"):
        NetworkConfig(channels=(16, 16))
    with pytest.raises(ValueError, match="16 is too narrow for attention, at least 32"):
        NetworkConfig(channels=(16, 32), attention_from=0)


def test_an_untrained_control_leaves_the_random_state_alone(run):
    made = pipeline.load(run / "model")[0]
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second = made.untrained(1), made.untrained(1)
    assert torch.equal(torch.rand(3), expected)
    assert all(map(torch.equal, first.unet.parameters(), second.unet.parameters()))
