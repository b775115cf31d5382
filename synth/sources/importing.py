"""A public set's own layout -> a folder of records, with a count of everything that was left out."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from synth.base.config import fingerprint
from synth.base.errors import UserError
from synth.base.runs import progress, read_json, sha256, write_json
from synth.data.records import Row, claim, row, write_records
from synth.data.vocabulary import FINDING_KEYS
from synth.sources import SOURCES, source_of, splits
from synth.sources.people import distinct, same_people
from synth.sources.pictures import Photo, checked, digest
from synth.sources.report import Report

Photos = Callable[[Path, Report], Iterator[Photo]]

_TABLES = (".csv", ".tsv", ".xlsx", ".meta")


def import_source(
    name: str,
    root: Path,
    out: Path,
    shares: Sequence[int] = (8, 1, 1),
    size: int | None = None,
    mapping: Path | None = None,
) -> dict[str, Any]:
    """Turn the set `name` below `root` into records in `out`; returns what `out/import.json` holds.

    Args:
        shares:  train : validation : test, over subjects.
        size:    longest side in pixels above which pictures are made smaller; None keeps every byte.
        mapping: the YAML file of `folder`, which every other source refuses.

    Raises:
        UserError: not such a set, a table lacks a column, or no picture is left.
    """
    photos = _photos(name, mapping)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; unpack the set '{name}' and give its folder as --root")
    plan = _plan(name, root, shares, size, mapping)
    if out.exists():
        claim(out, plan)  # before much is read
    summary = out / "import.json"  # written last
    if summary.exists():
        return read_json(summary)
    report = Report(name)
    sides: dict[str, str] = {}
    people = same_people(splits.noted(distinct(photos(root, Report(name))), sides), report)
    splits.check(sides, people)
    stream = rows(name, photos(root, report), report, size, people)
    first = next(stream, None)  # a set that cannot be read leaves no folder behind
    if first is None:
        raise UserError(f"{root}: no picture of '{name}' could be kept; {_why(report)}")
    counts = write_records(out, chain([first], stream), plan, shares)
    deque(stream, maxlen=0)  # the rest is only counted where an earlier, killed call had written it all
    set_ = SOURCES[name]
    result = report.summary() | {"splits": counts, "licence": set_.licence, "citation": set_.citation}
    write_json(summary, result)
    return result


def _plan(
    name: str, root: Path, shares: Sequence[int], size: int | None, mapping: Path | None
) -> dict[str, Any]:
    return {
        "kind": "import",
        "source": name,
        "root": str(root.resolve()),
        "content": _content(root),
        "shares": list(shares),
        "size": size,
        "mapping": mapping.read_text(encoding="utf-8") if mapping else None,
    }


def _content(root: Path) -> str:
    """What tells whether a set has changed: its tables by content, all else by name and size."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return fingerprint(
        [
            [str(path.relative_to(root)), sha256(path) if path.suffix in _TABLES else path.stat().st_size]
            for path in files
        ]
    )


def _why(report: Report) -> str:
    reasons = ", ".join(f"{count} {reason}" for reason, count in report.dropped.most_common())
    return reasons or "its table is empty"


def _photos(name: str, mapping: Path | None) -> Photos:
    photos = source_of(name)
    if name == "folder":
        if mapping is None:
            raise UserError("folder: --mapping is missing; give a YAML file that maps your CSV's columns")
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
    seen: dict[bytes, int] = {}
    listed = next(photos, None)  # the table is read now, so their number is known
    with progress(f"import {name}", report.total or 0) as bar:
        while listed is not None:
            record = _record(name, listed, seen, size, report, people or {})
            bar.total = report.total  # a set of several tables reads them one by one
            bar.update()
            listed = next(photos, None)
            if record is not None:
                yield record


def _record(
    name: str, listed: Photo, seen: dict[bytes, int], size: int | None, report: Report, people: dict[str, str]
) -> Row | None:
    data = checked(listed, size, report)
    if data is None:
        return None
    known = dict(listed.labels)
    identity = f"{name}-{known.pop('id')}"
    subject, split = known.pop("subject_id", None), known.pop("split", None)
    labels = {"modality": "cfp", "source": name} | known
    if labels.get("findings"):
        labels["findings"] = sorted(set(labels["findings"]), key=FINDING_KEYS.index)
    content, meaning = digest(data), hash(repr(sorted(labels.items())))
    if content in seen:
        differs = " and labelled differently, the first kept" if seen[content] != meaning else ""
        report.drop(f"same file twice{differs}", listed.name)
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
