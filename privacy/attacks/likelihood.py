"""T6: which diagnosis makes a photograph most likely in the eyes of a generator, and does it know members' better?

For each photograph and disease every candidate label is tried, with the same noise for all; the guess is the one with
the least denoising error (Li et al. 2023, 2303.16203).  Of non-members it says what the generator has learnt of eyes;
what it says better of members it learnt of them.  Groups are compared within strata of the true labels.
"""

from collections import Counter
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
from pydantic import Field

from privacy.attack_config import AttackConfig
from privacy.data.inputs import Inputs, People
from privacy.decisions import power_simulation, verdict
from privacy.decisions.results import DIFFERENCE, Result, ValidityCheck
from privacy.scores import validity
from privacy.scores.validity import NULL_SPLIT, ValidityChecks
from privacy.statistics import strata
from privacy.statistics.inference import Tested, mean_difference, separation
from privacy.targets.generator import Generator
from synth.base import ties
from synth.base.stats import Estimate
from synth.data.vocabulary import FLAGS

NEEDS = ("members", "nonmembers", "generator")
QUESTION = Result("T6", "label inference by likelihood (diffusion classifier)", "members", DIFFERENCE)
QUESTIONS = [QUESTION]
SHUFFLED, INDEPENDENT = "labels of other patients", "an independent generator"
LABELS = ("dr_grade", *FLAGS)
_FEWEST = 10  # patients of each group whom a label needs
_SURE = 0.0005  # a validity check that fires by chance would hide a leak


class LikelihoodConfig(AttackConfig):
    """What guessing labels by likelihood takes (T6)."""

    likelihood_patients: int = Field(default=300, ge=20)
    """Of each group whose diagnoses are guessed; every candidate is a pass over their photographs at each step."""
    likelihood_labels: int = Field(default=3, ge=1)
    """Diseases at most whose label is guessed, those with the most patients in their second commonest class."""
    likelihood_steps: tuple[int, ...] = (100, 300, 500, 700)
    """Diffusion steps at which every candidate label is tried on every photograph."""
    likelihood_draws: int = Field(default=1, ge=1)
    """Of noise at each of these steps, the same for every candidate and photograph."""


CONFIG = LikelihoodConfig


class Guessed(NamedTuple):
    """What was guessed of the P patients of one group."""

    right: np.ndarray
    """(P,) share of guesses that were right, over photographs and diseases."""
    shuffled: np.ndarray
    """(P,) the same of the labels of another patient of the group."""
    margin: np.ndarray
    """(P,) how much less error the true label leaves than the others: mean logarithm of the ratio."""
    stratum: np.ndarray
    """(P,) str: the true labels."""

    def some(self, patients: np.ndarray) -> Self:
        return type(self)(*(part[patients] for part in self))


def attack(inputs: Inputs, config: LikelihoodConfig) -> list[Result]:
    """Guess members' and non-members' labels."""
    members, nonmembers = (
        people.some(people.choice(config.likelihood_patients, config.seed))
        for people in validity.both(inputs)
    )
    groups = members, nonmembers
    labels = choose(groups, config.likelihood_labels)
    if not labels:
        why = f"no label of a disease has two values with {_FEWEST} patients of each group"
        return [
            QUESTION._replace(missing=f"{why}; needs more patients, or labels in --members and --nonmembers")
        ]
    assert inputs.generator
    checked = ValidityChecks(validity.groups(inputs, config).checks, ())
    members, nonmembers = (_guess(inputs, inputs.generator, people, labels, config) for people in groups)
    check, estimate = validity.null_split(
        lambda first, second: gap(nonmembers.some(first), nonmembers.some(second)),
        len(nonmembers.right),
        config.seed,
    )
    compared = [(NULL_SPLIT, estimate)]
    if inputs.independent:
        others = [_guess(inputs, inputs.independent, people, labels, config) for people in groups]
        compared.append((INDEPENDENT, gap(*others).estimate))
    result = evaluate(members, nonmembers, ValidityChecks((*checked.checks, check), tuple(compared)))
    if result.tested is None:
        return [result]
    note = f"guessed: {', '.join(f'{name} ({len(values)} candidates)' for name, values in labels.items())}"
    result = result._replace(notes=(note,))
    return [
        power_simulation.state(
            result, _trial(nonmembers, len(members.right)), config.detection_rounds, config.seed
        )
    ]


def evaluate(
    members: Guessed, nonmembers: Guessed, checked: ValidityChecks = ValidityChecks((), ())
) -> Result:
    """From guesses to a result, without any model."""
    tested = gap(members, nonmembers)
    if not tested.estimate.patients:
        needed = 2 * verdict.patients_for_auc(0.6)
        return QUESTION._replace(missing="no two patients of each group have the same labels", needed=needed)
    control = mean_difference(members.shuffled, nonmembers.shuffled)
    odd = min(control.p, mean_difference(nonmembers.shuffled, members.shuffled).p) < _SURE
    why = f"labels of other patients are guessed better in one group than in the other ({control.estimate.value:+.3f})"
    return QUESTION._replace(
        tested=tested,
        checks=(*checked.checks, ValidityCheck("shuffled", odd, why)),
        compared=(*checked.compared, (SHUFFLED, control.estimate)),
        also=(
            ("members guessed", _mean(members.right)),
            ("non-members guessed", _mean(nonmembers.right)),
            ("AUC of how clearly", separation(members.margin, nonmembers.margin).estimate),
        ),
    )


def gap(members: Guessed, nonmembers: Guessed) -> Tested:
    """Share of right guesses of members less that of non-members of the same labels.

    As of rates: shares of several guesses vary less than single ones do, so the interval is wide enough, and it does not
    vanish where all guesses are right.
    """
    return strata.rate_difference(members.right, nonmembers.right, members.stratum, nonmembers.stratum)


def choose(groups: tuple[People, People], max_labels: int) -> dict[str, list[int]]:
    """Label -> its candidate values, of the labels whose second commonest value has the most patients.

    The choice looks at labels alone, before any model is asked.
    """
    found: dict[str, tuple[int, list[int]]] = {}
    for name in LABELS:
        counts = [_patients(people, name) for people in groups]
        values = sorted(v for v in counts[0] if min(each[v] for each in counts) >= _FEWEST)
        if len(values) > 1:
            found[name] = sorted(counts[0][v] + counts[1][v] for v in values)[-2], values
    order = sorted(found, key=lambda name: -found[name][0])
    return {name: found[name][1] for name in order[:max_labels]}


def guessed(
    errors: list[np.ndarray], truths: list[np.ndarray], people: People, rng: np.random.Generator
) -> Guessed:
    """What the group's guesses come to.

    Args:
        errors: per label (N, V) denoising error of each photograph under each candidate.
        truths: per label (N,) place of the true one, -1 where it is unknown or no candidate.
    """
    patients = people.cohort.patients
    sums = np.zeros((4, patients))
    first = np.searchsorted(people.patient, np.arange(patients))
    other = first[rng.permutation(patients)][people.patient]  # a photograph of another patient of the group
    for error, truth in zip(errors, truths, strict=True):
        guess, known = ties.first_smallest(error), truth >= 0
        error = ties.levelled(error)
        own = np.take_along_axis(error, np.maximum(truth, 0)[:, None], axis=1)[:, 0]
        rest = own + (error - own[:, None]).sum(axis=1) / (error.shape[1] - 1)  # equal errors cancel
        margin = np.log(np.maximum(rest, 1e-12)) - np.log(np.maximum(own, 1e-12))
        each = np.stack([guess == truth, guess == truth[other], margin, np.ones(len(truth))]) * known
        for row, values in zip(sums, each, strict=True):
            np.add.at(row, people.patient, values)
    counts = np.maximum(sums[3], 1)
    stratum = ["/".join(str(truth[at]) for truth in truths) for at in first]
    seen = sums[3] > 0
    right, shuffled, margin = sums[:3] / counts
    return Guessed(right, shuffled, margin, np.array(stratum, str)).some(np.flatnonzero(seen))


def _guess(
    inputs: Inputs,
    generator: Generator,
    people: People,
    labels: dict[str, list[int]],
    config: LikelihoodConfig,
) -> Guessed:
    photographs = people.photographs(generator.preprocessing)
    table = people.table.drop_columns(["canary"])
    grid = config.likelihood_steps, config.likelihood_draws, config.seed
    errors, truths = [], []
    for name, values in labels.items():
        columns = []
        for value in values:
            codes = generator.codes(_with(table, name, value))
            key = [generator.fingerprint, people.fingerprint, "candidate", name, value, *grid]
            columns.append(inputs.once(key, lambda codes=codes: generator.losses(photographs, codes, *grid)))
        errors.append(np.stack([each.mean(axis=(1, 2)) for each in columns], axis=1))
        place = {value: at for at, value in enumerate(values)}
        truths.append(np.array([place.get(value, -1) for value in table[name].to_pylist()]))
    return guessed(errors, truths, people, np.random.default_rng([config.seed, 9]))


def _with(table: pa.Table, name: str, value: int) -> pa.Table:
    at = table.column_names.index(name)
    return table.set_column(at, table.field(name), pa.array([value] * len(table), table.field(name).type))


def _patients(people: People, name: str) -> Counter[int]:
    """Label value -> patients with a photograph of it."""
    pairs = set(zip(people.patient.tolist(), people.table[name].to_pylist(), strict=True))
    return Counter(value for _, value in pairs if value is not None)


def _trial(nonmembers: Guessed, members: int) -> power_simulation.Trial:
    """A power simulation in which each patient keeps his or her labels."""
    _, stratum = np.unique(nonmembers.stratum, return_inverse=True)

    def compare(first: np.ndarray, second: np.ndarray) -> Tested:
        labels = [each[:, 1].astype(int).astype(str) for each in (first, second)]
        return strata.rate_difference(first[:, 0], second[:, 0], *labels)

    pool = np.column_stack([nonmembers.right, stratum])
    return power_simulation.rates(pool, members, compare, DIFFERENCE)


def _mean(values: np.ndarray) -> Estimate:
    """With a normal interval."""
    reach = 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5
    value = float(values.mean())
    return Estimate(value, value - reach, value + reach, len(values))
