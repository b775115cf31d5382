"""One shard of records and its sidecar: rows are written as they come, and the file is whole or absent."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from synth.base.runs import atomic, read_json, sha256, write_json

ROW_GROUP = 100  # rows that are in memory at a time


def shard_name(split: str, number: int, count: int) -> str:
    """The file of one shard, relative to the folder of the records."""
    return f"data/{split}-{number:05d}-of-{count:05d}.parquet"


@contextmanager
def writing(
    path: Path, schema: pa.Schema, plan: str, first_index: int
) -> Iterator[Callable[[Iterable[dict[str, Any]]], None]]:
    """Write one shard, then its sidecar; yields what takes rows, in portions of any size.

    The same rows give the same bytes, however they were portioned.

    Raises:
        UserError: the disk is full or the folder cannot be written; nothing has changed then.
    """
    open_rows: list[dict[str, Any]] = []
    written = 0
    with atomic(path) as temporary:
        # JPEG does not compress further, and a dictionary of pictures is only overhead.
        with pq.ParquetWriter(temporary, schema, compression="none", use_dictionary=False) as file:

            def flush() -> None:
                nonlocal written
                file.write_table(pa.Table.from_pylist(open_rows, schema=schema))
                written += len(open_rows)
                open_rows.clear()

            def add(rows: Iterable[dict[str, Any]]) -> None:
                for row in rows:
                    open_rows.append(row)
                    if len(open_rows) == ROW_GROUP:
                        flush()

            yield add
            if open_rows:
                flush()
        digest, size = sha256(temporary), temporary.stat().st_size
    sidecar = {
        "sha256": digest,
        "bytes": size,
        "rows": written,
        "first_index": first_index,
        "last_index": first_index + written - 1,
        "plan": plan,
    }
    write_json(path.with_suffix(".json"), sidecar)


def is_done(path: Path, plan: str) -> bool:
    """Whether a shard of this plan is finished: its sidecar is written last."""
    sidecar = path.with_suffix(".json")
    return path.exists() and sidecar.exists() and read_json(sidecar).get("plan") == plan
