"""Verbs that make a release with a generator, judge it and publish it."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from synth.base.command import DryRun, Json, Set, say, show, show_dry, show_pushed, then
from synth.base.errors import UserError

Out = Annotated[Path, typer.Option(help="folder to write; repeat the command to continue")]
Licence = Annotated[
    str | None, typer.Option(help="for the card: cc-by-4.0 or the like, or one line of terms")
]
Private = Annotated[bool, typer.Option("--private", help="make the repository a private one")]


def generate(
    n: Annotated[int, typer.Option(help="how many images")],
    model: Annotated[
        Path | None,
        typer.Option(
            help="a run of 'synth train', a generator's folder, or fundus256-4; else fundus256, which ships"
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
    workers: Annotated[int, typer.Option(help="processes; 0 is two per GPU, else one per core")] = 0,
    batch: Annotated[
        int | None,
        typer.Option(
            help="images per forward pass, part of the plan; else 16, on a GPU up to 256 by its free memory"
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(help="fp32, or bf16: faster on GPUs and CPUs that know it; else bf16 on such a GPU"),
    ] = None,
    compile: Annotated[
        bool,
        typer.Option("--compile", help="compile the network, part of the plan: for a GPU and many images"),
    ] = False,
    quality: Annotated[int, typer.Option(help="of the JPEG, 1 to 100")] = 95,
    reject_copies: Annotated[
        list[Path],
        typer.Option(
            metavar="<path>",
            help="the generator's records: draw again what comes nearer to a training photograph"
            " than held-out patients do; may repeat",
        ),
    ] = [],
    reject_mislabelled: Annotated[
        Path | None,
        typer.Option(help="real records: draw again what a classifier of them takes for something else"),
    ] = None,
    label_classifier: Annotated[
        Path | None,
        typer.Option(help="one that learnt from the split 'train' of these records; else one is trained"),
    ] = None,
    reject_anatomy: Annotated[
        bool,
        typer.Option(
            "--reject-anatomy",
            help="draw again readable eyes without exactly one disc, a macula in its place, connected vessels",
        ),
    ] = False,
    marks: Annotated[
        bool,
        typer.Option(
            "--marks", help="for an audit, not for release: with the marks of 'privacy canary plant'"
        ),
    ] = False,
    licence: Licence = None,
    push_to_hub: Annotated[str | None, typer.Option(help="NAME/REPO to push to once all is there")] = None,
    private: Private = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="print the plan as JSON, say what it would cost, and stop; prepares filters first",
        ),
    ] = False,
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
    from synth import release
    from synth.base.config import check
    from synth.provenance import publication
    from synth.sampling import cost
    from synth.sampling.plan import shards as shards_of

    if marks and push_to_hub:
        raise UserError(
            "--marks is for an audit; pictures with marks are not pushed, leave out --push-to-hub"
        )
    if private and not push_to_hub:
        raise UserError("--private goes with --push-to-hub")
    if ray_address and engine != "ray":
        raise UserError(f"--ray-address '{ray_address}' goes with --engine ray")
    if licence is not None:
        publication.check_licence({"licence": licence})
    settings = {
        "n": n,
        "model": model,
        "seed": seed,
        "labels": labels,
        "steps": steps,
        "guidance": guidance,
        "batch": batch,
        "quality": quality,
        "format": format,
        "precision": precision,
        "compile": compile,
        "marks": marks,
        "reject_copies": reject_copies,
        "reject_mislabelled": reject_mislabelled,
        "label_classifier": label_classifier,
        "reject_anatomy": reject_anatomy,
    }
    config = check(release.GenerateConfig, settings, "synth generate")
    if dry_run:
        what = release.planned(config, out)
        estimated = cost.estimate(what.plan, what.model, what.card.preprocessing.size)
        counts = {"n": n, "shards": len(shards_of(what.plan)), **estimated._asdict()}
        show_dry(counts | {"plan": what.plan.to_json()}, cost.describe(what.plan, estimated))
        return
    made = release.generate(
        config,
        out,
        workers=workers,
        share=_share(shards),
        engine=engine,
        address=ray_address,
        licence=licence,
        push_to_hub=push_to_hub,
        private=private,
        tell=say,
    )
    result = {"folder": str(out), "shards_written": made.shards_written, "complete": made.complete}
    show(result | (made.pushed or {}), json)
    then("clip", "train", "--data", out, "--out", "runs/clip", open=out / "preview.png")


def evaluate(
    data: Annotated[Path, typer.Option(help="synthetic records (their split 'train')")],
    real: Annotated[Path, typer.Option(help="real records: 'train' teaches, 'test' tests")],
    out: Annotated[Path, typer.Option(help="folder of the report; repeat the command to continue")] = Path(
        "evaluation"
    ),
    size: Annotated[int | None, typer.Option(help="pixels a side at which photographs are compared")] = None,
    features: Annotated[
        str | None,
        typer.Option(
            help="own (the classifier of the real photographs), random:NAME, timm:NAME=FILE, "
            "torchvision:NAME=FILE, or inception:FILE, which alone gives a FID"
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML of what differs from the defaults")] = None,
    set: Set = [],
    workers: Annotated[
        int,
        typer.Option(min=0, help="processes that train classifiers and compute features; 0 is one per core"),
    ] = 0,
    engine: Annotated[
        str, typer.Option(help="of features: local, or ray (the cluster of RAY_ADDRESS)")
    ] = "local",
    show_training_photographs: Annotated[
        bool,
        typer.Option(
            "--show-training-photographs",
            help="write the nearest ones to OUT/private: patients, not to be sent around",
        ),
    ] = False,
    dry_run: DryRun = False,
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
    from synth.quality import evaluation, report
    from synth.quality.settings import EvaluationConfig

    chosen = [f"classifier.preprocessing.size={size}"] * (size is not None)
    chosen += [f"features={features}"] * (features is not None)
    settings = load(EvaluationConfig, config, [*chosen, *set])
    if dry_run:
        show_dry(settings.model_dump(mode="json"), [])
        return
    line = shlex.join(["synth", *sys.argv[1:]])
    made = evaluation.evaluate(
        settings, data, real, out, line, workers, show=show_training_photographs, tell=say, engine=engine
    )
    if json:
        show(made.to_json(), json)
    else:
        typer.echo(f"{report.summary(made)}\n{out / 'report.html'}")
    then(
        "privacy", "audit", "--synthetic", data, "--members", real, "--out", "audit", open=out / "report.html"
    )


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
    from synth.publishing.hub import push

    show_pushed(push(folder, repo, private, licence, real, dry_run), dry_run, json)


def _share(text: str) -> tuple[int, int]:
    """3/64 -> (3, 64)."""
    first, slash, count = text.partition("/")
    if not slash or not first.isdigit() or not count.isdigit() or not int(first) < int(count):
        raise UserError(f"--shards '{text}': write it as I/N with I from 0 to N-1, for example 0/4")
    return int(first), int(count)
