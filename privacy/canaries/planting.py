"""Canary bits: a random mark for each patient, planted before training and looked for in what training made.

A canary bit is a fair coin flip and has nothing to do with the photograph, so whoever guesses it better than by chance has learnt it from
that patient: no comparison with non-members is needed, and the test is exact.  The key, which says how every canary bit fell,
is sealed: a file that only its owner can read, known to others by its sha256 alone until it is opened.
"""

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
from pydantic import ConfigDict, Field

from synth.base.disk_errors import check_file
from synth.base.documents import read_mapping
from synth.base.errors import UserError
from synth.base.runs import atomic, progress, read_json, sha256, write_json
from synth.base.stored import Stored
from synth.data import completeness, records
from synth.data.card import write_card
from synth.data.phrases import LANGUAGES, Lang
from synth.data.records import SCHEMA, SPLITS, Row
from synth.data.shards import images, is_done, read_shard, row_groups, writing

FORMAT, VERSION = "visionclip-canary-key", 1
FILE_MODE = 0o600

_CARD = """
Photographs in which each of {patients} patients carries the mark of a random canary bit: in the column `canary` and as the
last words of both captions.  The canary bits are sealed under sha256 `{commitment}`; `privacy canary score` opens the key and
counts how many of them a generator, a synthetic set or a CLIP gives away.

For training what is to be audited.  Not for release.
"""


_Bit = Annotated[int, Field(strict=True, ge=0, le=1)]


class _Sealed(Stored):
    """What the file of a key holds beside its nonce."""

    model_config = ConfigDict(extra="ignore")

    planted: dict[str, _Bit]
    withheld: dict[str, _Bit]
    records: str
    share: float
    seed: int | None


class Key(NamedTuple):
    """How the canary bits of some records fell; every patient of the records is in one of the two."""

    planted: dict[str, int]
    """Patient of split train -> 0 or 1, which the records show."""
    withheld: dict[str, int]
    """Every other patient -> 0 or 1, which nothing but the key shows: nobody can guess these better than by chance."""
    records: str
    """Fingerprint of the records before the canary bits."""
    share: float
    seed: int | None
    commitment: str
    """sha256 of the key's file, which a nonce in it keeps from being guessed."""
    file: Path


def plant(data: Path, out: Path, key: Path, share: float = 1.0, seed: int | None = None) -> dict[str, Any]:
    """Copy the records in `data` to `out`, with a mark for a share of the patients of split train.

    The same call again continues, with the key that is there.

    Args:
        share: of these patients, 0 < share <= 1.
        seed:  of the canary bits, as secret as they are; None draws one.

    Raises:
        UserError: the records have marks already, `key` belongs to other records or lies in `out`.
    """
    if not 0 < share <= 1:
        raise UserError(f"--share {share:g}: must be above 0 and at most 1")
    check_file(key)
    if key.resolve().is_relative_to(out.resolve()) or key.resolve().is_relative_to(data.resolve()):
        raise UserError(f"--key {key}: lies among records, which others may read; keep it elsewhere")
    if not key.exists():
        _seal(key, data, share, seed)
    opened = read_key(key)
    asked = {"records": records.data_fingerprint(data), "share": share, "seed": seed}
    for name, value in asked.items():
        if getattr(opened, name) != value:
            raise UserError(f"{key}: the key of other canary bits ({name} differs); choose another --key")
    plan = {
        "kind": "canary",
        "source": str(_source(data)),
        "records": opened.records,
        "share": share,
        "patients": len(opened.planted),
        "commitment": opened.commitment,
    }
    digest = records.claim(out, plan)
    paths = [path for split in SPLITS for path in records.shards(data, split)]
    with progress("planting", len(paths), unit="shards") as bar:
        for path in paths:
            if not is_done(out / "data" / path.name, digest):
                first = read_mapping(path.with_suffix(".json"), "first_index")["first_index"]
                with writing(out / "data" / path.name, SCHEMA, digest, first) as add:
                    for group in _rows(path):
                        add(_marked(row, opened.planted, digest) for row in group)
            bar.update()
    counts = {split: records.read_table(out, [split], ["id"]).num_rows for split in SPLITS}
    write_json(out / completeness.DONE, counts)
    body = _CARD.format(patients=len(opened.planted), commitment=opened.commitment)
    write_card(out, f"{plan['source']} with canary marks", body, counts, "other", suffix=paths[0].suffix[1:])
    return {
        "records": str(out),
        "key": str(key),
        "commitment": opened.commitment,
        "planted": len(opened.planted),
        "withheld": len(opened.withheld),
    }


def read_key(path: Path) -> Key:
    """Open a sealed key.

    Raises:
        UserError: absent, damaged or no key.
    """
    found = read_json(path)
    if not isinstance(found, dict) or (found.get("format"), found.get("version")) != (FORMAT, VERSION):
        raise UserError(f"{path}: no key of 'privacy canary plant', or of another version of it")
    opened = _Sealed.parse(found, str(path))
    return Key(**dict(opened), commitment=sha256(path), file=path)


def marked(caption: str | None, lang: Lang, bit: int) -> str | None:
    """A caption with the mark of a canary bit as its last words, as `synth.data.captions` would write it."""
    if caption is None:
        return None
    words = LANGUAGES[lang]
    told = caption.rstrip().removesuffix(words.stop)
    return f"{told}{words.comma if told else ''}{words.marks[bit]}{words.stop}"


def unmarked(caption: str, lang: Lang) -> str:
    """A caption without the mark at its end, if it has one."""
    words = LANGUAGES[lang]
    for mark in words.marks:
        for ending in (f"{words.comma}{mark}{words.stop}", f"{mark}{words.stop}"):
            if caption.endswith(ending):
                return caption.removesuffix(ending) + (words.stop if ending.startswith(words.comma) else "")
    return caption


def _seal(path: Path, data: Path, share: float, seed: int | None) -> None:
    """Toss the canary bits and write them to a file that only its owner can read."""
    splits = {}
    for split in SPLITS:
        table = records.read_table(data, [split], ["subject_id", "canary"])
        if table["canary"].null_count < table.num_rows:
            raise UserError(
                f"{data}: has marks of canary bits already; plant into the records they came from"
            )
        splits[split] = set(table["subject_id"].to_pylist())
    everyone = set().union(*splits.values())
    if None in everyone:
        raise UserError(f"{data}: a row has no subject_id; a canary bit is a patient's")
    trained = sorted(splits["train"])
    if not trained:
        raise UserError(f"{data}: nobody in split 'train'; canary bits are for patients who are trained on")
    rng = np.random.default_rng(secrets.randbits(128) if seed is None else seed)
    chosen = sorted(rng.choice(trained, max(1, round(share * len(trained))), replace=False).tolist())
    others = sorted(everyone - set(chosen))
    content = {
        "format": FORMAT,
        "version": VERSION,
        "records": records.data_fingerprint(data),
        "share": share,
        "seed": seed,
        "nonce": secrets.token_hex(32),
        "planted": dict(zip(chosen, rng.integers(0, 2, len(chosen)).tolist(), strict=True)),
        "withheld": dict(zip(others, rng.integers(0, 2, len(others)).tolist(), strict=True)),
    }
    with atomic(path) as temporary:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
        with open(handle, "w", encoding="utf-8") as file:
            json.dump(content, file, ensure_ascii=False, indent=1)


def _source(data: Path) -> str:
    plan = read_mapping(data / "plan.json") if (data / "plan.json").exists() else {}
    return plan.get("source", plan.get("kind", "records"))


def _rows(path: Path) -> Iterator[list[Row]]:
    """The rows of a shard with their pictures, as many at a time as it holds together."""
    columns = [name for name in SCHEMA.names if name != "image"]
    told = read_shard(path, columns, SCHEMA).to_pylist()
    first = 0
    for group, rows in enumerate(row_groups(path)):
        pictures = images(path, group)
        yield [told[first + i] | {"image": {"bytes": bytes(pictures[i]), "path": None}} for i in range(rows)]
        first += rows


def _marked(row: Row, planted: Mapping[str, int], plan: str) -> Row:
    """A row with its patient's mark, if there is one."""
    bit = planted.get(row["subject_id"])
    if bit is None:
        return row | {"plan": plan}
    captions = {f"caption_{lang}": marked(row[f"caption_{lang}"], lang, bit) for lang in LANGUAGES}  # type: ignore[arg-type]
    return row | captions | {"canary": bit, "plan": plan}
