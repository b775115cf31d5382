"""How many pictures of each split show each class, and which classes a split lacks."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from synth.base.stored import Stored
from synth.data.records import SPLITS, read_table, shards
from synth.data.vocabulary import FINDING_KEYS, FLAGS

Classes = dict[str, dict[str, dict[str, int]]]
"""Label -> class -> split -> pictures; only labels that some picture has, and findings that some picture shows."""

COLUMNS = ("dr_grade", *FLAGS, "findings")
"""What classes are counted from."""
_NAMED = 12  # classes on one line
_GRADES = tuple(str(grade) for grade in range(5))
FEW_PATIENTS = 100
"""Patients below which what is learnt is mostly about these people; a rule of thumb, and no more."""


class Lack(Stored):
    """A class that splits have no picture of."""

    label: str
    value: str
    splits: list[str]
    """Those without, of all that there are."""
    is_nowhere: bool
    """Whether no split has one."""

    def words(self) -> str:
        """As in "dr_grade=4 in test"."""
        where = "anywhere" if self.is_nowhere else f"in {' or '.join(self.splits)}"
        return f"{self.label}={self.value} {where}"


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
    shown = {
        split: _counts(pc.call_function("list_flatten", [table["findings"]]))
        for split, table in tables.items()
    }
    for name in FINDING_KEYS:
        if any(name in counts for counts in shown.values()):
            found.setdefault("findings", {})[name] = {
                split: counts.get(name, 0) for split, counts in shown.items()
            }
    return found


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {
        str(each["values"]): each["counts"]
        for each in column.value_counts().to_pylist()
        if each["values"] is not None
    }


def read(folder: Path) -> Classes:
    """The classes of a folder of records, over the splits that it has.

    Raises:
        UserError: no records, or a damaged shard.
    """
    return of_table(
        {split: read_table(folder, [split], COLUMNS) for split in SPLITS if shards(folder, split)}
    )


def lacking(classes: Classes) -> list[Lack]:
    """Every class that a split has no picture of."""
    return [
        Lack(
            label=label,
            value=value,
            splits=[split for split, count in counts.items() if not count],
            is_nowhere=not any(counts.values()),
        )
        for label, values in classes.items()
        for value, counts in values.items()
        if not all(counts.values())
    ]


def warning(tables: Mapping[str, pa.Table], where: str) -> str | None:
    """One line on the classes that some tables show and others lack; None where there are none.

    Args:
        tables: what each holds -> its rows, with the columns `COLUMNS`; those without a row are left out.
        where:  what the line begins with.
    """
    some = [
        lack.words()
        for lack in lacking(of_table({name: table for name, table in tables.items() if len(table)}))
        if not lack.is_nowhere
    ]
    if not some:
        return None
    more = f" and {len(some) - _NAMED} more" if len(some) > _NAMED else ""
    return f"{where}: no picture of {', '.join(some[:_NAMED])}{more}; of these nothing can be said there"


def few_patients(*folders: Path) -> str | None:
    """One line where fewer than `FEW_PATIENTS` subjects are there to learn from; None where there are enough.

    Raises:
        UserError: no records, or a damaged shard.
    """
    count = sum(
        len(read_table(folder, ["train"], ["subject_id"])["subject_id"].unique()) for folder in folders
    )
    if count >= FEW_PATIENTS:
        return None
    return (
        f"{', '.join(map(str, folders))}: only {count} {'patient' if count == 1 else 'patients'} to learn from; below "
        f"{FEW_PATIENTS} a generator repeats their photographs rather than showing others"
    )
