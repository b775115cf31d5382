"""The command `synth`: parse, load the config, one library call per verb."""

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from synth.base.command import command
from synth.base.errors import UserError
from synth.base.runs import is_first_process

app = command(
    "synth",
    "Make labelled, captioned fundus photographs.",
    "synth import odir5k --root ODIR/ --out records/odir",
    "synth train --data records/odir --out runs/odir --config configs/synth/odir64.yaml",
    "synth generate --model runs/odir --n 10000 --out synthetic",
)

Out = Annotated[Path, typer.Option(help="folder to write; repeat the command to continue")]
Licence = Annotated[
    str | None, typer.Option(help="for the card: cc-by-4.0 or the like, or one line of terms")
]
Private = Annotated[bool, typer.Option("--private", help="make the repository a private one")]
Json = Annotated[bool, typer.Option("--json", help="print the result as JSON")]


@app.command("import")
def import_(
    source: Annotated[str, typer.Argument(help="a name from --list")] = "",
    root: Annotated[Path | None, typer.Option(help="the set's folder, in its own layout")] = None,
    out: Annotated[Path | None, typer.Option(help="folder of records to write")] = None,
    split: Annotated[str, typer.Option(help="train:validation:test, over patients")] = "8:1:1",
    size: Annotated[int | None, typer.Option(help="make pictures smaller: longest side in pixels")] = None,
    mapping: Annotated[Path | None, typer.Option(help="for 'folder': YAML that maps your columns")] = None,
    list: Annotated[bool, typer.Option("--list", help="print the known sets and stop")] = False,
    json: Json = False,
) -> None:
    """Turn a public set's own layout into records.

    \b
    Examples:
      synth import --list
      synth import idrid --root IDRiD/ --out records/idrid
      synth import odir5k --root ODIR/ --out records/odir --split 7:1:2
      synth import folder --root photos/ --mapping mapping.yaml --out records/mine
    """
    from synth.sources import SOURCES, importing

    if list:
        for name, known in SOURCES.items():
            typer.echo(f"{name:12} {known.title} [{known.licence}]")
        return
    if not source or root is None or out is None:
        raise UserError("give SOURCE, --root and --out; 'synth import --list' names the sources")
    result = importing.import_source(source, root, out, _shares(split), size, mapping)
    _show(result, json)


@app.command(short_help="Draw digital phantoms: people who do not exist.")
def phantom(
    n: Annotated[int, typer.Option(help="how many pictures")],
    out: Out,
    size: Annotated[int, typer.Option(help="pixels a side")] = 256,
    seed: Annotated[int, typer.Option(help="another seed, other people")] = 0,
    age_strength: Annotated[float, typer.Option(help="0 to 1: how much age shows in the picture")] = 0.0,
    sex_strength: Annotated[float, typer.Option(help="0 to 1: how much sex shows")] = 0.0,
    race_strength: Annotated[float, typer.Option(help="0 to 1: how much race shows")] = 0.0,
    json: Json = False,
) -> None:
    """Draw digital phantoms: fundus photographs of people who do not exist, with ground truth.

    \b
    Examples:
      synth phantom --n 500 --out phantoms
      synth phantom --n 2000 --size 128 --sex-strength 0.5 --out phantoms-sex
    """
    from synth.base.config import check
    from synth.fundus import phantom

    settings = {
        "size": size,
        "seed": seed,
        "age_strength": age_strength,
        "sex_strength": sex_strength,
        "race_strength": race_strength,
    }
    _show(phantom.write(check(phantom.PhantomConfig, settings, "synth phantom"), n, out), json)


@app.command()
def train(
    data: Annotated[
        list[Path],
        typer.Option(metavar="<path>", help="records to learn from (their split 'train'); may repeat"),
    ],
    out: Annotated[Path, typer.Option(help="run folder; repeat the command to resume")],
    config: Annotated[Path | None, typer.Option(help="for example configs/synth/odir64.yaml")] = None,
    set: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="over the config; may repeat")] = [],
    dp_epsilon: Annotated[float | None, typer.Option(help="differential privacy for each patient")] = None,
    dp_delta: Annotated[float | None, typer.Option(help="its delta; else 1 / (10 x patients)")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="print the resolved config and its cost, and stop")
    ] = False,
) -> None:
    """Train a generator on records.

    \b
    Examples:
      synth train --data records/odir --out runs/odir --config configs/synth/odir64.yaml
      synth train --data phantoms --out runs/tiny --set images=6400 --set batch=16 --set micro_batch=16
      synth train --data records/odir --out runs/private --config configs/synth/private64.yaml --dp-epsilon 8
      torchrun --nproc_per_node 2 -m synth train --data records/odir --out runs/odir
    """
    if dp_delta is not None and dp_epsilon is None:
        raise UserError(f"--dp-delta {dp_delta:g}: goes with --dp-epsilon")
    budget = {"epsilon": dp_epsilon, "delta": dp_delta}
    set = [*(f"dp.{name}={value}" for name, value in budget.items() if value is not None), *set]
    from synth import training  # brings in torch, which `synth --help` can do without
    from synth.base.config import load

    settings = load(training.TrainConfig, config, set)
    if dry_run:
        from synth.cost import cost

        typer.echo(settings.model_dump_json(indent=2))
        for line in cost(settings.network, settings.preprocessing.size).lines():
            typer.echo(line, err=True)  # what is on stdout can be used as a config
    else:
        model = training.train(settings, data, out)
        if is_first_process():
            typer.echo(model)


@app.command(short_help="Choose another length for a run's averaged weights.")
def average(
    run: Annotated[Path, typer.Argument(help="a run of 'synth train'")],
    out: Annotated[Path, typer.Option(help="folder of the generator to write")],
    length: Annotated[float, typer.Option(help="of the average, as a share of training")] = 0.1,
    at: Annotated[int | None, typer.Option(help="images seen; default is the last snapshot")] = None,
    half: Annotated[bool, typer.Option("--half", help="16-bit weights: half the bytes")] = False,
    json: Json = False,
) -> None:
    """Choose another length for the average of a trained generator's weights.

    \b
    Examples:
      synth average runs/odir --length 0.05 --out runs/odir-05
      synth average runs/odir --length 0.15 --at 1024000 --half --out runs/odir-early
    """
    from synth.averages import average

    _show(average(run, length, at, out, half), json)


@app.command(short_help="Tune a student that draws in 4 steps, or 2.")
def distill(
    model: Annotated[Path, typer.Option(help="the teacher: a run of 'synth train', or a generator's folder")],
    data: Annotated[
        list[Path], typer.Option(metavar="<path>", help="records (their split 'train'); may repeat")
    ],
    out: Annotated[Path, typer.Option(help="run folder; repeat the command to resume")],
    steps: Annotated[int | None, typer.Option(help="of the student; default 4")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML of what differs from the defaults")] = None,
    set: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="over the config; may repeat")] = [],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the resolved config and stop")] = False,
) -> None:
    """Tune a student that draws in 4 steps, or 2, what its teacher draws in 20.

    \b
    Examples:
      synth distill --model runs/odir --data records/odir --out runs/odir-4
      synth distill --model runs/odir-4 --data records/odir --out runs/odir-2 --steps 2
      synth generate --model runs/odir-4 --n 10000 --out synthetic
    """
    from synth import distill
    from synth.base.config import load

    set = [*([] if steps is None else [f"steps={steps}"]), *set]
    settings = load(distill.DistillConfig, config, set)
    if dry_run:
        typer.echo(settings.model_dump_json(indent=2))
        return
    student = distill.distill(settings, model, data, out)
    if is_first_process():
        typer.echo(student)


@app.command()
def generate(
    n: Annotated[int, typer.Option(help="how many images")],
    model: Annotated[
        Path | None,
        typer.Option(
            help="a run of 'synth train', a generator's folder, or fundus64-4; else fundus64, which ships"
        ),
    ] = None,
    out: Out = Path("synthetic"),
    seed: Annotated[int, typer.Option(help="another seed, other images")] = 0,
    labels: Annotated[
        str, typer.Option(help="joint, uniform, balanced, or a YAML 'mix' of label combinations and weights")
    ] = "joint",
    steps: Annotated[int | None, typer.Option(help="solver steps; else 20, or those of a student")] = None,
    guidance: Annotated[
        float | None, typer.Option(help="guidance scale, 1 is none; else 2, or what a student holds")
    ] = None,
    format: Annotated[str, typer.Option(help="parquet, or webdataset")] = "parquet",
    engine: Annotated[str, typer.Option(help="local, or ray")] = "local",
    ray_address: Annotated[
        str | None, typer.Option(help="of a Ray cluster; else RAY_ADDRESS, else one is started here")
    ] = None,
    shards: Annotated[str, typer.Option(help="I/N: only share I (from 0) of N, for a Slurm array")] = "0/1",
    workers: Annotated[int, typer.Option(help="processes; 0 is one per GPU, else one per core")] = 0,
    batch: Annotated[int, typer.Option(help="images per forward pass; part of the plan")] = 16,
    precision: Annotated[
        str, typer.Option(help="fp32, or bf16: faster on GPUs and CPUs that know it")
    ] = "fp32",
    quality: Annotated[int, typer.Option(help="of the JPEG, 1 to 100")] = 95,
    reject_copies: Annotated[
        Path | None,
        typer.Option(
            help="the generator's records: draw again what comes nearer to a training photograph"
            " than held-out patients do"
        ),
    ] = None,
    reject_mislabelled: Annotated[
        Path | None,
        typer.Option(help="real records: draw again what a classifier of them takes for something else"),
    ] = None,
    label_classifier: Annotated[
        Path | None,
        typer.Option(help="one that learnt from the split 'train' of these records; else one is trained"),
    ] = None,
    licence: Licence = None,
    push_to_hub: Annotated[str | None, typer.Option(help="NAME/REPO to push to once all is there")] = None,
    private: Private = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the plan and stop")] = False,
    json: Json = False,
) -> None:
    """Sample captioned synthetic photographs.

    \b
    Examples:
      synth generate --model runs/odir --n 10000 --out synthetic --seed 1
      synth generate --model runs/odir --n 1000000 --shards $SLURM_ARRAY_TASK_ID/64 --out synthetic
      synth generate --model runs/odir --n 500 --labels glaucoma.yaml --guidance 3 --dry-run
      synth generate --model runs/odir --n 10000 --reject-copies records/odir --reject-mislabelled records/odir
    """
    from synth import estimate, hub, location, plan, publication
    from synth.generate import generate
    from synth.publish import publish

    if private and not push_to_hub:
        raise UserError("--private goes with --push-to-hub")
    if ray_address and engine != "ray":
        raise UserError(f"--ray-address '{ray_address}' goes with --engine ray")
    if licence is not None:
        publication.check_licence({"licence": licence})
    folder = location.locate(model or location.SHIPPED)
    known = location.facts(folder)
    asked = plan.make(folder, n, seed, labels, steps, guidance, batch, quality, format, precision)
    if reject_copies or reject_mislabelled or label_classifier:
        from synth import filters

        size = known["preprocessing"]["size"]
        asked |= filters.prepare(out, size, reject_copies, reject_mislabelled, label_classifier)
    if dry_run:
        cost = estimate.estimate(asked, folder, known["preprocessing"]["size"])
        if json:
            _show({"n": n, "shards": len(plan.shards(asked)), **cost, "plan": asked}, json)
        else:
            typer.echo(plan.describe(asked, cost))
        return
    if push_to_hub:
        hub.ready(out, push_to_hub, licence, known)  # before hours of sampling
    written = generate(asked, folder, out, workers, _share(shards), engine, ray_address)
    if licence is not None:
        publication.update(out, licence=licence)
    complete = publish(out, asked, known)
    result = {"folder": str(out), "shards_written": written, "complete": complete}
    if push_to_hub and complete:
        result |= hub.push(out, push_to_hub, private)
    _show(result, json)


@app.command(short_help="Judge synthetic records against real ones.")
def evaluate(
    data: Annotated[Path, typer.Option(help="synthetic records (their split 'train')")],
    real: Annotated[Path, typer.Option(help="real records: 'train' teaches, 'test' tests")],
    out: Annotated[Path, typer.Option(help="folder of the report; repeat the command to continue")],
    size: Annotated[int | None, typer.Option(help="pixels a side at which photographs are compared")] = None,
    features: Annotated[
        str | None,
        typer.Option(
            help="own (the classifier of the real photographs), random:NAME, timm:NAME=FILE, "
            "torchvision:NAME=FILE, or inception:FILE, which alone gives a FID"
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML of what differs from the defaults")] = None,
    set: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="over the config; may repeat")] = [],
    workers: Annotated[int, typer.Option(help="processes that train classifiers; 0 is one per core")] = 0,
    show_training_photographs: Annotated[
        bool,
        typer.Option(
            "--show-training-photographs",
            help="write the nearest ones to OUT/private: patients, not to be sent around",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the resolved config and stop")] = False,
    json: Json = False,
) -> None:
    """Judge synthetic records against real ones: what they teach, how far they are, whether they copy.

    \b
    Examples:
      synth evaluate --data synthetic --real records/odir --out report
      synth evaluate --data synthetic --real records/odir --out report --set classifier.images=64000 --set shuffled=true
      synth evaluate --data synthetic --real records/odir --out report --features inception:inception-2015-12-05.pt
    """
    from synth.base.config import load
    from synth.judge import evaluation, report

    chosen = [f"classifier.preprocessing.size={size}"] * (size is not None)
    chosen += [f"features={features}"] * (features is not None)
    settings = load(evaluation.JudgeConfig, config, [*chosen, *set])
    if dry_run:
        typer.echo(settings.model_dump_json(indent=2))
        return
    line = shlex.join(["synth", *sys.argv[1:]])
    made = evaluation.evaluate(settings, data, real, out, line, workers, show=show_training_photographs)
    if json:
        _show(made, json)
    else:
        typer.echo(f"{report.summary(made)}\n{out / 'report.html'}")


@app.command()
def verify(folder: Annotated[Path, typer.Argument(help="records")], json: Json = False) -> None:
    """Check every shard of a folder against its sha256 and its plan.

    \b
    Examples:
      synth verify synthetic
    """
    from synth.verify import verify

    _show(verify(folder), json)


@app.command(short_help="Publish records or a generator on the Hugging Face Hub.")
def push(
    folder: Annotated[Path, typer.Argument(help="records, a generator's folder, or a run of 'synth train'")],
    repo: Annotated[
        str, typer.Option(help="NAME/REPO on the Hugging Face Hub; repeat the command to resume")
    ],
    private: Private = False,
    licence: Licence = None,
    real: Annotated[
        bool,
        typer.Option(
            "--real-photographs-may-be-published",
            help="the records are of patients, and their owners and every patient allow it",
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="check, list what would go, and stop")] = False,
    json: Json = False,
) -> None:
    """Publish synthetic records as a data set, or a generator as a model, on the Hugging Face Hub.

    \b
    Examples:
      synth push synthetic --repo me/fundus-10k --private
      synth push synthetic --repo me/fundus-10k --licence cc-by-4.0 --dry-run
      synth push runs/odir --repo me/fundus-generator
    """
    from synth.hub import push

    _show(push(folder, repo, private, licence, real, dry_run), json)


@app.command()
def preview(
    folder: Annotated[Path, typer.Argument(help="records")],
    out: Annotated[Path, typer.Option(help="PNG to write")] = Path("sheet.png"),
    count: Annotated[int, typer.Option(help="how many pictures")] = 48,
    columns: Annotated[int, typer.Option(help="pictures in a row")] = 8,
    side: Annotated[int, typer.Option(help="pixels a picture")] = 128,
    seed: Annotated[int, typer.Option(help="another seed, other pictures")] = 0,
) -> None:
    """Draw a contact sheet of records.

    \b
    Examples:
      synth preview synthetic --out sheet.png
      synth preview synthetic --count 100 --columns 10 --side 96 --out sheet.png
    """
    from synth.preview import preview

    shown = preview(folder, out, count, columns, side, seed)
    typer.echo(f"{out}: {shown} pictures")


def _show(result: dict, as_json: bool) -> None:
    """Print a result: JSON for machines, `key: value` lines for people."""
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
        return
    for key, value in result.items():
        typer.echo(f"{key}: {json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value}")


def _shares(text: str) -> tuple[int, ...]:
    """8:1:1 -> (8, 1, 1)."""
    parts = text.split(":")
    if len(parts) != 3 or not all(part.isdigit() for part in parts) or not sum(map(int, parts)):
        raise UserError(f"--split '{text}': write it as train:validation:test, for example 8:1:1")
    return tuple(map(int, parts))


def _share(text: str) -> tuple[int, int]:
    """3/64 -> (3, 64)."""
    first, slash, count = text.partition("/")
    if not slash or not first.isdigit() or not count.isdigit() or not int(first) < int(count):
        raise UserError(f"--shards '{text}': write it as I/N with I from 0 to N-1, for example 0/4")
    return int(first), int(count)
