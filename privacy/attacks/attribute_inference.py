"""What a release reveals of anyone (T1): age, sex and race from an encoder's embeddings, in words.

The attackers' patients were in nobody's training; what is read from their photographs could be read from yours.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np

from privacy.attacks import population
from privacy.attacks.population import Features, Finding
from privacy.config import AuditConfig
from privacy.data import attributes
from privacy.data.attributes import ATTRIBUTES, Task
from privacy.data.inputs import Inputs, People
from privacy.decisions import verdict
from privacy.decisions.verdict import Answer
from privacy.scores import metadata, pixels
from privacy.statistics import components
from privacy.statistics.inference import holm
from privacy.targets import Target
from synth.base.errors import UserError
from synth.base.runs import progress


class AttributeDecision(NamedTuple):
    """One attribute with its two answers; without a finding where it could not be tested."""

    name: str
    task: Task | None
    finding: Finding | None
    inference_verdict: Answer
    training_verdict: Answer


class Data(NamedTuple):
    """What the attackers have, as the report states it."""

    path: str
    fingerprint: str
    images: int
    patients: int
    duplicates: float
    """Share of patients one of whose pictures, byte for byte, is also filed under another patient."""
    phantoms: bool
    """Whether they are drawn: then the answer is whether the encoder keeps what a picture shows, not what real eyes show."""


def answer(
    inputs: Inputs, names: list[str], config: AuditConfig
) -> tuple[list[AttributeDecision], Data | None]:
    """Each attribute with its two answers, those that were not asked for among them, and what the attackers had.

    Raises:
        UserError: the records state none of the attributes asked for.
    """
    people, encoder = inputs.attackers, inputs.encoder
    left = [
        _untested(name, "was not asked for; name it in --attributes")
        for name in ATTRIBUTES
        if name not in names
    ]
    if people is None or encoder is None:
        why = f"needs {inputs.missing(['encoder', 'attackers'])}"
        return [*(_untested(name, why) for name in names), *left], None
    tasks = {name: attributes.task(people.cohort, name) for name in names}
    if all(isinstance(task, str) for task in tasks.values()):
        raise UserError(
            f"{people.folder}: states none of {', '.join(names)}; --attackers takes real records with these columns"
        )
    files = metadata.files(inputs, people)
    data = _describe(people, files[:, 0])
    features = _features(inputs, encoder, people, files, config)
    return [*evaluate(tasks, features, config, data.duplicates), *left], data


def evaluate(
    tasks: dict[str, Task | str], features: Features, config: AuditConfig, duplicates: float = 0.0
) -> list[AttributeDecision]:
    """Attack every attribute that can be attacked, and put the results into words."""
    findings: dict[str, Finding] = {}
    decisions: dict[str, AttributeDecision] = {}
    with progress("attacking", len(tasks), unit="attributes") as bar:
        for name, task in tasks.items():
            if isinstance(task, str):
                decisions[name] = _untested(name, f"{task}; add the column '{name}' to --attackers")
            elif needed := _too_few(task):
                why = f"too few patients to try; about {needed:,} would decide"
                answer = Answer(verdict.INCONCLUSIVE, "", why, needed)
                decisions[name] = AttributeDecision(name, task, None, answer, answer)
            else:
                findings[name] = population.infer(task, features, config)
            bar.update()
    adjusted = holm({name: finding.permuted.p for name, finding in findings.items()})
    for name, finding in findings.items():
        decisions[name] = _decide(finding, adjusted[name], bool(features.untrained), duplicates)
    return [decisions[name] for name in tasks]


def _decide(finding: Finding, p: float, untrained: bool, duplicates: float) -> AttributeDecision:
    metric = "r2" if finding.task.kind == "years" else "auc"
    permuted = finding.permuted.permuted.tolist()
    first = verdict.inference_verdict(finding.encoder(metric), p, permuted, duplicates, metric)
    second = verdict.training_verdict(
        first, finding.excess, untrained, population.HEADLINE[finding.task.kind]
    )
    return AttributeDecision(finding.task.name, finding.task, finding, first, second)


def _untested(name: str, why: str) -> AttributeDecision:
    answer = Answer(verdict.NOT_TESTABLE, "", why)
    return AttributeDecision(name, None, None, answer, answer)


def _too_few(task: Task) -> int | None:
    """The patients that would be needed where there are too few to try; None where there are enough."""
    needed = 2 * verdict.patients_for_auc(
        0.6
    )  # in two classes of one size, or above and below the median age
    if task.kind == "years":
        return needed if len(task.labels) < attributes.FEWEST_YEARS else None
    return needed if len(task.classes) < 2 else None


def _describe(people: People, hashes: np.ndarray) -> Data:
    """`hashes` (N,) are of the encoded pictures."""
    patients_of: dict[int, set[int]] = {}
    for each, patient in zip(hashes.tolist(), people.patient.tolist(), strict=True):
        patients_of.setdefault(each, set()).add(patient)
    shared = Counter(
        patient for patients in patients_of.values() if len(patients) > 1 for patient in patients
    )
    return Data(
        path=str(people.folder),
        fingerprint=people.fingerprint,
        images=len(people.ids),
        patients=people.cohort.patients,
        duplicates=len(shared) / people.cohort.patients,
        phantoms=set(people.table["source"].to_pylist()) == {"phantom"},
    )


def _features(
    inputs: Inputs, encoder: Target, people: People, files: np.ndarray, config: AuditConfig
) -> Features:
    """Embed the cohort by the target and its controls; each result is kept, so that a killed run continues."""
    photographs = people.photographs(encoder.preprocessing)

    def embedded(seed: int | None) -> np.ndarray:
        key = [encoder.facts["sha256"], people.fingerprint, "embedding", seed]
        found = inputs.once(key, lambda: encoder.embed(photographs, people.ids, seed))
        return components.reduce(found, people.patient)

    seeds = range(config.seed, config.seed + config.untrained_seeds) if encoder.has_untrained else ()
    return Features(
        encoder=embedded(None),
        untrained=[embedded(seed) for seed in seeds],
        pixels=pixels.features(photographs, people.patient),
        metadata=metadata.features(
            metadata.of_files(people, files) | metadata.of_records(people, metadata.PROVENANCE), people
        ),
        diagnoses=metadata.features(metadata.of_records(people, metadata.DIAGNOSES), people),
    )
