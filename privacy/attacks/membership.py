"""T3: can it be told who was trained on?  From the generator, from the released pictures, from a CLIP.

Each is one number per patient, the mean over his or her photographs, of which a high one speaks for membership; what
difficulty explains is taken off (`privacy.scores.score_calibration`).  The generator's is fixed in advance as the mean of two:
its denoising error on a grid of noise that all photographs share, and SimA; CLiD, PIA and SecMI stand beside it.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np

from privacy.attacks import embedded, exposed
from privacy.data.inputs import Inputs, People
from privacy.decisions import at_risk, power_simulation, verdict
from privacy.decisions.results import AUC, Result, Scored
from privacy.scores import agreement, nearness, references, validity
from privacy.scores.membership_scores import ASIDE, HEADLINE, MembershipConfig, scores_of, units
from privacy.scores.references import UNTRAINED, separability
from privacy.scores.score_calibration import FEWEST, Scores, calibrated
from privacy.scores.validity import NULL_SPLIT, ValidityChecks
from privacy.statistics.inference import Tested, separation
from privacy.targets.generator import Generator
from synth.base import ties
from synth.base.errors import UserError
from synth.base.stats import Estimate

NEEDS = ("members", "nonmembers")
CONFIG = MembershipConfig
GENERATOR = Result("T3", "membership by what the generator makes of a photograph", "members", AUC)
RELEASED = Result(
    "T3", "membership by nearness to the released pictures", "members", AUC, by_nearness=True, access="data"
)
ENCODER = Result("T3", "membership by how well photograph and caption agree", "members", AUC, access="api")


_OF_EACH = [each for asked in (GENERATOR, RELEASED, ENCODER) for each in (asked, exposed.question(asked))]
QUESTIONS = [*_OF_EACH, embedded.QUESTION]


def attack(inputs: Inputs, config: MembershipConfig) -> list[Result]:
    """Every question that the inputs allow."""
    smallest = min(people.cohort.patients for people in validity.both(inputs))
    if smallest < FEWEST:
        why = f"a group of {smallest} patients; {FEWEST} are the fewest, about {verdict.patients_for_auc(0.6):,} decide"
        return [each._replace(missing=why, needed=2 * verdict.patients_for_auc(0.6)) for each in QUESTIONS]
    checked, pixels = validity.groups(inputs, config), validity.pixel_features(inputs)
    if inputs.generator:
        found = _generator(inputs, inputs.generator, pixels, checked, config)
    else:
        missing = f"needs {inputs.missing(['generator'])}"
        found = [each._replace(missing=missing) for each in (GENERATOR, exposed.question(GENERATOR))]
    found += [*_released(inputs, pixels, checked, config), *_encoder(inputs, pixels, checked, config)]
    return [*found, embedded.attack(inputs, checked, config)]


def by_generator(inputs: Inputs, generator: Generator, config: MembershipConfig) -> Tested:
    """The headline of a generator alone, for snapshots of one training.

    Raises:
        UserError: a group is too small, or a validity check says that the groups are not comparable.
    """
    smallest = min(validity.both(inputs), key=lambda people: people.cohort.patients)
    if smallest.cohort.patients < FEWEST:
        raise UserError(
            f"{smallest.folder}: {smallest.cohort.patients} patients; a group needs {FEWEST} at least"
        )
    for check in validity.groups(inputs, config).checks:
        if check.fired:
            raise UserError(f"{check.name}: {check.why}")
    groups, features = _some(inputs, validity.pixel_features(inputs), config.membership_patients, config)
    headline = scores_of(inputs, generator, HEADLINE, groups, config).headline()
    return Scores(*headline, *features).tested(config.seed)


def evaluate(
    question: Result,
    scores: Scores,
    config: MembershipConfig,
    checked: ValidityChecks = ValidityChecks((), ()),
) -> Result:
    """From scores of patients to a result, without any model."""
    return question._replace(
        tested=scores.tested(config.seed), checks=checked.checks, compared=checked.compared
    )


def with_scores(
    unanswered: Result, members: np.ndarray, nonmembers: np.ndarray, config: MembershipConfig
) -> Result:
    """From scores that difficulty was taken off, (P,) and (Q,), to what an audit says of them, whatever their order."""
    members, nonmembers = np.sort(members), np.sort(nonmembers)
    result = unanswered._replace(
        tested=separation(members, nonmembers),
        details={"roc": roc(members, nonmembers)},
        also=(*exposed.rates(members, nonmembers, config.seed), *unanswered.also),
    )
    trial = power_simulation.scores(nonmembers, len(members), separation, unanswered.scale)
    return power_simulation.state(result, trial, config.detection_rounds, config.seed)


def roc(members: np.ndarray, nonmembers: np.ndarray) -> list[tuple[float, float]]:
    """(false alarms, hits) at twenty false-alarm rates: a curve that tells of no single patient."""
    members, nonmembers = ties.together(members, nonmembers)
    rates = np.linspace(0, 1, 21)[1:]
    thresholds = np.quantile(nonmembers, 1 - rates)
    return [(float(rate), float((members > at).mean())) for rate, at in zip(rates, thresholds, strict=True)]


def _generator(
    inputs: Inputs,
    generator: Generator,
    pixels: Sequence[np.ndarray],
    checked: ValidityChecks,
    config: MembershipConfig,
) -> list[Result]:
    groups, features = _some(inputs, pixels, config.membership_patients, config)
    scored = scores_of(inputs, generator, HEADLINE, groups, config)
    asked = _references(inputs, generator, pixels, config)
    checked = ValidityChecks(
        (*checked.checks, *(separability(name, tested) for name, tested in asked)), checked.compared
    )
    others = [scores_of(inputs, each, HEADLINE, groups, config) for each in inputs.references]
    if len(others) > 1:
        scored = scored.less(others)
    elif others:  # what a generator that was trained on others finds difficult
        other = others[0]
        features = [
            np.column_stack([group, *(units(each[name], other.nonmembers[name]) for name in HEADLINE)])
            for group, each in zip(features, other, strict=True)
        ]
    headline = Scores(*scored.headline(), features[0], features[1])
    fewer, plain = _some(inputs, pixels, config.membership_controls, config)
    aside = scores_of(inputs, generator, ASIDE, fewer, config)
    singles = {
        name: (found, features)
        for found, features in ((scored, features), (aside, plain))
        for name in found.members
    }
    also = [
        (name, Scores(found.members[name], found.nonmembers[name], *of).tested(config.seed).estimate)
        for name, (found, of) in singles.items()
    ]
    also.append(("not calibrated", separation(*scored.headline()).estimate))
    controls = [(name, tested.estimate) for name, tested in asked]
    question = GENERATOR._replace(also=tuple(also))
    return _finished(question, headline, groups, checked, config, controls)


def _references(
    inputs: Inputs, generator: Generator, pixels: Sequence[np.ndarray], config: MembershipConfig
) -> list[tuple[str, Tested]]:
    """What models that saw neither group make of the same question."""
    asked = [(UNTRAINED, generator.untrained(config.seed), config.membership_controls)]
    if config.membership_references and (other := references.generator(inputs, generator)):
        patients = config.membership_patients if inputs.independent else config.membership_references
        asked.append((*other, patients))
    found = []
    for name, model, patients in asked:
        groups, features = _some(inputs, pixels, patients, config)
        found.append((name, references.scores(inputs, model, groups, features, config).tested(config.seed)))
    return found


def _some(
    inputs: Inputs, pixels: Sequence[np.ndarray], max_count: int, config: MembershipConfig
) -> tuple[tuple[People, People], list[np.ndarray]]:
    """At most so many patients of each group, and their rows of `pixels`."""
    both = validity.both(inputs)
    chosen = [people.choice(max_count, config.seed) for people in both]
    members, nonmembers = (people.some(each) for people, each in zip(both, chosen, strict=True))
    return (members, nonmembers), [group[each] for group, each in zip(pixels, chosen, strict=True)]


def _finished(
    question: Result,
    scores: Scores,
    groups: tuple[People, People],
    checked: ValidityChecks,
    config: MembershipConfig,
    controls: Sequence[tuple[str, Estimate]] = (),
) -> list[Result]:
    """A question and that of the most exposed, judged; of all patients also with a null split of both groups as a validity check."""
    found = []
    for of_members, group in ((False, scores.nonmembers), (True, scores.members)):
        found.append(
            validity.null_split(partial(_halved, scores, of_members, config.seed), len(group), config.seed)
        )
    asked = question._replace(
        checks=(*checked.checks, *(check for check, _ in found)),
        compared=(*checked.compared, (NULL_SPLIT, found[0][1]), *controls),
    )
    few = exposed.question(question)._replace(checks=checked.checks)
    members, nonmembers = calibrated(scores, config.seed)
    ids = groups[0].subjects, groups[1].subjects
    named = tuple(ids[0][at_risk.beyond(members, nonmembers)])
    return [
        with_scores(asked, members, nonmembers, config)._replace(
            named=named, scored=Scored(asked, members[:, None], nonmembers[:, None], *ids)
        ),
        exposed.with_scores(few, members, nonmembers, config)._replace(
            scored=Scored(few, members[:, None], nonmembers[:, None], *ids)
        ),
    ]


def _halved(scores: Scores, of_members: bool, seed: int, first: np.ndarray, second: np.ndarray) -> Tested:
    return scores.split(first, second, of_members).tested(seed)


def _released(
    inputs: Inputs, pixels: Sequence[np.ndarray], checked: ValidityChecks, config: MembershipConfig
) -> list[Result]:
    if inputs.synthetic is None:
        return _missing(RELEASED, f"needs {inputs.missing(['synthetic'])}")
    near = nearness.nearness(inputs, inputs.synthetic, config)
    features = [np.column_stack([group, each.typical]) for group, each in zip(pixels, near, strict=True)]
    scores = Scores(near[0].score, near[1].score, *features)
    return _finished(RELEASED, scores, validity.both(inputs), checked, config)


def _encoder(
    inputs: Inputs, pixels: Sequence[np.ndarray], checked: ValidityChecks, config: MembershipConfig
) -> list[Result]:
    if inputs.encoder is None:
        return _missing(ENCODER, f"needs {inputs.missing(['encoder'])}")
    if missing := agreement.missing(inputs, inputs.encoder):
        return _missing(ENCODER, missing)
    check, estimate = agreement.baseline_separability(inputs, config)
    whole = ValidityChecks(
        (*checked.checks, check), (*checked.compared, (agreement.CAPTIONS_ALONE, estimate))
    )
    scores = []
    for seed in (None, config.seed):
        found = agreement.agreement(inputs, inputs.encoder, seed)
        features = [np.column_stack([group, each.typical]) for group, each in zip(pixels, found, strict=True)]
        scores.append(Scores(found[0].score, found[1].score, *features))
    untrained = scores[1].tested(config.seed)
    whole = ValidityChecks((*whole.checks, separability(UNTRAINED, untrained)), whole.compared)
    control = (UNTRAINED, untrained.estimate)
    return _finished(ENCODER, scores[0], validity.both(inputs), whole, config, (control,))


def _missing(question: Result, why: str) -> list[Result]:
    return [each._replace(missing=why) for each in (question, exposed.question(question))]
