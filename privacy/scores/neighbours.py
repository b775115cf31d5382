"""Released pictures and the photographs of members and non-members that they are nearest to, in several spaces.

All that is slow in looking for copies; `privacy.attacks.memorization` judges it.  Copies are looked for among all
photographs of everybody; groups of equal size are compared with one another.
"""

from typing import NamedTuple

import numpy as np
from pydantic import Field

from privacy.attack_config import AttackConfig
from privacy.data.inputs import Inputs, People
from privacy.scores import aligned, duplicates, identity, mosaics, pixels
from privacy.scores.duplicates import LOOK
from privacy.scores.evidence import Evidence, Nearest
from privacy.scores.matched_groups import SAME, MatchedGroups, separate
from privacy.targets import registered
from synth.base import ties

SPACES = ("registered photographs", "identity")
PLAIN = "colours and thumbnails"
"""The trivial space."""
_CANDIDATES = 3  # photographs nearest in identity on which a picture is laid
_TIED = 1e-4  # distance of identities, of length 1, that is rounding: photographs that are there twice


class CopiesConfig(AttackConfig):
    """What looking for copies takes (T4)."""

    copies_patients: int = Field(default=1000, ge=20)
    """Of each group that are compared by how near released pictures come; copies are looked for among all patients."""
    copies_searched: int = Field(default=3000, ge=1)
    """Released pictures at most.

    Chance takes about 1 % of pictures for copies of members, so 3,000 without a copy bound the share of copies at about 1.4 %.
    """
    copies_steps: int = Field(default=300, ge=1)
    """Of the embedding of identity, 64 photographs each."""
    copies_permutations: int = Field(default=9999, ge=999)
    """Of membership over patients; p cannot be below 1 / (1 + this)."""
    copies_shown: int = Field(default=0, ge=0)
    """Pairs in `private-nearest.png`, which shows patients and is readable by its owner alone; 0 writes none."""


class Origins(NamedTuple):
    """What released pictures copy of one group, all of whose photographs were searched; there may be none."""

    nearest: Nearest
    """By registered photographs; rows are those of the group."""
    patient: np.ndarray
    """(N,) int whose the group's photographs are, in [0, P), never falling."""
    taken: np.ndarray
    """(G,) bool: taken for copies, `nearest.copies()` without verified ones of the other group."""
    verified: np.ndarray
    """(G,) bool: `nearest.verified()`, but of the other group's first."""

    def per_patient(self, chosen: np.ndarray) -> np.ndarray:
        """(P,) how many of the (G,) chosen pictures have their nearest photograph from each patient."""
        return np.bincount(
            self.patient[self.nearest.origin()[chosen]], minlength=len(np.unique(self.patient))
        )


def origins(inputs: Inputs, config: CopiesConfig) -> tuple[Origins, Origins]:
    """What the released pictures copy of all members, and of all non-members, of whom there may be none.

    What is a verified copy of a member is none of a non-member, who may have the same photograph.
    """
    pictures, (*embedded, made) = released(inputs, config), _identities(inputs, config)
    others, nobody = _apart(inputs, config), np.zeros(len(pictures), int)
    found = [
        Origins(Nearest(np.ones(len(pictures)), nobody, others[0]), nobody[:0], nobody > 0, nobody > 0)
    ] * 2
    for place, (people, known) in enumerate(zip(_sides(inputs), embedded, strict=True)):
        key = _key(inputs, config, f"origins {people.fingerprint}")
        closeness, index, evidence = _searched(
            inputs, key, (pictures, made), (people.photographs(LOOK), known), people.patient
        )
        nearest = Nearest(closeness, index, others[0], evidence, others[1])
        verified = nearest.verified() & ~found[0].verified
        found[place] = Origins(nearest, people.patient, nearest.copies() | verified, verified)
    members, nonmembers = found
    return (
        members._replace(taken=members.taken & ~nonmembers.verified),
        nonmembers._replace(taken=nonmembers.taken & ~members.verified),
    )


def draw(inputs: Inputs, config: CopiesConfig) -> tuple[MatchedGroups, np.ndarray]:
    """The groups of `inputs`, and which of the non-members' photographs that were compared with members are theirs."""
    assert inputs.members and inputs.nonmembers
    rows, closeness, index = duplicates.between(inputs, config.seed, config.copies_patients)
    patients = inputs.members.patient, inputs.nonmembers.patient[rows]
    groups = separate(*patients, (index, closeness), config.seed, config.copies_patients)
    return groups._replace(nonmembers=rows[groups.nonmembers]), groups.nonmembers


def nearest_photographs(
    inputs: Inputs, groups: MatchedGroups, nonmembers: np.ndarray, config: CopiesConfig
) -> dict[str, Nearest]:
    """What the released pictures are nearest to among the groups, in `SPACES` and in the trivial one.

    Args:
        nonmembers: what `draw` said of them.
    """
    assert inputs.members and inputs.nonmembers
    drawn = (inputs.members, groups.members), (inputs.nonmembers, groups.nonmembers)
    photographs = np.concatenate([people.photographs(LOOK)[rows] for people, rows in drawn])
    members, pictures = len(groups.members), released(inputs, config)

    *embedded, made = _identities(inputs, config)
    known = np.concatenate([each[rows] for each, (_, rows) in zip(embedded, drawn, strict=True)])
    key = _key(inputs, config, "registered")
    closeness, index, evidence = _searched(
        inputs, key, (pictures, made), (photographs, known), groups.patient_ids
    )
    apart, beside = _compared(inputs, config)
    beside = Evidence(*(each[nonmembers] for each in beside))
    everyone = np.concatenate([groups.patient_ids, 2 * groups.patients + np.arange(len(pictures))])
    plain = pixels.features(np.concatenate([photographs, pictures]), everyone)
    spaces = {SPACES[1]: (known, made), PLAIN: (plain[: len(photographs)], plain[len(photographs) :])}
    found = {SPACES[0]: Nearest(closeness, index, apart[nonmembers], evidence, beside)}
    for name, (real, drawn_from) in spaces.items():
        apart = identity.nearest(real[members:], real[:members], groups.patient_ids[:members])[0]
        found[name] = Nearest(*identity.nearest(drawn_from, real, groups.patient_ids), apart)
    return found


def released(inputs: Inputs, config: CopiesConfig) -> np.ndarray:
    """(G, S, S, 3) of the released pictures that are searched."""
    assert inputs.synthetic
    rng = np.random.default_rng([config.seed, 44])
    drawn = rng.permutation(len(inputs.synthetic.ids))[: config.copies_searched]
    return inputs.synthetic.photographs(LOOK)[np.sort(drawn)]


def pairs(inputs: Inputs, nearest: Nearest, config: CopiesConfig) -> list[tuple[np.ndarray, np.ndarray]]:
    """The `copies_shown` released pictures nearest to a photograph of a member, with that photograph, nearest first."""
    assert inputs.members
    photographs, pictures = inputs.members.photographs(LOOK), released(inputs, config)
    order = np.argsort(ties.levelled(nearest.closeness), kind="stable")[: config.copies_shown]
    return [(pictures[i], photographs[nearest.row[i]]) for i in order]


def _sides(inputs: Inputs) -> list[People]:
    return [people for people in (inputs.members, inputs.nonmembers) if people]


def _identities(inputs: Inputs, config: CopiesConfig) -> list[np.ndarray]:
    """(N, D) identities of the photographs of each group, who all teach the network, and (G, D) of released pictures."""
    groups, pictures = _sides(inputs), released(inputs, config)

    def learn() -> np.ndarray:
        photographs = np.concatenate([people.photographs(LOOK) for people in groups])
        return np.concatenate(identity.embed(photographs, pictures, config.copies_steps, config.seed))

    found = inputs.once([*_key(inputs, config, "identity"), config.copies_steps], learn)
    return np.split(found, np.cumsum([len(people.ids) for people in groups]))


def _named(made: np.ndarray, known: np.ndarray, index: np.ndarray, patient: np.ndarray) -> np.ndarray:
    """(G,) bool: whether no identity of (N, D) photographs is nearer to (G, D) pictures than that of row `index` is."""
    nearest = identity.nearest(made, known, patient)[1]
    apart, least = (np.linalg.norm(made - known[rows], axis=1) for rows in (index, nearest))
    return apart <= least + _TIED


Shown = tuple[np.ndarray, np.ndarray]
"""(N, S, S, 3) pictures and their (N, D) identities."""


def _searched(
    inputs: Inputs, key: list[object], pictures: Shown, photographs: Shown, patient: np.ndarray
) -> tuple[np.ndarray, np.ndarray, Evidence]:
    """(G,) closeness and row of the nearest photograph, and what else speaks for copies; kept once it was computed."""

    def search() -> np.ndarray:
        return np.stack(registered.nearest(pictures[0], photographs[0], patient))

    closeness, row = inputs.once(key, search)
    return closeness, row.astype(int), _evidence(inputs, key, pictures, photographs, patient, row.astype(int))


def _evidence(
    inputs: Inputs,
    key: list[object],
    pictures: Shown,
    photographs: Shown,
    patient: np.ndarray,
    row: np.ndarray,
) -> Evidence:
    """Pictures are laid on the photographs that any space names: `row`, the nearest in identity, and those with the nearest halves."""

    def compare() -> np.ndarray:
        found = mosaics.nearest(pictures[0], photographs[0], patient)
        return np.column_stack([found.closeness, found.row, found.candidates]).T

    half, half_row, *by_half = inputs.once([*key, "halves"], compare)

    def lay() -> np.ndarray:
        by_identity = identity.candidates(pictures[1], photographs[1], _CANDIDATES)
        rows = np.column_stack([row, by_identity, *by_half]).astype(int)
        return np.stack(aligned.nearest(pictures[0], photographs[0], patient, rows))

    whole, whole_row = inputs.once([*key, "laid"], lay)
    whole_row, half_row = whole_row.astype(int), half_row.astype(int)
    agreed, best = (_named(pictures[1], photographs[1], rows, patient) for rows in (row, whole_row))
    return Evidence(agreed, best.astype(int) + (whole_row == row), whole, whole_row, half, half_row)


def _compared(inputs: Inputs, config: CopiesConfig) -> tuple[np.ndarray, Evidence]:
    """(n,) closeness to members of the photographs of non-members, and what else would speak for copies."""
    assert inputs.members and inputs.nonmembers
    members, nonmembers = inputs.members, inputs.nonmembers
    rows, closeness, nearest = duplicates.between(inputs, config.seed, config.copies_patients)
    known, theirs, _ = _identities(inputs, config)
    shown = nonmembers.photographs(LOOK)[rows], theirs[rows]
    key = _key(inputs, config, "non-members")
    evidence = _evidence(inputs, key, shown, (members.photographs(LOOK), known), members.patient, nearest)
    return closeness, evidence


def _apart(inputs: Inputs, config: CopiesConfig) -> tuple[np.ndarray, Evidence | None]:
    """The same of non-members none of whose photographs is a member's too; nothing where there are none."""
    if inputs.nonmembers is None:
        return np.zeros(0), None
    closeness, evidence = _compared(inputs, config)
    patient = inputs.nonmembers.patient[duplicates.between(inputs, config.seed, config.copies_patients).rows]
    kept = ~np.isin(patient, patient[closeness < SAME])
    return closeness[kept], Evidence(*(each[kept] for each in evidence))


def _key(inputs: Inputs, config: CopiesConfig, what: str) -> list[object]:
    prints = [each.fingerprint for each in (*_sides(inputs), inputs.synthetic) if each]
    return ["copies", what, *prints, config.copies_patients, config.copies_searched, config.seed]
