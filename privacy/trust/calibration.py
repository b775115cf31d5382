"""False alarms of every judgement of the audit, where membership makes no difference.

Patients of both arms are drawn alike, photographed once or several times, with scores that hang together within a
patient or do not; then each attack judges them as it would judge an audit.  Among many such audits, no more than one in
twenty may say p < 5 %, and even fewer may FAIL, for which the interval must clear the bar as well.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from privacy import verdict
from privacy.attacks import memorization
from privacy.canaries import hops
from privacy.canaries.hops import GUESSED
from privacy.config import AuditConfig
from privacy.results import AUC, DIFFERENCE, Result, Scale
from privacy.signals import guesses
from privacy.signals.difficulty import Scores
from privacy.signals.guesses import Arms
from privacy.statistics import inference
from privacy.statistics.inference import Tested
from privacy.trust import detection
from synth.base.runs import progress

ROUNDS = 300
_YEARS = Scale("difference of means", 0.0, 0.0, 0.5)
_FEW = AuditConfig(bootstrap=200, copies_permutations=999)


class Setting(NamedTuple):
    """Patients without a leak."""

    name: str
    members: int = 200
    strangers: int = 200
    photographs: tuple[int, int] = (1, 6)
    """Of each patient, at least and at most."""
    icc: float = 0.9
    """Share of the variance of a photograph's score that is the patient's."""
    rate: float = 0.5
    """Share of patients in whom something succeeds, whoever they are."""
    shape: Callable[[np.ndarray], np.ndarray] = lambda normal: normal
    """Of photographs' scores, given standard normal ones."""

    def scores(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(m,) and (n,) mean scores of patients."""
        members, strangers = (self._latent(patients, rng)[0] for patients in (self.members, self.strangers))
        return members, strangers

    def successes(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(m,) and (n,) bool."""
        found = []
        for patients in (self.members, self.strangers):
            _, normal, deviation = self._latent(patients, rng)
            found.append(normal > deviation * norm.ppf(1 - self.rate))
        return found[0], found[1]

    def counts(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(m,) and (n,) pictures that are nearest to each patient; typical patients attract many, most attract none."""
        scores = [self._latent(patients, rng)[1] for patients in (self.members, self.strangers)]
        members, strangers = (rng.poisson(4 * self.rate * np.exp(each)) for each in scores)
        return members, strangers

    def _latent(self, patients: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean score of each patient, the mean of what was normal before its shape was given, and its deviation."""
        photographs = rng.integers(self.photographs[0], self.photographs[1] + 1, patients)
        whose = np.repeat(np.arange(patients), photographs)
        normal = self.icc**0.5 * rng.normal(size=patients)[whose]
        normal += (1 - self.icc) ** 0.5 * rng.normal(size=len(whose))
        starts = np.flatnonzero(np.diff(whose, prepend=-1))
        means = [np.add.reduceat(each, starts) / photographs for each in (self.shape(normal), normal)]
        return means[0], means[1], (self.icc + (1 - self.icc) / photographs) ** 0.5


SETTINGS = (
    Setting("one photograph each", photographs=(1, 1)),
    Setting("1 to 6 photographs that have nothing in common", icc=0.0),
    Setting("1 to 6 photographs, ICC .9"),
    Setting("one patient in twenty a member, ICC .9", members=20, strangers=380),
    Setting("one patient in twenty a success", rate=0.05),
    Setting("three values only", shape=lambda normal: np.round(normal.clip(-1, 1))),
    Setting("one value only", shape=lambda normal: np.full_like(normal, 0.1), rate=0.0),
    Setting("a few very large values", shape=np.exp),
)

Judgement = Callable[[Setting, np.random.Generator], Tested | None]
"""Draws both arms and tests them as an attack does; None where the attack would say that they are too few."""


class Rejections(NamedTuple):
    """What became of audits without a leak."""

    judgement: str
    setting: str
    significant: float
    """Share with p < 5 %."""
    failed: float
    """Share that a report would have called FAIL."""
    rounds: int

    @property
    def most(self) -> float:
        """What chance lets a true 5 % come to: three standard errors more."""
        return verdict.ALPHA + 3 * (verdict.ALPHA * (1 - verdict.ALPHA) / self.rounds) ** 0.5


def rejections(name: str, setting: Setting, rounds: int = ROUNDS, seed: int = 0) -> Rejections:
    """Judge so many audits without a leak."""
    judgement, scale = JUDGEMENTS[name]
    significant = failed = 0
    for number in range(rounds):
        tested = judgement(setting, np.random.default_rng([seed, number]))
        if tested is not None:
            significant += tested.p < verdict.ALPHA
            failed += detection.fails(tested, scale)
    return Rejections(name, setting.name, significant / rounds, failed / rounds, rounds)


def run(
    names: list[str] | None = None,
    rounds: int = ROUNDS,
    seed: int = 0,
    settings: tuple[Setting, ...] = SETTINGS,
) -> Iterator[Rejections]:
    """Every judgement, or those of `names`, in every setting."""
    chosen = names or list(JUDGEMENTS)
    with progress("calibrating", len(chosen) * len(settings), unit="settings") as bar:
        for name in chosen:
            for setting in settings:
                yield rejections(name, setting, rounds, seed)
                bar.update()


def _scores(judge: Callable[[np.ndarray, np.ndarray], Tested]) -> Judgement:
    return lambda setting, rng: judge(*setting.scores(rng))


def _successes(judge: Callable[[np.ndarray, np.ndarray], Tested]) -> Judgement:
    return lambda setting, rng: judge(*setting.successes(rng))


def _tested(result: Result) -> Tested:
    assert result.tested
    return result.tested


def _alarms(setting: Setting, rng: np.random.Generator) -> Tested | None:
    found = inference.at_false_alarms(*setting.scores(rng), 0.1, rng)
    return found[0] if found else None


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
    asked = hops.Coins(rng.integers(0, 2, len(margin)), np.arange(len(margin)) < setting.members)
    return _tested(hops.judge("calibration", margin, asked))


def _membership(setting: Setting, rng: np.random.Generator) -> Tested:
    """Half of a score is what five features of the pictures say too."""
    arms = setting.scores(rng)
    features = [0.5 * arm[:, None] + rng.normal(size=(len(arm), 5)) for arm in arms]
    return Scores(*arms, *features).judged(0)


def _nearness(setting: Setting, rng: np.random.Generator) -> Tested:
    return _tested(memorization.judge_nearness("calibration", *setting.counts(rng), _FEW))


def _copies(setting: Setting, rng: np.random.Generator) -> Tested:
    members, strangers = setting.successes(rng)
    nobody = np.zeros(len(members)), np.zeros(len(strangers))
    return _tested(memorization.judge_copies((members, strangers), nobody, 1000, 0.0, _FEW))


JUDGEMENTS: Mapping[str, tuple[Judgement, Scale]] = {
    "AUC of scores": (_scores(inference.separation), AUC),
    "difference of rates": (_successes(inference.rate_difference), DIFFERENCE),
    "difference of means": (_scores(inference.mean_difference), _YEARS),
    "hits at one false alarm in ten": (_alarms, DIFFERENCE),
    "T2 attributes, same make-up": (_attribute, DIFFERENCE),
    "T2c canary coins": (_coins, GUESSED),
    "T3 membership, freed of difficulty": (_membership, AUC),
    "T4 nearest patients": (_nearness, memorization.NEARER),
    "T4 copied patients": (_copies, memorization.COPIED),
}
"""What an attack rests its verdict on, and the scale by which it is read."""
