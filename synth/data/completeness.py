"""Which shards a folder of records should have: known from their names, their sidecars and `data/done.json`, without a plan."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from synth.base.documents import read_json, read_mapping
from synth.base.errors import UserError
from synth.data.shards import SPLITS, SUFFIXES

DONE = "data/done.json"
"""What an import writes last: the rows of each split."""
_NAME = re.compile(
    rf"(?P<split>{'|'.join(SPLITS)})-(?P<number>\d{{5}})-of-(?P<count>\d{{5}})(?P<suffix>{'|'.join(map(re.escape, SUFFIXES.values()))})"
)


def expected(folder: Path) -> list[Path]:
    """The shards that should be there, in order: where one or its sidecar is, all of its split are expected.

    A split that has rows by `DONE`, and no file at all, is expected as its first shard.
    """
    sidecars = {path.stem for path in (folder / "data").glob("[!.]*.json")}
    found = [path for path in (folder / "data").glob("[!.]*") if path.suffix in SUFFIXES.values()]
    suffix = found[0].suffix if found else SUFFIXES["parquet"]
    names = {path.name for path in found} | {f"{stem}{suffix}" for stem in sidecars}
    wanted = {path.name for path in found}
    for match in filter(None, map(_NAME.fullmatch, names)):
        split, count, ending = match["split"], int(match["count"]), match["suffix"]
        wanted |= {f"{split}-{number:05d}-of-{count:05d}{ending}" for number in range(count)}
    for split, rows in counts(folder).items():
        if rows and not any(name.startswith(f"{split}-") for name in wanted):
            wanted.add(f"{split}-00000-of-00001{suffix}")
    order = {split: place for place, split in enumerate(SPLITS)}
    return [
        folder / "data" / name
        for name in sorted(wanted, key=lambda n: (order.get(n.partition("-")[0], 9), n))
    ]


def noted_hash(path: Path) -> str:
    """The hash of a shard's bytes as its sidecar notes it.

    Raises:
        UserError: there is no sidecar, or it is damaged.
    """
    sidecar = path.with_suffix(".json")
    if not sidecar.exists():
        raise UserError(
            f"{sidecar}: missing beside {path.name}; copy the records with all their files, or give a folder that 'synth import' "
            "or 'synth generate' wrote"
        )
    return read_mapping(sidecar, "sha256")["sha256"]


def counts(folder: Path) -> dict[str, int]:
    """The rows of each split as they were written; none where nobody noted them.

    Raises:
        UserError: the note is damaged.
    """
    path = folder / DONE
    if not path.exists():
        return {}
    found = read_json(path)
    if not isinstance(found, dict) or not all(k in SPLITS and isinstance(v, int) for k, v in found.items()):
        raise UserError(f"{path}: no numbers of rows by split; write the records again")
    return found


def out_of_place(sidecars: Mapping[Path, Mapping[str, Any]], firsts: Mapping[Path, int]) -> dict[Path, str]:
    """Shards whose sidecar says other rows than their place in the split; of all shards of a folder, in order.

    Args:
        firsts: the index of the first row of some shards, as the plan has it; of others it follows from the one before.
    """
    found, end = {}, dict.fromkeys(SPLITS, None)
    for path, said in sidecars.items():
        split = path.name.partition("-")[0]
        first, last, rows = said.get("first_index"), said.get("last_index"), said["rows"]
        if first is None:  # of an earlier version
            continue
        if not isinstance(first, int) or last != first + rows - 1:
            found[path] = f"its sidecar says rows {first!r} to {last!r}, it holds {rows}"
            continue
        wanted = firsts.get(path, end.get(split))
        if wanted is not None and first != wanted:
            found[path] = (
                f"begins at row {first}, the one before it ends before {wanted}: shards are exchanged"
            )
        end[split] = first + rows
    return found


def fewer(folder: Path, rows: Mapping[str, int]) -> Iterable[str]:
    """Splits that hold other numbers of rows than were written, in words."""
    return [
        f"{split} has {rows.get(split, 0)} rows, {written} were written"
        for split, written in counts(folder).items()
        if rows.get(split, 0) != written
    ]
