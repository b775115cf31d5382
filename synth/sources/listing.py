"""What an import is of: the pictures that a set lists, their labels, and what a mapping means; and what of that has changed."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from synth.base import runs
from synth.base.config import load
from synth.base.errors import UserError
from synth.base.runs import atomic, read_json
from synth.sources.pictures import Photo

_SCHEMA = pa.schema({"name": pa.string(), "labels": pa.string()})
_FILE = "listing.pq"


class Listed(NamedTuple):
    """A picture that a set lists."""

    name: str
    labels: str
    """Columns of its record as JSON, the same whatever their order."""


def listed(photos: Iterator[Photo]) -> list[Listed]:
    """The names and labels of all pictures of a set."""
    return [Listed(each.name, json.dumps(each.labels, ensure_ascii=False, sort_keys=True)) for each in photos]


def write(folder: Path, pictures: Sequence[Listed]) -> None:
    """Keep a listing in `folder`."""
    columns = [pa.array([each[place] for each in pictures], pa.string()) for place in range(2)]
    with atomic(folder / _FILE) as temporary:
        pq.write_table(pa.table(columns, schema=_SCHEMA), temporary, compression="zstd")


def read(folder: Path) -> list[Listed]:
    """The listing that `write` kept; none where it was never written."""
    if not is_kept(folder):
        return []
    columns = pq.read_table(folder / _FILE).to_pydict()
    return [Listed(*values) for values in zip(columns["name"], columns["labels"], strict=True)]


def is_kept(folder: Path) -> bool:
    """Whether `write` was called."""
    return (folder / _FILE).exists()


def _fingerprint(pictures: Sequence[Listed]) -> str:
    digest = hashlib.sha256()
    for each in pictures:
        digest.update(json.dumps(each).encode())
    return digest.hexdigest()


def plan(
    source: str,
    shares: Sequence[int],
    size: int | None,
    mapping: Path | None,
    pictures: Sequence[Listed],
    rows: int | None,
) -> dict[str, Any]:
    """What an import is of and how it is made, without where its files lie.

    Args:
        rows: of the table that `mapping` names, those without a picture too.
    """
    return {
        "kind": "import",
        "source": source,
        "shares": list(shares),
        "size": size,
        "mapping": _meaning(mapping) if mapping else None,
        "table": {"listing": _fingerprint(pictures), "rows": rows if mapping else None},
    }


def _meaning(path: Path) -> dict[str, Any]:
    """A mapping as it is understood; how it is written, and what it says of defaults, does not matter."""
    from synth.sources.folder import Mapping as Columns

    found = load(Columns, path).model_dump(mode="json", exclude_defaults=True)
    named = {
        key: {"column": value} if isinstance(value, str) else value
        for key, value in found.get("columns", {}).items()
    }
    return found | {"columns": named}


def claim(folder: Path, wanted: Mapping[str, object], kept: Path, pictures: Sequence[Listed]) -> None:
    """Make `folder` the home of an import, or find that it is already.

    Args:
        kept: where the listing of the import that the folder may hold already is.

    Raises:
        UserError: the folder holds something else; of an import of other data the message says what differs.
    """
    path = folder / "plan.json"
    there = read_json(path) if path.exists() else None
    if isinstance(there, dict) and there.get("kind") == "import" and "content" in there:
        raise UserError(
            f"{folder}: imported by an earlier visionclip; its records can be used as they are, to import again "
            "choose another --out"
        )
    here = json.loads(json.dumps(wanted))
    if isinstance(there, dict) and there != here and _without_table(there) == _without_table(here):
        raise UserError(
            f"{folder}: {_difference(read(kept), pictures)}; choose another --out or delete the folder"
        )
    runs.claim(folder, "plan.json", wanted, "plan")


def _without_table(plan: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in plan.items() if key != "table"}


def _difference(before: Sequence[Listed], after: Sequence[Listed]) -> str:
    """How the pictures that are listed now differ from those that were."""
    there, here = dict(before), dict(after)
    added, gone = [name for name in here if name not in there], [name for name in there if name not in here]
    changed = [name for name in here if name in there and there[name] != here[name]]
    said = [_many(added, "new here"), _many(gone, "no longer here")]
    if changed:
        old, new = json.loads(there[changed[0]]), json.loads(here[changed[0]])
        key = next(key for key in sorted({*old, *new}) if old.get(key) != new.get(key))
        more = f", and {len(changed) - 1} more have other labels" if len(changed) > 1 else ""
        said.append(f"{key} of {changed[0]} was {old.get(key)!r} and is {new.get(key)!r}{more}")
    return f"its data have changed: {'; '.join(filter(None, said)) or 'rows of the table or their order'}"


def _many(names: Sequence[str], what: str) -> str:
    if not names:
        return ""
    more = f" and {len(names) - 1} more are" if len(names) > 1 else " is"
    return f"{names[0]}{more} {what}"
