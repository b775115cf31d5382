"""What a generator is asked about the photographs of both groups, one number each, in which a high one speaks for membership."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from pydantic import Field

from privacy.attack_config import AttackConfig
from privacy.data.inputs import Inputs, People
from privacy.targets import queries
from privacy.targets.generator import Generator
from synth.base import ties

HEADLINE = ("denoising error", "SimA")
"""Whose mean the verdict rests on, fixed before any audit: the plainest score and the strongest of a single query."""
ASIDE = ("CLiD", "PIA", "SecMI")
"""Which stand beside it."""


class MembershipConfig(AttackConfig):
    """What asking for membership takes (T3)."""

    membership_patients: int = Field(default=1000, ge=20)
    """Of each group, by whose photographs a generator is asked who was trained on."""
    membership_controls: int = Field(default=300, ge=20)
    """Of these, the patients by whom an untrained generator is asked too, and what stands beside the headline is."""
    membership_references: int = Field(default=300, ge=0)
    """Of these, the patients by whom a generator that saw neither group is asked too, unless `--independent` is asked about all; 0 asks none."""
    membership_steps: tuple[int, ...] = (50, 100, 200, 300, 500)
    """Diffusion steps of the denoising error by which members are told, one pass over their photographs each."""
    membership_draws: int = Field(default=1, ge=1)
    """Of noise at each of these steps, the same for every photograph."""
    membership_queries: tuple[int, int, int] = (200, 400, 200)
    """Diffusion steps of SimA, PIA and SecMI; the last is a multiple of 4."""
    membership_released: int = Field(default=20_000, ge=1)
    """Released pictures, drawn at random, among which a photograph's nearest is sought."""


class MembershipScores(NamedTuple):
    """What one model says of patients of both groups: name of a score -> (P,) and (Q,)."""

    members: dict[str, np.ndarray]
    nonmembers: dict[str, np.ndarray]

    def headline(self) -> tuple[np.ndarray, np.ndarray]:
        """The mean of the scores of `HEADLINE`, each in units of its spread among non-members."""
        members, nonmembers = (
            np.mean([units(group[name], self.nonmembers[name]) for name in HEADLINE], axis=0)
            for group in (self.members, self.nonmembers)
        )
        return members, nonmembers

    def less(self, references: "Sequence[MembershipScores]") -> "MembershipScores":
        """The same beyond the mean of what reference models say, none of which was trained on either group.

        That is the offline form of LiRA (Carlini et al. 2022, 2112.03570) with one variance for all patients.
        """
        members, nonmembers = (
            {
                name: ties.difference(mine[name], np.mean([each[name] for each in others], axis=0))
                for name in mine
            }
            for mine, others in (
                (self.members, [each.members for each in references]),
                (self.nonmembers, [each.nonmembers for each in references]),
            )
        )
        return MembershipScores(members, nonmembers)


def scores_of(
    inputs: Inputs,
    generator: Generator,
    names: Sequence[str],
    groups: tuple[People, People],
    config: MembershipConfig,
) -> MembershipScores:
    """Scores of the patients of both groups."""
    found = [
        {name: people.per_patient(_score(inputs, generator, people, name, config)) for name in names}
        for people in groups
    ]
    return MembershipScores(*found)


def _score(
    inputs: Inputs, generator: Generator, people: People, name: str, config: MembershipConfig
) -> np.ndarray:
    """(N,) one score per photograph, higher where it speaks for membership; kept once it was computed."""
    photographs = people.photographs(generator.preprocessing)
    # A canary bit that members alone were dealt would tell the groups apart.
    codes = generator.codes(people.table.drop_columns(["canary"]))
    sima, pia, secmi = config.membership_queries

    def errors(conditional: bool) -> np.ndarray:
        grid = config.membership_steps, config.membership_draws, config.seed
        known = codes if conditional else generator.unconditional(len(codes))
        key = [generator.fingerprint, people.fingerprint, "denoising", conditional, *grid]
        return inputs.once(key, lambda: generator.losses(photographs, known, *grid))

    def once(query: Callable[..., np.ndarray], step: int, *stride: int) -> np.ndarray:
        key = [generator.fingerprint, people.fingerprint, query.__name__, step]
        return inputs.once(key, lambda: query(generator, photographs, codes, step, *stride))

    match name:
        case "denoising error":
            return -_log(errors(True)).mean(axis=(1, 2))
        case "CLiD":  # 2405.14800: members gain more from being told what they show
            return (_log(errors(False)) - _log(errors(True))).mean(axis=(1, 2))
        case "SimA":
            return -_log(once(queries.sima, sima))
        case "PIA":
            return -_log(once(queries.pia, pia))
        case _:
            return -_log(once(queries.secmi, secmi // 4 * 4, secmi // 4))


def _log(values: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(values, 1e-12))


def units(values: np.ndarray, nonmembers: np.ndarray) -> np.ndarray:
    """Scores in units of their spread among non-members, or as they are where it is none; 0 where non-members are on average."""
    mean, deviation = ties.moments(nonmembers[:, None])
    return (values - mean) / np.where(np.isfinite(deviation), deviation, 1.0)
