"""Check a folder of records: every shard there, whole, of one plan, with the bytes it was written with."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from synth.base.config import fingerprint
from synth.base.errors import UserError
from synth.base.runs import json_text, progress, read_json, sha256
from synth.data import completeness
from synth.data.records import COLUMNS, SCHEMA, SPLITS, present
from synth.data.shards import REQUIRED, SIDECAR
from synth.sampling.plan import Plan
from synth.sampling.plan import shards as planned

_NAMED = 5  # damaged shards that the error names


def verify(folder: Path) -> dict[str, Any]:
    """Read every byte of `folder`; returns counts.

    Raises:
        UserError: shards are damaged, missing or foreign: how many, which, what ails them and what to do about it.
    """
    plan = _plan(folder)
    there = [path for split in SPLITS for path in present(folder, split)]
    wanted, remedy = completeness.expected(folder), "delete the folder and repeat the command that wrote it"
    firsts: dict[Path, int] = {}
    if plan.get("kind") == "synthetic":
        shards_of_plan = planned(Plan.parse(plan, str(folder / "plan.json")))
        firsts = {folder / shard.name: shard.first for shard in shards_of_plan}
        wanted = list(firsts)
        remedy = "repeat its 'synth generate' to mend them"
        foreign = sorted(set(there) - set(wanted))
        if foreign:
            raise UserError(f"{foreign[0]}: not of the plan of {folder}; delete it")
    ailments = ailing(wanted, fingerprint(plan), "verifying")
    sound = {path: read_json(path.with_suffix(".json")) for path in wanted if path not in ailments}
    ailments |= completeness.out_of_place(sound, firsts) if not ailments else {}
    if ailments:
        named = [f"{path.relative_to(folder)} ({why})" for path, why in sorted(ailments.items())]
        more = f", and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        raise UserError(
            f"{folder}: {len(named)} of {len(wanted)} shards are damaged or missing: "
            f"{', '.join(named[:_NAMED])}{more}; {remedy}"
        )
    rows: dict[str, int] = dict.fromkeys(SPLITS, 0)
    for path, sidecar in sound.items():
        rows[path.name.split("-")[0]] += sidecar["rows"]
    if lost := list(completeness.fewer(folder, rows)):
        raise UserError(f"{folder}: {'; '.join(lost)}; {remedy}")
    return {"folder": str(folder), "plan": fingerprint(plan), "shards": len(wanted), "rows": rows}


def _plan(folder: Path) -> dict[str, Any]:
    path = folder / "plan.json"
    found = read_json(path) if path.exists() else None
    planned_by = {"n", "format", "rows_per_shard"}
    if not isinstance(found, dict) or (found.get("kind") == "synthetic" and not planned_by <= found.keys()):
        raise UserError(
            f"{folder}: no set of ours, {'its plan.json is another one' if path.exists() else 'it has no plan.json'}; "
            "give a folder that 'synth generate', 'synth import' or 'synth phantom' wrote, with plan.json and data/"
        )
    return found


def ailing(paths: Iterable[Path], plan: str, what: str) -> dict[Path, str]:
    """Those shards that are not as they were written, and what ails each; reads every byte.

    Args:
        plan: the fingerprint of the plan that they are to be of.
        what: the progress bar says is going on.
    """
    paths = list(paths)
    found: dict[Path, str] = {}
    with (
        progress(what, len(paths), unit="shards") as bar,
        ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads,
    ):
        for path, why in zip(paths, threads.map(lambda path: _ailment(path, plan), paths), strict=True):
            if why:
                found[path] = why
            bar.update()
    return found


def _ailment(path: Path, plan: str) -> str | None:
    sidecar_path = path.with_suffix(".json")
    if not path.exists():
        return "missing"
    if not sidecar_path.exists():
        return f"its sidecar {sidecar_path.name} is missing"
    sidecar = _sidecar(sidecar_path)
    if sidecar is None:
        return f"its sidecar {sidecar_path.name} is damaged"
    if sidecar["plan"] != plan:
        return f"of plan {sidecar['plan'][:16]}, the folder's is {plan[:16]}"
    size = path.stat().st_size
    if size != sidecar.get("bytes", size):
        return f"{size} bytes, {sidecar['bytes']} were written"
    if sha256(path) != sidecar["sha256"]:
        return "sha256 differs from its sidecar's"
    if path.suffix == ".parquet":
        try:
            found = pq.read_metadata(path)
        except (pa.ArrowException, OSError):
            return "no parquet"
        schema = found.schema.to_arrow_schema()
        names = schema.names
        if other := next(
            (
                name
                for name in names
                if name in COLUMNS and schema.field(name).type != SCHEMA.field(name).type
            ),
            "",
        ):
            return f"column '{other}' is {schema.field(other).type}, not {SCHEMA.field(other).type}"
        # In the order of the contract; of its labels, those that it had when the shard was written.
        ours = [name for name in COLUMNS if name in names] == names and not set(REQUIRED) - set(names)
        if found.num_rows != sidecar["rows"] or not ours:
            return "rows or columns differ from what its sidecar and the schema say"
    return None


def _sidecar(path: Path) -> dict[str, Any] | None:
    """What a sidecar holds; None where it is not, to the byte, one that we write."""
    try:
        found = read_json(path)
    except UserError:
        return None
    is_ours = isinstance(found, dict) and _is_whole(found)
    return found if is_ours and path.read_text(encoding="utf-8") == json_text(found) else None


def _is_whole(sidecar: dict[str, Any]) -> bool:
    """Whether a sidecar has what is relied on, each of its kind, and no key that nobody writes: one of ours, damaged."""
    return (
        sidecar.keys() <= SIDECAR
        and isinstance(sidecar.get("plan"), str)
        and isinstance(sidecar.get("sha256"), str)
        and isinstance(sidecar.get("rows"), int)
        and isinstance(sidecar.get("bytes", 0), int)
    )
