"""Sampling many: distributions, formats, engines, damage and its mending."""

import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import torch
from generators import MIX, untrained
from typer.testing import CliRunner

from synth import pipeline
from synth.base.errors import UserError
from synth.base.runs import read_json, sha256
from synth.commands.app import app
from synth.data.pictures import Pictures
from synth.data.records import read_table
from synth.model.denoiser import add_coordinates
from synth.model.labels import current
from synth.release import draw_shards
from synth.sampling import cost, noise, plan
from synth.sampling.distributions import distribution, parse_mix, shown
from synth.sampling.engines import local
from synth.sampling.plan import Shard
from synth.sampling.preview import LiveSheet
from synth.sampling.sampler import Sampler, Sampling
from synth.sampling.verify import verify


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("model") / "tiny")


def asked(model: Path, n: int = 60, **settings):
    return plan.make(model, n, **{"steps": 2, "guidance": 1.0, "batch": 4, **settings})


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "set"
    draw_shards(asked(model), model, out, workers=1)
    return out


def hashes(out: Path) -> dict[str, str]:
    return {p.name: sha256(p) for p in sorted((out / "data").glob("[!.]*")) if p.suffix != ".json"}


def invoke(*arguments: object):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def marginals(mix) -> dict[str, float]:
    total = sum(entry.weight for entry in mix)
    found: dict[str, float] = {}
    for entry in mix:
        for label in shown(entry.labels):
            found[label] = found.get(label, 0) + entry.weight / total
    return found


def test_uniform_shows_every_disease_as_often_and_dr_in_every_grade():
    mix = [
        {"weight": 900, "labels": {"dr_grade": 0}},
        {"weight": 80, "labels": {"dr_grade": 1}},
        {"weight": 10, "labels": {"dr_grade": 3}},
        {"weight": 6, "labels": {"is_gc": 1, "eye_side": "left"}},
        {"weight": 4, "labels": {"is_gc": 1, "eye_side": "right"}},
    ]
    weights = [entry.weight for entry in distribution(parse_mix(mix), "uniform")]
    assert weights == pytest.approx([1 / 3, 1 / 6, 1 / 6, 0.2, 4 / 30])


def test_balanced_lies_between_the_photographs_and_even():
    def spread(name: str) -> float:
        found = marginals(distribution(parse_mix(MIX), name))
        return max(found.values()) / min(found.values())

    assert spread("balanced") < spread("joint") / 5


@pytest.mark.parametrize("name", ["joint", "uniform", "balanced"])
def test_no_distribution_adds_a_combination(name):
    made = distribution(parse_mix(MIX), name)
    assert [entry.labels for entry in made] == [entry["labels"] for entry in MIX]
    assert all(entry.weight > 0 for entry in made)


def test_labels_that_name_nothing_are_refused_in_one_line(model, tmp_path):
    result = invoke("generate", "--model", model, "--n", 5, "--labels", "unifrom", "--out", tmp_path / "x")
    assert result.exit_code == 2
    assert result.stderr == (
        "synth: --labels 'unifrom': neither joint, uniform, balanced nor a YAML file that is there\n"
    )


@pytest.mark.slow
def test_several_processes_write_the_bytes_of_one(model, whole, tmp_path):
    assert draw_shards(asked(model), model, tmp_path / "out", workers=2) == len(hashes(whole))
    assert hashes(tmp_path / "out") == hashes(whole)


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_costs_no_bit(model, whole, tmp_path):
    out, kills, drawn = tmp_path / "out", 0, 0
    shards = plan.shards(asked(model))
    out.mkdir()
    for event in local.several(Sampling(asked(model), model, out), shards, 2):
        drawn += 0 if isinstance(event, Shard) else event
        if isinstance(event, int) and event > 0 and kills < 5:
            os.kill(_newest_worker(), signal.SIGKILL)
            kills += 1
    assert kills == 5 and hashes(out) == hashes(whole)
    assert drawn == 60


def _newest_worker() -> int:
    """The last process that the fork server of this one has made."""
    processes = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        processes[int(path.parent.name)] = (int(words[1]), words[0])
    servers = [p for p, (parent, _) in processes.items() if parent == os.getpid()]
    return max(p for p, (parent, state) in processes.items() if parent in servers and state != "Z")


def test_the_bytes_of_a_shard_do_not_depend_on_the_one_before(model, whole, tmp_path):
    last = plan.shards(asked(model))[-1]
    list(local.alone(Sampling(asked(model), model, tmp_path), [last]))
    assert hashes(tmp_path) == {Path(last.name).name: hashes(whole)[Path(last.name).name]}


def test_threads_that_encode_change_no_byte(model, whole, tmp_path):
    class Threaded(Sampling):
        def opened(self, place):
            sampler = Sampler(self.plan, self.model, place, encoders=3)
            return lambda shard: sampler.write(shard, self.out)

    list(local.alone(Threaded(asked(model), model, tmp_path), plan.shards(asked(model))))
    assert hashes(tmp_path) == hashes(whole)


def test_compiling_is_refused_without_a_gpu_and_is_no_part_of_other_plans(model, tmp_path):
    result = invoke("generate", "--model", model, "--n", 5, "--compile", "--out", tmp_path / "x")
    line = "synth: --compile needs a GPU: on the CPU it takes minutes and gains nothing; leave it out\n"
    assert (result.exit_code, result.stderr) == (2, line) and not (tmp_path / "x").exists()
    assert "compile" not in asked(model).to_json()
    assert plan.make(model, 5, compile=True).to_json()["compile"] is True


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("gcc"), reason="torch compiles with a C compiler")
def test_a_compiled_generator_draws_what_it_drew(model):
    """Guided: of two passes that share their memory, the first is not overwritten."""
    generator, _ = pipeline.load(model)
    codes = torch.from_numpy(generator.conditioning.labels.unknown).repeat(2, 1)
    drawn = noise.draw("philox", 0, [(0, 0), (1, 0)], generator.shape, "cpu")
    plain = generator(codes, drawn, 2, 2.0)
    generator.compile()
    assert (generator(codes, drawn, 2, 2.0).int() - plain.int()).abs().max() <= 1


@pytest.fixture(scope="module")
def tarred(model, tmp_path_factory):
    out = tmp_path_factory.mktemp("tarred") / "set"
    options = ("--steps", 2, "--guidance", 1, "--batch", 4, "--workers", 1, "--format", "webdataset")
    result = invoke("generate", "--model", model, "--n", 60, "--out", out, *options)
    assert result.exit_code == 0, result.output
    return out


def test_webdataset_shards_hold_the_same_pictures_and_labels_as_parquet(whole, tarred):
    assert [bytes(data) for data in Pictures(tarred)] == [bytes(data) for data in Pictures(whole)]
    named = ["caption_zh", "caption_en", "dr_grade", "findings", "seed"]
    assert read_table(tarred, columns=named) == read_table(whole, columns=named)


def test_webdataset_shards_have_the_same_bytes_every_time(model, tarred, tmp_path):
    draw_shards(asked(model, format="webdataset"), model, tmp_path / "out", workers=1)
    assert hashes(tmp_path / "out") == hashes(tarred)
    assert verify(tarred)["rows"] == {"train": 48, "validation": 6, "test": 6}


def test_webdataset_shards_open_in_hugging_face(tarred):
    import datasets

    opened = datasets.load_dataset("webdataset", data_files=str(tarred / "data/train-*.tar"), split="train")
    assert len(opened) == 48
    row = opened[0]
    assert row["jpg"].size == (16, 16) and row["txt"] == row["json"]["caption_en"] and row["zh.txt"]


def test_webdataset_shards_open_in_webdataset(tarred):
    webdataset = pytest.importorskip("webdataset")
    paths = [str(path) for path in sorted((tarred / "data").glob("*.tar"))]
    rows = list(webdataset.WebDataset(paths, shardshuffle=False).decode("pil"))
    assert len(rows) == 60
    assert rows[0]["jpg"].size == (16, 16) and rows[0]["txt"] == rows[0]["json"]["caption_en"]


def test_a_folder_holds_one_format(model, whole):
    with pytest.raises(UserError, match="format is 'parquet' there, 'webdataset' here"):
        draw_shards(asked(model, format="webdataset"), model, whole)


def damage(name: str, shard: Path) -> None:
    if name == "flipped byte":
        content = bytearray(shard.read_bytes())
        content[len(content) // 2] ^= 1
        shard.write_bytes(content)
    elif name == "truncated":
        os.truncate(shard, shard.stat().st_size // 2)
    elif name == "no sidecar":
        shard.with_suffix(".json").unlink()
    elif name == "half a sidecar":
        shard.with_suffix(".json").write_text("{")
    elif name == "a foreign sidecar":
        shard.with_suffix(".json").write_text("[]")
    elif name == "no shard":
        shard.unlink()


@pytest.mark.parametrize(
    "name, why",
    [
        ("flipped byte", "sha256 differs from its sidecar's"),
        ("truncated", "bytes, "),
        ("no sidecar", "is missing"),
        ("half a sidecar", "is damaged"),
        ("a foreign sidecar", "is damaged"),
        ("no shard", "missing"),
    ],
)
def test_damage_is_named_by_verify_and_mended_by_repeating_the_command(
    model, whole, tmp_path, name, why, caplog
):
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    shard = sorted((out / "data").glob("train-*.parquet"))[3]
    damage(name, shard)
    result = invoke("verify", out)
    assert result.exit_code == 2 and len(result.stderr.strip().splitlines()) == 1
    assert f"1 of 16 shards are damaged or missing: data/{shard.name} (" in result.stderr
    assert why in result.stderr and "repeat its 'synth generate' to mend them" in result.stderr
    with caplog.at_level(logging.WARNING, "synth"):
        assert draw_shards(asked(model), model, out, workers=1) == 1
    assert hashes(out) == hashes(whole)
    assert verify(out)["shards"] == 16
    assert name == "no sidecar" or shard.name in caplog.text


def test_a_stranger_among_the_shards_is_named(whole, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    shutil.copy(out / "data/train-00000-of-00012.parquet", out / "data/train-00000-of-00099.parquet")
    with pytest.raises(UserError, match=r"train-00000-of-00099\.parquet: not of the plan of"):
        verify(out)


@pytest.mark.parametrize(
    "content, why",
    [
        (None, "it has no plan.json"),
        ("[]", "its plan.json is another one"),
        ('{"kind": "synthetic"}', "its plan"),
    ],
)
def test_verify_of_a_folder_that_is_no_set_says_what_it_wants(tmp_path, content, why):
    if content:
        (tmp_path / "plan.json").write_text(content)
    result = invoke("verify", tmp_path)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"synth: {tmp_path}: no set of ours, {why}")
    assert "give a folder that 'synth generate', " in result.stderr and result.stderr.count("\n") == 1


@pytest.mark.parametrize("out", ["/proc/x.png", "/proc/nowhere/x.png", "", ".", "pipe", "pipe/x.png"])
def test_a_sheet_that_cannot_be_written_is_refused_in_one_line(whole, tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")  # what a file must not take the place of
    result = invoke("preview", whole, "--out", out)
    assert result.exit_code == 2 and result.stderr.startswith("synth: ") and result.stderr.count("\n") == 1
    assert Path("pipe").is_fifo()


def test_sidecars_tell_the_size_and_hash_of_their_shard(whole):
    for path in (whole / "data").glob("*.parquet"):
        told = read_json(path.with_suffix(".json"))
        assert told["bytes"] == path.stat().st_size and told["sha256"] == sha256(path)


def test_members_of_a_tar_carry_no_time_and_no_owner(tarred):
    with tarfile.open(sorted((tarred / "data").glob("*.tar"))[0]) as file:
        members = file.getmembers()
        assert {(m.mtime, m.uid, m.gid, m.uname) for m in members} == {(0, 0, 0, "")}
        content = file.extractfile(members[1])
        assert content and json.loads(content.read())["id"] == members[0].name.removesuffix(".jpg")


def test_a_ray_cluster_that_loses_a_node_writes_the_bytes_of_one_process(model, tmp_path):
    ray = pytest.importorskip("ray")
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    from synth.sampling.engines.cluster import cluster

    many = asked(model, n=400)
    draw_shards(many, model, tmp_path / "whole", workers=1)
    nodes = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    lost = nodes.add_node(num_cpus=1)
    ray.init(address=nodes.address, log_to_driver=False)
    try:
        shards, out, drawn = 0, tmp_path / "out", 0
        for event in cluster(Sampling(many, model, out), plan.shards(many), 2, None):
            if not isinstance(event, Shard):
                drawn += event
                continue
            shards += 1
            if shards == 3:
                nodes.remove_node(lost, allow_graceful=False)
    finally:
        ray.shutdown()
        nodes.shutdown()
    assert shards == len(plan.shards(many)) and drawn == 400
    assert hashes(out) == hashes(tmp_path / "whole")


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_ray_address_where_nobody_listens_is_refused_before_ray_is_asked(
    model, tmp_path, monkeypatch, scheme
):
    """Ray itself would knock for minutes."""
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray was asked"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"{scheme}127.0.0.1:{taken.getsockname()[1]}"
        flags = ("--engine", "ray", "--ray-address", address, "--steps", 2, "--guidance", 1)
        result = invoke("generate", "--model", model, "--n", 8, "--out", tmp_path / "out", *flags)
    assert result.exit_code == 2
    assert result.stderr.endswith(
        f"synth: --ray-address '{address}': no Ray cluster answers there ([Errno 111] Connection refused); "
        "start one with 'ray start --head'; where it wants a token, set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to that of the head\n"
    )


DRY = """
import json, re, sys
from pathlib import Path
from typer.testing import CliRunner
from synth.commands.app import app
told = CliRunner().invoke(app, ["generate", "--model", sys.argv[1], "--n", "1000000", "--dry-run", "--json"]).stdout
print(json.dumps({"told": json.loads(told), "kilobytes": int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]),
                  "torch": "torch" in sys.modules}))
"""


def test_a_dry_run_of_a_million_tells_shards_bytes_and_hours_without_torch(model):
    done = subprocess.run([sys.executable, "-c", DRY, str(model)], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert not found["torch"] and found["kilobytes"] < 500_000
    assert found["told"]["shards"] == 203 and found["told"]["plan"]["n"] == 1_000_000
    assert found["told"]["bytes"] > 1e8 and found["told"]["hours"] > 0


def test_operations_read_from_the_weights_are_those_that_torch_counts(model):
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    generator, _ = pipeline.load(model)
    told = torch.zeros(1, generator.unet.config["block_out_channels"][0] * 4)
    # As matrix products: the counter of torch 2.6 knows no other attention of a CPU.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        generator.unet(add_coordinates(torch.zeros(1, *generator.shape)), torch.tensor(5), class_labels=told)
    assert cost.forward(model / "unet") == counter.get_total_flops()


@pytest.mark.parametrize("steps, guidance", [(20, 2.0), (20, 1.0), (4, 3.0), (7, 1.5)])
def test_passes_are_those_that_the_pipeline_makes(model, steps, guidance):
    generator, _ = pipeline.load(model)
    passes = 0

    def count(*_: object) -> None:
        nonlocal passes
        passes += 1

    generator.unet.register_forward_hook(count)
    generator(
        torch.zeros(1, len(current().unknown), dtype=torch.int64),
        torch.zeros(1, *generator.shape),
        steps,
        guidance,
    )
    assert passes == cost.evaluations(steps, guidance)


def test_bytes_follow_the_size_between_and_beyond_what_was_measured(model):
    sizes = (32, 64, 100, 128, 512, 1024)
    found = [cost.estimate(asked(model), model, size).bytes for size in sizes]
    assert found == sorted(found) and found[-1] > 10 * found[1]


def test_a_contact_sheet_grows_with_the_shards_and_ends_the_same_for_every_launcher(model, whole, tmp_path):
    from PIL import Image

    out = tmp_path / "out"
    draw_shards(asked(model), model, out, workers=1, share=(0, 2))
    half = Image.open(out / "preview.png").size
    draw_shards(asked(model), model, out, workers=1, share=(1, 2))
    assert Image.open(out / "preview.png").size == half  # of two machines, the first draws it
    (out / "preview.png").unlink()
    sheet = LiveSheet(out, asked(model))
    sheet.show()
    assert (out / "preview.png").read_bytes() == (whole / "preview.png").read_bytes()
    assert Image.open(out / "preview.png").size[1] > half[1]


@pytest.mark.slow
def test_a_slurm_array_and_its_last_job_write_the_whole_set(model, whole, tmp_path):
    out, path = tmp_path / "out", f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    flags = "--steps 2 --guidance 1 --batch 4 --workers 1"
    told = {**os.environ, "PATH": path, "MODEL": str(model), "OUT": str(out), "N": "60", "FLAGS": flags}
    for task in "10":
        array = {"SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_TASK_COUNT": "2"}
        subprocess.run(["bash", "examples/slurm/generate.sbatch"], env=told | array, check=True)
    done = subprocess.run(
        ["bash", "examples/slurm/verify.sbatch"], env=told, check=True, capture_output=True, text=True
    )
    assert hashes(out) == hashes(whole) and "shards_written: 0" in done.stdout
