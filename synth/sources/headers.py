"""What the headers of DICOM files add to a table, where it leaves something open."""

from pathlib import Path
from typing import Any

from synth.base.errors import UserError
from synth.data import dicom
from synth.data.dicom_header import Header
from synth.data.refusal import Refused
from synth.sources.contents import head
from synth.sources.paths import without_suffix

_SUFFIXES = (".dcm", ".dicom")
_SAME_AGE = 1.5  # years; a table may count from another day of the year


def completed(path: Path, labels: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The labels of a picture with those of its header, and what is to be noted; only of files that may be DICOM.

    The table's side, age and sex stay where it tells them.  A file that cannot be read adds nothing.

    Raises:
        UserError: it is DICOM, and pydicom is not installed.
    """
    if path.suffix.lower() not in _SUFFIXES and without_suffix(path.name) != path.name:
        return labels, ()
    if not path.is_file():
        return labels, ()
    try:
        if not dicom.is_dicom(head(path)):
            return labels, ()
        header = read_header(path)
    except (OSError, Refused):
        return labels, ()
    facts = columns_of(header)
    told = {key: labels[key] for key in facts if labels.get(key) is not None}
    notes = [
        f"{key} differs between table and DICOM header, the table's kept"
        for key in ("eye_side", "age", "sex")
        if key in told and _differ(told[key], facts[key])
    ]
    notes += [
        f"{key} from the DICOM header"
        for key in ("eye_side", "age", "sex")
        if key not in told and facts[key] is not None
    ]
    return labels | {key: value for key, value in facts.items() if key not in told}, (
        *notes,
        *warnings_of(header),
    )


def read_header(path: Path) -> Header:
    """The header of a DICOM file.

    Raises:
        Refused: it is damaged.
        UserError: pydicom is not installed.
        OSError: it cannot be read.
    """
    try:
        return dicom.header(path)
    except Refused as error:
        if error.reason == dicom.MISSING:  # true of all files, and not a fault of this one
            raise UserError(str(error)) from None
        raise


def columns_of(header: Header) -> dict[str, Any]:
    """Columns of a record; what is no colour photograph has no modality, since headers do not tell which it is."""
    facts: dict[str, Any] = {"eye_side": header.eye_side, "age": header.age, "sex": header.sex}
    if header.is_oct or header.is_grey:
        facts["modality"] = "oct" if header.is_oct else None
    return facts


def warnings_of(header: Header) -> tuple[str, ...]:
    """What a person should look at."""
    return ("DICOM headers that say text is burnt into the picture: review",) if header.has_text else ()


def _differ(told: Any, fact: Any) -> bool:
    if fact is None:
        return False
    return abs(float(told) - fact) > _SAME_AGE if isinstance(fact, float) else told != fact
