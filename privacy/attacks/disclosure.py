"""T2: are age, sex and race of members read from their embeddings more easily than those of strangers?

The attacker learns to read embeddings from patients of his own and never sees a label of the others.  What he guesses
of strangers he could guess of anyone; only what he guesses of members beyond that is a disclosure (Giomi et al. 2022,
2211.10459, without the division by what is left to guess).  Both arms are weighted to the same ages, sexes or races.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from privacy.config import AuditConfig
from privacy.data.attributes import ATTRIBUTES, Task
from privacy.data.inputs import Inputs, People
from privacy.decisions import power_simulation
from privacy.decisions.results import DIFFERENCE, Result
from privacy.scores import guesses, pixels, validity
from privacy.scores.guesses import Arms, Guesses
from privacy.scores.validity import Checked
from privacy.statistics import components, probes
from privacy.statistics.inference import Tested, share
from synth.base.stats import Estimate

NEEDS = ("encoder", "attackers", "members", "nonmembers")
ENCODER = "the encoder"
UNTRAINED, PIXELS = "the same attack on an untrained encoder", "the same attack on pixels"
EQUALS = "strangers against strangers"


def question(name: str) -> Result:
    """What is asked about one attribute."""
    return Result("T2", f"{name} read from embeddings", "members", DIFFERENCE)


QUESTIONS = [question(name) for name in ATTRIBUTES]


def attack(inputs: Inputs, config: AuditConfig) -> list[Result]:
    """One result for each attribute.

    Raises:
        UserError: a patient of the attackers is also in another arm, or of the members among the strangers.
    """
    assert inputs.attackers
    people = [inputs.attackers, *validity.both(inputs)]
    if guesses.drawn(people[0]) and not guesses.drawn(people[1]):
        why = "needs --attackers RECORDS of real patients; drawn phantoms teach nobody to read real eyes"
        return [each._replace(missing=why) for each in QUESTIONS]
    checked = validity.arms(inputs, config)
    guesses.nobody_twice(people[0], people[1], people[2])
    features = _features(inputs, people, config)
    return [_answer(name, people, features, checked, config) for name in ATTRIBUTES]


def judge(name: str, attacks: Mapping[str, Arms], checked: Checked) -> Result:
    """Put what was guessed into a result.

    Args:
        attacks: what was attacked -> what came of it; `ENCODER` is what counts, the others are beside it.
        checked: whether the arms are equals at all.
    """
    arms = attacks[ENCODER]
    members, strangers = arms
    tested = arms.gap()
    others = [(what, each.gap().estimate) for what, each in attacks.items() if what != ENCODER]
    years = [("years of error less for members", arms.years())] if ATTRIBUTES[name] == "years" else []
    return question(name)._replace(
        tested=tested,
        gates=checked.gates,
        compared=(*others, *checked.compared),
        also=(
            ("members guessed right", share(int(members.right.sum()), len(members.right))),
            ("strangers guessed right", share(int(strangers.right.sum()), len(strangers.right))),
            ("of what is left to guess (Anonymeter's residual)", _residual(tested, strangers)),
            *years,
        ),
        details={"subgroups": arms.subgroups()},
    )


def _answer(
    name: str,
    people: Sequence[People],
    features: Mapping[str, list[np.ndarray]],
    checked: Checked,
    config: AuditConfig,
) -> Result:
    task = guesses.learnable(question(name), people[0], name)
    if isinstance(task, Result):
        return task
    attacks = {what: _attacked(task, people, each, config) for what, each in features.items()}
    members, strangers = attacks[ENCODER]
    if refused := guesses.incomparable(question(name), members, strangers, name):
        return refused
    checked = _equals(strangers, checked, config)
    result = judge(name, attacks, checked)._replace(notes=task.notes)
    return power_simulation.state(result, attacks[ENCODER].trial(), config.detection_rounds, config.seed)


def _equals(strangers: Guesses, checked: Checked, config: AuditConfig) -> Checked:
    """What was checked, and that halves of the strangers are guessed alike."""

    def split(first: np.ndarray, second: np.ndarray) -> Tested:
        return Arms(strangers.some(first), strangers.some(second)).gap()

    gate, estimate = validity.equals(split, len(strangers.right), config.seed)
    return Checked((*checked.gates, gate), (*checked.compared, (EQUALS, estimate)))


def _attacked(task: Task, people: Sequence[People], features: list[np.ndarray], config: AuditConfig) -> Arms:
    """Learn from the attackers' features, guess members and strangers."""
    rng = np.random.default_rng([config.seed, 5])
    probe = probes.tuned(features[0][task.rows], task.patient, probes.targets(task), task, rng)
    members, strangers = (
        guesses.asked(task, each.cohort.values[task.name], each.per_patient(probe.predict(found)))
        for each, found in zip(people[1:], features[1:], strict=True)
    )
    return Arms(members, strangers)


def _features(inputs: Inputs, people: Sequence[People], config: AuditConfig) -> dict[str, list[np.ndarray]]:
    """What is attacked -> the features of each arm, on axes that were found without a look at arm or label."""
    encoder = inputs.encoder
    assert encoder is not None
    photographs = [each.photographs(encoder.preprocessing) for each in people]
    starts = np.cumsum([0, *(each.cohort.patients for each in people)])
    patient = np.concatenate([each.patient + start for each, start in zip(people, starts[:-1], strict=True)])
    ends = np.cumsum([len(each.ids) for each in people])[:-1]

    def embedded(seed: int | None) -> list[np.ndarray]:
        found = [
            inputs.once(
                [encoder.facts["sha256"], each.fingerprint, "embedding", seed],
                lambda each=each, shown=shown: encoder.embed(shown, each.ids, seed),
            )
            for each, shown in zip(people, photographs, strict=True)
        ]
        return np.split(components.reduce(np.concatenate(found), patient), ends)

    features = {ENCODER: embedded(None)}
    if encoder.has_untrained:
        features[UNTRAINED] = embedded(config.seed)
    features[PIXELS] = np.split(pixels.features(np.concatenate(photographs), patient), ends)
    return features


def _residual(gap: Tested, strangers: Guesses) -> Estimate:
    left = max(1 - float(strangers.right.mean()), 1e-12)
    value, low, high, patients = gap.estimate
    return Estimate(value / left, low / left, high / left, patients)
