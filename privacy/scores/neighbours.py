"""Released pictures and the photographs of members and strangers that they are nearest to, in several spaces.

All that is slow in looking for copies; `privacy.attacks.memorization` judges it.  Copies are looked for among all
photographs of everybody; groups of equal size are compared with one another.
"""

from typing import NamedTuple

import numpy as np

from privacy.config import AuditConfig
from privacy.data.inputs import Inputs, People
from privacy.scores import identity, pixels
from privacy.targets import registered
from synth.base import ties
from synth.data.images import Preprocessing

SPACES = ("registered photographs", "identity")
PLAIN = "colours and thumbnails"
"""The trivial space."""
SAME = 0.3
"""Closeness of registered photographs below which two are one.  Of 1,000 photographs of ODIR-5K the nearest to those of
1,345 other patients is at .42; of copies that were mirrored, re-coloured and compressed 85 % are below .3."""
_LOOK = Preprocessing(size=64)
_STRANGER = 0.001  # of strangers may come nearer to a member than the threshold of copies
_TIED = 1e-4  # distance of identities, of length 1, that is rounding: photographs that are there twice


class Near(NamedTuple):
    """The nearest photographs of one space."""

    closeness: np.ndarray
    """(G,) of each released picture, 0 for a photograph itself (`privacy.targets.registered`)."""
    index: np.ndarray
    """(G,) row of the nearest photograph among both arms."""
    strangers: np.ndarray
    """Closeness of the strangers' photographs to those of members."""

    def copies(self) -> np.ndarray:
        """(G,) bool: nearer than all but a thousandth of strangers come to members; than `SAME` where there are none."""
        if not len(self.strangers):
            return self.closeness < SAME
        below = int(_STRANGER * (len(self.strangers) + 1))
        return ties.above(np.sort(self.strangers)[max(below - 1, 0)], self.closeness, 1.0)


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
    """Share of an arm's patients left out because a patient of the other has the same picture; of the arm with more."""


class Origins(NamedTuple):
    """What released pictures copy of one group, all of whose photographs were searched; there may be none."""

    near: Near
    """By registered photographs; rows are those of the group."""
    patient: np.ndarray
    """(N,) int whose the group's photographs are, in [0, P), never falling."""
    taken: np.ndarray
    """(G,) bool: taken for copies, `near.copies()` without verified ones of the other group."""
    verified: np.ndarray
    """(G,) bool: registered photographs are one, and the embedding of identity names the same photograph."""

    def per_patient(self, chosen: np.ndarray) -> np.ndarray:
        """(P,) how many of the (G,) chosen pictures have their nearest photograph from each patient."""
        return np.bincount(self.patient[self.near.index[chosen]], minlength=len(np.unique(self.patient)))


def separate(
    members: np.ndarray,
    strangers: np.ndarray,
    between: tuple[np.ndarray, np.ndarray],
    seed: int,
    most: int,
) -> Arms:
    """As many patients of either arm, drawn at random, none of whom has a picture that the other arm has too.

    Args:
        members:   (M,) int patients, never falling; strangers: (N,).
        between:   (N,) row of the member's photograph nearest to each stranger's, and (N,) their closeness.
        most:      patients of an arm at most.
    """
    rng = np.random.default_rng([seed, 42])
    same = between[1] < SAME
    kept, rows = list[np.ndarray](), list[np.ndarray]()
    for patient, odd in ((members, members[between[0][same]]), (strangers, strangers[same])):
        kept.append(rng.permutation(np.setdiff1d(patient, odd)))
    count = min(most, *map(len, kept))
    whose = list[np.ndarray]()
    for place, (patient, who) in enumerate(zip((members, strangers), kept, strict=True)):
        rows.append(np.flatnonzero(np.isin(patient, who[:count])))
        whose.append(np.unique(patient[rows[-1]], return_inverse=True)[1] + place * count)
    sizes = (len(np.unique(patient)) for patient in (members, strangers))
    twins = max(1 - len(who) / size for who, size in zip(kept, sizes, strict=True))
    return Arms(rows[0], rows[1], np.concatenate(whose), count, twins)


def per_patient(chosen: np.ndarray, index: np.ndarray, arms: Arms) -> tuple[np.ndarray, np.ndarray]:
    """(P,) and (P,) how many of the (G,) chosen pictures have their nearest photograph from each patient."""
    counts = np.bincount(arms.whose[index[chosen]], minlength=2 * arms.patients)
    return counts[: arms.patients], counts[arms.patients :]


def origins(inputs: Inputs, config: AuditConfig) -> tuple[Origins, Origins]:
    """What the released pictures copy of all members, and of all strangers, of whom there may be none.

    What is a verified copy of a member is none of a stranger, who may have the same photograph.
    """
    pictures, (*embedded, made) = released(inputs, config), _identities(inputs, config)
    others, nobody = _apart(inputs, config), np.zeros(len(pictures), int)
    found = [Origins(Near(np.ones(len(pictures)), nobody, others), nobody[:0], nobody > 0, nobody > 0)] * 2
    for place, (people, known) in enumerate(zip(_groups(inputs), embedded, strict=True)):

        def search(people: People = people) -> np.ndarray:
            return np.stack(registered.nearest(pictures, people.photographs(_LOOK), people.patient))

        closeness, rows = inputs.once(_key(inputs, config, f"origins {people.fingerprint}"), search)
        index = rows.astype(int)
        verified = (closeness < SAME) & _named(made, known, index, people.patient) & ~found[0].verified
        nearest = Near(closeness, index, others)
        found[place] = Origins(nearest, people.patient, nearest.copies(), verified)
    members, strangers = found
    return (
        members._replace(taken=members.taken & ~strangers.verified),
        strangers._replace(taken=strangers.taken & ~members.verified),
    )


def draw(inputs: Inputs, config: AuditConfig) -> tuple[Arms, np.ndarray]:
    """The arms of `inputs`, and how close each stranger's photograph comes to a member's."""
    assert inputs.members and inputs.nonmembers
    rows, closeness, index = _between(inputs, config)
    patients = inputs.members.patient, inputs.nonmembers.patient[rows]
    arms = separate(*patients, (index, closeness), config.seed, config.copies_patients)
    return arms._replace(strangers=rows[arms.strangers]), closeness[arms.strangers]


def near(inputs: Inputs, arms: Arms, strangers: np.ndarray, config: AuditConfig) -> dict[str, Near]:
    """What the released pictures are nearest to among the arms, in `SPACES` and in the trivial one.

    Args:
        strangers: what `draw` said of closeness.
    """
    assert inputs.members and inputs.nonmembers
    drawn = (inputs.members, arms.members), (inputs.nonmembers, arms.strangers)
    photographs = np.concatenate([people.photographs(_LOOK)[rows] for people, rows in drawn])
    members, pictures = len(arms.members), released(inputs, config)

    def search() -> np.ndarray:
        return np.stack(registered.nearest(pictures, photographs, arms.whose))

    closeness, index = inputs.once(_key(inputs, config, "registered"), search)
    *embedded, made = _identities(inputs, config)
    known = np.concatenate([each[rows] for each, (_, rows) in zip(embedded, drawn, strict=True)])
    everyone = np.concatenate([arms.whose, 2 * arms.patients + np.arange(len(pictures))])
    plain = pixels.features(np.concatenate([photographs, pictures]), everyone)
    spaces = {SPACES[1]: (known, made), PLAIN: (plain[: len(photographs)], plain[len(photographs) :])}
    found = {SPACES[0]: Near(closeness, index.astype(int), strangers)}
    for name, (real, drawn_from) in spaces.items():
        apart = identity.nearest(real[members:], real[:members], arms.whose[:members])[0]
        found[name] = Near(*identity.nearest(drawn_from, real, arms.whose), apart)
    return found


def released(inputs: Inputs, config: AuditConfig) -> np.ndarray:
    """(G, S, S, 3) of the released pictures that are searched."""
    assert inputs.synthetic
    rng = np.random.default_rng([config.seed, 44])
    drawn = rng.permutation(len(inputs.synthetic.ids))[: config.copies_searched]
    return inputs.synthetic.photographs(_LOOK)[np.sort(drawn)]


def pairs(inputs: Inputs, found: Near, config: AuditConfig) -> list[tuple[np.ndarray, np.ndarray]]:
    """The `copies_shown` released pictures nearest to a photograph of a member, with that photograph, nearest first."""
    assert inputs.members
    photographs, pictures = inputs.members.photographs(_LOOK), released(inputs, config)
    order = np.argsort(ties.levelled(found.closeness), kind="stable")[: config.copies_shown]
    return [(pictures[i], photographs[found.index[i]]) for i in order]


def _groups(inputs: Inputs) -> list[People]:
    return [people for people in (inputs.members, inputs.nonmembers) if people]


def _identities(inputs: Inputs, config: AuditConfig) -> list[np.ndarray]:
    """(N, D) identities of the photographs of each group, who all teach the network, and (G, D) of released pictures."""
    groups, pictures = _groups(inputs), released(inputs, config)

    def learn() -> np.ndarray:
        photographs = np.concatenate([people.photographs(_LOOK) for people in groups])
        return np.concatenate(identity.embed(photographs, pictures, config.copies_steps, config.seed))

    found = inputs.once([*_key(inputs, config, "identity"), config.copies_steps], learn)
    return np.split(found, np.cumsum([len(people.ids) for people in groups]))


def _named(made: np.ndarray, known: np.ndarray, index: np.ndarray, patient: np.ndarray) -> np.ndarray:
    """(G,) bool: whether no identity of (N, D) photographs is nearer to (G, D) pictures than that of row `index` is."""
    nearest = identity.nearest(made, known, patient)[1]
    apart, least = (np.linalg.norm(made - known[rows], axis=1) for rows in (index, nearest))
    return apart <= least + _TIED


def _between(inputs: Inputs, config: AuditConfig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of the strangers that are drawn, (n,) closeness to the nearest photograph of all members, and its (n,) row."""
    assert inputs.members and inputs.nonmembers
    members, strangers = inputs.members, inputs.nonmembers
    drawn = np.random.default_rng([config.seed, 43, 1]).permutation(strangers.cohort.patients)
    rows = np.flatnonzero(np.isin(strangers.patient, drawn[: config.copies_patients]))

    def search() -> np.ndarray:
        shown = strangers.photographs(_LOOK)[rows]
        return np.stack(registered.nearest(shown, members.photographs(_LOOK), members.patient))

    closeness, index = inputs.once(_key(inputs, config, "strangers"), search)
    return rows, closeness, index.astype(int)


def _apart(inputs: Inputs, config: AuditConfig) -> np.ndarray:
    """Closeness to members of the photographs of strangers none of whose is a member's too."""
    if inputs.nonmembers is None:
        return np.zeros(0)
    rows, closeness, _ = _between(inputs, config)
    patient = inputs.nonmembers.patient[rows]
    return closeness[~np.isin(patient, patient[closeness < SAME])]


def _key(inputs: Inputs, config: AuditConfig, what: str) -> list[object]:
    prints = [each.fingerprint for each in (*_groups(inputs), inputs.synthetic) if each]
    return ["copies", what, *prints, config.copies_patients, config.copies_searched, config.seed]
