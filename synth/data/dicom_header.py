"""The few facts of a DICOM header that records have a column for; nothing else of it is taken."""

import hashlib
import re
from typing import Any, NamedTuple

TAGS = [
    "SOPInstanceUID", "SOPClassUID", "Modality", "PatientID", "IssuerOfPatientID", "PatientSex", "PatientAge",
    "PatientBirthDate", "StudyDate", "StudyInstanceUID", "Laterality", "ImageLaterality", "NumberOfFrames",
    "Rows", "Columns", "PhotometricInterpretation", "BurnedInAnnotation", "BitsStored",
]  # fmt: skip
"""What is read of a header."""

_OLDEST = 120  # years
_NOBODY = re.compile(r"0+|x+|-+|anon\w*|unknown|none|n/?a|匿名", re.IGNORECASE)
"""Numbers that programs write into every header from which they take the patient's."""
_EYES = frozenset(("OP", "OPT", "OT", "SC", "XC", "GM", "ES", ""))
"""Modalities under which photographs of the eye are stored; CT, MR, CR and their like are of something else."""
_NO_DATE = "190001"  # what stands there where none is known


class Header(NamedTuple):
    """What is taken from a header; all else stays in the file."""

    instance: str
    """Hash of what names the file in all the world; empty where it has no such name."""
    subject_id: str | None
    """Hash of the patient's number and of who gave it; without a number, of the study."""
    study: str
    """When it was taken, to put the visits of one patient in order; never written."""
    age: float | None
    """Years, to a month in small children."""
    sex: str | None
    eye_side: str | None
    is_grey: bool
    """Whether it is no colour photograph."""
    is_oct: bool
    has_text: bool
    """Whether the header says that text is burnt into the picture."""
    refused: str
    """Why it is no photograph; empty if it is one."""
    frames: str
    """How many pictures it holds, for errors; empty for one."""


def header_of(content: Any) -> Header:
    """What is taken of a header that pydicom read."""
    born, taken = _date(content, "PatientBirthDate"), _date(content, "StudyDate")
    number, study = _text(content, "PatientID"), _text(content, "StudyInstanceUID")
    number = "" if _NOBODY.fullmatch(number) else number
    person = (
        _hash(number, _text(content, "IssuerOfPatientID")) if number else _hash("", study) if study else None
    )
    return Header(
        instance=_hash(_text(content, "SOPInstanceUID")) if _text(content, "SOPInstanceUID") else "",
        subject_id=person,
        study=f"{_text(content, 'StudyDate')} {study}" if taken else "",
        age=_years(_text(content, "PatientAge"), born, taken),
        sex={"M": "M", "F": "F"}.get(_text(content, "PatientSex").upper()),
        eye_side=_side(content),
        is_grey=_text(content, "PhotometricInterpretation").startswith("MONOCHROME"),
        is_oct=_text(content, "Modality") == "OPT",
        has_text=_text(content, "BurnedInAnnotation").upper() == "YES",
        refused=_refused(content),
        frames=_frames(content),
    )


def _refused(content: Any) -> str:
    if not content.get("Rows") or not content.get("PhotometricInterpretation"):
        return "DICOM without a picture"
    if _text(content, "Modality").upper() not in _EYES:
        return "DICOM that is no photograph of an eye"
    return "several pictures in one file" if _frames(content) else ""


def _frames(content: Any) -> str:
    frames = int(content.get("NumberOfFrames") or 1)
    return f"{frames} frames of DICOM" if frames > 1 else ""


def _text(content: Any, name: str) -> str:
    value = content.get(name)
    return "" if value is None else str(value).strip(" \0")


def _hash(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]


def _side(content: Any) -> str | None:
    """The eye, unless the header contradicts itself."""
    sides = {_text(content, name).upper()[:1] for name in ("ImageLaterality", "Laterality")} - {""}
    return {"R": "right", "L": "left"}.get(sides.pop()) if len(sides) == 1 else None


def _date(content: Any, name: str) -> int | None:
    """Months since the year 0."""
    found = re.match(r"(\d{4})\.?(\d\d)", _text(content, name))
    is_told = found and found[1] > "1800" and found[1] + found[2] != _NO_DATE
    return int(found[1]) * 12 + int(found[2]) if found and is_told else None


def _years(age: str, born: int | None, taken: int | None) -> float | None:
    """`045Y`, `018M`, `006W` or `012D` in years; else, and for `000Y`, from two dates."""
    found = re.fullmatch(r"(\d{1,3})([YMWD])", age.upper())
    if found and int(found[1]):
        years = int(found[1]) / {"Y": 1, "M": 12, "W": 52.18, "D": 365.25}[found[2]]
    elif born and taken:
        years = (taken - born) / 12
        years = years if years < 2 else float(int(years))
    else:
        return None
    return float(years) if 0 <= years <= _OLDEST else None
