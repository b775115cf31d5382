"""T2: are age, sex and race of members read from their embeddings more easily than those of non-members?

The attacker learns to read embeddings from patients of his own and never sees a label of the others.  What he guesses
of non-members he could guess of anyone; only what he guesses of members beyond that is a disclosure (Giomi et al. 2022,
2211.10459, without the division by what is left to guess).  Both groups are weighted to the same ages, sexes or races.

Two more attackers see what members alone show: one who knows some of them (`member_probe`), and one who knows nobody and
asks the text tower (`zero_shot`).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from privacy.attack_config import AttackConfig
from privacy.attacks import member_probe, zero_shot
from privacy.data.attributes import ATTRIBUTES, Task
from privacy.data.inputs import Inputs, People
from privacy.decisions import power_simulation
from privacy.decisions.results import DIFFERENCE, Result
from privacy.scores import guesses, pixels, validity
from privacy.scores.guesses import GroupGuesses, Guesses
from privacy.scores.validity import ValidityChecks
from privacy.statistics import components, probes
from privacy.statistics.inference import Tested, share
from synth.base.stats import Estimate

NEEDS = ("encoder", "members", "nonmembers")
CONFIG = AttackConfig
ENCODER = "the encoder"
UNTRAINED, PIXELS = "the same attack on an untrained encoder", "the same attack on pixels"
NULL_SPLIT = "non-members against non-members"


def question(name: str) -> Result:
    """What is asked about one attribute."""
    return Result("T2", f"{name} read from embeddings", "members", DIFFERENCE, access="embeddings")


_BY_ATTACKERS = [question(name) for name in ATTRIBUTES]
QUESTIONS = [*_BY_ATTACKERS, *member_probe.QUESTIONS, *zero_shot.QUESTIONS]


def attack(inputs: Inputs, config: AttackConfig) -> list[Result]:
    """One result for each attribute and attacker.

    Raises:
        UserError: a patient of the attackers is also in another group, or of the members among the non-members.
    """
    both, checked = validity.both(inputs), validity.groups(inputs, config)
    features = _features(inputs, both, config)
    return [
        *_by_attackers(inputs, checked, config),
        *member_probe.attack(both, features, checked, config),
        *zero_shot.attack(inputs, checked, config),
    ]


def _by_attackers(inputs: Inputs, checked: ValidityChecks, config: AttackConfig) -> list[Result]:
    """By a probe of the attackers' own patients."""
    if missing := inputs.missing(["attackers"]):
        return [each._replace(missing=f"needs {missing}") for each in _BY_ATTACKERS]
    assert inputs.attackers
    people = [inputs.attackers, *validity.both(inputs)]
    if guesses.drawn(people[0]) and not guesses.drawn(people[1]):
        why = "needs --attackers RECORDS of real patients; drawn phantoms teach nobody to read real eyes"
        return [each._replace(missing=why) for each in _BY_ATTACKERS]
    guesses.nobody_twice(people[0], people[1], people[2])
    features = _features(inputs, people, config)
    return [_answer(name, people, features, checked, config) for name in ATTRIBUTES]


def evaluate(name: str, attacks: Mapping[str, GroupGuesses], checked: ValidityChecks) -> Result:
    """Put what was guessed into a result.

    Args:
        attacks: what was attacked -> what came of it; `ENCODER` is what counts, the others are beside it.
        checked: whether the groups are comparable at all.
    """
    groups = attacks[ENCODER]
    members, nonmembers = groups
    tested = groups.gap()
    others = [(what, each.gap().estimate) for what, each in attacks.items() if what != ENCODER]
    years = [("years of error less for members", groups.years())] if ATTRIBUTES[name] == "years" else []
    return question(name)._replace(
        tested=tested,
        checks=checked.checks,
        compared=(*others, *checked.compared),
        also=(
            ("members guessed right", share(int(members.right.sum()), len(members.right))),
            ("non-members guessed right", share(int(nonmembers.right.sum()), len(nonmembers.right))),
            ("of what is left to guess (Anonymeter's residual)", _residual(tested, nonmembers)),
            *years,
        ),
        details={"subgroups": groups.subgroups()},
    )


def _answer(
    name: str,
    people: Sequence[People],
    features: Mapping[str, list[np.ndarray]],
    checked: ValidityChecks,
    config: AttackConfig,
) -> Result:
    task = guesses.learnable(question(name), people[0], name)
    if isinstance(task, Result):
        return task
    attacks = {what: _attacked(task, people, each, config) for what, each in features.items()}
    members, nonmembers = attacks[ENCODER]
    if refused := guesses.incomparable(question(name), members, nonmembers, name):
        return refused
    checked = _null_split(nonmembers, checked, config)
    result = evaluate(name, attacks, checked)._replace(notes=task.notes)
    return power_simulation.state(result, attacks[ENCODER].trial(), config.detection_rounds, config.seed)


def _null_split(nonmembers: Guesses, checked: ValidityChecks, config: AttackConfig) -> ValidityChecks:
    """What was checked, and that halves of the non-members are guessed alike."""

    def split(first: np.ndarray, second: np.ndarray) -> Tested:
        return GroupGuesses(nonmembers.some(first), nonmembers.some(second)).gap()

    check, estimate = validity.null_split(split, len(nonmembers.right), config.seed)
    return ValidityChecks((*checked.checks, check), (*checked.compared, (NULL_SPLIT, estimate)))


def _attacked(
    task: Task, people: Sequence[People], features: list[np.ndarray], config: AttackConfig
) -> GroupGuesses:
    """Learn from the attackers' features, guess members and non-members."""
    rng = np.random.default_rng([config.seed, 5])
    probe = probes.tuned(features[0][task.rows], task.patient, probes.targets(task), task, rng)
    members, nonmembers = (
        guesses.guesses_of(task, each.cohort.values[task.name], each.per_patient(probe.predict(found)))
        for each, found in zip(people[1:], features[1:], strict=True)
    )
    return GroupGuesses(members, nonmembers)


def _features(inputs: Inputs, people: Sequence[People], config: AttackConfig) -> dict[str, list[np.ndarray]]:
    """What is attacked -> the features of each group, on axes that were found without a look at group or label."""
    encoder = inputs.encoder
    assert encoder is not None
    photographs = [each.photographs(encoder.preprocessing) for each in people]
    starts = np.cumsum([0, *(each.cohort.patients for each in people)])
    patient = np.concatenate([each.patient + start for each, start in zip(people, starts[:-1], strict=True)])
    ends = np.cumsum([len(each.ids) for each in people])[:-1]

    def embedded(seed: int | None) -> list[np.ndarray]:
        found = [inputs.embeddings(each, seed) for each in people]
        return np.split(components.reduce(np.concatenate(found), patient), ends)

    features = {ENCODER: embedded(None)}
    if encoder.has_untrained:
        features[UNTRAINED] = embedded(config.seed)
    features[PIXELS] = np.split(pixels.features(np.concatenate(photographs), patient), ends)
    return features


def _residual(gap: Tested, nonmembers: Guesses) -> Estimate:
    left = max(1 - float(nonmembers.right.mean()), 1e-12)
    value, low, high, patients = gap.estimate
    return Estimate(value / left, low / left, high / left, patients)
