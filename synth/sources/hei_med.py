"""HEI-MED: `DMED/*.jpg`, each with a `.meta` file of `~Key~Value` lines; people with diabetes, one picture each.

The set was photographed up to 2010, so 2010 minus the year of birth is the largest age possible.  A grade of
retinopathy is not told.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synth.base.errors import UserError
from synth.data.vocabulary import RACES
from synth.sources.pictures import Folder, Photo
from synth.sources.report import Report

_LAST_YEAR = 2010
_YOUNGEST = 10  # years; a smaller age is a slip in the year of birth
_RACES = {name.upper(): race.key for race in RACES for name in (race.key, *race.synonyms)}


def photos(root: Path, report: Report) -> Iterator[Photo]:
    """Every picture with its `.meta` file."""
    folder = Folder(root / "DMED")
    report.total = len(folder.paths)
    for path in folder.paths:
        described = path.with_suffix(".meta")
        if not described.exists():
            report.drop("picture without a .meta file", path.name)
            continue
        yield folder.photo(path, id=path.stem.strip("()"), **_person(read_meta(described), described, report))


def read_meta(path: Path) -> dict[str, str]:
    """The `~Key~Value` lines of a file, keys without the colon that some of them have."""
    lines = path.read_text(encoding="latin-1").splitlines()
    parts = [line.split("~", 2)[1:] for line in lines if line.count("~") >= 2]
    return {key.strip().rstrip(":"): value.strip() for key, value in parts}


def _person(meta: dict[str, str], path: Path, report: Report) -> dict[str, Any]:
    for key in ("PatientGender", "PatientRace", "PatientDOB"):
        if key not in meta:
            raise UserError(
                f"{path}: key '{key}' is missing; it has {', '.join(meta) or 'no ~Key~Value line'}"
            )
    year = re.search(r"\d{4}", meta["PatientDOB"])
    age = _LAST_YEAR - int(year[0]) if year else None
    if age is not None and age < _YOUNGEST:
        report.note(f"ages below {_YOUNGEST} years, kept as unknown")
        age = None
    race = _RACES.get(meta["PatientRace"].upper())
    if race is None and meta["PatientRace"].upper() not in ("UNKNOWN", ""):
        report.note(f"race '{meta['PatientRace']}' kept as unknown")
    sex = meta["PatientGender"].upper()
    return {"age": age, "sex": sex if sex in ("F", "M") else None, "race": race}
