"""Image-image contrast: two pictures of one person attract each other, pictures of different people repel.

EyeCLIP (arXiv 2409.06644) takes any two pictures of a patient; here one says which relations count.  Records carry
no dates: two pictures of one eye in one modality count as two visits, though they may be of one sitting.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from clip import inputs
from clip.inputs.sets import Data
from synth.base.errors import UserError
from synth.base.order import randomness, visited
from synth.data.pictures import Decoder

Relation = Literal["augmented", "visits", "eyes", "modalities"]

_PEOPLE, _PAIR, _ALL = (
    1,
    2,
    3,
)  # walks that keep apart from one another and from that of the captioned pictures


class People(NamedTuple):
    """Who and what is on the N pictures of one split, and which of them can be compared."""

    subject: np.ndarray
    """(N,) int64; equal where the person is the same."""
    side: np.ndarray
    """(N,) int64; equal where the eye is known to be on the same side."""
    modality: np.ndarray
    """(N,) int64; equal where the modality is known to be the same."""
    groups: list[np.ndarray]
    """The pictures of each person who has two that can be compared."""
    relations: frozenset[str]
    """Which pairs count."""


def load(data: Data, split: str, relations: Sequence[Relation]) -> People:
    """Who is on the pictures of a split of what `inputs.opened` takes, in its row order.

    Raises:
        UserError: nothing to train on, or nobody has two pictures that are so related.
    """
    table = inputs.opened(data).table(split, ["subject_id", "eye_side", "modality"])
    return related(table, relations, f"{data}: split {split}")


def related(table: pa.Table, relations: Sequence[Relation], where: str = "records") -> People:
    """The people of a table with the columns `subject_id`, `eye_side` and `modality`."""
    columns = (table[name].to_pylist() for name in ("subject_id", "eye_side", "modality"))
    subject, side, modality = (_numbers(column) for column in columns)
    people = People(subject, side, modality, [], frozenset(relations))
    order = np.argsort(subject, kind="stable")
    everyone = np.split(order, np.flatnonzero(np.diff(subject[order])) + 1)
    people.groups.extend(group for group in everyone if pairs(people, group))
    if not people.groups:
        raise UserError(
            f"{where}: nobody has two pictures related by {' or '.join(relations)}; "
            "add 'augmented' to relations, or set weights.image_image=0"
        )
    return people


def pairs(people: People, group: np.ndarray) -> dict[str, np.ndarray]:
    """By relation, the (P, 2) pairs of pictures of one person that count; a relation that has none is left out.

    An unknown side may be the other one, and so is taken for another; so is an unknown modality.  The other eye in
    another modality counts among `modalities` if `eyes` are asked for too.
    """
    first, second = (group[part] for part in np.triu_indices(len(group), 1))
    other_eye = people.side[first] != people.side[second]
    other_modality = people.modality[first] != people.modality[second]
    both = np.stack([first, second], axis=1)
    found = {
        "augmented": np.stack([group, group], axis=1),
        "visits": both[~other_eye & ~other_modality],
        "eyes": both[other_eye & ~other_modality],
        "modalities": both[other_modality & (~other_eye | ("eyes" in people.relations))],
    }
    return {name: found[name] for name in found if name in people.relations and len(found[name])}


def batch(people: People, seed: int, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(count,) and (count,) the numbers of two pictures each: one pair per person, then people anew, without end.

    People come in an order keyed by `seed`.  At each position one of the person's relations is drawn, then one of its
    pairs, by (seed, position): ten visits do not drown the one pair of modalities.
    """
    groups = visited(len(people.groups), _stream(seed, _PEOPLE), start, count)
    chosen = [
        _draw(people, people.groups[group], randomness(_stream(seed, _PAIR), position))
        for position, group in enumerate(groups.tolist(), start)
    ]
    first, second = np.array(chosen).T
    return first, second


def everybody(pictures: int, seed: int, start: int, count: int) -> np.ndarray:
    """(count,) the numbers of the pictures at positions from `start` on of an endless walk over all of a split."""
    return visited(pictures, _stream(seed, _ALL), start, count)


def others(
    pixels: np.ndarray | Decoder, people: People | None, whole: bool, seed: int, start: int, count: int
) -> tuple[dict[str, Tensor], Tensor | None]:
    """What a step sees beside its captioned pictures: (count, S, S, 3) uint8 by use, and who is on them.

    The uses are `first` and `second`, two pictures of each of (count,) int64 people, and `whole`, to be reconstructed.

    Args:
        pixels: (N, S, S, 3) uint8, all pictures of the split, indexed by an array of numbers.
        people: who is on them; without, there is no `first` and no `second`.
        whole:  whether there is a `whole`.
        seed, start: which positions of the walks it is.
    """
    numbers: dict[str, np.ndarray] = {}
    subject = None
    if people:
        numbers["first"], numbers["second"] = batch(people, seed, start, count)
        subject = torch.from_numpy(people.subject[numbers["first"]])
    if whole:
        numbers["whole"] = everybody(len(pixels), seed, start, count)
    return {use: torch.from_numpy(pixels[rows]) for use, rows in numbers.items()}, subject


def contrast(first: Tensor, second: Tensor, scale: Tensor, subject: Tensor) -> Tensor:
    """InfoNCE between two pictures each of B people; other pictures of the same person are no negatives.

        L = (CE(s a b', i) + CE(s b a', i)) / 2 over the columns j with p_j != p_i, and i itself

    Args:
        first:   (B, D) embeddings a of unit length.
        second:  (B, D) embeddings b of unit length; row i is of the person of row i of `first`.
        scale:   the factor s of their products.
        subject: (B,) int64, the people p.
    """
    logits = scale * first @ second.T
    own = torch.eye(len(subject), dtype=torch.bool, device=subject.device)
    same = subject[:, None] == subject[None, :]
    logits = logits.masked_fill(same & ~own, -torch.inf)
    target = torch.arange(len(subject), device=subject.device)
    return (cross_entropy(logits, target) + cross_entropy(logits.T, target)) / 2


def _draw(people: People, group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(2,) one pair of one person, either of the two first."""
    found = pairs(people, group)
    of_relation = found[sorted(found)[rng.integers(len(found))]]
    return rng.permutation(of_relation[rng.integers(len(of_relation))])


def _stream(seed: int, use: int) -> int:
    """A seed for one of the walks, so that they do not go in step."""
    return int(np.random.SeedSequence([seed, use]).generate_state(1, np.uint64)[0] >> 1)


def _numbers(values: Sequence[str | None]) -> np.ndarray:
    """(N,) int64, equal where values are; every unknown has a number of its own."""
    number: dict[str | None, int] = {}
    found = [number.setdefault(value, len(number)) for value in values]
    return np.array(
        [-1 - i if value is None else n for i, (value, n) in enumerate(zip(values, found, strict=True))],
        np.int64,
    )
