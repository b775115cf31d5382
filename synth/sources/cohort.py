"""Who and what an import holds: patients, eyes, visits, classes by split, ages, sexes, cameras or sizes."""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import isfinite
from pathlib import Path
from typing import TypeVar

import pyarrow as pa

from synth.base.stored import Stored
from synth.data import classes as counting
from synth.data.classes import Classes, Lack
from synth.data.records import SPLITS, read_table, shards

_DECADE = 10  # years of one bar
_NAMED = 12  # cameras or sizes; the rest are one number
_UNKNOWN = "unknown"

T = TypeVar("T")


class Part(Stored):
    """One split."""

    pictures: int
    patients: int


class Duplicate(Stored):
    """Two pictures that show one photograph, compressed or resized again, under two subjects."""

    pictures: list[str]
    subjects: list[str]
    splits: list[str]

    @property
    def is_across(self) -> bool:
        """Whether one is learnt from and the other is not."""
        return len(set(self.splits)) > 1


class Cohort(Stored):
    """The records of one import."""

    patients: int
    """Subjects; where the set does not tell them, each picture is one."""
    eyes: int | None
    """Subjects by side, of pictures whose side is known; null where none is."""
    visits: int | None
    """Subjects by visit; null where no visit is known."""
    splits: dict[str, Part]
    classes: Classes
    lacking: list[Lack]
    """Classes of which a split has no picture."""
    ages: dict[str, int]
    """Decade -> patients, by the age at their first picture."""
    sexes: dict[str, int]
    """Sex -> patients."""
    cameras: dict[str, int]
    """Camera -> pictures; empty where none is known."""
    sizes: dict[str, int]
    """Width x height in pixels -> pictures."""
    blank: int
    """Pictures without content: an even ground, with text on it or without."""
    duplicates: list[Duplicate]


def cohort(
    folder: Path, sizes: Iterable[tuple[int, int]], blank: int, duplicates: Sequence[Duplicate]
) -> Cohort:
    """The cohort of a folder of records.

    Args:
        sizes: width and height of every picture.
        blank: how many pictures have no content.
    """
    columns = ["subject_id", "eye_side", "age", "sex", "visit", "camera", *counting.COLUMNS]
    tables = {split: read_table(folder, [split], columns) for split in SPLITS if shards(folder, split)}
    table = pa.concat_tables(tables.values())
    subjects = table["subject_id"].to_pylist()
    counts = counting.of_table(tables)
    return Cohort(
        patients=len(set(subjects)),
        eyes=_pairs(subjects, table["eye_side"].to_pylist()),
        visits=_pairs(subjects, table["visit"].to_pylist()),
        splits={
            split: Part(pictures=len(each), patients=len(set(each["subject_id"].to_pylist())))
            for split, each in tables.items()
        },
        classes=counts,
        lacking=counting.lacking(counts),
        ages=_ages(_first(subjects, table["age"].to_pylist())),
        sexes=dict(
            sorted(
                Counter(
                    _UNKNOWN if sex is None else sex for sex in _first(subjects, table["sex"].to_pylist())
                ).items()
            )
        ),
        cameras=_most(each for each in table["camera"].to_pylist() if each),
        sizes=_most(f"{width} x {height}" for width, height in sizes),
        blank=blank,
        duplicates=list(duplicates),
    )


def _pairs(subjects: Sequence[str], values: Sequence[str | None]) -> int | None:
    """How many (subject, value) there are; None where no value is known."""
    return len({pair for pair in zip(subjects, values, strict=True) if pair[1] is not None}) or None


def _first(subjects: Sequence[str], values: Sequence[T | None]) -> list[T | None]:
    """The first value that is known of each subject."""
    found: dict[str, T | None] = {}
    for subject, value in zip(subjects, values, strict=True):
        if found.get(subject) is None:
            found[subject] = value
    return list(found.values())


def _ages(ages: Sequence[float | None]) -> dict[str, int]:
    """Every decade from the first to the last, empty ones too, and how many are unknown."""
    known = [age for age in ages if age is not None and isfinite(age)]
    decades = Counter(int(age // _DECADE) for age in known)
    found = {
        f"{decade * _DECADE}-{decade * _DECADE + _DECADE - 1}": decades[decade]
        for decade in (range(min(decades), max(decades) + 1) if decades else ())
    }
    unknown = len(ages) - len(known)
    return found | ({_UNKNOWN: unknown} if unknown else {})


def _most(values: Iterable[str]) -> dict[str, int]:
    counts = Counter(values)
    found = dict(counts.most_common(_NAMED))
    rest = counts.total() - sum(found.values())
    return found | ({f"{len(counts) - _NAMED} others": rest} if rest else {})
