"""Several inputs as one, and inputs without what is damaged in them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from clip.inputs.listing import Encoded, Input
from clip.inputs.sets import Sets
from synth.base.config import fingerprint
from synth.base.errors import UserError
from synth.base.runs import progress
from synth.base.words import number_of
from synth.data.images import decode
from synth.data.records import SPLITS


class Several:
    """Pictures of several parts, one part after the other."""

    def __init__(self, parts: Sequence[Encoded]) -> None:
        self._parts = parts
        self._ends = np.cumsum([len(part) for part in parts])

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int) -> bytes:
        part, place = self._place(index)
        return part[place]

    def where(self, index: int) -> str:
        part, place = self._place(index)
        return part.where(place)

    def _place(self, index: int) -> tuple[Encoded, int]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = int(np.searchsorted(self._ends, index, "right"))
        return self._parts[number], index - (int(self._ends[number - 1]) if number else 0)


class Part:
    """Some of an input's pictures."""

    def __init__(self, pictures: Encoded, chosen: np.ndarray) -> None:
        self._pictures, self._chosen = pictures, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> bytes:
        return self._pictures[int(self._chosen[index])]

    def where(self, index: int) -> str:
        return self._pictures.where(int(self._chosen[index]))


class Mixture:
    """The rows of several inputs, one input after the other; one `subject_id` is one person in all of them."""

    def __init__(self, sets: Sets, sources: Sequence[Input]) -> None:
        self.sources, self._times = sources, sets.times()
        self.fingerprint = fingerprint(
            [[each.fingerprint, n] for each, n in zip(sources, self._times, strict=True)]
        )
        self.notes: Sequence[str] = [note for each in sources for note in each.notes]
        self.notes = [*self.notes, *_shared(sets, sources)]

    def table(self, split: str, columns: Sequence[str]) -> pa.Table:
        return pa.concat_tables([each.table(split, columns).combine_chunks() for each in self.sources])

    def pictures(self, split: str) -> Encoded:
        return Several([each.pictures(split) for each in self.sources])

    def shards(self, split: str) -> Sequence[Path]:
        found = [each.shards(split) for each in self.sources if len(each.pictures(split))]
        return [path for paths in found for path in paths] if all(found) else ()

    def times(self, split: str) -> np.ndarray:
        """(N,) how often an epoch of training holds each row."""
        sizes = [len(each.pictures(split)) for each in self.sources]
        return np.repeat(self._times, sizes)


def _shared(sets: Sets, sources: Sequence[Input]) -> list[str]:
    """Who is in several sets, in a line for people.

    Raises:
        UserError: somebody is on two sides.
    """
    sides: dict[str, tuple[str, Path]] = {}
    inside: Counter[str] = Counter()
    for path, source in zip(sets.paths, sources, strict=True):
        for split in SPLITS:
            for person in set(source.table(split, ["subject_id"])["subject_id"].to_pylist()):
                inside[person] += 1
                side, first = sides.setdefault(person, (split, path))
                if side != split:
                    raise UserError(
                        f"{path}: subject_id='{person}' is in split {split}, but in {side} in {first}; keep everyone on one "
                        "side, or call different people by different names"
                    )
    twice = sum(count > 1 for count in inside.values())
    return (
        [f"{sets}: {number_of(twice, 'person', 'is')} in several of these sets, by subject_id"]
        if twice
        else []
    )


class Sound:
    """An input without the pictures that cannot be decoded."""

    def __init__(self, path: Path, source: Input, share: float) -> None:
        self._source = source
        damaged = {split: _damaged(path, source.pictures(split)) for split in SPLITS}
        total, lost = (
            sum(len(source.pictures(split)) for split in SPLITS),
            [w for d in damaged.values() for w in d.values()],
        )
        if len(lost) > share * total:
            raise UserError(
                f"{path}: {len(lost):,} of {number_of(total, 'picture', 'is')} damaged, more than --skip-damaged {share:g}; the first: {lost[0]}"
            )
        self._kept = {
            split: np.setdiff1d(np.arange(len(source.pictures(split))), list(rows))
            for split, rows in damaged.items()
        }
        self.fingerprint = source.fingerprint
        self.notes: Sequence[str] = source.notes
        if lost:
            self.fingerprint = fingerprint([source.fingerprint, *(sorted(rows) for rows in damaged.values())])
            self.notes = [
                *source.notes,
                f"{path}: {len(lost):,} damaged of {number_of(total, 'picture')} left out; the first: {lost[0]}",
            ]

    def table(self, split: str, columns: Sequence[str]) -> pa.Table:
        return self._source.table(split, columns).take(pa.array(self._kept[split]))

    def pictures(self, split: str) -> Encoded:
        return Part(self._source.pictures(split), self._kept[split])

    def shards(self, split: str) -> Sequence[Path]:
        return self._source.shards(split) if self._is_whole(split) else ()

    def _is_whole(self, split: str) -> bool:
        return len(self._kept[split]) == len(self._source.pictures(split))


def _damaged(path: Path, pictures: Encoded) -> dict[int, str]:
    """The pictures that cannot be decoded, and why."""
    found = {}
    with progress(f"looking for damaged pictures in {path.name}", len(pictures)) as bar:
        for row in range(len(pictures)):
            try:
                decode(pictures[row], pictures.where(row))
            except UserError as error:
                found[row] = str(error)
            bar.update()
    return found
