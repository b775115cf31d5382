"""T5: does a generator complete the hidden half of a member's photograph more exactly than that of a stranger's?

Any good generator completes half an eye well.  So each photograph is also completed by an independent generator, which
knows neither arm, from the same half and the same noise; the score is by how much the audited one is nearer to the
truth, and members are compared with strangers: a difference in differences (inpainting attack: Carlini et al. 2023,
2301.13188, section 5.3).  What is compared is the hidden half alone.
"""

import numpy as np

from privacy import gates
from privacy.config import AuditConfig
from privacy.inputs import Inputs, People
from privacy.results import AUC, Result
from privacy.statistics.inference import Tested, separation
from privacy.targets import inpainting
from privacy.targets.generator import Generator
from synth.base.stats import Estimate

NEEDS = ("generator", "independent", "members", "nonmembers")
QUESTIONS = [Result("T5", "completion of the hidden half of a photograph", "members", AUC)]
FEWEST = 20
"""Patients of each arm without whom nothing is asked."""


def attack(inputs: Inputs, config: AuditConfig) -> list[Result]:
    """One result."""
    smallest = min(people.cohort.patients for people in gates.both(inputs))
    if smallest < FEWEST:
        why = f"an arm of {smallest} patients; at least {FEWEST} are needed"
        return [QUESTIONS[0]._replace(missing=why, needed=2 * FEWEST)]
    generator, independent = inputs.generator, inputs.independent
    assert generator and independent
    checked = gates.arms(inputs, config)
    ours, theirs = (
        [_errors(inputs, each, people, config) for people in gates.both(inputs)]
        for each in (generator, independent)
    )
    result = judge((ours[0], ours[1]), (theirs[0], theirs[1]), config)
    return [
        result._replace(gates=(*checked.gates, *result.gates), compared=(*result.compared, *checked.compared))
    ]


def judge(
    audited: tuple[np.ndarray, np.ndarray], independent: tuple[np.ndarray, np.ndarray], config: AuditConfig
) -> Result:
    """Is the audited generator's advantage larger for members?

    Args:
        audited:     (P,) mean error of completions of each member's photograph; (Q,) of each stranger's.
        independent: the same by the independent generator.
    """
    members, strangers = (
        np.log(np.maximum(theirs, 1e-9)) - np.log(np.maximum(ours, 1e-9))
        for ours, theirs in zip(audited, independent, strict=True)
    )
    gate, noise = gates.equals(lambda one, other: _apart(strangers, one, other), len(strangers), config.seed)
    alone = separation(-audited[0], -audited[1]).estimate
    return QUESTIONS[0]._replace(
        tested=separation(members, strangers),
        gates=(gate,),
        compared=(
            ("the independent generator alone", separation(-independent[0], -independent[1]).estimate),
            ("halves of the strangers", noise),
        ),
        also=(
            ("the audited generator alone", alone),
            ("error against the independent generator's, members", _ratio(members)),
            ("error against the independent generator's, strangers", _ratio(strangers)),
        ),
        notes=("it must have been trained on neither arm: the independent generator is taken at its word",),
    )


def hidden(side: int) -> np.ndarray:
    """(side, side) bool: the right half, in which the disc of a right eye lies, the macula's half of a left."""
    return np.broadcast_to(np.arange(side) >= side // 2, (side, side)).copy()


def _errors(inputs: Inputs, generator: Generator, people: People, config: AuditConfig) -> np.ndarray:
    """(P',) mean squared error of the hidden half, one photograph of at most `completion_patients` patients."""
    rng = np.random.default_rng([config.seed, 50])
    first = np.flatnonzero(np.diff(people.patient, prepend=-1))
    rows = np.sort(rng.permutation(first)[: config.completion_patients])
    settings = [config.completion_draws, config.completion_steps, config.completion_repeats, config.seed]

    def make() -> np.ndarray:
        photographs = people.photographs(generator.preprocessing)[rows]
        mask = hidden(generator.preprocessing.size)
        made = inpainting.complete(generator, photographs, mask, *settings)
        error = (made[:, :, mask].astype(float) - photographs[:, None, mask].astype(float)) / 127.5
        return (error**2).mean(axis=(1, 2, 3))

    key = ["completion", generator.fingerprint, people.fingerprint, config.completion_patients, *settings]
    return inputs.once(key, make)


def _apart(scores: np.ndarray, one: np.ndarray, other: np.ndarray) -> Tested:
    return separation(scores[one], scores[other])


def _ratio(advantage: np.ndarray) -> Estimate:
    """Geometric mean of the ratio of errors, audited to independent, with its interval."""
    middle, reach = -advantage.mean(), 1.96 * advantage.std(ddof=1) / len(advantage) ** 0.5
    value, low, high = np.exp([middle, middle - reach, middle + reach])
    return Estimate(float(value), float(low), float(high), len(advantage))
