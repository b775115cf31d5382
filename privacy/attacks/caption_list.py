"""Released captions that may state who somebody is, with the words that say so: for their owner's eyes, never for a report."""

from collections.abc import Iterator
from pathlib import Path

from privacy.data.inputs import People
from privacy.scores import identifiers
from synth.base import private_table
from synth.data.phrases import LANGUAGES

NAME = "private-captions.csv"


def captions(people: People) -> Iterator[tuple[str | None, ...]]:
    """Of each record its captions, one of each language."""
    return zip(*(people.table[f"caption_{lang}"].to_pylist() for lang in LANGUAGES), strict=True)


def write(folder: Path, people: People) -> Path | None:
    """Write which record states what, the certain ones first; only the owner may read the file.  None where none does."""
    rows = sorted(_rows(people), key=lambda row: row[3] != "yes")
    if not rows:
        return None
    return private_table.write(folder / NAME, ["id", "language", "kind", "certain", "words"], rows)


def _rows(people: People) -> Iterator[tuple[str, str, str, str, str]]:
    for name, texts in zip(people.ids.tolist(), captions(people), strict=True):
        for language, text in zip(LANGUAGES, texts, strict=True):
            for hit in identifiers.hits(text) if text else ():
                yield name, language, hit.kind, "yes" if hit.certain else "no", hit.text
