"""What a release reveals of anyone (T1): age, sex and race from an encoder's embeddings, in words.

The attackers' patients were in nobody's training; what is read from their photographs could be read from yours.
"""

from collections.abc import Mapping

import numpy as np

from privacy.attack_config import AttackConfig
from privacy.attacks import population
from privacy.attacks.population import Features
from privacy.data import attributes
from privacy.data.attributes import ATTRIBUTES, Task
from privacy.data.inputs import Inputs, People
from privacy.decisions import verdict
from privacy.decisions.results import Attribute, Result, Scale
from privacy.scores import metadata, pixels
from privacy.statistics import components
from privacy.statistics.inference import Tested
from privacy.targets import Target
from synth.base.errors import UserError
from synth.base.runs import progress

SCALES = {
    kind: Scale(name, verdict.CHANCE[metric], verdict.REVEALED[metric], verdict.WITHIN[metric])
    for kind, metric, name in (("classes", "auc", "AUC"), ("years", "r2", "R²"))
}
"""Kind of an attribute -> how its statistic is read (`privacy.decisions.verdict.inference_verdict`)."""


def question(name: str) -> Result:
    """What is asked about one attribute."""
    return Result(
        "T1", name, "anyone", SCALES[ATTRIBUTES[name]], attribute=Attribute(name), access="embeddings"
    )


NEEDS: tuple[str, ...] = ()
QUESTIONS = [question(name) for name in ATTRIBUTES]
CONFIG = AttackConfig


def attack(inputs: Inputs, config: AttackConfig) -> list[Result]:
    """One result for each attribute, those that were not asked for among them.

    Raises:
        UserError: the records state none of the attributes asked for.
    """
    people, encoder, names = inputs.attackers, inputs.encoder, inputs.attributes
    left = [
        question(name)._replace(missing="was not asked for; name it in --attributes")
        for name in ATTRIBUTES
        if name not in names
    ]
    if people is None or encoder is None:
        why = f"needs {inputs.missing(['encoder', 'attackers'])}"
        return [*(question(name)._replace(missing=why) for name in names), *left]
    tasks = {name: attributes.task(people.cohort, name) for name in names}
    if all(isinstance(task, str) for task in tasks.values()):
        raise UserError(
            f"{people.folder}: states none of {', '.join(names)}; --attackers takes real records with these columns"
        )
    files = metadata.files(inputs, people)
    features = _features(inputs, encoder, people, files, config)
    return [*evaluate(tasks, features, config, metadata.duplicates(people, files)), *left]


def evaluate(
    tasks: Mapping[str, Task | str], features: Features, config: AttackConfig, duplicates: float = 0.0
) -> list[Result]:
    """Attack every attribute that can be attacked.

    Args:
        tasks:      attribute -> what is known of it, or why nothing can be asked.
        duplicates: share of patients one of whose pictures is also filed under another patient.
    """
    found = []
    with progress("attacking", len(tasks), unit="attributes") as bar:
        for name, task in tasks.items():
            if isinstance(task, str):
                missing = f"{task}; add the column '{name}' to --attackers"
                found.append(question(name)._replace(missing=missing))
            elif needed := _too_few(task):
                why = f"too few patients to try; about {needed:,} would decide"
                lacking = question(name)._replace(missing=why, needed=needed)
                found.append(lacking._replace(attribute=Attribute(name, task)))
            else:
                numbers = population.infer(task, features, config)
                metric = "r2" if task.kind == "years" else "auc"
                attribute = Attribute(name, task, numbers, duplicates, bool(features.untrained))
                tested = Tested(numbers.encoder(metric), numbers.permuted.p)
                found.append(question(name)._replace(tested=tested, attribute=attribute))
            bar.update()
    return found


def _too_few(task: Task) -> int | None:
    """The patients that would be needed where there are too few to try; None where there are enough."""
    needed = 2 * verdict.patients_for_auc(
        0.6
    )  # in two classes of one size, or above and below the median age
    if task.kind == "years":
        return needed if len(task.labels) < attributes.FEWEST_YEARS else None
    return needed if len(task.classes) < 2 else None


def _features(
    inputs: Inputs, encoder: Target, people: People, files: np.ndarray, config: AttackConfig
) -> Features:
    """Embed the cohort by the target and its controls; each result is kept, so that a killed run continues."""
    photographs = people.photographs(encoder.preprocessing)

    def embedded(seed: int | None) -> np.ndarray:
        return components.reduce(inputs.embeddings(people, seed), people.patient)

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
