"""What a picture costs and is worth: stock diffusers pipelines beside ours, the same network in one run on one core.

    python benchmarks/generate.py --quick
    python benchmarks/generate.py --model runs/odir --student runs/odir-4 --data records/odir

Cost is CPU seconds of this process, of one thread, per picture; the four take turns and the best of the rounds counts.

- `ddpm`, `ddim`: `DDPMPipeline` with 1000 steps and `DDIMPipeline` with 50.  Both refuse a network that takes labels,
  so an adapter that is as cheap as can be appends the two coordinate channels and the vector of unknown labels; memory
  layout and batch are theirs.  A call makes one picture by default, and the first ratio is to that; the second is to
  the same pipelines at our batch.
- `ours`: `FundusPipeline` with 20 steps; without guidance, since the stock pipelines have none, and with it.
- `student`: the same with a student of 4 steps, in which guidance is already.
- `bf16`: ours with `--precision bf16`, which counts against stock pipelines in fp32, as they are by default.

Worth is of pictures drawn from the same labels, those of the records, and the same noise: kernel distance to the
records, and AUC on held-out patients of classifiers that learnt from the pictures alone.  There DDIM is run by our
pipeline with the stock scheduler, guided as ours, since the stock pipeline draws no labels.  The last line is JSON.
"""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import numpy as np
import torch
from diffusers import DDIMPipeline, DDPMPipeline, UNet2DModel  # type: ignore[attr-defined]
from torch import Tensor

from synth import pipeline
from synth.base.config import check, fingerprint
from synth.base.runs import atomic
from synth.base.stats import estimate
from synth.classifier.classifier import ClassifierConfig
from synth.diffusion.schedulers import ddim_scheduler, noising
from synth.model.card import SHIPPED, WEIGHTS
from synth.model.denoiser import add_coordinates
from synth.quality import distances, samples, utility
from synth.quality.samples import Sample

BATCH = 16
Run = tuple[Callable[[], object], int]
"""A call, and how many pictures it makes."""


class Unlabelled(UNet2DModel):
    """A trained denoiser as the stock pipelines call it: a sample and a step, nothing else."""

    unconditional: Tensor
    where: Tensor

    def forward(self, sample: Tensor, timestep: Any) -> Any:  # type: ignore[override]
        where = self.where.expand(len(sample), -1, -1, -1)
        told = self.unconditional.expand(len(sample), -1)
        return super().forward(torch.cat([sample, where], dim=1), timestep, class_labels=told)


def unlabelled(generator: pipeline.FundusPipeline) -> Unlabelled:
    """The generator's network for the stock pipelines, in their memory layout."""
    channels = generator.shape[0]
    made = cast(Unlabelled, Unlabelled.from_config(generator.unet.config))
    made.load_state_dict(generator.unet.state_dict())
    made.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    made.register_to_config(in_channels=channels)  # of what is drawn
    with torch.no_grad():
        made.unconditional = generator.conditioning(
            torch.from_numpy(generator.conditioning.labels.unknown)[None]
        )
    made.where = add_coordinates(torch.zeros(1, *generator.shape))[:, channels:].contiguous()
    return made.eval()


def costs(
    generator: pipeline.FundusPipeline, student: pipeline.FundusPipeline, quick: bool
) -> dict[str, float]:
    """CPU seconds per picture."""
    network = unlabelled(generator)
    stock = {
        "ddpm": DDPMPipeline(network, noising()),
        "ddim": DDIMPipeline(network, ddim_scheduler()),
    }
    for each in stock.values():
        each.set_progress_bar_config(disable=True)
    told = torch.from_numpy(generator.conditioning.labels.unknown).repeat(BATCH, 1)
    noise = torch.randn(BATCH, *generator.shape, generator=torch.Generator().manual_seed(0))
    # The cost of a step does not depend on its number: in a quick run a tenth of the steps is timed and multiplied.
    share = 10 if quick else 1

    def of(name: str, steps: int, batch: int) -> Run:
        return lambda: stock[name](batch, num_inference_steps=steps // share, output_type="pt"), batch

    runs: dict[str, Run] = {
        "ddpm, batch 1": of("ddpm", 1000, 1),
        "ddim, batch 1": of("ddim", 50, 1),
        f"ddim, batch {BATCH}": of("ddim", 50, BATCH),
        "ours, 20 steps": (lambda: generator(told, noise, 20, 1), BATCH),
        "ours, 20 steps, guidance 2": (lambda: generator(told, noise, 20, 2), BATCH),
        "student": (lambda: student(told, noise), BATCH),
    }
    rounded, rounded_student = (_rounded(each) for each in (generator, student))
    runs |= {
        "ours, 20 steps, bf16": (lambda: rounded(told, noise, 20, 1), BATCH),
        "ours, 20 steps, guidance 2, bf16": (lambda: rounded(told, noise, 20, 2), BATCH),
        "student, bf16": (lambda: rounded_student(told, noise), BATCH),
    }
    if not quick:
        runs[f"ddpm, batch {BATCH}"] = of("ddpm", 1000, BATCH)
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(2 if quick else 3):
        for name, (call, pictures) in runs.items():
            if name.startswith("ddpm") and best[name] < float("inf") and not quick:
                continue  # once is long enough
            start = time.process_time()
            call()
            spent = (time.process_time() - start) / pictures * (share if name.startswith("dd") else 1)
            best[name] = min(best[name], spent)
    if quick:  # of the same steps as DDIM's, twenty times as many
        best[f"ddpm, batch {BATCH}"] = 20 * best[f"ddim, batch {BATCH}"]
    return best


def _rounded(generator: pipeline.FundusPipeline) -> pipeline.FundusPipeline:
    """What `--precision bf16` draws with."""
    made = deepcopy(generator)
    made.unet.to(torch.bfloat16)  # type: ignore[call-arg]
    return made


def ratios(cost: dict[str, float]) -> dict[str, dict[str, float]]:
    """How many times cheaper ours is than stock, at the stock batch of 1 and at ours."""
    ours = {name.removeprefix("ours, "): spent for name, spent in cost.items() if not name.startswith("dd")}
    return {
        f"{peer}, batch {batch}": {
            name: cost[f"{peer}, batch {batch}"] / spent for name, spent in ours.items()
        }
        for batch in (1, BATCH)
        for peer in ("ddpm", "ddim")
    }


def draw(generator: pipeline.FundusPipeline, told: np.ndarray, steps: int | None) -> np.ndarray:
    """(N, S, S, 3) uint8 pictures of (N, L) codes; the noise of picture i is the same for every generator."""
    parts = []
    for first in range(0, len(told), BATCH):
        part = told[first : first + BATCH]
        noise = [
            np.random.default_rng([0, first + i]).standard_normal(generator.shape, np.float32)
            for i in range(len(part))
        ]
        parts.append(generator(torch.from_numpy(part), torch.from_numpy(np.stack(noise)), steps).numpy())
    return np.concatenate(parts)


def worth(
    generator: pipeline.FundusPipeline,
    student: pipeline.FundusPipeline,
    data: Path,
    config: ClassifierConfig,
    most: int,
    out: Path,
) -> dict[str, Any]:
    """Kernel distance and train-on-synthetic AUC of what the three samplers draw, with intervals over patients."""
    real = samples.draw(data, ["train"], most, config.preprocessing, out, 0, "training photographs")
    test = samples.draw(data, ["test"], 10_000, config.preprocessing, out, 0, "held-out photographs")
    columns = utility.testable(real, test, config, 5, data)
    stock = pipeline.FundusPipeline(generator.unet, ddim_scheduler(), generator.conditioning, generator.space)
    told = generator.conditioning.labels.codes(real.table)
    samplers = {"ddim, 50 steps": (stock, 50), "ours, 20 steps": (generator, 20), "student": (student, None)}
    made, told_by = {}, {}
    for name, (sampler, steps) in samplers.items():
        drawn = fingerprint([name, real.name, _weights(sampler)])
        made[name] = real._replace(pictures=_kept(out / f"{drawn}.npy", sampler, told, steps), name=drawn)
        told_by[name] = _taught(real, made[name], columns, config, out / drawn)
    judge = utility.train(utility.training_sets(real, real, columns, config, False, out)[:1], 1)["real"][0]
    scores = {name: utility.scores(model, columns, test.pictures) for name, model in told_by.items()}
    scores["real photographs"] = utility.scores(judge, columns, test.pictures)
    areas, patients = utility.areas(scores, test, columns, 1000, 0)
    reference, found = judge.features(np.asarray(real.pictures)), {}
    for name, area in areas.items():
        found[name] = {"auc": estimate(area.mean(axis=0), patients)._asdict()}
        if name in made:
            gap = (area - areas["ddim, 50 steps"]).mean(axis=0)
            features = judge.features(made[name].pictures)
            whose = (real.patients, real.patients)
            found[name]["auc minus ddim's"] = estimate(gap, patients)._asdict()
            found[name]["kernel distance"] = distances.measure(reference, features, whose, 50, 0)[
                "kernel"
            ]._asdict()
    return {"pictures": len(told), "held out": len(test.pictures), "labels": len(columns), "of": found}


def _kept(path: Path, generator: pipeline.FundusPipeline, told: np.ndarray, steps: int | None) -> np.ndarray:
    """What `draw` gives, kept in a file: the longest part of this benchmark."""
    if not path.exists():
        with atomic(path) as half, half.open("wb") as file:
            np.save(file, draw(generator, told, steps))
    return np.load(path)


def _weights(generator: pipeline.FundusPipeline) -> str:
    parts = generator.unet.state_dict().items()
    return fingerprint({name: sha256(value.numpy().tobytes()).hexdigest() for name, value in parts})


def _taught(real: Sample, made: Sample, columns: list[int], config: ClassifierConfig, out: Path) -> Any:
    return utility.train(utility.training_sets(real, made, columns, config, False, out)[1:], 1)["synthetic"][
        0
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=SHIPPED, help="a trained generator; else fundus256")
    parser.add_argument(
        "--student", type=Path, default=WEIGHTS / "fundus256-4", help="its student, from 'synth distill'"
    )
    parser.add_argument(
        "--data", type=Path, help="records with pictures and labels; without, only cost is measured"
    )
    parser.add_argument("--pictures", type=int, default=4000, help="at most so many are drawn by each")
    parser.add_argument(
        "--keep", type=Path, help="folder of pictures and classifiers, to go on from if repeated"
    )
    parser.add_argument("--quick", action="store_true", help="fewer steps, pictures and classifier steps")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    generator, known = pipeline.load(asked.model)
    student, _ = pipeline.load(asked.student)
    cost = costs(generator, student, asked.quick)
    for name, spent in cost.items():
        print(f"{name:28} {spent:8.3f} core-seconds a picture")
    cheaper = ratios(cost)
    for peer, times in cheaper.items():
        print(
            f"cheaper than {peer}: " + ", ".join(f"{name} {ratio:.1f} times" for name, ratio in times.items())
        )
    found = None
    if asked.data:
        quick = {"images": 4096, "warmup": 256} if asked.quick else {}
        config = check(ClassifierConfig, {"preprocessing": known.preprocessing, **quick}, "benchmark")
        with nullcontext(asked.keep) if asked.keep else TemporaryDirectory() as folder:
            out = Path(folder)
            out.mkdir(parents=True, exist_ok=True)
            most = 320 if asked.quick else asked.pictures
            found = worth(generator, student, asked.data, config, most, out)
        for name, numbers in found["of"].items():
            shown = (
                f"{key} {v['value']:.3g} ({v['low']:.3g} to {v['high']:.3g})" for key, v in numbers.items()
            )
            print(f"{name}: {', '.join(shown)}")
    facts = {"benchmark": "generate", "quick": asked.quick, "batch": BATCH, "student": student.config["student"],
             "core_seconds": cost, "ratio": cheaper, "worth": found, "machine": platform.machine(),
             "versions": {name: version(name) for name in ("visionclip", "diffusers", "torch")}}  # fmt: skip
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
