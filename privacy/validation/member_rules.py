"""What is asked of members alone, and what makes groups incomparable, given patients of whom both groups are alike.

As in `privacy.validation.decision_rules`, every rule is the public function that an audit calls; only scores are drawn.
"""

import numpy as np

from privacy.attacks import embedded, exposed, member_probe, zero_shot
from privacy.config import AuditConfig
from privacy.data.attributes import SMALLEST_CLASS
from privacy.decisions.results import Result, ValidityCheck
from privacy.scores import guesses, references, validity
from privacy.scores.guesses import GroupGuesses
from privacy.scores.score_calibration import Scores
from privacy.statistics.inference import Tested
from privacy.statistics.probes import mean_by
from privacy.validation.settings import Setting
from synth.base import ties

_FEW = AuditConfig(bootstrap=200, permutations=60)
_DEALS = 99
_FEATURES = 8
_TRACES = 40  # of a camera
_HINT = 1.0  # by how many standard deviations every picture tells a class
_SEXES = ("F", "M")


def exposed_by_rank(setting: Setting, rng: np.random.Generator) -> Tested:
    """Scores, half of which five features of the pictures say too, are calibrated and ranked."""
    scores = setting.shaped(rng, 1)
    told = 0.5 * scores + rng.normal(size=(len(scores), 5))
    groups = [setting.split(each) for each in (scores[:, 0], told)]
    whole = Scores(*groups[0], *groups[1])
    return _tested(exposed.evaluate(_MEMBERSHIP, whole, _seeded(rng), n_permutations=_DEALS))


def probe_of_members(setting: Setting, rng: np.random.Generator) -> Tested | None:
    """Pictures tell as much of the sex of members as of that of non-members."""
    patient_ids, normal = setting.drawn(rng, _FEATURES)
    truth = (rng.random(len(setting.is_member)) < setting.rate).astype(int)
    normal[:, 0] += _HINT * truth[patient_ids]
    features, sexes = (setting.split(each) for each in (mean_by(patient_ids, setting.shape(normal)), truth))
    fewest = min(np.bincount(each, minlength=2).min() for each in sexes)
    if fewest < SMALLEST_CLASS or min(map(len, sexes)) < member_probe.FEWEST:
        return None
    return _tested(
        member_probe.evaluate("sex", features, sexes, len(_SEXES), _seeded(rng), n_permutations=_DEALS)
    )


def prompts(setting: Setting, rng: np.random.Generator) -> Tested | None:
    """Cosines with a prompt for each sex, of which the second fits the second a little better in everybody."""
    patient_ids, normal = setting.drawn(rng, 2)
    truth = (rng.random(len(setting.is_member)) < setting.rate).astype(int)
    normal[:, 1] += _HINT * truth[patient_ids]
    found = zero_shot.called(*setting.split(mean_by(patient_ids, setting.shape(normal))))
    made = GroupGuesses(
        *(
            guesses.of("classes", each, guess, _SEXES)
            for each, guess in zip(setting.split(truth), found, strict=True)
        )
    )
    if guesses.incomparable(zero_shot.question("sex"), *made, "sex"):
        return None
    return _tested(zero_shot.evaluate("sex", made))


def length_and_spread(setting: Setting, rng: np.random.Generator) -> Tested:
    """Embeddings whose length and direction hang together within a patient, whoever he or she is."""
    patient_ids, normal = setting.drawn(rng, _FEATURES + 1)
    unit = normal[:, :-1] / np.maximum(np.linalg.norm(normal[:, :-1], axis=1, keepdims=True), 1e-12)
    length = np.exp(0.1 * setting.shape(normal[:, -1:]))
    found = embedded.shape(unit * length, None, patient_ids)
    return embedded.separability(*setting.split(found), _seeded(rng), n_permutations=_DEALS)


def reference_separability(setting: Setting, rng: np.random.Generator) -> ValidityCheck:
    """What a model that saw neither group says of them."""
    scores = setting.shaped(rng, 1)
    told = 0.5 * scores + rng.normal(size=(len(scores), 5))
    groups = [setting.split(each) for each in (scores[:, 0], told)]
    tested = Scores(*groups[0], *groups[1]).tested(_seeded(rng).seed)
    return references.separability(references.UNTRAINED, tested)


def camera_separability(setting: Setting, rng: np.random.Generator) -> ValidityCheck:
    """So many traces of one camera, by the probe of the audit."""
    traces = ties.standardised(setting.shaped(rng, _TRACES))
    return validity.baseline_separability(
        validity.CAMERA, *setting.split(traces), _seeded(rng), validity.FINE
    )[0]


_MEMBERSHIP = Result("T3", "membership", "members", exposed.STANDING_OUT)


def _seeded(rng: np.random.Generator) -> AuditConfig:
    return _FEW.model_copy(update={"seed": int(rng.integers(2**31))})


def _tested(result: Result) -> Tested:
    assert result.tested
    return result.tested
