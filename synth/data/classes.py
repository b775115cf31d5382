"""How many pictures of each split show each class, and which classes a split lacks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from synth.data.records import SPLITS, read_table, shards
from synth.data.vocabulary import FINDING_KEYS, FLAGS

Classes = dict[str, dict[str, dict[str, int]]]
"""Label -> class -> split -> pictures; only labels that some picture has, and findings that some picture shows."""

_GRADES = tuple(str(grade) for grade in range(5))
FEW_PATIENTS = 100
"""Patients below which what is learnt is mostly about these people; a rule of thumb, and no more."""


class Lack(NamedTuple):
    """A class that splits have no picture of."""

    label: str
    value: str
    splits: tuple[str, ...]
    """Those without; all that there are where nothing shows it."""

    def words(self, present: Sequence[str] = SPLITS) -> str:
        """As in "dr_grade=4 in test"."""
        where = "anywhere" if set(self.splits) >= set(present) else " or ".join(self.splits)
        return (
            f"{self.label}={self.value} in {where}"
            if where != "anywhere"
            else f"{self.label}={self.value} {where}"
        )


def of_table(tables: Mapping[str, pa.Table]) -> Classes:
    """The classes of some records.

    Args:
        tables: split -> its rows, with the columns of `read`.
    """
    found: Classes = {}
    for label in ("dr_grade", *FLAGS):
        values = {split: _counts(table[label]) for split, table in tables.items()}
        if any(values.values()):
            names = _GRADES if label == "dr_grade" else ("0", "1")
            found[label] = {
                name: {split: counts.get(name, 0) for split, counts in values.items()} for name in names
            }
    shown = {split: _counts(pc.list_flatten(table["findings"])) for split, table in tables.items()}
    for name in FINDING_KEYS:
        if any(name in counts for counts in shown.values()):
            found.setdefault("findings", {})[name] = {
                split: counts.get(name, 0) for split, counts in shown.items()
            }
    return found


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {
        str(each["values"]): each["counts"]
        for each in pc.value_counts(column).to_pylist()
        if each["values"] is not None
    }


def read(folder: Path, splits: Sequence[str] = SPLITS) -> Classes:
    """The classes of a folder of records, over those `splits` that it has.

    Raises:
        UserError: no records, or a damaged shard.
    """
    columns = ["dr_grade", *FLAGS, "findings"]
    return of_table(
        {split: read_table(folder, [split], columns) for split in splits if shards(folder, split)}
    )


def lacking(classes: Classes) -> list[Lack]:
    """Every class that a split has no picture of."""
    return [
        Lack(label, value, tuple(split for split, count in counts.items() if not count))
        for label, values in classes.items()
        for value, counts in values.items()
        if not all(counts.values())
    ]


def warning(folder: Path, splits: Sequence[str] = SPLITS) -> str | None:
    """One line that names the classes which a split lacks though another has them; None where none does.

    Raises:
        UserError: no records, or a damaged shard.
    """
    found = read(folder, splits)
    some = [
        lack for lack in lacking(found) if len(lack.splits) < len(found[lack.label][lack.value])
    ]  # what no split has is another question
    if not some:
        return None
    return f"{folder}: no picture of {', '.join(lack.words() for lack in some)}; nothing can be said of these there"


def few_patients(*folders: Path) -> str | None:
    """One line where fewer than `FEW_PATIENTS` subjects are there to learn from; None where there are enough.

    Raises:
        UserError: no records, or a damaged shard.
    """
    count = sum(
        len(pc.unique(read_table(folder, ["train"], ["subject_id"])["subject_id"])) for folder in folders
    )
    if count >= FEW_PATIENTS:
        return None
    return (
        f"{', '.join(map(str, folders))}: only {count} {'patient' if count == 1 else 'patients'} to learn from; below "
        f"{FEW_PATIENTS} a generator repeats their photographs rather than showing others"
    )
