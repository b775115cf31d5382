"""Audits drawn at random of patients whose cameras differ, or who leak, or both: what is said of each.

Photographs are phantoms of many cameras.  Non-members' are taken with another one, or saved in another way, and what any
model says of a photograph depends on its noise and fine detail, so a difference of cameras looks like membership.  What is
decided is decided by the audit's own checks and questions.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from privacy.attacks import exposed, membership
from privacy.config import AuditConfig
from privacy.decisions import verdict
from privacy.decisions.decision import decide
from privacy.decisions.results import ValidityCheck
from privacy.scores import camera, references, validity
from privacy.scores.score_calibration import Scores
from privacy.scores.validity import ValidityChecks
from privacy.statistics.inference import separation
from synth import phantom
from synth.base import ties
from synth.data import images
from synth.data.images import Preprocessing
from synth.phantom import PhantomConfig

LOOK = Preprocessing(size=64)
PATIENTS = 400
"""Of both groups together, one photograph each."""
SETTINGS = 3
"""In which each camera differs; which one an audit meets is drawn."""
_FIELD = 20  # grey levels: what is no brighter is surround
_NOISE = slice(3)  # traces that tell how noisy each channel is
_COMMON, _OWN = 0.7, 0.7  # of a model's score, what noise and detail explain, and what they do not
_DEALS = 199
_BY_HEART = 6.0

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""Of (N, S, S, 3) photographs, floats in [0, 255]."""


def _noise(photographs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    light = photographs.max(axis=-1, keepdims=True) > _FIELD
    return photographs + light * rng.uniform(2, 4) * rng.normal(size=photographs.shape)


def _blur(photographs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    width = rng.uniform(0.4, 0.8)
    return gaussian_filter(photographs, (0, width, width, 0))


def _jpeg(photographs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    quality = int(rng.integers(60, 90))
    files = [images.encode(each, quality) for each in _whole(photographs)]
    return np.stack([images.decode(each).astype(float) for each in files])


def _gamma(photographs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    exponent = rng.choice([rng.uniform(0.8, 0.9), rng.uniform(1.1, 1.25)])
    return 255 * (photographs / 255) ** exponent


_CHANGES = (_noise, _blur, _jpeg, _gamma)


def _two(photographs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    for place in rng.choice(len(_CHANGES), 2, replace=False):
        photographs = _CHANGES[place](photographs, rng).clip(0, 255)
    return photographs


def _sharpen(photographs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return photographs + rng.uniform(0.4, 1) * (photographs - gaussian_filter(photographs, (0, 1, 1, 0)))


def _resample(photographs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    size = photographs.shape[1]
    small = int(size * rng.uniform(0.6, 0.85))
    less = np.asarray(zoom(photographs, (1, small / size, small / size, 1), order=1))
    back = size / less.shape[1]
    return np.asarray(zoom(less, (1, back, back, 1), order=1))


def _vignette(photographs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    across = np.linspace(-1, 1, photographs.shape[1])
    fall = 1 - rng.uniform(0.15, 0.4) * (across[:, None] ** 2 + across**2)
    return photographs * fall[..., None]


def _chroma(photographs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    files = [images.encode(each, int(rng.integers(88, 96))) for each in _whole(photographs)]  # of 4:2:0
    return np.stack([images.decode(each).astype(float) for each in files])


def _white_balance(photographs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return photographs * rng.uniform(0.85, 1.15, 3)


CONFOUNDS: Mapping[str, Change | None] = {
    "same cameras": None,
    "sensor noise of 2 to 4 grey levels": _noise,
    "blur of .4 to .8 pixels": _blur,
    "JPEG of quality 60 to 89": _jpeg,
    "gamma of .8 to .9 or 1.1 to 1.25": _gamma,
    "two of these": _two,
    "sharpened by .4 to 1": _sharpen,
    "resolution of .6 to .85": _resample,
    "vignetting of .15 to .4": _vignette,
    "JPEG with half the chroma": _chroma,
    "white balance of .85 to 1.15": _white_balance,
}
NO_LEAK = "none"
LEAKS: Mapping[str, Callable[[int], np.ndarray]] = {
    NO_LEAK: lambda members: np.zeros(members),
    "6 % of members by heart": lambda members: _BY_HEART * (np.arange(members) < 0.06 * members),
    "moderate, .5 SD of each": lambda members: np.full(members, 0.5),
    "strong, 1.5 SD of each": lambda members: np.full(members, 1.5),
}
"""Name -> what is added to the scores of so many members, in standard deviations of a score."""


class Outcome(NamedTuple):
    """What became of audits with one confound and one leak."""

    confound: str
    leak: str
    shares: dict[str, float]
    """Word -> share of the audits whose worst answer it was."""
    n_audits: int


class Cameras(NamedTuple):
    """Traces of the same photographs by one camera and by others."""

    own: np.ndarray
    """(N, k)"""
    others: list[np.ndarray]
    """(N, k) in each setting; `own` alone where nothing differs."""


def photographs(patients: int = PATIENTS, seed: int = 0) -> np.ndarray:
    """(patients, 64, 64, 3) float, one of each phantom."""
    config = PhantomConfig(size=LOOK.size, seed=seed + 4, unreadable=0.0)
    found: dict[str, bytes] = {}
    index = 0
    while len(found) < patients:
        row, index = phantom.record(config, index)[0], index + 1
        found.setdefault(str(row["subject_id"]), row["image"]["bytes"])
    return np.stack([LOOK(each) for each in found.values()]).astype(float)


def cameras(shown: np.ndarray, confound: str, seed: int = 0, settings: int = SETTINGS) -> Cameras:
    """What a camera leaves in (N, S, S, 3) photographs, and what others would."""
    own, change = camera.features(_whole(shown)), CONFOUNDS[confound]
    if change is None:
        return Cameras(own, [own])
    drawn = [np.random.default_rng([seed, 21, number]) for number in range(settings)]
    return Cameras(own, [camera.features(_whole(change(shown, rng))) for rng in drawn])


def outcomes(confound: str, taken: Cameras, n_audits: int, seed: int = 0) -> list[Outcome]:
    """What so many audits say of each leak, beside a confound."""
    words: dict[str, Counter[str]] = {leak: Counter() for leak in LEAKS}
    for number in range(n_audits):
        for leak, word in _audit(taken, np.random.default_rng([seed, 22, number])).items():
            words[leak][word] += 1
    return [
        Outcome(confound, leak, {word: count[word] / n_audits for word in verdict.WORST}, n_audits)
        for leak, count in words.items()
    ]


def _audit(taken: Cameras, rng: np.random.Generator) -> dict[str, str]:
    """Leak -> the worst word of one audit, whose patients are dealt to groups at random."""
    order = rng.permutation(len(taken.own))
    config = AuditConfig(bootstrap=200, seed=int(rng.integers(2**31)))
    half, other = len(order) // 2, taken.others[int(rng.integers(len(taken.others)))]
    traces = np.concatenate([taken.own[order[:half]], other[order[half:]]])
    values = ties.standardised(traces)
    by_camera = validity.baseline_separability(
        validity.CAMERA, values[:half], values[half:], config, validity.FINE
    )[0]
    clear = (traces - taken.own.mean(axis=0)) / np.maximum(taken.own.std(axis=0), 1e-9)
    common = -_COMMON * clear[:, _NOISE].mean(axis=1)
    audited, reference = common + _OWN * rng.normal(size=(2, len(order)))
    by_reference = references.separability(references.SHIPPED, separation(reference[:half], reference[half:]))
    checks = (by_camera, by_reference)
    return {
        name: _word(audited[:half] + leak(half), audited[half:], checks, config)
        for name, leak in LEAKS.items()
    }


def _word(
    members: np.ndarray, nonmembers: np.ndarray, checks: tuple[ValidityCheck, ...], config: AuditConfig
) -> str:
    scores = Scores(members, nonmembers, np.zeros((len(members), 0)), np.zeros((len(nonmembers), 0)))
    checked = ValidityChecks(checks, ())
    asked = [
        membership.evaluate(membership.GENERATOR, scores, config, checked),
        exposed.evaluate(membership.GENERATOR, scores, config, checked, _DEALS),
    ]
    return verdict.combined([each.answer.word for each in decide(asked)]).word


def _whole(photographs: np.ndarray) -> np.ndarray:
    return photographs.clip(0, 255).round().astype(np.uint8)
