"""What an import kept, what it dropped and why, in numbers and in file names."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from synth.data.records import Row
from synth.data.vocabulary import FLAGS, READABILITY_KEYS

_NAMED = 20  # file names kept per reason; the rest are only counted
_SAMPLED = 8  # file names drawn per reason, for people to look at
_GROUPS = 1000  # of subjects who share pictures that are named; the rest are only counted


@dataclass
class Report:
    """Counts of one import; a source adds to it while it reads, `summary` says it all."""

    source: str
    total: int | None = None
    """Pictures that the set's own table lists, once it is known."""
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    names: dict[str, list[str]] = field(default_factory=dict)
    sampled: dict[str, list[str]] = field(default_factory=dict)
    """Some names of each reason, drawn at random."""
    notes: Counter[str] = field(default_factory=Counter)
    labels: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    shared: list[dict[str, Any]] = field(default_factory=list)
    """Subjects who share pictures, which pictures, and whether they are taken for one person."""
    attributes: dict[tuple[str, str], str | None] = field(default_factory=dict, repr=False)
    """(subject, sex or race) -> what its first picture that tells it tells; None once another has told otherwise."""

    def drop(self, reason: str, name: str) -> None:
        """Count a picture that is left out; the first few of each reason are named."""
        self.dropped[reason] += 1
        count = self.dropped[reason]
        named = self.names.setdefault(reason, [])
        if len(named) < _NAMED:
            named.append(name)
        drawn = self.sampled.setdefault(reason, [])
        place = Random(f"{reason} {count}").randrange(count)  # Vitter's algorithm R
        if len(drawn) < _SAMPLED:
            drawn.append(name)
        elif place < _SAMPLED:
            drawn[place] = name

    def note(self, what: str) -> None:
        """Count something that a reader of the records should know, such as a keyword nobody mapped."""
        self.notes[what] += 1

    def join(self, subjects: list[str], pictures: list[str]) -> None:
        """Count subjects who are taken for the first of them, since they share pictures."""
        self.notes["subjects who share a file with another, taken for one person"] += len(subjects) - 1
        self._share(subjects, pictures, True)

    def keep_apart(self, subjects: list[str], pictures: list[str]) -> None:
        """Count a picture that more subjects share than can be one person."""
        self.notes["pictures shared by more than three subjects, who are not joined"] += 1
        self._share(subjects, pictures, False)

    def _share(self, subjects: list[str], pictures: list[str], joined: bool) -> None:
        if len(self.shared) < _GROUPS:
            entry = {"subjects": subjects, "pictures": pictures[:_NAMED], "one_person": joined}
            self.shared.append(entry)

    def keep(self, row: Row) -> None:
        """Count a record and its labels."""
        self.kept += 1
        for key in ("dr_grade", *FLAGS, *READABILITY_KEYS, "eye_side", "modality", "sex", "race"):
            value = row[key]
            self.labels[key]["unknown" if value is None else str(value)] += 1
        self.labels["age"]["unknown" if row["age"] is None else "known"] += 1
        for key in ("sex", "race"):
            self._compare(str(row["subject_id"]), key, row[key])
        findings = self.labels["findings"]
        for finding in ["unknown"] if row["findings"] is None else row["findings"] or ["none"]:
            findings[finding] += 1

    def _compare(self, subject: str, key: str, value: str | None) -> None:
        before = self.attributes.setdefault((subject, key), value) if value is not None else None
        if before is not None and before != value:
            self.attributes[subject, key] = None
            self.note(f"patients with more than one {key}: is it one id for several people?")

    def summary(self) -> dict[str, Any]:
        """Plain values for JSON: kept, dropped by reason with the first names, notes, who shares pictures, counts per label."""
        return {
            "source": self.source,
            "listed": self.total,
            "kept": self.kept,
            "dropped": sum(self.dropped.values()),
            "reasons": {
                reason: {"count": count, "files": self.names[reason]}
                for reason, count in self.dropped.most_common()
            },
            "notes": dict(self.notes.most_common()),
            "shared": self.shared,
            "labels": {key: dict(sorted(counts.items())) for key, counts in self.labels.items()},
        }


UNLISTED = frozenset(
    ("picture without a line in the table", "picture without a .meta file", "no label in the name")
)
"""Why pictures are left out that nothing asked for: their number tells nothing of how well an import went."""


def dropped_share(summary: Mapping[str, Any]) -> float:
    """Of the pictures that a set lists, the share that is not in the records, by what `Report.summary` says."""
    dropped = sum(told["count"] for reason, told in summary["reasons"].items() if reason not in UNLISTED)
    return dropped / max(1, dropped + summary["kept"])
