"""How well photographs and their captions agree in the eyes of a CLIP, and how well they would with anyone's."""

import zlib
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from privacy.attack_config import AttackConfig
from privacy.data.inputs import Inputs, People
from privacy.decisions.results import ValidityCheck
from privacy.scores import validity
from privacy.targets import Target
from synth.base import ties
from synth.base.stats import Estimate

CAPTIONS_ALONE = "captions alone, without a model"
_LANGUAGES = ("caption_zh", "caption_en")
_BUCKETS = 128  # of pairs of letters, hashed


class Agreement(NamedTuple):
    """Of the patients of one group."""

    score: np.ndarray
    """(P,) cosine of photograph and caption, mean over languages."""
    typical: np.ndarray
    """(P, 2) mean cosine of the photograph with non-members' captions, and of the caption with non-members' photographs."""


def missing(inputs: Inputs, encoder: Target) -> str:
    """Why photographs and captions cannot be compared; empty where they can."""
    if not encoder.reads_captions:
        return "embeddings made elsewhere read no captions; needs --model ckpt.pt"
    for group, people in zip(("--members", "--nonmembers"), validity.both(inputs), strict=True):
        if not _languages(people):
            return (
                f"{group} lacks captions; needs --members and --nonmembers in which every photograph has one"
            )
    return "" if _shared(inputs) else "captions of members and of non-members are in different languages"


def agreement(inputs: Inputs, encoder: Target, seed: int | None) -> tuple[Agreement, Agreement]:
    """Of members and of non-members; with a `seed`, in the eyes of an untrained control."""
    members, nonmembers = validity.both(inputs)
    photographs = [inputs.embeddings(people, seed).astype(float) for people in (members, nonmembers)]
    found: list[list[tuple[np.ndarray, np.ndarray]]] = [[], []]
    for language in _shared(inputs):
        texts = [_texts(inputs, encoder, people, language, seed) for people in (members, nonmembers)]
        for group, people in enumerate((members, nonmembers)):
            own = nonmembers.patient if people is nonmembers else None
            score = (photographs[group] * texts[group]).sum(axis=1)
            typical = [
                _with_others(mine, theirs, nonmembers.patient, own)
                for mine, theirs in ((photographs[group], texts[1]), (texts[group], photographs[1]))
            ]
            found[group].append((people.per_patient(score), people.per_patient(np.stack(typical, axis=1))))
    of_members, of_nonmembers = (
        Agreement(*(np.mean(part, axis=0) for part in zip(*group, strict=True))) for group in found
    )
    return of_members, of_nonmembers


def baseline_separability(inputs: Inputs, config: AttackConfig) -> tuple[ValidityCheck, Estimate]:
    """Fires where the words of captions tell the groups apart, as the mark of a canary bit that members alone carry would."""
    groups = [
        people.per_patient(
            np.hstack([_letters(people.table[language].to_pylist()) for language in _shared(inputs)])
        )
        for people in validity.both(inputs)
    ]
    members, nonmembers = np.split(ties.standardised(np.concatenate(groups)), [len(groups[0])])
    return validity.baseline_separability(CAPTIONS_ALONE, members, nonmembers, config)


def _with_others(
    vectors: np.ndarray, pool: np.ndarray, patient: np.ndarray, own: np.ndarray | None
) -> np.ndarray:
    """(N,) mean cosine of (N, D) with a pool of non-members, those of the same patient left out."""
    total, count = pool.sum(axis=0), len(pool)
    if own is None:
        return vectors @ total / count
    sums = np.zeros((int(patient[-1]) + 1, pool.shape[1]))
    np.add.at(sums, patient, pool)
    counts = np.bincount(patient)
    return (vectors * (total - sums[own])).sum(axis=1) / (count - counts[own])


def _languages(people: People) -> set[str]:
    """In which every photograph has a caption."""
    return {name for name in _LANGUAGES if all(people.table[name].to_pylist())}


def _shared(inputs: Inputs) -> list[str]:
    members, nonmembers = validity.both(inputs)
    return sorted(_languages(members) & _languages(nonmembers))


def _texts(inputs: Inputs, encoder: Target, people: People, language: str, seed: int | None) -> np.ndarray:
    key = [encoder.metadata["sha256"], people.fingerprint, language, seed]
    return inputs.once(key, lambda: encoder.texts(people.table[language].to_pylist(), seed)).astype(float)


def _letters(captions: list[str]) -> np.ndarray:
    """(N, k) how often each pair of letters occurs, by hash."""
    found = np.zeros((len(captions), _BUCKETS))
    for row, caption in enumerate(captions):
        for pair in pairwise(caption):
            found[row, zlib.crc32("".join(pair).encode()) % _BUCKETS] += 1
    return found
