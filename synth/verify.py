"""Check a folder of records: every shard there, whole, of one plan, with the bytes it was written with."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from synth.base.config import fingerprint
from synth.base.errors import UserError
from synth.base.runs import progress, read_json, sha256
from synth.fundus.records import COLUMNS, SPLITS, shards
from synth.plan import shards as planned


def verify(folder: Path) -> dict[str, Any]:
    """Read every byte of `folder`; returns counts.

    Raises:
        UserError: the first thing that is wrong, and what to do about it.
    """
    plan = read_json(folder / "plan.json")
    digest = fingerprint(plan)
    paths = [path for split in SPLITS for path in shards(folder, split)]
    if plan.get("kind") == "synthetic":
        missing = [s.name for s in planned(plan) if not (folder / s.name).with_suffix(".json").exists()]
        if missing:
            raise UserError(
                f"{folder}: {len(missing)} shards are missing, first {missing[0]}; repeat 'synth generate'"
            )
    rows: dict[str, int] = dict.fromkeys(SPLITS, 0)
    with progress("verifying", len(paths), unit="shards") as bar:
        for path in paths:
            rows[path.name.split("-")[0]] += _check(path, digest)
            bar.update()
    return {"folder": str(folder), "plan": digest, "shards": len(paths), "rows": rows}


def _check(path: Path, digest: str) -> int:
    sidecar_path = path.with_suffix(".json")
    remedy = "delete both and repeat the command that wrote them"
    if not sidecar_path.exists():
        raise UserError(f"{path}: no sidecar {sidecar_path.name}; {remedy}")
    sidecar = read_json(sidecar_path)
    if sidecar["plan"] != digest:
        raise UserError(f"{path}: of plan {sidecar['plan'][:16]}, the folder's is {digest[:16]}; {remedy}")
    if sha256(path) != sidecar["sha256"]:
        raise UserError(f"{path}: sha256 differs from its sidecar's; {remedy}")
    found = pq.read_metadata(path)
    if found.num_rows != sidecar["rows"] or found.schema.to_arrow_schema().names != list(COLUMNS):
        raise UserError(f"{path}: rows or columns differ from what its sidecar and the schema say; {remedy}")
    return found.num_rows
