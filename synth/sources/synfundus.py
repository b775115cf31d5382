"""SynFundus-1M, under either of its annotation files, comma- or tab-separated.

- generation conditions: `idx` and the labels; picture i is `Part{min(19, i // 50000)}/{i}.png`;
- annotations: `file_name` and the labels, among them a few findings.  Its advice in Chinese contradicts its labels in
  places, so captions are written from the labels alone.

Pictures are files anywhere below the folder, or an `image` column of parquet files with `file_name` or `idx`
beside it; parquet files that hold the labels too need no annotation file.  `is_mh` (media haze or macular hole) and
`is_treated` mean different things to different users and are left out.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synth.base.errors import UserError
from synth.fundus.vocabulary import FLAGS, READABILITY_KEYS
from synth.sources.pictures import Folder, Photo, photo
from synth.sources.report import Report
from synth.sources.tables import Line, read_csv, whole

_FINDINGS = {"is_md": "macular_disease", "has_lesion": "lesion", "is_tessellated": "tessellation"}
_SIDES = {"left": "left", "right": "right", "l": "left", "r": "right", "os": "left", "od": "right", "": None}
_NEEDED = ("dr_grade", *FLAGS, *READABILITY_KEYS)


def photos(root: Path, report: Report) -> Iterator[Photo]:
    """Every annotated picture; all are synthetic, so each is a subject of its own."""
    tables = sorted(p for p in root.rglob("*") if p.suffix.lower() in (".csv", ".tsv"))
    stored = sorted(root.rglob("*.parquet"))
    if not tables and not stored:
        raise UserError(f"{root}: neither an annotation file (.csv, .tsv) nor a parquet file below it")
    if not tables:
        yield from _from_parquet(stored, {}, report)
        return
    lines = [line for table in tables for line in read_csv(table, _NEEDED)]
    key = next((key for key in ("idx", "file_name") if key in lines[0]), None)
    if key is None:
        raise UserError(f"{tables[0]}: column 'idx' or 'file_name' is missing; it has {', '.join(lines[0])}")
    report.total = len(lines)
    if stored:
        yield from _from_parquet(stored, {_stem(line[key]): line for line in lines}, report)
    else:
        yield from _from_files(root, lines, key, report)


def _stem(name: str) -> str:
    return Path(name.replace("\\", "/")).stem


def _from_files(root: Path, lines: list[Line], key: str, report: Report) -> Iterator[Photo]:
    folder: Folder | None = None
    for line in lines:
        name = line[key]
        path = None
        if key == "idx" and name.isdecimal():
            path = root / f"Part{min(19, int(name) // 50_000)}" / f"{name}.png"
        if path is None or not path.exists():
            folder = folder or Folder(root)  # a million names: read only where the usual place is empty
            path = folder.find(name, report)
        if path:
            yield photo(path, **labels(line, name))


def _from_parquet(stored: list[Path], known: dict[str, Line], report: Report) -> Iterator[Photo]:
    import pyarrow.parquet as pq

    for path in stored:
        file = pq.ParquetFile(path)
        columns = file.schema_arrow.names
        needed = ["image"] if known else ["image", *_NEEDED]
        for column in needed:
            if column not in columns:
                raise UserError(f"{path}: column '{column}' is missing; it has {', '.join(columns)}")
        if not known:
            report.total = (report.total or 0) + file.metadata.num_rows
        number = 0
        for batch in file.iter_batches(64):
            for stored_row in batch.to_pylist():
                name = _name(stored_row) or f"{path.stem}-{number}"
                number += 1
                line = known.get(_stem(name)) if known else _texts(stored_row)
                if line is None:
                    report.drop("picture without a line in the table", name)
                else:
                    data: bytes = stored_row["image"]["bytes"]
                    yield Photo(name, lambda data=data: data, {"id": _stem(name)} | labels(line, name))


def _name(stored: dict[str, Any]) -> str:
    names = (stored.get("file_name"), stored.get("idx"), stored["image"].get("path"))
    return next((str(name) for name in names if name is not None), "")


def _texts(stored: dict[str, Any]) -> Line:
    return {k: "" if v is None else str(v) for k, v in stored.items() if not isinstance(v, dict)}


def labels(line: Line, where: str) -> dict[str, Any]:
    """The labels of one line of either file; -1 and an empty cell are unknown."""

    def flag(key: str, allowed: range = range(2)) -> int | None:
        value = whole(line.get(key, ""), (*allowed, -1), f"{where}: {key}")
        return None if value == -1 else value

    side = line.get("eye_side", line.get("eyes_side", "")).lower()
    if side not in _SIDES:
        raise UserError(f"{where}: eye_side='{side}' is outside the vocabulary; known: left, right")
    told = {finding: flag(key) for key, finding in _FINDINGS.items() if key in line}
    found = [finding for finding, value in told.items() if value]
    return {
        "dr_grade": flag("dr_grade", range(5)),
        **{key: flag(key) for key in (*FLAGS, *READABILITY_KEYS)},
        "eye_side": _SIDES[side],
        "findings": found if found or told else None,
    }
