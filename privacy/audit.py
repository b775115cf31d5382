"""One audit from end to end: photographs, embeddings, attacks, words, a report.

What was embedded is kept in `REPORT/.cache` until the report is written, so that a repeated command continues
a killed one; then it is deleted, because embeddings and thumbnails of patients are no part of a report.
"""

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from privacy import attributes, components, pixels, population, report, verdict
from privacy.attributes import Cohort, Task
from privacy.population import AuditConfig, Features, Finding
from privacy.targets import Target, open_target
from privacy.verdict import Answer
from synth.base.config import fingerprint
from synth.base.errors import UserError
from synth.base.runs import atomic, progress
from synth.fundus import pictures, records

NO_ATTACKERS = "needs --attackers RECORDS: photographs of patients whose age, sex or race the attacker knows"


class Judged(NamedTuple):
    """One attribute with its two answers; without a finding where it could not be tested."""

    name: str
    task: Task | None
    finding: Finding | None
    reveals: Answer
    adds: Answer


class Data(NamedTuple):
    """What the attackers have, as the report states it."""

    path: str
    fingerprint: str
    images: int
    patients: int
    twins: float
    """Share of patients one of whose pictures, byte for byte, is also filed under another patient."""


def audit(
    model: Path,
    attackers: Path | None,
    names: list[str],
    config: AuditConfig,
    out: Path,
    command: str,
    splits: Sequence[str] = records.SPLITS,
) -> dict[str, Any]:
    """Audit `model` and write `out/report.json` and `out/report.html`; returns the report.

    Raises:
        UserError: a file is wrong, or the records state none of the attributes asked for.
    """
    names = attributes.check_names(names)
    if attackers is None:
        target = open_target(model)
        judged = [_untested(name, NO_ATTACKERS) for name in names]
        return report.write(out, report.build(target.facts, None, judged, config, command))
    cohort = attributes.read_cohort(attackers, splits)
    tasks = {name: attributes.task(cohort, name) for name in names}
    if all(isinstance(task, str) for task in tasks.values()):
        raise UserError(
            f"{attackers}: states none of {', '.join(names)}; --attackers takes real records with these columns"
        )
    target = open_target(model)
    data = _describe(attackers, splits, cohort)
    kept = out / ".cache"
    features = _features(target, attackers, splits, cohort, config, kept)
    judged = judge(tasks, features, config, data.twins)
    made = report.write(out, report.build(target.facts, data, judged, config, command))
    shutil.rmtree(kept, ignore_errors=True)
    return made


def judge(
    tasks: dict[str, Task | str], features: Features, config: AuditConfig, twins: float = 0.0
) -> list[Judged]:
    """Attack every attribute that can be attacked, and put the results into words."""
    findings: dict[str, Finding] = {}
    judged: dict[str, Judged] = {}
    with progress("attacking", len(tasks), unit="attributes") as bar:
        for name, task in tasks.items():
            if isinstance(task, str):
                judged[name] = _untested(name, f"{task}; add the column '{name}' to --attackers")
            elif needed := _too_few(task):
                why = f"too few patients to try; about {needed:,} would decide"
                answer = Answer(verdict.INCONCLUSIVE, "", why, needed)
                judged[name] = Judged(name, task, None, answer, answer)
            else:
                findings[name] = population.infer(task, features, config)
            bar.update()
    adjusted = verdict.holm({name: finding.permuted.p for name, finding in findings.items()})
    for name, finding in findings.items():
        judged[name] = _judge(finding, adjusted[name], bool(features.untrained), twins)
    return [judged[name] for name in tasks]


def _judge(finding: Finding, p: float, untrained: bool, twins: float) -> Judged:
    metric = "r2" if finding.task.kind == "years" else "auc"
    permuted = finding.permuted.permuted.tolist()
    first = verdict.reveals(finding.encoder(metric), p, permuted, twins, metric)
    second = verdict.adds(first, finding.excess, untrained, population.HEADLINE[finding.task.kind])
    return Judged(finding.task.name, finding.task, finding, first, second)


def _untested(name: str, why: str) -> Judged:
    answer = Answer(verdict.NOT_TESTABLE, "", why)
    return Judged(name, None, None, answer, answer)


def _too_few(task: Task) -> int | None:
    """The patients that would be needed where there are too few to try; None where there are enough."""
    needed = 2 * verdict.patients_for_auc(
        0.6
    )  # in two classes of one size, or above and below the median age
    if task.kind == "years":
        return needed if len(task.labels) < attributes.FEWEST_YEARS else None
    return needed if len(task.classes) < 2 else None


def _describe(folder: Path, splits: Sequence[str], cohort: Cohort) -> Data:
    encoded = pictures.Pictures(folder, splits)
    seen: dict[bytes, set[int]] = {}
    with progress("looking for duplicates", len(encoded)) as bar:
        for row, patient in zip(cohort.order, cohort.patient, strict=True):
            seen.setdefault(hashlib.sha256(encoded[int(row)]).digest(), set()).add(int(patient))
            bar.update()
    shared = Counter(patient for patients in seen.values() if len(patients) > 1 for patient in patients)
    return Data(
        path=str(folder),
        fingerprint=records.data_fingerprint(folder),
        images=len(cohort.ids),
        patients=cohort.patients,
        twins=len(shared) / cohort.patients,
    )


def _features(
    target: Target, folder: Path, splits: Sequence[str], cohort: Cohort, config: AuditConfig, kept: Path
) -> Features:
    """Embed the cohort by the target and its controls; each result is kept, so that a killed run continues."""
    photographs = pictures.pixels(folder, splits, target.preprocessing, kept)
    source = [
        target.facts["sha256"],
        records.data_fingerprint(folder),
        list(splits),
        target.preprocessing.model_dump(),
    ]
    table = np.empty(len(cohort.ids), cohort.ids.dtype)
    table[cohort.order] = cohort.ids  # ids in the row order of the photographs

    def features(what: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        return _once(kept / f"{fingerprint([*source, what])[:16]}.npy", make)[cohort.order]

    def embedded(seed: int | None) -> np.ndarray:
        name = "encoder" if seed is None else f"untrained {seed}"
        return components.reduce(
            features(name, lambda: target.embed(photographs, table, seed)), cohort.patient
        )

    seeds = range(config.seed, config.seed + config.untrained_seeds) if target.has_untrained else ()
    return Features(
        encoder=embedded(None),
        untrained=[embedded(seed) for seed in seeds],
        pixels=pixels.features(photographs[cohort.order], cohort.patient),
    )


def _once(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    if not path.exists():
        values = make()
        with atomic(path) as temporary, open(temporary, "wb") as file:
            np.save(file, values)
    return np.load(path)
