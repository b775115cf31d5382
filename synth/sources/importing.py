"""A public set's own layout -> a folder of records, with a count of everything that was left out."""

import hashlib
import json
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from synth.base.errors import UserError
from synth.base.runs import progress, read_json, write_json
from synth.data.records import Row, row, split_of, write_records
from synth.data.vocabulary import FINDING_KEYS
from synth.sources import SOURCES, contact_sheet, entries, listing, page, reading, source_of, splits
from synth.sources.cohort import Cohort, Duplicate, cohort
from synth.sources.people import distinct, duplicates, joined, of_entries
from synth.sources.pictures import Photo, checked, digest
from synth.sources.report import Report

Photos = Callable[[Path, Report], Iterator[Photo]]

_KEPT = ".import"
"""The folder beside the records that holds what an import has read; hidden, since it names files of this machine."""


def import_source(
    name: str,
    root: Path,
    out: Path,
    shares: Sequence[int] = (8, 1, 1),
    size: int | None = None,
    mapping: Path | None = None,
) -> dict[str, Any]:
    """Turn the set `name` below `root` into records in `out`; returns what `out/import.json` holds.

    The same call again goes on where a killed one was, and refuses where the data are others than they were.

    Args:
        shares:  train : validation : test, over subjects.
        size:    longest side in pixels above which pictures are made smaller; None keeps every byte.
        mapping: the YAML file of `folder`, which every other source refuses.

    Raises:
        UserError: not such a set, a table lacks a column, no picture is left, or `out` holds other data.
    """
    photos = _photos(name, mapping)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; is --root the folder of this set?")
    report, kept, summary = Report(name), out / _KEPT, out / "import.json"
    sides: dict[str, str] = {}
    pictures = listing.listed(splits.noted(distinct(photos(root, report)), sides))
    if not pictures:
        raise UserError(f"{root}: no picture of '{name}' could be kept; {_why(report)}")
    plan = listing.plan(name, shares, size, mapping, pictures, report.total)
    listing.claim(out, plan, kept, pictures)
    if not listing.is_kept(kept):
        listing.write(kept, pictures)
    count = len(pictures)
    del pictures
    reading.read_once(kept, photos(root, Report(name)), size, count)
    if summary.exists():  # written last
        return read_json(summary)
    if entries.is_finished(kept):  # somebody took the report away
        entries.forget(kept)
        reading.read_once(kept, photos(root, Report(name)), size, count)
    people = joined(of_entries(kept), report)
    try:
        splits.check(sides, people)
    except UserError:
        _leave_nothing(out, kept)
        raise
    stream = _records(name, kept, report, people, count)
    first = next(stream, None)
    if first is None:
        _leave_nothing(out, kept)
        raise UserError(f"{root}: no picture of '{name}' could be kept; {_why(report)}")
    counts = write_records(out, chain([first], stream), plan, shares)
    deque(stream, maxlen=0)  # the rest is only counted where an earlier, killed call had written it all
    set_ = SOURCES[name]
    found = _cohort(out, kept, _duplicates(name, kept, people, shares))
    result = report.summary() | {
        "splits": counts,
        "cohort": found.to_json(),
        "licence": set_.licence,
        "citation": set_.citation,
    }
    page.write(out / page.NAME, result, contact_sheet.kept(out), contact_sheet.dropped(report, root, kept))
    write_json(summary, result)
    entries.finish(kept)
    return result


def _cohort(out: Path, kept: Path, found: list[Duplicate]) -> Cohort:
    sizes, blank = [], 0
    for entry in entries.entries(kept, "descriptor"):
        if entry.width is not None and entry.height is not None:
            sizes.append((entry.width, entry.height))
            blank += entry.descriptor is None
    return cohort(out, sizes, blank, found)


def _duplicates(name: str, kept: Path, people: dict[str, str], shares: Sequence[int]) -> list[Duplicate]:
    def subject_of(labels: dict[str, Any]) -> str:
        subject = labels.get("subject_id")
        return f"{name}-{labels['id']}" if subject is None else f"{name}-{people.get(subject, subject)}"

    return duplicates(
        kept, subject_of, lambda labels: labels.get("split") or split_of(subject_of(labels), shares)
    )


def _leave_nothing(out: Path, kept: Path) -> None:
    """Take away what an import has begun that can have no records."""
    shutil.rmtree(kept)
    (out / "plan.json").unlink()
    if not any(out.iterdir()):
        out.rmdir()


def _why(report: Report) -> str:
    reasons = ", ".join(f"{count} {reason}" for reason, count in report.dropped.most_common())
    return reasons or "its table is empty"


def _photos(name: str, mapping: Path | None) -> Photos:
    photos = source_of(name)
    if name == "folder":
        if mapping is None:
            raise UserError(
                "folder: --mapping is missing; give a YAML file that says which column is what, or write a first one with --suggest"
            )
        return partial(photos, mapping=mapping)
    if mapping is not None:
        raise UserError(f"{name}: --mapping is only for the source 'folder'; leave it out")
    return photos


def rows(
    name: str,
    photos: Iterator[Photo],
    report: Report,
    size: int | None = None,
    people: dict[str, str] | None = None,
) -> Iterator[Row]:
    """Whole records from pictures and labels: damaged pictures and repeated files are left out and counted."""
    found = ((each, checked(each, size, report)) for each in photos)
    checks = ((each.name, each.labels, what.data if what else None) for each, what in found)
    return _rows(name, checks, report, people or {}, report.total or 0)


def _records(name: str, kept: Path, report: Report, people: dict[str, str], total: int) -> Iterator[Row]:
    """The same of what was read before."""

    def pictures() -> Iterator[tuple[str, dict[str, Any], bytes | None]]:
        for entry in entries.entries(kept, "image"):
            entries.recount(entry, report)
            yield entry.name, json.loads(entry.labels), entry.image

    return _rows(name, pictures(), report, people, total)


def _rows(
    name: str,
    pictures: Iterable[tuple[str, dict[str, Any], bytes | None]],
    report: Report,
    people: dict[str, str],
    total: int,
) -> Iterator[Row]:
    seen: dict[bytes, int] = {}
    with progress(f"import {name}", total) as bar:
        for listed, labels, data in pictures:
            bar.total = max(
                bar.total or 0, report.total or 0
            )  # a set of several tables reads them one by one
            bar.update()
            record = _record(name, listed, labels, data, seen, report, people)
            if record is not None:
                yield record


def _record(
    name: str,
    listed: str,
    known: dict[str, Any],
    data: bytes | None,
    seen: dict[bytes, int],
    report: Report,
    people: dict[str, str],
) -> Row | None:
    if data is None:
        return None
    known = dict(known)
    identity = f"{name}-{known.pop('id')}"
    subject, split = known.pop("subject_id", None), known.pop("split", None)
    labels = {"modality": "cfp", "source": name} | known
    if labels.get("findings"):
        labels["findings"] = sorted(set(labels["findings"]), key=FINDING_KEYS.index)
    content, meaning = digest(data), hash(repr(sorted(labels.items())))
    if content in seen:
        differs = " and labelled differently, the first kept" if seen[content] != meaning else ""
        report.drop(f"same file twice{differs}", listed)
        return None
    seen[content] = meaning
    seed = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big")
    record = row(
        id=identity,
        subject_id=identity if subject is None else f"{name}-{people.get(subject, subject)}",
        image={"bytes": data, "path": None},
        seed=seed,
        **labels,
        **_captions(labels, seed),
    )
    report.keep(record)
    return record | ({"split": split} if split else {})


def _captions(labels: dict[str, Any], seed: int) -> dict[str, str]:
    from synth.data import captions

    return {f"caption_{lang}": captions.write(labels, lang, seed) for lang in ("zh", "en")}
