"""The data contract: what a row is, and folders of parquet shards that hold them.

A folder of records, real or synthetic, is `data/{split}-{k:05d}-of-{n:05d}.parquet` (or `.tar`), each shard with a
sidecar `.json` {sha256, bytes, rows, first_index, last_index, plan}, and a `plan.json` that says what was asked for.
`datasets.load_dataset(folder)` opens it.  Unknown is null, never 0.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa

from synth.base import runs
from synth.base.config import fingerprint
from synth.base.documents import read_mapping
from synth.base.errors import UserError
from synth.base.runs import write_json
from synth.data import completeness
from synth.data.card import write_card
from synth.data.shards import SPLITS as SPLITS
from synth.data.shards import SUFFIXES, read_shard, shard_name, writing
from synth.data.vocabulary import FINDING_KEYS, FLAGS, MODALITY_KEYS, READABILITY_KEYS, SEX_KEYS, SIDE_KEYS

Row = dict[str, Any]
"""One record: column -> value; `image` is {"bytes": encoded picture, "path": None}."""

ROWS_PER_SHARD = 5000

LABELS = ("dr_grade", *FLAGS, *READABILITY_KEYS, "eye_side", "modality", "findings")
"""The columns that captions tell and generators are conditioned on."""

_TYPES: dict[str, pa.DataType] = {
    "id": pa.string(),
    "subject_id": pa.string(),
    "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
    "caption_zh": pa.string(),
    "caption_en": pa.string(),
    "dr_grade": pa.int8(),
    **dict.fromkeys(FLAGS, pa.int8()),
    **dict.fromkeys(READABILITY_KEYS, pa.int8()),
    "eye_side": pa.string(),
    "modality": pa.string(),
    "findings": pa.list_(pa.string()),
    "age": pa.float32(),
    "sex": pa.string(),
    "race": pa.string(),
    "visit": pa.string(),
    "camera": pa.string(),
    "source": pa.string(),
    "seed": pa.uint64(),
    "plan": pa.string(),
    "canary": pa.int8(),
}
COLUMNS = tuple(_TYPES)


def _features() -> dict[str, Any]:
    """The same schema in the words of Hugging Face, so that its viewers decode the pictures."""
    named: dict[str, Any] = {}
    for name, kind in _TYPES.items():
        if name == "image":
            named[name] = {"_type": "Image"}
        elif pa.types.is_list(kind):
            named[name] = {"_type": "List", "feature": {"dtype": "string", "_type": "Value"}}
        else:
            dtype = "float32" if kind == pa.float32() else str(kind)
            named[name] = {"dtype": dtype, "_type": "Value"}
    return named


SCHEMA = pa.schema(
    list(_TYPES.items()), metadata={"huggingface": json.dumps({"info": {"features": _features()}})}
)


def row(**values: Any) -> Row:
    """A whole record from the columns that are known; the rest are null.

    Raises:
        UserError: a column or a value is outside the vocabulary.
    """
    unknown = set(values) - set(COLUMNS)
    if unknown:
        raise UserError(f"unknown column '{min(unknown)}'; known: {', '.join(COLUMNS)}")
    record = dict.fromkeys(COLUMNS) | values
    check_labels(record)
    return record


def check_labels(labels: Row, where: str = "record") -> None:
    """Refuse a label outside the vocabulary.  `labels` may hold any of `LABELS`, null for unknown."""

    def refuse(key: str, value: Any, allowed: object) -> None:
        raise UserError(f"{where}: {key}={value!r} is outside the vocabulary; known: {allowed}")

    grade = labels.get("dr_grade")
    if grade is not None and grade not in range(5):
        refuse("dr_grade", grade, "0, 1, 2, 3, 4, null")
    for key in (*FLAGS, *READABILITY_KEYS, "canary"):
        if labels.get(key) not in (None, 0, 1):
            refuse(key, labels[key], "0, 1, null")
    if labels.get("eye_side") not in (None, *SIDE_KEYS):
        refuse("eye_side", labels["eye_side"], ", ".join(SIDE_KEYS))
    if labels.get("modality") not in (None, *MODALITY_KEYS):
        refuse("modality", labels["modality"], ", ".join(MODALITY_KEYS))
    if labels.get("sex") not in (None, *SEX_KEYS):
        refuse("sex", labels["sex"], ", ".join(SEX_KEYS))
    for finding in labels.get("findings") or ():
        if finding not in FINDING_KEYS:
            refuse("findings", finding, ", ".join(FINDING_KEYS))


def split_of(subject: str, shares: Sequence[int] = (8, 1, 1)) -> str:
    """The split of a subject: a fixed function of its id, so that one person is never on both sides."""
    position = int.from_bytes(hashlib.sha256(subject.encode()).digest()[:8], "big") / 2**64
    for split, share in zip(SPLITS, shares, strict=True):
        position -= share / sum(shares)
        if position < 0:
            return split
    return SPLITS[-1]


def parse_splits(text: str) -> tuple[str, ...]:
    """What `--split` names: one of train, validation, test, several with commas, or all."""
    wanted = SPLITS if text == "all" else tuple(part.strip() for part in text.split(","))
    for name in wanted:
        if name not in SPLITS:
            raise UserError(f"--split '{name}' is unknown; known: {', '.join(SPLITS)}, all")
    return wanted


def write_shard(path: Path, rows: Iterable[Row], plan: str, first_index: int) -> None:
    """Write one shard, then its sidecar, each whole or not at all.  The same rows give the same bytes."""
    with writing(path, SCHEMA, plan, first_index) as add:
        add(rows)


def claim(folder: Path, plan: Mapping[str, object]) -> str:
    """Make `folder` the home of `plan`, or continue it there; returns the plan's hash.

    Raises:
        UserError: the folder belongs to another plan, or holds something else.
    """
    runs.claim(folder, "plan.json", plan, "plan")
    return fingerprint(plan)


def write_records(
    folder: Path,
    rows: Iterable[Row],
    plan: Mapping[str, object],
    shares: Sequence[int] = (8, 1, 1),
    rows_per_shard: int = ROWS_PER_SHARD,
) -> dict[str, int]:
    """Write rows of unknown number to `folder`, split by subject; returns the rows per split.

    A row that has a key `split`, which is no column, goes there: its set says so.  For imports and phantoms.  Shards are renamed into place at the end, when their number is known; a
    finished folder of the same plan is left as it is.
    """
    digest = claim(folder, plan)
    done = folder / "data" / "done.json"
    if done.exists():
        return read_mapping(done)
    counts = dict.fromkeys(SPLITS, 0)
    parts: dict[str, list[Path]] = {split: [] for split in SPLITS}
    with ExitStack() as stack:
        open_files = {
            split: stack.enter_context(ExitStack()) for split in SPLITS
        }  # what is being written of each
        add: dict[str, Callable[[Iterable[Row]], None]] = {}
        for record in rows:
            record["plan"] = digest
            split = record.pop("split", None) or split_of(record["subject_id"], shares)
            if split not in add:
                parts[split].append(folder / "data" / f".{split}-{len(parts[split]):05d}.parquet")
                add[split] = open_files[split].enter_context(
                    writing(parts[split][-1], SCHEMA, digest, counts[split])
                )
            add[split]([record])
            counts[split] += 1
            if counts[split] % rows_per_shard == 0:
                open_files[split].close()
                del add[split]
    for split in SPLITS:
        for number, part in enumerate(parts[split]):
            path = folder / shard_name(split, number, len(parts[split]))
            part.replace(path)
            part.with_suffix(".json").replace(path.with_suffix(".json"))
    name = str(plan.get("source", plan.get("kind", "records")))
    write_card(folder, name, "Made by `synth`; the plan is in `plan.json`.", counts, "other")
    write_json(done, counts)
    return counts


def shards(folder: Path, split: str) -> list[Path]:
    """The shards of a split, in order.

    Raises:
        UserError: `folder` holds no records at all, or one of the split's shards is missing.
    """
    found = present(folder, split)
    if lost := sorted({path for path in completeness.expected(folder) if _is_of(path, split)} - set(found)):
        raise UserError(
            f"{lost[0]}: missing, the records are not whole; repeat the command that writes them, or copy them again"
        )
    return found


def present(folder: Path, split: str) -> list[Path]:
    """The same of records that may not be whole: those shards of a split that are there.

    Raises:
        UserError: `folder` holds no records at all.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of records")
    found = sorted(p for p in (folder / "data").glob("[!.]*") if p.suffix in SUFFIXES.values())
    if not found:
        raise UserError(
            f"{folder}: no records in it (data/*.parquet); make some with 'synth import' or 'synth generate'"
        )
    return [path for path in found if _is_of(path, split)]


def _is_of(path: Path, split: str) -> bool:
    return path.name.startswith(f"{split}-")


def read_table(
    folder: Path, splits: Sequence[str] = SPLITS, columns: Sequence[str] | None = None
) -> pa.Table:
    """All rows of some splits; without `columns`, every column but `image`.

    Raises:
        UserError: no records, a damaged shard, or a missing column.
    """
    columns = list(columns or (name for name in COLUMNS if name != "image"))
    tables = [read_shard(path, columns, SCHEMA) for split in splits for path in shards(folder, split)]
    schema = pa.schema([SCHEMA.field(name) for name in columns])
    return pa.concat_tables([table.cast(schema) for table in tables]) if tables else schema.empty_table()


def data_fingerprint(*folders: Path) -> str:
    """What names the content of one or more folders of records: the hash of their shards' hashes."""
    each = []
    for folder in folders:
        names = [path for split in SPLITS for path in shards(folder, split)]
        each.append(fingerprint({path.name: completeness.noted_hash(path) for path in names}))
    return each[0] if len(each) == 1 else fingerprint(each)
