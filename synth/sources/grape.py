"""GRAPE (China): `CFP/{patient}_{OD|OS}_{visit}.jpg` (or `CFPs/`) and `VF and clinical information.xlsx`; glaucoma, year after year.

The sheet `Follow-up` has a line for each visit of each eye, most without a photograph; `Baseline` has age, sex and the
category of glaucoma of each eye.  Ages are at the first visit, so that of a picture is so many whole years more.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synth.base.errors import UserError
from synth.sources.paths import without_suffix
from synth.sources.pictures import Folder, Photo
from synth.sources.report import Report
from synth.sources.tables import Line, keyed, number, read_xlsx

_SIDES = {"OD": "right", "OS": "left"}
_SEXES = {"M": "M", "F": "F"}
_GLAUCOMA = {"OAG": 1, "ACG": 1}
_EYE = ("Subject Number", "Laterality")
_PERSON = ("Age", "Gender", "Category of Glaucoma")
_VISIT = ("Visit Number", "Interval Years", "Corresponding CFP")


def photos(root: Path, report: Report) -> Iterator[Photo]:
    """Every visit that has a photograph; the id is that of patient, eye and visit."""
    table = root / "VF and clinical information.xlsx"
    eyes = keyed(((_eye(line), line) for line in _lines(table, "Baseline", *_PERSON)), _PERSON)
    keyed(
        ((line["Subject Number"], line) for line in eyes.values()), ["Gender"]
    )  # both eyes are of one person
    visits = [line for line in _lines(table, "Follow-up", *_VISIT) if _is_photographed(line, report)]
    report.total = len(visits)
    folder = Folder(root, within=r"(^|/)CFPs?(/|$)")
    found = folder.find(((line["Corresponding CFP"], line.where) for line in visits), report)
    for line, path in zip(visits, found, strict=True):
        if _eye(line) not in eyes:
            raise UserError(
                f"{line.where}: {_eye(line)} is not on the sheet 'Baseline'; mend the one or the other"
            )
        if path:
            yield folder.photo(path, line.where, **_labels(line, eyes[_eye(line)], report))
    folder.drop_unused(report)


def _lines(table: Path, sheet: str, *columns: str) -> list[Line]:
    """The lines of a sheet below its two rows of headers."""
    lines = read_xlsx(table, [*_EYE, *columns], sheet)
    return [line for line in lines if line["Subject Number"] not in ("", "Subject Number")]


def _eye(line: Line) -> str:
    return f"{line['Subject Number']}_{line['Laterality']}"


def _is_photographed(line: Line, report: Report) -> bool:
    """Whether a visit has a picture, which must be called after patient, eye and visit."""
    name = line["Corresponding CFP"]
    if name in ("", "/"):
        report.note("visits without a photograph")
        return False
    expected = f"{_eye(line)}_{line['Visit Number']}"
    if without_suffix(name) != expected:
        raise UserError(
            f"{line.where}: Corresponding CFP='{name}', but the line is of {expected}; mend the one or the other"
        )
    return True


def _labels(visit: Line, eye: Line, report: Report) -> dict[str, Any]:
    age = number(eye["Age"], f"{eye.where}: Age")
    interval = number(visit["Interval Years"], f"{visit.where}: Interval Years")
    glaucoma = _GLAUCOMA.get(eye["Category of Glaucoma"])
    if glaucoma is None:
        report.note(f"category of glaucoma '{eye['Category of Glaucoma']}', kept as unknown")
    return {
        "subject_id": visit["Subject Number"],
        "eye_side": _known(eye, "Laterality", _SIDES),
        "age": None if age is None or interval is None else age + int(interval),
        "sex": _known(eye, "Gender", _SEXES),
        "is_gc": glaucoma,
        "visit": visit["Visit Number"],
        "camera": visit.get("Acquisition Device") or None,
    }


def _known(line: Line, column: str, values: dict[str, str]) -> str:
    if line[column] not in values:
        raise UserError(
            f"{line.where}: {column}='{line[column]}' is outside the vocabulary; known: {', '.join(values)}"
        )
    return values[line[column]]
