"""What each attack rests its verdict on, given patients of whom members and non-members are alike.

Every decision rule is the public function that an audit calls with the scores of real patients; only the scores are drawn.
"""

from collections.abc import Callable, Mapping

import numpy as np
from scipy.stats import norm

from privacy.attacks import (
    captions,
    completion,
    copies,
    likelihood,
    linkage,
    memorization,
    property_inference,
)
from privacy.attacks.exposed import STANDING_OUT
from privacy.canaries import release_stages
from privacy.canaries.release_stages import GUESSED
from privacy.config import AuditConfig
from privacy.data.attributes import FEWEST_YEARS, Task
from privacy.decisions.results import AUC, DIFFERENCE, Result, Scale, ValidityCheck
from privacy.scores import combinations, guesses, ngrams
from privacy.scores.guesses import GroupGuesses
from privacy.scores.score_calibration import Scores
from privacy.statistics import inference, probes
from privacy.statistics.inference import Tested
from privacy.statistics.probes import mean_by
from privacy.validation import member_rules
from privacy.validation.settings import Setting
from synth.base.stats import Estimate

YEARS = Scale("difference of means", 0.0, 0.0, 0.5)
_FEW = AuditConfig(bootstrap=200, permutations=60, copies_permutations=999)
_FEATURES = 8
_RELEASED = 100
_DEALS = 199
_SHARES = np.array([0.5, 0.3, 0.2, 0.1, 0.4])
"""Of photographs with each of five findings."""

DecisionRule = Callable[[Setting, np.random.Generator], Tested | ValidityCheck | None]
"""Draws both groups and tests, or checks, them as an audit does; None where the attack would ask nothing of them."""


def _scores(test: Callable[[np.ndarray, np.ndarray], Tested]) -> DecisionRule:
    return lambda setting, rng: test(*setting.scores(rng))


def _successes(test: Callable[[np.ndarray, np.ndarray], Tested]) -> DecisionRule:
    return lambda setting, rng: test(*setting.successes(rng))


def _tested(result: Result) -> Tested:
    assert result.tested
    return result.tested


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def _alarms(setting: Setting, rng: np.random.Generator) -> Tested | None:
    found = inference.at_false_alarms(*setting.scores(rng), 0.1, rng)
    return found[0] if found else None


def _anyone(setting: Setting, rng: np.random.Generator) -> Tested:
    """Features that know nothing of a label, which here is the group; the interval is what permuted labels spread."""
    patient_ids, normal = setting.drawn(rng, _FEATURES)
    labels = setting.is_member.astype(int)
    task = Task("sex", "classes", np.arange(len(patient_ids)), patient_ids, labels, ("F", "M"))
    found = probes.permutation_test(setting.shape(normal), task, _FEW.folds, _FEW.permutations, _seed(rng))
    low, high = np.quantile(found.permuted - found.permuted.mean(), [0.025, 0.975])
    value = found.observed
    return Tested(Estimate(value, value - float(high), value - float(low), len(labels)), found.p)


def _attribute(setting: Setting, rng: np.random.Generator) -> Tested:
    """Patients of three decades, of whom the old are guessed right more often and are more often members."""
    groups = []
    for right, shares in zip(setting.successes(rng), ((0.2, 0.3, 0.5), (0.4, 0.3, 0.3)), strict=True):
        decade = rng.choice(["40s", "50s", "60s"], len(right), p=shares)
        easy = (decade == "60s") & (rng.random(len(right)) < setting.rate / 2)
        groups.append(guesses.Guesses(right | easy, decade, np.zeros(len(right))))
    return GroupGuesses(*groups).gap()


def _canaries(setting: Setting, rng: np.random.Generator) -> Tested:
    """Half of the canary bits are withheld; what is guessed hangs together through the scores."""
    margin = np.concatenate(setting.scores(rng))
    return _tested(
        release_stages.evaluate(
            "calibration",
            margin,
            release_stages.CanaryBits(rng.integers(0, 2, len(margin)), setting.is_member),
        )
    )


def _membership(features: int) -> DecisionRule:
    """Half of a score is what so many features of the pictures say too."""

    def test(setting: Setting, rng: np.random.Generator) -> Tested:
        scores = setting.shaped(rng, 1)
        told = 0.5 * scores + rng.normal(size=(len(scores), features))
        groups = [setting.split(each) for each in (scores[:, 0], told)]
        return Scores(*groups[0], *groups[1]).tested(_seed(rng))

    return test


def _nearness(setting: Setting, rng: np.random.Generator) -> Tested:
    return _tested(memorization.evaluate_nearness("calibration", *setting.counts(rng), _FEW))


def _copies(setting: Setting, rng: np.random.Generator) -> Tested:
    members, nonmembers = setting.successes(rng)
    nobody = np.zeros(len(members)), np.zeros(len(nonmembers))
    return _tested(copies.evaluate_copies((members, nonmembers), nobody, 1000, 0.0, _FEW))


def _completion(setting: Setting, rng: np.random.Generator) -> Tested:
    """Photographs are hard for both generators alike; by how much either misses besides is the score, and chance."""
    scores = setting.shaped(rng, 1)[:, 0]
    hard, chance = rng.normal(size=(2, len(scores)))
    errors = np.exp(hard - 0.1 * scores), np.exp(hard + 0.1 * chance)
    return _tested(completion.evaluate(setting.split(errors[0]), setting.split(errors[1]), _FEW))


def _likelihood(setting: Setting, rng: np.random.Generator) -> Tested:
    """Three guesses of each photograph; of the sick more are right, and more of the members are sick."""
    patient_ids, normal = setting.drawn(rng, 3)
    sick = rng.random(len(setting.is_member)) < np.where(setting.is_member, 0.5, 0.3)
    right = normal + 0.5 * sick[patient_ids, None] > norm.ppf(1 - setting.rate)
    share = mean_by(patient_ids, right.mean(axis=1)[:, None])[:, 0]
    groups = [setting.split(each) for each in (share, sick.astype(str))]
    unused = [np.zeros_like(group) for group in groups[0]]
    return likelihood.gap(
        *(
            likelihood.Guessed(share, none, none, labels)
            for share, labels, none in zip(*groups, unused, strict=True)
        )
    )


def _words(setting: Setting, rng: np.random.Generator) -> Tested | None:
    """Words and labels of the members tell equally much of an attribute, each in their own way."""
    truth = rng.random((setting.members, 1)) < setting.rate
    if setting.members < FEWEST_YEARS or truth.all() or not truth.any():
        return None
    patient_ids, normal = setting.drawn(rng, 2 * _FEATURES, setting.members)
    normal[:, [0, _FEATURES]] += truth[patient_ids]
    told = mean_by(patient_ids, setting.shape(normal))
    read = [
        ngrams.scores(each, truth, _FEW.folds, _FEW.permutations, _seed(rng))
        for each in (told[:, :_FEATURES], told[:, _FEATURES:])
    ]
    config = _FEW.model_copy(update={"seed": _seed(rng)})
    return _tested(captions.evaluate_words("age", read[0], read[1], truth, config))


def _rare(setting: Setting, rng: np.random.Generator) -> Tested:
    """Combinations of labels, common and rare; those of the release are of other people."""
    patient_ids, own = setting.drawn(rng, 1)
    _, others = setting.drawn(rng, 1, _RELEASED)
    held, released = (
        [(int(value),) for value in np.floor(15 * setting.shape(each)[:, 0])] for each in (own, others)
    )
    cut = int(np.searchsorted(patient_ids, setting.members))
    groups = combinations.repeated(
        released, held[:cut], patient_ids[:cut], held[cut:], patient_ids[cut:] - setting.members
    )
    return _tested(captions.evaluate_rare(*groups))


def _verification(setting: Setting, rng: np.random.Generator) -> Tested | None:
    """Two or three photographs of each patient look for each other among those of everybody."""
    if setting.photographs[1] < 2:
        return None
    patient_ids, normal = setting._replace(photographs=(2, 3)).drawn(rng, _FEATURES)
    found = linkage.verification(setting.shape(normal), patient_ids)[0]
    dealt = inference.deals(setting.members, setting.nonmembers, _DEALS, rng)
    return inference.dealt_difference(*setting.split(found), dealt)


def _look_up(setting: Setting, rng: np.random.Generator) -> Tested:
    """Photographs look for a match among pictures of other people."""
    patient_ids, normal = setting.drawn(rng, _FEATURES)
    _, gallery = setting.drawn(rng, _FEATURES, _RELEASED)
    found = linkage.matches(setting.shape(normal), setting.shape(gallery))
    return inference.separation(*setting.split(mean_by(patient_ids, found[:, None])[:, 0]))


def _properties(setting: Setting, rng: np.random.Generator) -> Tested:
    """Five findings, in a release of other people."""
    bar = norm.ppf(1 - _SHARES)
    patient_ids, normal = setting.drawn(rng, len(bar))
    _, others = setting.drawn(rng, len(bar), _RELEASED)
    shares = [setting.shape(each) > bar for each in (normal, others)]
    mix = property_inference.Mix(
        shares[1].mean(axis=0), mean_by(patient_ids, shares[0].astype(float)), np.arange(len(bar))
    )
    return _tested(property_inference.evaluate(mix, setting.is_member, 3 * _FEW.permutations, _seed(rng)))


DECISION_RULES: Mapping[str, tuple[DecisionRule, Scale]] = {
    "AUC of scores": (_scores(inference.separation), AUC),
    "difference of rates": (_successes(inference.rate_difference), DIFFERENCE),
    "difference of means": (_scores(inference.mean_difference), YEARS),
    "hits at one false alarm in ten": (_alarms, DIFFERENCE),
    "T1 attributes of anyone, permuted labels": (_anyone, AUC),
    "T2 attributes, same composition": (_attribute, DIFFERENCE),
    "T2 a probe of other members": (member_rules.probe_of_members, DIFFERENCE),
    "T2 prompts": (member_rules.prompts, DIFFERENCE),
    "T2c canary bits": (_canaries, GUESSED),
    "T3 membership, calibrated scores": (_membership(5), AUC),
    "T3 the same, of 64 features": (_membership(64), AUC),
    "T3 the most exposed, by ranks": (member_rules.exposed_by_rank, STANDING_OUT),
    "T3 length and spread of embeddings": (member_rules.length_and_spread, AUC),
    "T4 nearest patients": (_nearness, memorization.NEARER),
    "T4 copied patients": (_copies, copies.COPIED),
    "T5 completed halves": (_completion, AUC),
    "T6 diagnoses by likelihood": (_likelihood, DIFFERENCE),
    "T7 words beyond labels": (_words, captions.BEYOND),
    "T7 rare label combinations": (_rare, DIFFERENCE),
    "T8 photographs of one patient": (_verification, linkage.LINKED),
    "T8 photographs looked up": (_look_up, AUC),
    "T9 property inference": (_properties, property_inference.NEARER),
    "INVALID by a model that saw neither group": (member_rules.reference_separability, AUC),
    "INVALID by traces of a camera": (member_rules.camera_separability, AUC),
}
"""Name -> how it is drawn and judged, and the scale by which it is read."""
