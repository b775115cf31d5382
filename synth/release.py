"""A release of synthetic records: planned, drawn shard by shard, checked, described and published.

Every shard is a pure function of (plan, shard), so any launcher gives the same files.
"""

import logging
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from synth.base.config import Config
from synth.base.errors import UserError
from synth.base.runs import Tell, progress, quiet
from synth.data.records import claim
from synth.model.card import SHIPPED, GeneratorCard, locate, read_card
from synth.provenance import publication
from synth.publishing import hub
from synth.publishing.publish import publish
from synth.sampling import plan as plans
from synth.sampling import settings
from synth.sampling.cost import lines
from synth.sampling.engines import Job, engine_of
from synth.sampling.plan import Plan, Shard, shards
from synth.sampling.verify import ailing

_log = logging.getLogger("synth")


class GenerateConfig(Config):
    """What is to be generated; the same settings give the same plan, and a plan the same bytes."""

    n: int
    """How many images."""
    model: Path | None = None
    """A run of `synth train`, a generator's folder or the name of one that ships; null is `fundus256`."""
    seed: int = 0
    """Another seed, other images."""
    labels: str = "joint"
    """One of `distributions.DISTRIBUTIONS`, or a YAML file."""
    steps: int | None = None
    """Solver steps; null is 20, or those of a student."""
    guidance: float | None = None
    """Scale of classifier-free guidance, 1 is none; null is 2, or what a student holds."""
    batch: int | None = None
    """Images per forward pass; null is what a begun set has, else 16, on a GPU up to 256 by its free memory."""
    quality: int = 95
    """Of the JPEG, 1 to 100."""
    format: str = "parquet"
    """Of the shards: parquet, or webdataset."""
    precision: str | None = None
    """Of the network: fp32, or bf16; null is what a begun set has, else fp32, on a GPU that computes in it bf16."""
    compile: bool = False
    """Compile the network, for a GPU and many images: part of the plan, for last digits change; refused on a CPU."""
    marks: bool = False
    """For an audit, not for release: half of the images with each canary bit."""
    reject_copies: list[Path] = Field(default_factory=list)
    """The generator's records: what comes nearer to a training photograph than held-out patients do is drawn again."""
    reject_mislabelled: Path | None = None
    """Real records: what a classifier of them takes for something else is drawn again."""
    label_classifier: Path | None = None
    """One that learnt from the split `train` of `reject_mislabelled`; null trains one."""
    reject_anatomy: bool = False
    """A readable eye without exactly one disc, a macula in its place, and vessels that hang together is drawn again."""


class Planned(NamedTuple):
    """What a release is made of, before anything is drawn."""

    plan: Plan
    model: Path
    """The generator's folder."""
    card: GeneratorCard


class Released(NamedTuple):
    """What a call has done."""

    folder: Path
    shards_written: int
    complete: bool
    """Whether every shard of the plan is there, and with them the cards."""
    pushed: dict[str, Any] | None = None
    """What `hub.push` gives."""


def planned(config: GenerateConfig, out: Path) -> Planned:
    """The plan of a release; filters are prepared beside `out` where they are wanted.

    Raises:
        UserError: a setting is out of range, or the records do not allow a filter.
    """
    model = locate(config.model or SHIPPED)
    card = read_card(model)
    names = ("n", "seed", "labels", "steps", "guidance", "quality", "format", "marks", "compile")
    chosen = settings.chosen(out, card.preprocessing.size, config.batch, config.precision)
    plan = plans.make(model, **{name: getattr(config, name) for name in names}, **chosen._asdict())
    if config.reject_copies or config.reject_mislabelled or config.label_classifier or config.reject_anatomy:
        from synth.sampling import rejection
        from synth.sampling.filters import source_check

        if config.reject_copies:
            source_check.check(config.reject_copies, card)
        size, copies = card.preprocessing.size, config.reject_copies
        labels = config.reject_mislabelled, config.label_classifier
        filters = rejection.prepare(out, size, copies, *labels, config.reject_anatomy)
        plan = plan.replaced(filters=filters.to_json()) if filters else plan
    return Planned(plan, model, card)


def generate(
    config: GenerateConfig,
    out: Path | str = "synthetic",
    *,
    workers: int = 0,
    share: tuple[int, int] = (0, 1),
    engine: str = "local",
    address: str | None = None,
    licence: str | None = None,
    push_to_hub: str | None = None,
    private: bool = False,
    tell: Tell = quiet,
) -> Released:
    """Draw a release into the folder `out`; the same call again continues.

    Args:
        workers, share, engine, address, tell: as of `draw_shards`.
        licence:     for the card.
        push_to_hub: NAME/REPO to push to once all is there; `private` makes the repository a private one.

    Raises:
        UserError: a setting is out of range, `out` belongs to another plan, or the hub refuses.
    """
    out = Path(out)
    if config.marks and push_to_hub:
        raise UserError(
            "--marks is for an audit; pictures with marks are not pushed, leave out --push-to-hub"
        )
    if licence is not None:
        publication.check_licence({"licence": licence})
    if config.compile and engine == "local":
        _check_compiles()
    plan, model, card = planned(config, out)
    if push_to_hub:
        hub.ready(out, push_to_hub, licence, card)  # before hours of sampling
    written = draw_shards(plan, model, out, workers, share, engine, address, tell)
    if licence is not None:
        publication.update(out, licence=licence)
    complete = publish(out, plan, card)
    pushed = hub.push(out, push_to_hub, private) if push_to_hub and complete else None
    return Released(out, written, complete, pushed)


def _check_compiles() -> None:
    """Refuse to compile where that gains nothing, or cannot be done.

    Raises:
        UserError: no GPU, or no C compiler.
    """
    from synth.base.device import accelerator

    if accelerator().type != "cuda":
        raise UserError("--compile needs a GPU: on the CPU it takes minutes and gains nothing; leave it out")
    if not any(map(shutil.which, (os.environ.get("CC", "cc"), "gcc", "clang"))):
        raise UserError(
            "--compile needs a C compiler: no cc, gcc or clang is on PATH; install one, or leave it out"
        )


def draw_shards(
    plan: Plan,
    model: Path,
    out: Path,
    workers: int = 0,
    share: tuple[int, int] = (0, 1),
    engine: str = "local",
    address: str | None = None,
    tell: Tell = quiet,
) -> int:
    """Write the missing shards of `plan` to `out`, and those that are damaged; returns how many were written.

    Args:
        workers: processes; 0 is two per GPU, else one per core.
        share:   (i, n): only every n-th shard, from the i-th; several machines fill one folder.
        engine:  one of `engines.ENGINES`.
        address: of the Ray cluster.
        tell:    is given the lines that say what this will take, before it begins.

    Raises:
        UserError: `out` belongs to another plan, workers die again and again, or the disk is full.
    """
    draw = engine_of(engine)
    if workers < 0:
        raise UserError(f"--workers {workers}: must be at least 0")
    digest = claim(out, plan.to_json())
    every = shards(plan)[share[0] :: share[1]]
    missing = _missing(out, every, digest)
    count, left = (sum(shard.rows for shard in some) for some in (every, missing))
    if not missing:
        tell([f"{out}: finished, its {count:,} images are there; nothing to do"])
        return 0
    tell(lines(plan, model, out, left, count))
    from synth.sampling.preview import LiveSheet  # reads pictures, which a dry run can do without
    from synth.sampling.sampler import Sampling

    events = draw(Job(Sampling(plan, model, out), missing, workers, address))
    sheet = LiveSheet(out, plan)
    with progress("generating", count, count - left) as bar:
        for event in events:
            if not isinstance(event, Shard):
                bar.update(event)
            elif share[0] == 0:  # one of several machines draws it
                sheet.show()
    if share[0] == 0:
        sheet.show(now=True)
    return len(missing)


def _missing(out: Path, every: list[Shard], digest: str) -> list[Shard]:
    """Shards that are not there as they were written; what is there and damaged is removed."""
    begun = [path for path in (out / shard.name for shard in every) if path.with_suffix(".json").exists()]
    damaged = ailing(begun, digest, "checking what is there") if begun else {}
    for path, why in damaged.items():
        _log.warning("%s: %s; drawn again", path, why)
        path.with_suffix(".json").unlink()
        path.unlink(missing_ok=True)
    whole = set(begun) - set(damaged)
    return [shard for shard in every if out / shard.name not in whole]
