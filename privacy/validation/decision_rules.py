"""What each attack rests its verdict on, given patients of whom members and strangers are alike.

Every judgement is the public function that an audit calls with the scores of real patients; only the scores are drawn.
"""

from collections.abc import Callable, Mapping

import numpy as np
from scipy.stats import norm

from privacy.attacks import captions, cohort, completion, copies, likelihood, linkage, memorization
from privacy.canaries import release_stages
from privacy.canaries.release_stages import GUESSED
from privacy.config import AuditConfig
from privacy.data.attributes import FEWEST_YEARS, Task
from privacy.decisions.results import AUC, DIFFERENCE, Result, Scale
from privacy.scores import combinations, guesses, ngrams
from privacy.scores.guesses import Arms
from privacy.scores.score_calibration import Scores
from privacy.statistics import inference, probes
from privacy.statistics.inference import Tested
from privacy.statistics.probes import mean_by
from privacy.validation.settings import Setting
from synth.base.stats import Estimate

YEARS = Scale("difference of means", 0.0, 0.0, 0.5)
_FEW = AuditConfig(bootstrap=200, permutations=60, copies_permutations=999)
_FEATURES = 8
_RELEASED = 100
_DEALS = 199
_SHARES = np.array([0.5, 0.3, 0.2, 0.1, 0.4])
"""Of photographs with each of five findings."""

Judgement = Callable[[Setting, np.random.Generator], Tested | None]
"""Draws both arms and tests them as an attack does; None where the attack would ask nothing of them."""


def _scores(judge: Callable[[np.ndarray, np.ndarray], Tested]) -> Judgement:
    return lambda setting, rng: judge(*setting.scores(rng))


def _successes(judge: Callable[[np.ndarray, np.ndarray], Tested]) -> Judgement:
    return lambda setting, rng: judge(*setting.successes(rng))


def _tested(result: Result) -> Tested:
    assert result.tested
    return result.tested


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def _alarms(setting: Setting, rng: np.random.Generator) -> Tested | None:
    found = inference.at_false_alarms(*setting.scores(rng), 0.1, rng)
    return found[0] if found else None


def _anyone(setting: Setting, rng: np.random.Generator) -> Tested:
    """Features that know nothing of a label, which here is the arm; the interval is what permuted labels spread."""
    whose, normal = setting.drawn(rng, _FEATURES)
    labels = setting.is_member.astype(int)
    task = Task("sex", "classes", np.arange(len(whose)), whose, labels, ("F", "M"))
    found = probes.permutation_test(setting.shape(normal), task, _FEW.folds, _FEW.permutations, _seed(rng))
    low, high = np.quantile(found.permuted - found.permuted.mean(), [0.025, 0.975])
    value = found.observed
    return Tested(Estimate(value, value - float(high), value - float(low), len(labels)), found.p)


def _attribute(setting: Setting, rng: np.random.Generator) -> Tested:
    """Patients of three decades, of whom the old are guessed right more often and are more often members."""
    arms = []
    for right, shares in zip(setting.successes(rng), ((0.2, 0.3, 0.5), (0.4, 0.3, 0.3)), strict=True):
        decade = rng.choice(["40s", "50s", "60s"], len(right), p=shares)
        easy = (decade == "60s") & (rng.random(len(right)) < setting.rate / 2)
        arms.append(guesses.Guesses(right | easy, decade, np.zeros(len(right))))
    return Arms(*arms).gap()


def _coins(setting: Setting, rng: np.random.Generator) -> Tested:
    """Half of the coins are withheld; what is guessed hangs together through the scores."""
    margin = np.concatenate(setting.scores(rng))
    return _tested(
        release_stages.judge(
            "calibration", margin, release_stages.Coins(rng.integers(0, 2, len(margin)), setting.is_member)
        )
    )


def _membership(features: int) -> Judgement:
    """Half of a score is what so many features of the pictures say too."""

    def judge(setting: Setting, rng: np.random.Generator) -> Tested:
        scores = setting.shaped(rng, 1)
        told = 0.5 * scores + rng.normal(size=(len(scores), features))
        arms = [setting.split(each) for each in (scores[:, 0], told)]
        return Scores(*arms[0], *arms[1]).judged(_seed(rng))

    return judge


def _nearness(setting: Setting, rng: np.random.Generator) -> Tested:
    return _tested(memorization.judge_nearness("calibration", *setting.counts(rng), _FEW))


def _copies(setting: Setting, rng: np.random.Generator) -> Tested:
    members, strangers = setting.successes(rng)
    nobody = np.zeros(len(members)), np.zeros(len(strangers))
    return _tested(copies.judge_copies((members, strangers), nobody, 1000, 0.0, _FEW))


def _completion(setting: Setting, rng: np.random.Generator) -> Tested:
    """Photographs are hard for both generators alike; by how much either misses besides is the score, and chance."""
    scores = setting.shaped(rng, 1)[:, 0]
    hard, chance = rng.normal(size=(2, len(scores)))
    errors = np.exp(hard - 0.1 * scores), np.exp(hard + 0.1 * chance)
    return _tested(completion.judge(setting.split(errors[0]), setting.split(errors[1]), _FEW))


def _likelihood(setting: Setting, rng: np.random.Generator) -> Tested:
    """Three guesses of each photograph; of the sick more are right, and more of the members are sick."""
    whose, normal = setting.drawn(rng, 3)
    sick = rng.random(len(setting.is_member)) < np.where(setting.is_member, 0.5, 0.3)
    right = normal + 0.5 * sick[whose, None] > norm.ppf(1 - setting.rate)
    share = mean_by(whose, right.mean(axis=1)[:, None])[:, 0]
    arms = [setting.split(each) for each in (share, sick.astype(str))]
    unused = [np.zeros_like(arm) for arm in arms[0]]
    return likelihood.gap(
        *(
            likelihood.Guessed(share, none, none, labels)
            for share, labels, none in zip(*arms, unused, strict=True)
        )
    )


def _words(setting: Setting, rng: np.random.Generator) -> Tested | None:
    """Words and labels of the members tell equally much of an attribute, each in their own way."""
    truth = rng.random((setting.members, 1)) < setting.rate
    if setting.members < FEWEST_YEARS or truth.all() or not truth.any():
        return None
    whose, normal = setting.drawn(rng, 2 * _FEATURES, setting.members)
    normal[:, [0, _FEATURES]] += truth[whose]
    told = mean_by(whose, setting.shape(normal))
    read = [
        ngrams.scores(each, truth, _FEW.folds, _FEW.permutations, _seed(rng))
        for each in (told[:, :_FEATURES], told[:, _FEATURES:])
    ]
    config = _FEW.model_copy(update={"seed": _seed(rng)})
    return _tested(captions.judge_words("age", read[0], read[1], truth, config))


def _rare(setting: Setting, rng: np.random.Generator) -> Tested:
    """Combinations of labels, common and rare; those of the release are of other people."""
    whose, own = setting.drawn(rng, 1)
    _, others = setting.drawn(rng, 1, _RELEASED)
    held, released = (
        [(int(value),) for value in np.floor(15 * setting.shape(each)[:, 0])] for each in (own, others)
    )
    cut = int(np.searchsorted(whose, setting.members))
    arms = combinations.repeated(released, held[:cut], whose[:cut], held[cut:], whose[cut:] - setting.members)
    return _tested(captions.judge_rare(*arms))


def _verification(setting: Setting, rng: np.random.Generator) -> Tested | None:
    """Two or three photographs of each patient look for each other among those of everybody."""
    if setting.photographs[1] < 2:
        return None
    whose, normal = setting._replace(photographs=(2, 3)).drawn(rng, _FEATURES)
    found = linkage.verification(setting.shape(normal), whose)[0]
    dealt = inference.deals(setting.members, setting.strangers, _DEALS, rng)
    return inference.dealt_difference(*setting.split(found), dealt)


def _look_up(setting: Setting, rng: np.random.Generator) -> Tested:
    """Photographs look for a match among pictures of other people."""
    whose, normal = setting.drawn(rng, _FEATURES)
    _, gallery = setting.drawn(rng, _FEATURES, _RELEASED)
    found = linkage.matches(setting.shape(normal), setting.shape(gallery))
    return inference.separation(*setting.split(mean_by(whose, found[:, None])[:, 0]))


def _cohort(setting: Setting, rng: np.random.Generator) -> Tested:
    """Five findings, in a release of other people."""
    bar = norm.ppf(1 - _SHARES)
    whose, normal = setting.drawn(rng, len(bar))
    _, others = setting.drawn(rng, len(bar), _RELEASED)
    shares = [setting.shape(each) > bar for each in (normal, others)]
    mix = cohort.Mix(shares[1].mean(axis=0), mean_by(whose, shares[0].astype(float)), np.arange(len(bar)))
    return _tested(cohort.judge(mix, setting.is_member, 3 * _FEW.permutations, _seed(rng)))


JUDGEMENTS: Mapping[str, tuple[Judgement, Scale]] = {
    "AUC of scores": (_scores(inference.separation), AUC),
    "difference of rates": (_successes(inference.rate_difference), DIFFERENCE),
    "difference of means": (_scores(inference.mean_difference), YEARS),
    "hits at one false alarm in ten": (_alarms, DIFFERENCE),
    "T1 attributes of anyone, permuted labels": (_anyone, AUC),
    "T2 attributes, same make-up": (_attribute, DIFFERENCE),
    "T2c canary coins": (_coins, GUESSED),
    "T3 membership, freed of difficulty": (_membership(5), AUC),
    "T3 the same, of 64 features": (_membership(64), AUC),
    "T4 nearest patients": (_nearness, memorization.NEARER),
    "T4 copied patients": (_copies, copies.COPIED),
    "T5 completed halves": (_completion, AUC),
    "T6 diagnoses by likelihood": (_likelihood, DIFFERENCE),
    "T7 words beyond labels": (_words, captions.BEYOND),
    "T7 rare label combinations": (_rare, DIFFERENCE),
    "T8 photographs of one patient": (_verification, linkage.LINKED),
    "T8 photographs looked up": (_look_up, AUC),
    "T9 make-up of the cohort": (_cohort, cohort.NEARER),
}
"""Name -> how it is drawn and judged, and the scale by which it is read."""
