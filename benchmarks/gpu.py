"""One script for a borrowed hour on a GPU: what agrees with the CPU, how fast it is, and a generator that was trained meanwhile.

    python benchmarks/gpu.py --minutes 10 --data records/odir --out borrowed
    python benchmarks/gpu.py --device cpu --out borrowed            # all of it at toy sizes, in a minute or two
    python benchmarks/gpu.py --summary borrowed/*.jsonl             # docs/results/gpu.md

It writes one line of JSON to OUT/gpu.jsonl as soon as each figure is there, in an order such that being cut leaves the best yet:

1. agreement: noise to the bit; loss, samples and CLIP's features of GPU and CPU; a training that was interrupted, to the bit.
2. speed: pictures/s of 256, 64, 128 and 512 px at 20, 4 and 1 steps, of the network by the GPU's own events; with captions,
   JPEG and files, for a minute if there is one, and the hours that a million would take so; images/s of a training step; pairs/s of
   RN50 + RoBERTa, beside cn_clip's and open_clip's own models where these are installed; attention by torch and by xformers.
3. training: `fundus256` on the records given, for half of the time: weights of 16 bits in files of at most 16 MiB, curve, sheet.
4. samples of it, and a CLIP trained on them.

What fails is a line too, and the rest goes on.  Without --data the records are digital phantoms.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a node may have the code and no installation
PART = 16 * 2**20  # bytes of the largest file
LIBRARIES = ("torch", "diffusers", "transformers", "timm", "xformers", "open-clip-torch", "cn-clip")


class Log:
    """OUT/gpu.jsonl, and how much time is left."""

    def __init__(self, out: Path, minutes: float) -> None:
        out.mkdir(parents=True, exist_ok=True)
        self._file, self._begin = (out / "gpu.jsonl").open("a", encoding="utf-8"), time.monotonic()
        self._seconds = 60 * minutes

    def write(self, what: str, **values: Any) -> None:
        line = {"what": what, "at": round(time.monotonic() - self._begin, 1), **values}
        for file in (self._file, sys.stdout):
            print(json.dumps(line), file=file, flush=True)

    def left(self, share: float = 1.0) -> float:
        """Seconds until a share of the time is over."""
        return self._begin + share * self._seconds - time.monotonic()

    def part(self, what: str, until: float, call: Callable[[], dict[str, Any]]) -> bool:
        """Note what a call finds, if there is time for it and whatever becomes of it; returns whether it found something."""
        if self.left(until) <= 0:
            self.write(what, skipped="no time was left")
            return False
        try:
            self.write(what, **call())
        except Exception as error:  # a borrowed hour goes on
            self.write(what, failed=f"{type(error).__name__}: {error}"[:500])
            return False
        return True


class Bench:
    """The sizes, the device, and the folders of one session."""

    def __init__(self, out: Path, toy: bool, data: Path | None) -> None:
        import torch

        self.gpu = torch.cuda.is_available() and not toy
        self.device = torch.device("cuda" if self.gpu else "cpu")
        # Elsewhere: what is cut short leaves OUT as it is, and no file there is large.
        self.out, self.toy, self.scratch = out, toy, Path(tempfile.mkdtemp(prefix="gpu-"))
        self.data = data or self.phantoms()

    def phantoms(self) -> Path:
        from synth import phantom
        from synth.base.config import check

        folder, size = self.scratch / "phantoms", 32 if self.toy else 256
        phantom.write(
            check(phantom.PhantomConfig, {"size": size}, "phantom"), 60 if self.toy else 400, folder
        )
        return folder

    def recipe(self, name: str) -> tuple[Path | None, list[str]]:
        """The file of a recipe of `synth train` and what differs from it, or a toy."""
        if not self.toy:
            return ROOT / f"configs/synth/{name}.yaml", []
        toy = ["preprocessing.size=16", "network.channels=[16,32]", "network.attention_from=1", "sheet=4"]
        return None, [*toy, "batch=8", "micro_batch=8", "images=16", "save_every=8"]

    def config(self, name: str) -> Any:
        """Its settings."""
        from synth.base.config import load
        from synth.training.config import TrainConfig

        return load(TrainConfig, *self.recipe(name))

    def clip(self) -> Any:
        """RN50 + RoBERTa at 224 px, or a toy."""
        from clip.model.encoders import ClipConfig, ImageTower, TextTower
        from synth.data.images import Preprocessing

        if not self.toy:
            return ClipConfig(preprocessing=Preprocessing(size=224))
        text = TextTower(layers=1, width=32, heads=2, feedforward=64, positions=64)
        image = ImageTower(layers=(1, 1, 1, 1), width=8)
        return ClipConfig(image=image, text=text, embedding=32, preprocessing=Preprocessing(size=32))

    def network(self, config: Any) -> Any:
        import torch

        from synth.model.denoiser import Denoiser

        torch.manual_seed(0)
        return Denoiser(config.network, config.preprocessing.size)

    def generator(self, name: str) -> Path:
        """A generator of that shape with random weights."""
        import torch

        from synth import pipeline
        from synth.data.vocabulary import VERSION
        from synth.diffusion.process import VPrediction
        from synth.model.card import GeneratorCard

        folder, config = self.scratch / name, self.config(name)
        if not folder.exists():
            network, space = self.network(config), config.network.space()
            images = torch.rand(8, 3, *[config.preprocessing.size] * 2) * 2 - 1
            if config.network.latent:
                space.begin(images)
            space.fit(images)
            made = pipeline.FundusPipeline(network.unet, VPrediction().scheduler, network.conditioning, space)
            values = {"config": config.model_dump(mode="json"), "vocabulary": VERSION, "images": 0}
            card = GeneratorCard.of(preprocessing=config.preprocessing.model_dump(), **values)
            pipeline.save(made, folder, card, [{"weight": 1, "labels": {"dr_grade": 0, "is_gc": 0}}])
        return folder

    def seconds(self, call: Callable[[], object], least: float, rounds: int = 3) -> float:
        """Of one call: by events of the GPU, or by the clock; of as many as take `least` seconds, after one that is not counted."""
        import torch

        call()
        begin, done = time.perf_counter(), 0
        if self.gpu:
            first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize()
            first.record()
        while done < rounds or time.perf_counter() - begin < least:
            call()
            done += 1
            if self.gpu and done % 4 == 0:
                torch.cuda.synchronize()  # else the queue outgrows the time
        if self.gpu:
            last.record()  # pyright: ignore[reportPossiblyUnboundVariable]
            torch.cuda.synchronize()
            return first.elapsed_time(last) / 1000 / done  # pyright: ignore[reportPossiblyUnboundVariable]
        return (time.perf_counter() - begin) / done


def machine(bench: Bench) -> dict[str, Any]:
    import torch

    found: dict[str, str | None] = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    card = torch.cuda.get_device_properties(0) if bench.gpu else None
    return {
        "card": card.name if card else platform.machine(),
        "gigabytes": round(card.total_memory / 1e9, 1) if card else None,
        "cuda": torch.version.cuda,  # pyright: ignore[reportAttributeAccessIssue]
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": found,
        "toy": bench.toy,
    }


def same_noise(bench: Bench) -> dict[str, Any]:
    import torch

    from synth.sampling import noise

    places, shape = [(0, 0), (7, 0), (2**33, 3)], (16, 32, 32)
    first, second = (noise.draw("philox", 5, places, shape, place).cpu() for place in ("cpu", bench.device))
    return {"equal": torch.equal(first, second), "unequal": int((first != second).sum())}


def same_results(bench: Bench) -> dict[str, Any]:
    """In fp32, TF32 off: relative differences of loss and features, and of samples in grey levels."""
    import torch

    from clip.model.encoders import build, tokenize
    from synth.diffusion.losses import loss
    from synth.diffusion.process import VPrediction
    from synth.model.labels import current
    from synth.pipeline import load
    from synth.sampling import noise

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    config = bench.config("fundus64")
    network, codes = bench.network(config).eval(), torch.from_numpy(current().unknown).repeat(2, 1)
    generator, _ = load(bench.generator("fundus64"))
    clean, fresh = (noise.draw("philox", seed, [(0, 0), (1, 0)], network.shape, "cpu") for seed in (1, 2))
    model = build(bench.clip()).eval()
    pixels = torch.rand(
        2, 3, *[model.config.preprocessing.size] * 2, generator=torch.Generator().manual_seed(0)
    )
    tokens, found = tokenize(["青光眼", "a fundus photograph"], 52), []
    for place in (torch.device("cpu"), bench.device):
        with torch.inference_mode():
            for part in (network, generator, model):
                part.to(place)
            parts = [each.to(place) for each in (clean, fresh, torch.tensor([10, 900]), codes)]
            error = loss(network, VPrediction(), *parts)
            features = torch.cat(model(pixels.to(place), tokens.to(place))[:2])
            found.append((error.cpu(), generator(parts[3], parts[1], 4).cpu().float(), features.cpu()))
    (error, picture, features), (other, drawn, others) = found
    return {
        "size": config.preprocessing.size,
        "loss": float((error - other).abs() / error.abs()),
        "features": float((features - others).abs().max()),
        "samples_mean": float((picture - drawn).abs().mean()),
        "within": bool(
            (error - other).abs() / error.abs() < 1e-4 and (features - others).abs().max() < 1e-3 and (picture - drawn).abs().mean() < 0.5
        ),
    }  # fmt: skip


def same_resumed(bench: Bench) -> dict[str, Any]:
    """Two runs of `synth train`, one in one piece and one in two: their weights, with `deterministic`."""
    import torch

    from synth.base import checkpoint
    from synth.training.trainer import train

    size = {"preprocessing": {"size": 16}, "network": {"channels": [16, 32], "attention_from": 1}}
    config = type(bench.config("fundus64")).model_validate(
        {
            "batch": 16,
            "micro_batch": 16,
            "save_every": 32,
            "sheet": 0,
            "deterministic": True,
            "images": 64,
            **size,
        }
    )
    for name, lengths in (("whole", (64,)), ("halves", (32, 64))):
        for images in lengths:
            train(config.model_copy(update={"images": images}), [bench.data], bench.scratch / name)
    whole, halves = (
        checkpoint.load(bench.scratch / name / "state.pt")["weights"] for name in ("whole", "halves")
    )
    return {"equal": all(torch.equal(whole[name], halves[name]) for name in whole)}


def sampling(bench: Bench, name: str, steps: int) -> dict[str, Any]:
    """Pictures/s of network and decoder alone, guided at 20 steps as `synth generate` does, in bf16 on a GPU."""
    import torch

    from synth.base.device import has_bf16, settle
    from synth.model.labels import current
    from synth.pipeline import load
    from synth.sampling import noise
    from synth.sampling.settings import fitting

    settle(deterministic=bench.gpu)
    generator, _ = load(bench.generator(name))
    generator.to(bench.device)
    if bench.gpu and has_bf16():
        generator.unet.to(torch.bfloat16)  # type: ignore[call-arg]
    batch = fitting(torch.cuda.mem_get_info()[0], generator.size) if bench.gpu else 4
    codes = torch.from_numpy(current().unknown).repeat(batch, 1).to(bench.device)
    places, guidance = [(index, 0) for index in range(batch)], 2.0 if steps == 20 else 1.0

    def draw() -> None:
        generator(codes, noise.draw("philox", 0, places, generator.shape, bench.device), steps, guidance)

    spent = bench.seconds(draw, 3 if bench.gpu else 0, 2)
    return {
        "size": generator.size,
        "steps": steps,
        "guidance": guidance,
        "batch": batch,
        "images_per_second": batch / spent,
    }


def written(bench: Bench, steps: int, seconds: float) -> dict[str, Any]:
    """Pictures/s of `synth generate` into parquet, and the hours of a million so; what comes before the second shard is not counted."""
    from synth.sampling import plan
    from synth.sampling.engines import Job, local
    from synth.sampling.sampler import Sampling
    from synth.sampling.settings import chosen

    model, out = bench.generator("fundus256"), bench.scratch / f"written-{steps}"
    size = 16 if bench.toy else 256
    asked = plan.make(model, 60 if bench.toy else 1_000_000, steps=steps, guidance=2.0 if steps == 20 else 1.0,
                      **(chosen(out, size, 4 if bench.toy else None, None)._asdict()))  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    rows, finished, begin, busy = 0, 0, 0.0, Utilisation(bench.gpu)
    events = local.draw(Job(Sampling(asked, model, out), plan.shards(asked), 1 if bench.toy else 0))
    for event in events:
        if isinstance(event, int) and begin:
            rows += event
        if isinstance(event, plan.Shard):
            finished += 1
            begin = begin or time.perf_counter()
        if begin and time.perf_counter() - begin > seconds:
            break
    spent = time.perf_counter() - begin
    events.close()  # type: ignore[attr-defined]
    shutil.rmtree(out)
    rate = rows / spent if rows else None
    return {"size": size, "steps": steps, "batch": asked.batch, "precision": asked.precision, "seconds": round(spent, 1),
            "shards": finished, "images_per_second": rate, "hours_of_a_million": rate and 1e6 / rate / 3600,
            "utilisation": busy.mean()}  # fmt: skip


class Utilisation:
    """Per cent of the time in which the GPU computes, by nvidia-smi, from now on; None without one."""

    def __init__(self, gpu: bool) -> None:
        command = [
            "nvidia-smi",
            "--query-gpu=utilization.gpu",
            "--format=csv,noheader,nounits",
            "-lms",
            "500",
        ]
        there = gpu and shutil.which("nvidia-smi")
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True) if there else None

    def mean(self) -> float | None:
        if self._process is None:
            return None
        self._process.terminate()
        found = [int(line) for line in self._process.communicate()[0].split() if line.isdigit()]
        return sum(found) / len(found) if found else None


def training_step(bench: Bench, name: str) -> dict[str, Any]:
    """Images/s of a step of a denoiser: forward, backward, AdamW, averages."""
    import torch

    from synth.base.device import adamw, has_bf16, layout, settle
    from synth.diffusion.losses import loss
    from synth.diffusion.process import VPrediction
    from synth.model.labels import current
    from synth.training.averages import PowerAverages

    settle(deterministic=False)
    network, process = bench.network(bench.config(name)).to(bench.device), VPrediction()
    network.to(memory_format=layout(bench.device))
    batch = 128 if bench.gpu else 4
    optimizer, averages = adamw(network.parameters(), lr=1e-4), PowerAverages(network, [0.1])
    clean, fresh = (torch.randn(batch, *network.shape, device=bench.device) for _ in range(2))
    codes = torch.from_numpy(current().unknown).repeat(batch, 1).to(bench.device)
    time_ = torch.randint(0, 1000, (batch,), device=bench.device)

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16, enabled=bench.gpu and has_bf16()):
            error = loss(network, process, clean, fresh, time_, codes)
        error.backward()
        optimizer.step()
        optimizer.zero_grad()
        averages.step(10 * batch, batch)

    busy = Utilisation(bench.gpu)
    return {"config": name, "batch": batch, "images_per_second": batch / bench.seconds(step, 5 if bench.gpu else 0, 2), "utilisation": busy.mean()}  # fmt: skip


def clip_step(bench: Bench, peer: str) -> dict[str, Any]:
    """Pairs/s of a step of RN50 + RoBERTa at 224 px, by the same loop as `benchmarks/clip_train.py`."""
    import torch

    if bench.toy:
        from clip.model.encoders import build, standardise, tokenize

        clip, images = build(bench.clip()), torch.rand(4, 3, 32, 32)
        tokens = tokenize(["眼底"] * 4, 52)
        spent = bench.seconds(lambda: clip(standardise(images), tokens)[0].sum().backward(), 0, 2)
        return {"peer": peer, "batch": 4, "pairs_per_second": 4 / spent}
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import clip_train

    made = {"ours": clip_train.ours, "cn_clip": clip_train.chinese_clip,
            "open_clip": lambda: clip_train.open_clip(bench.scratch)}[peer]()  # fmt: skip
    batch, generator = (256 if bench.gpu else 8), torch.Generator().manual_seed(0)
    images = torch.rand(batch, 3, 224, 224, generator=generator).to(bench.device)
    tokens = clip_train.tokenize(["双眼底彩照，提示青光眼。"] * batch, 52).to(bench.device)
    spent = bench.seconds(clip_train.trained(*made, images, tokens), 5 if bench.gpu else 0)
    return {"peer": peer, "batch": batch, "pairs_per_second": batch / spent}


def attention(bench: Bench, kind: str) -> dict[str, Any]:
    """Milliseconds of self-attention over 32 x 32 latents, 12 heads of 32, forward alone."""
    import torch

    batch, kinds = (128 if bench.gpu else 1), torch.bfloat16 if bench.gpu else torch.float32
    parts = [torch.randn(batch, 12, 1024, 32, device=bench.device, dtype=kinds) for _ in range(3)]
    if kind == "xformers":
        from xformers.ops import memory_efficient_attention  # pyright: ignore[reportMissingImports]

        parts = [part.transpose(1, 2).contiguous() for part in parts]
        spent = bench.seconds(lambda: memory_efficient_attention(*parts), 1)
    else:
        spent = bench.seconds(lambda: torch.nn.functional.scaled_dot_product_attention(parts[0], parts[1], parts[2]), 1 if bench.gpu else 0)  # fmt: skip
    return {"kind": kind, "batch": batch, "milliseconds": 1000 * spent}


def train(bench: Bench, log: Log, until: float) -> dict[str, Any]:
    """Train on the records until a share of the time is over, in a process that is stopped then.

    Each checkpoint is kept under OUT/generator as it comes, so that there is the latest whenever this is cut.
    """
    import torch

    torch.cuda.empty_cache()
    (file, settings), run = bench.recipe("fundus256"), bench.scratch / "run"
    if not bench.toy:
        settings = [f"{name}=12800" for name in ("save_every", "snapshot_every", "autoencoder.save_every")]
        settings += ["warmup=3200", "autoencoder.images=25600"]
    command = [sys.executable, "-m", "synth", "train", "--data", str(bench.data), "--out", str(run)]
    command += ["--config", str(file)] if file else []
    command += [word for each in settings for word in ("--set", each)]
    path, done = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]), 0
    with (bench.scratch / "training.log").open("w+") as told:
        process = subprocess.Popen(command, stdout=told, stderr=told, env=os.environ | {"PYTHONPATH": path})
        try:
            while process.poll() is None and log.left(until) > 0:
                time.sleep(min(2, max(0, log.left(until))))
                done = checkpoint(bench, log, run, done)
        finally:
            process.terminate()
            process.wait()
        done = checkpoint(bench, log, run, done)
        if not done:
            told.seek(0)
            raise RuntimeError(f"no checkpoint in time; training said: {told.read()[-300:]}")
    return {"images": done}


def checkpoint(bench: Bench, log: Log, run: Path, done: int) -> int:
    """Keep the newest checkpoint of a run, if it is newer than `done` images; returns the images of what is kept."""
    try:
        images = json.loads((run / "model/visionclip.json").read_text())["images"]
        if images == done:
            return done
        kept(run / "model", bench.out / "generator")
        images = json.loads((bench.out / "generator/visionclip.json").read_text())["images"]
        shutil.copy(run / "metrics.jsonl", bench.out / "training.jsonl")
        for sheet in sorted((run / "samples").glob("*.png"))[-1:]:
            shutil.copy(sheet, bench.out / "sheet.png")
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    except FileNotFoundError:  # none yet, or one that is just being swapped in
        return done
    loss = next((line["loss"] for line in lines if line["images"] == images), None)
    log.write("trained so far", images=images, loss=loss)
    return images


def kept(folder: Path, out: Path) -> None:
    """Copy a generator with weights of 16 bits; a file of more than 16 MiB comes in parts, which `cat FILE.*` joins."""
    import torch
    from safetensors.torch import load_file, save

    fresh = out.with_name(f".{out.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for path in (p for p in folder.rglob("*") if p.is_file()):
        target = fresh / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        data = path.read_bytes()
        if path.suffix == ".safetensors":
            tensors = {k: v.half() if v.dtype == torch.float32 else v for k, v in load_file(path).items()}
            data = save(tensors, metadata={"format": "pt"})
        if len(data) <= PART:
            target.write_bytes(data)
            continue
        for number, start in enumerate(range(0, len(data), PART)):
            target.with_name(f"{target.name}.{number:03d}").write_bytes(data[start : start + PART])
    shutil.rmtree(out, ignore_errors=True)
    fresh.replace(out)


def use(bench: Bench, log: Log) -> dict[str, Any]:
    """Samples of the generator that was trained, and a CLIP on them, with its losses."""
    from clip.training import trainer
    from clip.training.config import TrainConfig
    from synth.base.config import load
    from synth.release import GenerateConfig, generate

    out = bench.scratch / "samples"
    labels = bench.scratch / "labels.yaml"
    labels.write_text(
        "mix:\n- {weight: 1, labels: {is_gc: 0, dr_grade: 0}}\n- {weight: 1, labels: {is_gc: 1}}\n"
    )
    config = GenerateConfig(n=20 if bench.toy else 2_000, model=bench.scratch / "run", steps=2 if bench.toy else None, labels=str(labels))  # fmt: skip
    generate(config, out, workers=1 if bench.toy else 0)
    shutil.copy(out / "preview.png", bench.out / "samples.png")
    small = [f"images={16 if bench.toy else 50_000}", f"batch={8 if bench.toy else 64}"]
    small += ["zero_shot=[]", "caption=both", f"save_every={8 if bench.toy else 6_400}"]
    small += ["model.preprocessing.size=32", "validation=2"] if bench.toy else []
    run = trainer.train(
        load(TrainConfig, Path(f"{ROOT}/configs/clip/tiny.yaml"), small), out, bench.scratch / "clip"
    )
    lines = [json.loads(line) for line in (run.parent / "metrics.jsonl").read_text().splitlines()]
    return {"samples": config.n, "clip_losses": [line["loss"] for line in lines]}


def run(bench: Bench, log: Log) -> None:
    """Everything, the most telling first."""
    log.write("machine", **machine(bench))
    for name, call in (("noise", same_noise), ("results", same_results), ("resume", same_resumed)):
        log.part(f"agreement: {name}", 0.3, lambda call=call: call(bench))
    steps = (20, 4, 1)
    minute = 1 if bench.toy else min(60, 0.08 * log.left())
    for number in steps[:2]:
        log.part("writing", 0.4, lambda number=number: written(bench, number, minute))
    for name in ("fundus256", "fundus64", "fundus128", "latent512")[: 1 if bench.toy else 4]:
        for number in steps:
            log.part("sampling", 0.45, lambda name=name, number=number: sampling(bench, name, number))
    for name in ("fundus256", "fundus64")[: 1 if bench.toy else 2]:
        log.part("training step", 0.5, lambda name=name: training_step(bench, name))
    for peer in ("ours", "cn_clip", "open_clip")[: 1 if bench.toy else 3]:
        log.part("clip step", 0.5, lambda peer=peer: clip_step(bench, peer))
    for kind in ("sdpa", "xformers"):
        log.part("attention", 0.5, lambda kind=kind: attention(bench, kind))
    if log.part("training", 0.85, lambda: train(bench, log, 0.85)):
        log.part("use", 1, lambda: use(bench, log))


def summary(files: list[Path], page: Path) -> None:
    """Write the page of what is in the files."""
    lines = [json.loads(line) for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    text = ["# On a GPU", "", "Measured by `benchmarks/gpu.py`; this page is made by its `--summary`.", ""]
    for line in (line for line in lines if line["what"] == "machine"):
        versions = ", ".join(f"{name} {number}" for name, number in line["versions"].items() if number)
        text += [f"{line['card']}, {line['cores']} cores, Python {line['python']}, {versions}.", ""]
        if line["toy"]:
            text += [
                "**At toy sizes, on a CPU: these figures say that the script runs, and nothing else.**",
                "",
            ]
    text += ["| what | figures |", "|---|---|"]
    for line in lines:
        if line["what"] not in ("machine", "trained so far"):
            shown = {
                key: f"{value:.4g}" if isinstance(value, float) else value for key, value in line.items()
            }
            figures = ", ".join(f"{key} {value}" for key, value in shown.items() if key not in ("what", "at"))
            text.append(f"| {line['what']} | {figures.replace('|', '/')} |")
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(text) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--minutes", type=float, default=10, help="that all of it may take")
    parser.add_argument("--data", type=Path, help="records to train on; else digital phantoms")
    parser.add_argument("--out", type=Path, default=Path("borrowed"))
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu: at toy sizes")
    parser.add_argument("--quick", action="store_true", help="as --device cpu")
    parser.add_argument(
        "--summary", type=Path, nargs="+", metavar="FILE", help="make the page of these files, and stop"
    )
    parser.add_argument("--page", type=Path, default=ROOT / "docs/results/gpu.md", help="of --summary")
    given = parser.parse_args()
    if given.summary:
        summary(given.summary, given.page)
        return
    toy = given.quick or given.device == "cpu"
    if toy:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    log = Log(given.out, given.minutes)
    bench = Bench(given.out, toy, given.data)
    if not toy and not bench.gpu:
        sys.exit("gpu.py: torch finds no GPU here; --device cpu runs through everything at toy sizes")
    run(bench, log)
    shutil.rmtree(bench.scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
