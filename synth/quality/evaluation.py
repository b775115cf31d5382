"""Evaluate synthetic records against real ones, from photographs to report; the same call again continues."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import device

from synth.base import checkpoint, extras, stats
from synth.base.config import fingerprint
from synth.base.device import accelerator
from synth.base.errors import UserError
from synth.base.runs import Tell, claim, nothing_if_refused, quiet
from synth.classifier import classifier
from synth.classifier.classifier import Classifier
from synth.classifier.targets import TARGETS, enough
from synth.data.records import data_fingerprint, parse_splits
from synth.quality import anatomy, captions, distances, neighbours, prdc, report, samples, utility
from synth.quality.features import Features, extract, own, parse
from synth.quality.results import QualityReport
from synth.quality.samples import Sample
from synth.quality.settings import EvaluationConfig
from synth.quality.utility import TrainingSet, plain
from synth.sampling.engines import engine_of
from synth.sampling.engines.rows import Launch

SCHEMA, VERSION = "visionclip-evaluation", 1
_FREE = ("features", "headline", "shuffled", "compared", "k", "halves", "rounds", "closest", "captions")
"""Settings that a repeated evaluation may change: no classifier that is there depends on them."""


class Sides(NamedTuple):
    """The photographs of an evaluation."""

    synthetic: Sample
    real: Sample
    """As many as synthetic ones."""
    searched: Sample
    """All real training photographs, up to `n`; `real` is their first part."""
    held_out: Sample


def evaluate(
    config: EvaluationConfig,
    data: Path,
    real: Path,
    out: Path,
    command: str,
    workers: int = 0,
    features: Features | None = None,
    show: bool = False,
    tell: Tell = quiet,
    engine: str = "local",
) -> QualityReport:
    """Write `out/report.json` and `out/report.html`; returns the report.

    What shows patients or was made of their photographs, which a repeated call continues from, is in `out/private`.

    Args:
        data:     synthetic records; their split `train` is evaluated.
        real:     real records: split `train` teaches, `config.held_out` tests.
        workers:  processes that train classifiers, one thread each, and that compute features; 0 is one per core.
        features: instead of `config.features`, any function from pictures to vectors, which this process computes.
        show:     write `out/private/training-photographs.html` too.
        tell:     is given the line that says where the report goes, before the work begins.
        engine:   who computes features: one of `engines.ENGINES`.

    Raises:
        UserError: too few photographs or positives, a patient on both sides, or `out` holds something else.
    """
    extras.require("synth evaluate", "jieba")  # of captions, which come last
    prints = {"synthetic": data_fingerprint(data), "real": data_fingerprint(real)}
    wanted = {"config": config.model_dump(mode="json"), "data": prints}
    free = tuple(f"config.{key}" for key in _FREE)
    private = out / "private"
    with nothing_if_refused(out):
        claim(out, "evaluation.json", wanted, "evaluation", free=free)
        private.mkdir(mode=0o700, exist_ok=True)
        engine_of(engine)
        classifier.begun(config.classifier, TARGETS[:1])  # refuses weights that do not fit
        begin = _beginning(config, features, private)
        if features is None and config.features != "own":
            begin(accelerator())  # refuses what there is not
        sides = _sides(config, data, real, private)
        columns = utility.testable(sides.real, sides.held_out, config.classifier, config.reported, real)
    tell([f"{out}: report.html and report.json are written there; the same command goes on from there"])
    training_sets = utility.training_sets(
        sides.real, sides.synthetic, columns, config.classifier, config.shuffled, private / "classifiers"
    )
    trained = utility.train(training_sets, workers)
    teacher = trained["real"][0]
    chosen = begin(accelerator())
    # Another process may not know a function that was given.
    launch = Launch(engine, workers) if features is None else Launch(workers=1)
    found = _features(begin, chosen.name, sides, teacher, private, launch)
    suspects = [side.pictures[: config.compared] for side in (sides.synthetic, sides.held_out)]
    nearest = neighbours.nearest(suspects, sides.searched.pictures, sides.searched.patients)
    made = QualityReport.parse(
        {
            "schema": {"name": SCHEMA, "version": VERSION},
            "command": command,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "config": wanted["config"],
            "versions": checkpoint.versions(),
            "data": _provenance(data, real, prints, sides),
            "utility": _utility(config, trained, columns, sides.held_out),
            "fidelity": _fidelity(config, trained["real"], sides.synthetic),
            "features": {"name": chosen.name, "frechet": chosen.frechet, "kernel": chosen.kernel},
            "comparison": _comparison(config, found, sides),
            "anatomy": {
                name: anatomy.rates(side, config.compared, config.n_bootstrap, config.seed)
                for name, side in (("synthetic", sides.synthetic), ("held_out", sides.held_out))
            },
            "neighbours": neighbours.compare(nearest[0], nearest[1], len(sides.searched.patients)),
            "captions": captions.describe(data, config.captions, config.seed),
        },
        "report.json",
    )
    report.write(out, made, report.sheets(sides.synthetic, columns))
    if show:
        pairs = [
            neighbours.closest(each, pictures, sides.searched.pictures, config.closest)
            for each, pictures in zip(nearest, suspects, strict=True)
        ]
        report.write_photographs(private / "training-photographs.html", made, *pairs)
    return made


def _sides(config: EvaluationConfig, data: Path, real: Path, cache: Path) -> Sides:
    fit, seed = config.classifier.preprocessing, config.seed
    held = parse_splits(config.held_out)
    if "train" in held:
        raise UserError(
            f"held_out='{config.held_out}': the split 'train' is what is learnt from; give 'test'"
        )
    synthetic = samples.draw(data, ["train"], config.n, fit, cache, seed, "synthetic photographs")
    searched = samples.draw(real, ["train"], config.n, fit, cache, seed, "real training photographs")
    held_out = samples.draw(real, held, config.n, fit, cache, seed, "held-out photographs")
    tested = set(held_out.table["subject_id"].to_pylist())
    for folder, sample in ((real, searched), (data, synthetic)):
        both = tested & set(sample.table["subject_id"].to_pylist())
        if both:
            raise UserError(
                f"{folder}: {len(both)} patients of its 'train' are in '{config.held_out}' of {real}, for example "
                f"'{min(both)}'; split by patient, as 'synth import' does"
            )
    n = min(len(synthetic.patients), len(searched.patients))
    fewest = min(n, len(held_out.patients), config.compared)
    if fewest // 2 <= config.k:
        raise UserError(
            f"k={config.k}: {fewest} photographs a side are too few to compare; at least {2 * config.k + 2}"
        )
    return Sides(synthetic.first(n), searched.first(n), searched, held_out)


def _beginning(
    config: EvaluationConfig, features: Features | None, private: Path
) -> Callable[[device], Features]:
    """What opens the features that photographs are compared by on a device, in whichever process."""
    if features:
        return lambda _: features
    if config.features == "own":
        return partial(own, private / "classifiers" / "real" / "classifier.pt")
    return partial(parse, config.features, config.classifier.preprocessing.size)


def _features(
    begin: Callable[[device], Features],
    name: str,
    sides: Sides,
    teacher: Classifier,
    cache: Path,
    launch: Launch,
) -> dict[str, np.ndarray]:
    learnt = fingerprint([sides.real.name, teacher.config.model_dump(mode="json"), name])
    found = {}
    for side, sample in (
        ("synthetic", sides.synthetic), ("searched", sides.searched), ("held_out", sides.held_out)
    ):  # fmt: skip
        path = cache / f"features-{fingerprint([learnt, sample.name])[:16]}.npy"
        count = len(sample.patients)
        found[side] = extract(begin, sample.path, count, path, side.replace("_", "-"), launch)
    return found


def _utility(
    config: EvaluationConfig,
    trained: dict[str, tuple[Classifier, TrainingSet]],
    columns: list[int],
    test: Sample,
) -> dict[str, Any]:
    import torch

    torch.manual_seed(config.classifier.seed)
    fresh = Classifier(config.classifier, [TARGETS[i] for i in columns]).to(accelerator())
    predictions = {
        name: utility.scores(model, columns, test.pictures) for name, (model, _) in trained.items()
    }
    predictions["untrained"] = utility.scores(fresh, columns, test.pictures)
    result = utility.compare(predictions, test, columns, config.headline, config.n_bootstrap, config.seed)
    sizes = {
        name: {
            "photographs": len(training_set.truth),
            "positives": {TARGETS[i]: int((training_set.truth[:, i] == 1).sum()) for i in columns},
            "too_few": [TARGETS[i] for i in columns if i not in training_set.columns],
        }
        for name, (_, training_set) in trained.items()
    }
    return result | {"taught": sizes}


def _fidelity(
    config: EvaluationConfig, teacher: tuple[Classifier, TrainingSet], synthetic: Sample
) -> list[dict[str, Any]]:
    """Whether a classifier of real photographs sees in samples what they were asked to show."""
    model, training_set = teacher
    columns = [i for i in training_set.columns if i in enough(synthetic.truth, config.reported)]
    if not columns:
        return []
    predictions = {"real": utility.scores(model, columns, synthetic.pictures)}
    found, patients = utility.areas(predictions, synthetic, columns, config.n_bootstrap, config.seed)
    return [
        {
            "key": TARGETS[i],
            "positives": int((synthetic.truth[:, i] == 1).sum()),
            "known": int((~np.isnan(synthetic.truth[:, i])).sum()),
            "auc": plain(stats.estimate(found["real"][j], patients)),
        }
        for j, i in enumerate(columns)
    ]


def _comparison(config: EvaluationConfig, found: dict[str, np.ndarray], sides: Sides) -> dict[str, Any]:
    """Samples against real training photographs, and held-out photographs against the same, at one size."""
    patients = {"synthetic": sides.synthetic.patients, "held_out": sides.held_out.patients}
    n = min(config.compared, len(sides.searched.patients), *map(len, patients.values()))
    real, rows = found["searched"][:n], {}
    for name, patient_ids in patients.items():
        both = sides.searched.patients[:n], patient_ids[:n]
        other = found[name][:n]
        measured = prdc.measure(real, other, both, config.k, config.n_subsamples, config.seed)
        measured |= distances.measure(real, other, both, config.n_subsamples, config.seed)
        rows[name] = {key: plain(each) for key, each in measured.items()}
    return {"n": n, "k": config.k, "rows": rows}


def _provenance(data: Path, real: Path, prints: dict[str, str], sides: Sides) -> dict[str, Any]:
    def of(folder: Path, key: str, sample: Sample) -> dict[str, Any]:
        people = len(np.unique(sample.patients))
        return {
            "folder": folder.name,
            "fingerprint": prints[key],
            "photographs": len(sample.patients),
            "patients": people,
        }

    return {
        "synthetic": of(data, "synthetic", sides.synthetic),
        "real": of(real, "real", sides.real),
        "held_out": of(real, "real", sides.held_out),
        "searched": of(real, "real", sides.searched),
    }
