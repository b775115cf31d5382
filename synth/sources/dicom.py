"""A folder of DICOM photographs without a table: patient, eye, age and sex come from the headers, diagnoses from nowhere.

Every DICOM file below the folder is read, whatever its name.  Numbers of patients and files become hashes, which whoever has a list of
the numbers can match again: records are as confidential as before.  Names, dates, devices and all else stay behind.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from synth.base.errors import UserError
from synth.data import dicom
from synth.data.dicom_header import Header
from synth.data.refusal import Refused
from synth.sources.contents import head
from synth.sources.headers import columns_of, read_header, warnings_of
from synth.sources.paths import files_below
from synth.sources.pictures import Photo
from synth.sources.report import Report


class _File(NamedTuple):
    name: str
    path: Path
    header: Header


def photos(root: Path, report: Report) -> Iterator[Photo]:
    """Every photograph, one file each; what else is DICOM is dropped by what it is."""
    paths = _files(root, report)
    report.total = len(paths)
    files = [
        _File(name, path, header) for name, path in paths.items() if (header := _header(path, name, report))
    ]
    visits = _visits(files)
    _note_contradictions(files, report)
    taken: set[str] = set()
    for name, path, header in files:
        identity = header.instance or hashlib.sha256(name.encode()).hexdigest()[:16]
        if identity in taken:
            report.drop("DICOM instance twice", name)
            continue
        taken.add(identity)
        labels = {"id": identity, "subject_id": header.subject_id} | columns_of(header)
        labels["visit"] = visits.get((header.subject_id, header.study))
        yield Photo(name, path.read_bytes, labels, name, path, warnings_of(header))


def _visits(files: list[_File]) -> dict[tuple[str | None, str], str]:
    """Patient and study -> its number among those of the patient, in order of date; dates themselves stay behind."""
    studies: dict[str, set[str]] = {}
    for _, _, header in files:
        if header.subject_id and header.study:
            studies.setdefault(header.subject_id, set()).add(header.study)
    return {
        (who, study): str(number)
        for who, found in studies.items()
        for number, study in enumerate(sorted(found), start=1)
    }


def _note_contradictions(files: list[_File], report: Report) -> None:
    """Programs that take names away may give everybody one number."""
    sexes: dict[str, set[str]] = {}
    for _, _, header in files:
        if header.subject_id and header.sex:
            sexes.setdefault(header.subject_id, set()).add(header.sex)
    for _ in (found for found in sexes.values() if len(found) > 1):
        report.note("patient's number with both sexes in DICOM headers: are these several people?")


def _files(root: Path, report: Report) -> dict[str, Path]:
    """Every DICOM file by its path below the folder, in order."""
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; is --root the folder of this set?")
    below = files_below(root)
    for folder in below.unreadable:
        report.note(f"folder that cannot be read: {folder}")
    for name in below.nameless:
        report.drop("name that is neither UTF-8 nor GB18030", name)
    found: dict[str, Path] = {}
    for name, raw in sorted((below.pictures | below.others).items()):
        if dicom.is_dicom(head(root / raw)):
            found[name] = root / raw
        elif name in below.pictures:
            report.drop("picture that is not DICOM", name)
    if not found:
        raise UserError(
            f"{root}: no DICOM file in it; for other pictures and a table use 'synth import folder'"
        )
    return found


def _header(path: Path, name: str, report: Report) -> Header | None:
    try:
        header = read_header(path)
    except OSError:
        report.drop("picture that cannot be read", name)
        return None
    except Refused as error:
        report.drop(error.reason, name)
        return None
    if header.refused:
        report.drop(header.refused, name)
        return None
    return header
