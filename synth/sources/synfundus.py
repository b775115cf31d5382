"""SynFundus-1M, under either of its annotation files, comma- or tab-separated.

- generation conditions: `idx` and the labels; picture i is `Part{min(19, i // 50000)}/{i}.png`;
- annotations: `file_name` and the labels, among them a few findings.  Its advice in Chinese contradicts its labels in
  places, so captions are written from the labels alone.

Pictures are files anywhere below the folder, or an `image` column of parquet files with `file_name` or `idx`
beside it; parquet files that hold the labels too need no annotation file.  `is_mh` (media haze or macular hole) and
`is_treated` mean different things to different users and are left out.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from synth.base.errors import UserError
from synth.data.vocabulary import FLAGS, READABILITY_KEYS
from synth.sources.paths import parts_of, without_suffix
from synth.sources.pictures import Folder, Photo
from synth.sources.report import Report
from synth.sources.tables import Line, keyed, read_csv, whole

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
    report.total = len(lines)
    if stored:
        known = keyed(((_stem(_named(line)), line) for line in lines), _NEEDED)
        yield from _from_parquet(stored, known, report)
    else:
        yield from _from_files(root, lines, report)


def _named(line: Line) -> str:
    """What a line of either annotation file calls its picture."""
    for key in ("idx", "file_name"):
        if key in line:
            return line[key]
    raise UserError(f"{line.where}: column 'idx' or 'file_name' is missing; it has {', '.join(line)}")


def _stem(name: str) -> str:
    return without_suffix(name.replace("\\", "/").rsplit("/", 1)[-1])


def _agree(name: str, other: str) -> bool:
    """Whether two paths may be those of one picture: the folders of the one are the last of the other."""
    one, two = (parts_of(without_suffix(path)) or [] for path in (name, other))
    common = min(len(one), len(two))
    return one[-common:] == two[-common:]


def _from_files(root: Path, lines: list[Line], report: Report) -> Iterator[Photo]:
    usual = [_usual(root, line) for line in lines]
    if not all(usual):  # a million names are read only where a usual place is empty
        folder = Folder(root)
        others = [(_named(line), line.where) for line, path in zip(lines, usual, strict=True) if path is None]
        found = iter(folder.find(others, report))
        usual = [path or next(found) for path in usual]
    for line, path in zip(lines, usual, strict=True):
        if path:
            known = {"id": without_suffix(path.name)} | labels(line, _named(line))
            yield Photo(path.name, path.read_bytes, known, line.where, path)


def _usual(root: Path, line: Line) -> Path | None:
    """Where the picture of a number lies, if it is there."""
    number = _named(line)
    if "idx" not in line or not number.isdecimal():
        return None
    path = root / f"Part{min(19, int(number) // 50_000)}" / f"{number}.png"
    return path if path.is_file() else None


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
                if line is None or (isinstance(line, Line) and not _agree(_named(line), name)):
                    report.drop("picture without a line in the table", name)
                else:
                    data: bytes = stored_row["image"]["bytes"]
                    yield Photo(name, lambda data=data: data, {"id": _stem(name)} | labels(line, name))


def _name(stored: dict[str, Any]) -> str:
    names = (stored.get("file_name"), stored.get("idx"), stored["image"].get("path"))
    return next((str(name) for name in names if name is not None), "")


def _texts(stored: dict[str, Any]) -> dict[str, str]:
    return {k: "" if v is None else str(v) for k, v in stored.items() if not isinstance(v, dict)}


def labels(line: Mapping[str, str], where: str) -> dict[str, Any]:
    """The labels of one line of either file; -1 and an empty cell are unknown."""

    def flag(key: str, allowed: range = range(2)) -> int | None:
        value = whole(line.get(key, ""), (*allowed, -1), f"{where}: {key}")
        return None if value == -1 else value

    side = line.get("eye_side", line.get("eyes_side", "")).lower()
    if side not in _SIDES:
        raise UserError(f"{where}: eye_side='{side}' is outside the vocabulary; known: left, right")
    stated = {finding: flag(key) for key, finding in _FINDINGS.items() if key in line}
    found = [finding for finding, value in stated.items() if value]
    return {
        "dr_grade": flag("dr_grade", range(5)),
        **{key: flag(key) for key in (*FLAGS, *READABILITY_KEYS)},
        "eye_side": _SIDES[side],
        "findings": found if found or stated else None,
    }
