"""A public set's own layout -> a folder of records, with a count of everything that was left out."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from synth.base.errors import UserError
from synth.base.runs import progress, read_json, write_json
from synth.fundus.records import Row, claim, row, write_records
from synth.sources import SOURCES, source_of
from synth.sources.pictures import Photo, checked, digest
from synth.sources.report import Report

Photos = Callable[[Path, Report], Iterator[Photo]]


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
    plan = {
        "kind": "import",
        "source": name,
        "root": str(root.resolve()),
        "shares": list(shares),
        "size": size,
        "mapping": mapping.read_text(encoding="utf-8") if mapping else None,
    }
    summary = out / "import.json"  # written last
    if summary.exists():
        claim(out, plan)
        return read_json(summary)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; unpack the set '{name}' and give its folder as --root")
    report = Report(name)
    stream = rows(name, photos(root, report), report, size)
    first = next(stream, None)  # a set that cannot be read leaves no folder behind
    if first is None:
        raise UserError(f"{root}: no picture of '{name}' could be kept; {_why(report)}")
    splits = write_records(out, chain([first], stream), plan, shares)
    deque(stream, maxlen=0)  # the rest is only counted where an earlier, killed call had written it all
    set_ = SOURCES[name]
    result = report.summary() | {"splits": splits, "licence": set_.licence, "citation": set_.citation}
    write_json(summary, result)
    return result


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


def rows(name: str, photos: Iterator[Photo], report: Report, size: int | None = None) -> Iterator[Row]:
    """Whole records from pictures and labels: damaged pictures and repeated files are left out and counted."""
    seen: set[bytes] = set()
    with progress(f"import {name}", 0) as bar:
        for photograph in photos:
            bar.total = report.total  # known once the set's table is read
            bar.update()
            data = checked(photograph, size, report)
            if data is None:
                continue
            same = digest(data)
            if same in seen:
                report.drop("same file twice", photograph.name)
                continue
            seen.add(same)
            record = _record(name, photograph, data)
            report.keep(record)
            yield record


def _record(name: str, photograph: Photo, data: bytes) -> Row:
    known = dict(photograph.labels)
    identity = f"{name}-{known.pop('id')}"
    subject = known.pop("subject_id", None)
    seed = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big")
    labels = {"modality": "cfp", "source": name} | known
    return row(
        id=identity,
        subject_id=identity if subject is None else f"{name}-{subject}",
        image={"bytes": data, "path": None},
        seed=seed,
        **labels,
        **_captions(labels, seed),
    )


def _captions(labels: dict[str, Any], seed: int) -> dict[str, str]:
    from synth.fundus import captions

    return {f"caption_{lang}": captions.write(labels, lang, seed) for lang in ("zh", "en")}
