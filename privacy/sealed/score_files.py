"""The files of a sealed audit: scores of the patients of one group under salted ids, with all that the audit says besides.

A salted id is HMAC-SHA256 of a patient's id under a key that the controller keeps, and rows are in its order, so that neither tells who
a patient is.  Both files carry one statement: the report, the results as they stand before scores are judged, and
the sha256 of the scores of either group.  The sha256 of the statement is the commitment to models, records, settings and scores.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ConfigDict, TypeAdapter

from privacy.decisions.results import Result, Scored
from privacy.report.schema import AuditReport, Sealed
from privacy.sealed import salt
from synth.base.errors import UserError
from synth.base.runs import atomic

FORMAT = "visionclip-sealed-scores/1"
GROUPS = ("members", "nonmembers")
SCHEMA = pa.schema(
    [
        ("patient", pa.string()),
        ("group", pa.string()),
        ("attack", pa.string()),
        ("signal", pa.int32()),
        ("score", pa.float64()),
    ]
)
_HIDDEN = "sealed"  # what stands for a path
_RESULTS = TypeAdapter(
    list[Result], config=ConfigDict(arbitrary_types_allowed=True, ser_json_inf_nan="strings")
)

Values = dict[str, np.ndarray]
"""Attack -> (P, k) numbers of the patients of a group, in the order of their salted ids."""


class Statement(NamedTuple):
    """What both files of a sealed audit say."""

    report: AuditReport
    results: list[Result]
    """Every answer but those of T1; those of `scored` as they stand before they are judged."""
    scored: list[str]
    """Attacks that scores are there of."""
    digests: dict[str, str]
    """Group -> sha256 of its scores."""
    key: str
    """sha256 of the key that ids were salted with."""


class Party(NamedTuple):
    """One file."""

    path: Path
    group: str
    statement: Statement
    commitment: str
    values: Values


def name(result: Result) -> str:
    """What a question is called in a file."""
    return f"{result.threat} {result.attack}"


def check(folder: Path, out: Path) -> None:
    """See that a folder may take the files.

    Raises:
        UserError: it is the folder of the report, where the key and patients' lists lie, or holds something else.
    """
    if folder.resolve() == out.resolve():
        raise UserError(f"--seal {folder}: is --out too, where the key lies; choose a folder of its own")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--seal {folder}: a file, where a folder is needed; choose another")
    ours = {f"{group}.parquet" for group in GROUPS}
    if folder.is_dir() and (
        other := next((each.name for each in folder.iterdir() if each.name not in ours), None)
    ):
        raise UserError(f"--seal {folder}: holds '{other}'; choose an empty folder, all of which can be sent")


def write(folder: Path, key: Path, report: AuditReport, results: Sequence[Result]) -> Sealed:
    """Write the scores of both groups, and give what the report is to say of it.

    Args:
        key:     the file of the key, made where there is none; its owner alone can read it.
        report:  what the controller's audit says; paths are left out.
        results: all answers; those with `scored` are written as they stand before they are judged.
    """
    secret = salt.key(key)
    scored = {name(each): each.scored for each in results if each.scored}
    stated = [
        _plain(each.scored.unanswered if each.scored else each) for each in results if not each.attribute
    ]
    tables = [_table(place, scored, secret) for place in range(len(GROUPS))]
    statement = json.dumps(
        {
            "report": _without_paths(report).as_json(),
            "results": json.loads(_RESULTS.dump_json(stated)),
            "scored": list(scored),
            "digests": {
                group: _digest(table.to_pylist()) for group, table in zip(GROUPS, tables, strict=True)
            },
            "key": salt.fingerprint(secret),
        },
        ensure_ascii=False,
    )
    commitment = _commitment(statement)
    for group, table in zip(GROUPS, tables, strict=True):
        metadata = {"format": FORMAT, "group": group, "statement": statement, "commitment": commitment}
        with atomic(folder / f"{group}.parquet") as temporary:
            pq.write_table(table.replace_schema_metadata(metadata), temporary)
    return sealed(commitment, list(scored), report)


def sealed(commitment: str, scored: Sequence[str], report: AuditReport) -> Sealed:
    """What a report says of the sealing of its scores."""
    return Sealed(commitment=commitment, scored=list(scored), of=len(report.results) + len(report.attributes))


def read(path: Path) -> Party:
    """A file of `write`, whose scores are those that its statement commits to.

    Raises:
        UserError: absent, damaged, changed, of another version, or no such file.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; 'privacy audit --seal FOLDER' writes two")
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError):
        raise UserError(f"{path}: damaged parquet; ask the controller for it again") from None
    told = {key.decode(): value for key, value in (table.schema.metadata or {}).items()}
    if told.get("format") != FORMAT.encode() or not table.schema.remove_metadata().equals(SCHEMA):
        raise UserError(f"{path}: no sealed scores of 'privacy audit --seal', or of another version")
    try:
        group, text, stated = (told[key].decode() for key in ("group", "statement", "commitment"))
        statement, commitment = _read_statement(json.loads(text)), _commitment(text)
    except (KeyError, ValueError, TypeError):  # ValidationError and UnicodeDecodeError are ValueErrors
        raise UserError(f"{path}: its statement is damaged; ask the controller for it again") from None
    rows = table.to_pylist()
    if stated != commitment or group not in GROUPS or statement.digests.get(group) != _digest(rows):
        raise UserError(
            f"{path}: scores or statement were changed after sealing (sha256 differs); ask the controller for it again"
        )
    return Party(path, group, statement, commitment, _values(path, rows, statement.scored))


def _read_statement(found: Mapping[str, Any]) -> Statement:
    texts = {key: found[key] for key in ("scored", "digests", "key")}
    return Statement(
        report=AuditReport.model_validate(found["report"]),
        results=_RESULTS.validate_json(json.dumps(found["results"])),
        **texts,
    )


def _values(path: Path, rows: list[dict[str, Any]], scored: Sequence[str]) -> Values:
    found = {}
    for attack in scored:
        mine = [row for row in rows if row["attack"] == attack]
        patients, signals = ({row[key] for row in mine} for key in ("patient", "signal"))
        values = np.array([row["score"] for row in mine], float)
        if not mine or len(values) != len(patients) * len(signals) or not np.isfinite(values).all():
            raise UserError(
                f"{path}: '{attack}' lacks scores of some patients; ask the controller to seal again"
            )
        found[attack] = values.reshape(len(patients), len(signals))
    return found


def _table(place: int, scored: Mapping[str, Scored], secret: bytes) -> pa.Table:
    """Scores of one group, in the order of attack, salted id and signal."""
    rows = []
    for attack, each in scored.items():
        values = (each.members, each.nonmembers)[place]
        ids = [salt.salted(secret, str(one)) for one in (each.members_ids, each.nonmembers_ids)[place]]
        for row in np.argsort(ids):
            rows += [
                dict(patient=ids[row], group=GROUPS[place], attack=attack, signal=signal, score=float(value))
                for signal, value in enumerate(values[row])
            ]
    return pa.Table.from_pylist(rows, SCHEMA)


def _plain(result: Result) -> Result:
    """Without what names patients."""
    return result._replace(named=(), scored=None, details=dict(result.details))


def _digest(rows: Sequence[Mapping[str, Any]]) -> str:
    """sha256 of rows, to the last bit of a score."""
    lines = (
        json.dumps([row["patient"], row["group"], row["attack"], row["signal"], _exact(row["score"])])
        for row in rows
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _exact(score: float | None) -> str | None:
    return score.hex() if score is not None and math.isfinite(score) else None


def _commitment(statement: str) -> str:
    return hashlib.sha256(statement.encode()).hexdigest()


def _without_paths(report: AuditReport) -> AuditReport:
    update: dict[str, Any] = {"command": "privacy audit --seal"}
    for part in ("members", "nonmembers", "synthetic", "attackers"):
        if found := getattr(report, part):
            update[part] = found.model_copy(update={"path": _HIDDEN})
    for part in ("model", "generator"):
        if found := getattr(report, part):
            update[part] = {**found, "path": _HIDDEN}
    return report.model_copy(update=update)
