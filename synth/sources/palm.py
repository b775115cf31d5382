"""PALM, training part: `PALM-Training400/{P,N,H}0001.jpg`; the first letter of the name is the label, patients are not told.

P is pathologic myopia, N a normal eye, H high myopia without it.  Whether the eyes of P and H are of the kind that the
vocabulary calls degenerative myopia is not said.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from synth.sources.ichallenge import photographs
from synth.sources.pictures import Folder, Photo
from synth.sources.report import Report

_LABELS = {"P": {"is_pm": 1}, "N": {"is_pm": 0, "is_dm": 0}, "H": {"is_pm": 0}}


def photos(root: Path, report: Report) -> Iterator[Photo]:
    """Every labelled photograph; masks are left alone, and parts without labels are counted as dropped."""
    folder = Folder(root)
    pictures = photographs(folder)
    report.total = len(pictures)
    for path in pictures:
        letter = path.stem[0].upper()
        if re.fullmatch(r"[PNH]\d{4}", path.stem, re.I):
            if letter == "H":
                report.note("high myopia that is not pathologic")
            yield folder.photo(path, "", id=path.stem, **_LABELS[letter])
        else:
            report.drop("no label in the name", path.name)
