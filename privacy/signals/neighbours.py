"""Released pictures and the photographs of members and strangers that they are nearest to, in several spaces.

All that is slow in looking for copies; `privacy.attacks.memorization` judges it.
"""

from typing import NamedTuple

import numpy as np

from privacy.config import AuditConfig
from privacy.inputs import Inputs
from privacy.signals import identity, pixels
from privacy.targets import registered
from synth.fundus.images import Preprocessing

SPACES = ("registered photographs", "identity")
PLAIN = "colours and thumbnails"
"""The trivial space."""
SAME = 0.3
"""Closeness of registered photographs below which two are one.  Of 1,000 photographs of ODIR-5K the nearest to those of
1,345 other patients is at .42; of copies that were mirrored, re-coloured and compressed 85 % are below .3."""
_LOOK = Preprocessing(size=64)
_STRANGER = 0.001  # of strangers may come nearer to a member than the threshold of copies


class Near(NamedTuple):
    """The nearest photographs of one space."""

    closeness: np.ndarray
    """(G,) of each released picture, 0 for a photograph itself (`privacy.targets.registered`)."""
    index: np.ndarray
    """(G,) row of the nearest photograph among both arms."""
    strangers: np.ndarray
    """Closeness of the strangers' photographs to those of members."""

    def copies(self) -> np.ndarray:
        """(G,) bool: nearer than all but a thousandth of strangers come to members."""
        below = int(_STRANGER * (len(self.strangers) + 1))
        return self.closeness < np.sort(self.strangers)[max(below - 1, 0)]


class Arms(NamedTuple):
    """As many members as strangers, without patients who are in both arms."""

    members: np.ndarray
    """Rows of `Inputs.members`."""
    strangers: np.ndarray
    """Rows of `Inputs.nonmembers`."""
    whose: np.ndarray
    """(R,) int of both, members first: patients in [0, 2 P)."""
    patients: int
    """P of each arm."""
    twins: float
    """Share of patients left out because a patient of the other arm has the same picture."""


def separate(
    members: np.ndarray, strangers: np.ndarray, between: tuple[np.ndarray, np.ndarray], seed: int
) -> Arms:
    """As many patients of either arm, drawn at random, none of whom has a picture that the other arm has too.

    Args:
        members:   (M,) int patients, never falling; strangers: (N,).
        between:   (N,) row of the member's photograph nearest to each stranger's, and (N,) their closeness.
    """
    rng = np.random.default_rng([seed, 42])
    same = between[1] < SAME
    kept, rows = [], []
    for patient, odd in ((members, members[between[0][same]]), (strangers, strangers[same])):
        kept.append(rng.permutation(np.setdiff1d(patient, odd)))
    count = min(map(len, kept))
    whose = []
    for place, (patient, who) in enumerate(zip((members, strangers), kept, strict=True)):
        rows.append(np.flatnonzero(np.isin(patient, who[:count])))
        whose.append(np.unique(patient[rows[-1]], return_inverse=True)[1] + place * count)
    everyone = len(np.unique(members)) + len(np.unique(strangers))
    twins = 1 - sum(map(len, kept)) / everyone
    return Arms(rows[0], rows[1], np.concatenate(whose), count, twins)


def per_patient(chosen: np.ndarray, index: np.ndarray, arms: Arms) -> tuple[np.ndarray, np.ndarray]:
    """(P,) and (P,) how many of the (G,) chosen pictures have their nearest photograph from each patient."""
    counts = np.bincount(arms.whose[index[chosen]], minlength=2 * arms.patients)
    return counts[: arms.patients], counts[arms.patients :]


def draw(inputs: Inputs, config: AuditConfig) -> tuple[Arms, np.ndarray]:
    """The arms of `inputs`, and how close each stranger's photograph comes to a member's."""
    assert inputs.members and inputs.nonmembers
    both, rows = (inputs.members, inputs.nonmembers), list[np.ndarray]()
    for place, people in enumerate(both):
        rng = np.random.default_rng([config.seed, 43, place])
        drawn = rng.permutation(people.cohort.patients)[: config.copies_patients]
        rows.append(np.flatnonzero(np.isin(people.patient, drawn)))

    def search() -> np.ndarray:
        members, strangers = (people.photographs(_LOOK)[row] for people, row in zip(both, rows, strict=True))
        return np.stack(registered.nearest(strangers, members, both[0].patient[rows[0]]))

    closeness, index = inputs.once(_key(inputs, config, "strangers"), search)
    patients = [people.patient[row] for people, row in zip(both, rows, strict=True)]
    arms = separate(patients[0], patients[1], (index.astype(int), closeness), config.seed)
    found = arms._replace(members=rows[0][arms.members], strangers=rows[1][arms.strangers])
    return found, closeness[arms.strangers]


def near(inputs: Inputs, arms: Arms, strangers: np.ndarray, config: AuditConfig) -> dict[str, Near]:
    """What the released pictures are nearest to, in `SPACES` and in the trivial one.

    Args:
        strangers: what `draw` said of closeness.
    """
    photographs, members, pictures = _photographs(inputs, arms), len(arms.members), released(inputs, config)

    def search() -> np.ndarray:
        return np.stack(registered.nearest(pictures, photographs, arms.whose))

    def learn() -> np.ndarray:
        return np.concatenate(identity.embed(photographs, pictures, config.copies_steps, config.seed))

    closeness, index = inputs.once(_key(inputs, config, "registered"), search)
    embedded = inputs.once([*_key(inputs, config, "identity"), config.copies_steps], learn)
    everyone = np.concatenate([arms.whose, 2 * arms.patients + np.arange(len(pictures))])
    plain = pixels.features(np.concatenate([photographs, pictures]), everyone)
    found = {SPACES[0]: Near(closeness, index.astype(int), strangers)}
    for name, space in ((SPACES[1], embedded), (PLAIN, plain)):
        real, made = space[: len(photographs)], space[len(photographs) :]
        apart = identity.nearest(real[members:], real[:members], arms.whose[:members])[0]
        found[name] = Near(*identity.nearest(made, real, arms.whose), apart)
    return found


def released(inputs: Inputs, config: AuditConfig) -> np.ndarray:
    """(G, S, S, 3) of the released pictures that are searched."""
    assert inputs.synthetic
    rng = np.random.default_rng([config.seed, 44])
    drawn = rng.permutation(len(inputs.synthetic.ids))[: config.copies_searched]
    return inputs.synthetic.photographs(_LOOK)[np.sort(drawn)]


def pairs(
    inputs: Inputs, arms: Arms, found: Near, config: AuditConfig
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The `copies_shown` released pictures nearest to a photograph of a member, with that photograph, nearest first."""
    photographs, pictures = _photographs(inputs, arms), released(inputs, config)
    order = np.argsort(found.closeness, kind="stable")
    of_members = order[found.index[order] < len(arms.members)][: config.copies_shown]
    return [(pictures[i], photographs[found.index[i]]) for i in of_members]


def _photographs(inputs: Inputs, arms: Arms) -> np.ndarray:
    assert inputs.members and inputs.nonmembers
    drawn = (inputs.members, arms.members), (inputs.nonmembers, arms.strangers)
    return np.concatenate([people.photographs(_LOOK)[rows] for people, rows in drawn])


def _key(inputs: Inputs, config: AuditConfig, what: str) -> list[object]:
    assert inputs.members and inputs.nonmembers and inputs.synthetic
    prints = [each.fingerprint for each in (inputs.members, inputs.nonmembers, inputs.synthetic)]
    return ["copies", what, *prints, config.copies_patients, config.copies_searched, config.seed]
