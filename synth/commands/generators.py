"""Verbs that make generators."""

from pathlib import Path
from typing import Annotated

import typer

from synth.base.command import DryRun, Json, Set, config_option, say, show, show_dry, then
from synth.base.errors import UserError
from synth.base.lock import sole_writer
from synth.base.returns import returning
from synth.base.runs import is_first_process


def train(
    data: Annotated[
        list[Path],
        typer.Option(metavar="<path>", help="records to learn from (their split 'train'); may repeat"),
    ],
    out: Annotated[Path, typer.Option(help="run folder; repeat the command to resume")] = Path(
        "runs/generator"
    ),
    config: Annotated[Path | None, config_option("synth")] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            help="begin with this generator's weights, as 'fundus256'; its sources join the new card"
        ),
    ] = None,
    set: Set = [],
    dp_epsilon: Annotated[float | None, typer.Option(help="differential privacy for each patient")] = None,
    dp_delta: Annotated[float | None, typer.Option(help="its delta; else 1 / (10 x patients)")] = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Train a generator on records.

    \b
    Examples:
      synth train --data records/odir --out runs/odir --config fundus256-small --start fundus256
      synth train --data phantoms --out runs/tiny --set images=6400 --set batch=16 --set micro_batch=16
      synth train --data records/odir --out runs/small --config odir64
      synth train --data records/odir --out runs/private --config private64 --dp-epsilon 8
      torchrun --nproc_per_node 2 -m synth train --data records/odir --out runs/odir
    """
    if dp_delta is not None and dp_epsilon is None:
        raise UserError(f"--dp-delta {dp_delta:g}: goes with --dp-epsilon")
    budget = {"epsilon": dp_epsilon, "delta": dp_delta}
    set = [*(f"dp.{name}={value}" for name, value in budget.items() if value is not None), *set]
    from synth.base.config import load
    from synth.training import trainer  # brings in torch, which `synth --help` can do without
    from synth.training.config import TrainConfig

    settings = load(TrainConfig, config, set)
    if dry_run:
        from synth.training import cost

        show_dry(settings.model_dump(mode="json"), cost.dry_lines(settings))  # stdout can be used as a config
        return
    with sole_writer(out):
        model = returning(
            out, settings.on_nan, lambda: trainer.train(settings, data, out, start, tell=say), say
        )
    if is_first_process():
        show({"generator": str(model)}, json, str(model))
        then("synth", "generate", "--model", model, "--n", 1000, "--out", "synthetic")


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
    from synth.training.averages import average

    show(average(run, length, at, out, half), json)
    then("synth", "generate", "--model", out, "--n", 1000, "--out", "synthetic")


def distill(
    model: Annotated[Path, typer.Option(help="the teacher: a run of 'synth train', or a generator's folder")],
    data: Annotated[
        list[Path], typer.Option(metavar="<path>", help="records (their split 'train'); may repeat")
    ],
    out: Annotated[Path, typer.Option(help="run folder; repeat the command to resume")] = Path(
        "runs/student"
    ),
    start: Annotated[
        Path | None,
        typer.Option(
            help="begin with another student of the same teacher, or with one of the generator that the teacher began with"
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="of the student; default 4")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML of what differs from the defaults")] = None,
    set: Set = [],
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Tune a student that draws in 4 steps, or 2, what its teacher draws in 20.

    \b
    Examples:
      synth distill --model runs/odir --data records/odir --out runs/odir-4
      synth distill --model runs/odir-4 --data records/odir --out runs/odir-2 --steps 2
      synth distill --model runs/odir --start runs/odir-4 --data records/odir --out runs/odir-4-bold --set guidance=3
      synth distill --model runs/own --start fundus256-4 --data records/odir --out runs/own-4 --set split=[5,9,12,14]
      synth generate --model runs/odir-4 --n 10000 --out synthetic
    """
    from synth.base.config import load
    from synth.training import distillation as distill

    set = [*([] if steps is None else [f"steps={steps}"]), *set]
    settings = load(distill.DistillConfig, config, set)
    if dry_run:
        show_dry(settings.model_dump(mode="json"), [])
        return
    with sole_writer(out):
        student = returning(
            out, settings.on_nan, lambda: distill.distill(settings, model, data, out, start, tell=say), say
        )
    if is_first_process():
        show({"generator": str(student)}, json, str(student))
        then("synth", "generate", "--model", student, "--n", 1000, "--out", "synthetic")
