"""T5: does a generator complete the hidden half of a member's photograph more exactly than that of a non-member's?

Any good generator completes half an eye well.  So each photograph is also completed by an independent generator, which
knows neither group, from the same half and the same noise; the score is by how much the audited one is nearer to the
truth, and members are compared with non-members: a difference in differences (inpainting attack: Carlini et al. 2023,
2301.13188, section 5.3).  What is compared is the hidden half alone.

Age, sex and race are read from completed halves too, by a probe that learnt from that half of the attackers' own
photographs; what counts is again by how much more often the audited generator's completions give them away, and how
much of that is for members alone.  What the half that was shown gives away of either group stands beside it.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from privacy.data.attributes import ATTRIBUTES
from privacy.data.inputs import Inputs
from privacy.decisions import at_risk, power_simulation
from privacy.decisions.results import AUC, DIFFERENCE, Result
from privacy.scores import completions, guesses, validity
from privacy.scores.completions import CompletionConfig
from privacy.scores.guesses import Guesses
from privacy.statistics import strata
from privacy.statistics.inference import Tested, separation, share
from privacy.targets.generator import Generator
from synth.base.stats import Estimate

NEEDS = ("generator", "independent", "members", "nonmembers")
CONFIG = CompletionConfig
COMPLETION = Result("T5", "completion of the hidden half of a photograph", "members", AUC)


def question(name: str) -> Result:
    """What is asked about one attribute."""
    return Result("T5", f"{name} read from the completed half", "members", DIFFERENCE)


QUESTIONS = [COMPLETION, *map(question, ATTRIBUTES)]
FEWEST = 20
"""Patients of each group without whom nothing is asked."""
VISIBLE, NULL_SPLIT = "the same read from the half that was shown", "non-members against non-members"
AUDITED, INDEPENDENT = "the audited generator", "the independent generator"


class Read(NamedTuple):
    """What was guessed of the same patients of one group."""

    audited: Guesses
    """From what the audited generator completed."""
    independent: Guesses
    visible: Guesses
    """From the half that was shown."""

    def gain(self) -> np.ndarray:
        """(p,) 1 where only the audited generator gave a patient away, -1 where only the independent one did, else 0."""
        return self.audited.right.astype(float) - self.independent.right

    def some(self, rows: np.ndarray) -> "Read":
        """These patients of them."""
        return Read(*(each.some(rows) for each in self))


def attack(inputs: Inputs, config: CompletionConfig) -> list[Result]:
    """Completion, and one result for each attribute."""
    smallest = min(people.cohort.patients for people in validity.both(inputs))
    if smallest < FEWEST:
        why = f"a group of {smallest} patients; at least {FEWEST} are needed"
        return [each._replace(missing=why, needed=2 * FEWEST) for each in QUESTIONS]
    generator, independent = inputs.generator, inputs.independent
    assert generator and independent
    checked = validity.groups(inputs, config)
    models = {AUDITED: generator, INDEPENDENT: independent}
    made = {
        name: [completions.completed(inputs, model, people, config) for people in validity.both(inputs)]
        for name, model in models.items()
    }
    ours, theirs = (
        [
            completions.errors(each, models[name], people, config)
            for each, people in zip(made[name], validity.both(inputs), strict=True)
        ]
        for name in models
    )
    members = validity.both(inputs)[0]
    gains = [advantage(*both) for both in zip(ours, theirs, strict=True)]
    named = members.subjects[members.patient[completions.chosen(members, config)]][at_risk.beyond(*gains)]
    trial = power_simulation.scores(gains[1], len(gains[0]), separation, AUC)
    result = evaluate((ours[0], ours[1]), (theirs[0], theirs[1]), config)._replace(named=tuple(named))
    result = power_simulation.state(result, trial, config.detection_rounds, config.seed)
    found = [result, *_readings(inputs, models, made, config)]
    return [
        each._replace(checks=(*checked.checks, *each.checks), compared=(*each.compared, *checked.compared))
        for each in found
    ]


def advantage(audited: np.ndarray, independent: np.ndarray) -> np.ndarray:
    """(P,) by how much the audited generator is nearer to the truth: the logarithm of the ratio of errors."""
    return np.log(np.maximum(independent, 1e-9)) - np.log(np.maximum(audited, 1e-9))


def evaluate(
    audited: tuple[np.ndarray, np.ndarray],
    independent: tuple[np.ndarray, np.ndarray],
    config: CompletionConfig,
) -> Result:
    """Is the audited generator's advantage larger for members?

    Args:
        audited:     (P,) mean error of completions of each member's photograph; (Q,) of each non-member's.
        independent: the same by the independent generator.
    """
    members, nonmembers = (advantage(*both) for both in zip(audited, independent, strict=True))
    check, noise = validity.null_split(
        lambda one, other: separation(nonmembers[one], nonmembers[other]), len(nonmembers), config.seed
    )
    alone = separation(-audited[0], -audited[1]).estimate
    return COMPLETION._replace(
        tested=separation(members, nonmembers),
        checks=(check,),
        compared=(
            ("the independent generator alone", separation(-independent[0], -independent[1]).estimate),
            ("null split of the non-members", noise),
        ),
        also=(
            ("the audited generator alone", alone),
            ("error against the independent generator's, members", _ratio(members)),
            ("error against the independent generator's, non-members", _ratio(nonmembers)),
        ),
        notes=("it must have been trained on neither group: the independent generator is taken at its word",),
    )


def evaluate_attribute(name: str, members: Read, nonmembers: Read, config: CompletionConfig) -> Result:
    """Does the audited generator give away an attribute of members more often than the independent one, beyond non-members?

    The difference of the differences is taken over patients of the same age, sex or race.
    """
    check, noise = validity.null_split(
        lambda one, other: excess(nonmembers.some(one), nonmembers.some(other)),
        len(nonmembers.visible.right),
        config.seed,
    )
    rates = [
        (f"{group} guessed right by {what}", share(int(each.right.sum()), len(each.right)))
        for group, found in (("members", members), ("non-members", nonmembers))
        for what, each in ((AUDITED, found.audited), (INDEPENDENT, found.independent))
    ]
    result = question(name)._replace(
        tested=excess(members, nonmembers),
        checks=(check,),
        compared=(
            (VISIBLE, guesses.GroupGuesses(members.visible, nonmembers.visible).gap().estimate),
            (NULL_SPLIT, noise),
        ),
        also=tuple(rates),
    )
    return power_simulation.state(result, _trial(members, nonmembers), config.detection_rounds, config.seed)


def _readings(
    inputs: Inputs,
    models: Mapping[str, Generator],
    made: Mapping[str, Sequence[np.ndarray]],
    config: CompletionConfig,
) -> list[Result]:
    """One result for each attribute."""
    attackers, both = inputs.attackers, validity.both(inputs)
    if attackers is None:
        return [
            question(name)._replace(missing=f"needs {inputs.missing(['attackers'])}") for name in ATTRIBUTES
        ]
    if guesses.drawn(attackers) and not guesses.drawn(both[0]):
        why = "needs --attackers RECORDS of real patients; drawn phantoms teach nobody to read real eyes"
        return [question(name)._replace(missing=why) for name in ATTRIBUTES]
    guesses.nobody_twice(attackers, *both)
    fit = models[AUDITED].preprocessing
    hidden = {
        name: completions.half_features(attackers, m.preprocessing, False) for name, m in models.items()
    }
    shown = completions.half_features(attackers, fit, True)
    found = []
    for name in ATTRIBUTES:
        task = guesses.learnable(question(name), attackers, name)
        if isinstance(task, Result):
            found.append(task)
            continue
        readers = [completions.reader(hidden[which], task, config) for which in models]
        sight = completions.reader(shown, task, config)
        groups = []
        for place, people in enumerate(both):
            rows = completions.chosen(people, config)
            truth = people.cohort.values[name][people.patient[rows]]
            decisions = [
                completions.read(each, made[what][place]) for what, each in zip(models, readers, strict=True)
            ]
            decisions.append(sight(people.photographs(fit)[rows][:, :, : fit.size // 2]))
            groups.append(Read(*(guesses.guesses_of(task, truth, each) for each in decisions)))
        refused = guesses.incomparable(question(name), groups[0].visible, groups[1].visible, name)
        found.append(refused or evaluate_attribute(name, groups[0], groups[1], config))
    return found


def excess(members: Read, nonmembers: Read) -> Tested:
    """The difference in differences, over patients of the same age, sex or race."""
    return strata.mean_difference(
        members.gain(), nonmembers.gain(), members.visible.stratum, nonmembers.visible.stratum
    )


def _trial(members: Read, nonmembers: Read) -> power_simulation.Trial:
    """This comparison of groups drawn from the non-members; members are given away by the audited generator alone."""
    names, number = np.unique(nonmembers.visible.stratum.astype(str), return_inverse=True)

    def compare(one: np.ndarray, other: np.ndarray) -> Tested:
        strata_of = (names[group[:, 1].astype(int)] for group in (one, other))
        return strata.mean_difference(one[:, 0], other[:, 0], *strata_of)

    rows = np.column_stack([nonmembers.gain(), number])
    return power_simulation.rates(rows, len(members.visible.right), compare, DIFFERENCE)


def _ratio(advantages: np.ndarray) -> Estimate:
    """Geometric mean of the ratio of errors, audited to independent, with its interval."""
    middle, reach = -advantages.mean(), 1.96 * advantages.std(ddof=1) / len(advantages) ** 0.5
    value, low, high = np.exp([middle, middle - reach, middle + reach])
    return Estimate(float(value), float(low), float(high), len(advantages))
