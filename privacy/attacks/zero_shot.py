"""T2 without any data: prompts in both languages tell a CLIP's text tower what to look for in members and in non-members.

An encoder that was trained on captions which state the sex may have learnt whose photograph goes with "a woman", though no
picture shows it.  Prompts that read members no better than non-members read what pictures show, or nothing.
"""

from collections.abc import Sequence

import numpy as np

from privacy.attack_config import AttackConfig
from privacy.attacks.member_probe import common_classes, truths
from privacy.data.attributes import ATTRIBUTES
from privacy.data.inputs import Inputs, People
from privacy.decisions import power_simulation
from privacy.decisions.results import DIFFERENCE, Result
from privacy.scores import guesses, prompts, validity
from privacy.scores.guesses import GroupGuesses
from privacy.scores.validity import ValidityChecks
from privacy.statistics.inference import share

UNTRAINED = "the same prompts to an untrained encoder"


def question(name: str) -> Result:
    """What is asked about one attribute."""
    return Result("T2", f"{name} read by prompts in both languages", "members", DIFFERENCE, access="api")


QUESTIONS = [question(name) for name in ATTRIBUTES]


def attack(inputs: Inputs, checked: ValidityChecks, config: AttackConfig) -> list[Result]:
    """One result for each attribute."""
    assert inputs.encoder
    if not inputs.encoder.reads_captions:
        why = "embeddings of photographs read no prompts; give the checkpoint as --model"
        return [each._replace(missing=why) for each in QUESTIONS]
    return [_answer(inputs, name, checked, config) for name in ATTRIBUTES]


def _answer(inputs: Inputs, name: str, checked: ValidityChecks, config: AttackConfig) -> Result:
    encoder, both = inputs.encoder, validity.both(inputs)
    assert encoder
    classes = common_classes(name, both)
    asked = prompts.prompts(name, classes)
    if asked is None or len(classes) < 2:
        return question(name)._replace(missing=f"too few members and non-members whose {name} is known")
    groups = _guessed(inputs, name, classes, asked, None)
    if refused := guesses.incomparable(question(name), *groups, name):
        return refused
    compared = checked.compared
    if encoder.has_untrained:
        untrained = _guessed(inputs, name, classes, asked, config.seed)
        compared = ((UNTRAINED, untrained.gap().estimate), *compared)
    result = evaluate(name, groups)._replace(checks=checked.checks, compared=compared)
    return power_simulation.state(result, groups.trial(), config.detection_rounds, config.seed)


def evaluate(name: str, groups: GroupGuesses) -> Result:
    """From guesses to a result."""
    rates = [share(int(each.right.sum()), len(each.right)) for each in groups]
    return question(name)._replace(
        tested=groups.gap(),
        also=(("members guessed right", rates[0]), ("non-members guessed right", rates[1])),
        details={"subgroups": groups.subgroups()},
        notes=("asked of the text tower by prompts alone; another wording may tell more",),
    )


def called(members: np.ndarray, nonmembers: np.ndarray) -> list[np.ndarray]:
    """The class of each patient by (P, C) and (Q, C) cosines, each counted from its mean over all who are looked at."""
    middle = np.concatenate([members, nonmembers]).mean(axis=0)
    return [np.argmax(each - middle, axis=1) for each in (members, nonmembers)]


def _guessed(
    inputs: Inputs, name: str, classes: Sequence[str], asked: Sequence[Sequence[str]], seed: int | None
) -> GroupGuesses:
    both = validity.both(inputs)
    found = called(*(_cosines(inputs, people, asked, seed) for people in both))
    told = truths(name, classes, both)
    made = [
        guesses.of("classes", truth[known], guess[known], classes)
        for (truth, known), guess in zip(told, found, strict=True)
    ]
    return GroupGuesses(made[0], made[1])


def _cosines(inputs: Inputs, people: People, asked: Sequence[Sequence[str]], seed: int | None) -> np.ndarray:
    """(P, C) of each patient, mean over photographs."""
    encoder = inputs.encoder
    assert encoder
    embeddings = inputs.embeddings(people, seed)
    return people.per_patient(
        prompts.decisions(embeddings, asked, lambda captions: encoder.texts(captions, seed))
    )
