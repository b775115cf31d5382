"""FIVES: `{train,test}/Original/{number}_{A|D|G|N}.png`; one main disease per picture.

A is age-related macular degeneration, D diabetic retinopathy (its grade is not told), G glaucoma, N normal.
A picture with one of the three does not have the other two; of the remaining diseases only N says anything.
The set's own parts go into the id; patients are not told.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synth.data.vocabulary import FLAGS
from synth.sources.pictures import Folder, Photo
from synth.sources.report import Report

_LABELS: dict[str, dict[str, Any]] = {
    "A": {"is_amd": 1, "is_gc": 0, "dr_grade": 0},
    "D": {"is_amd": 0, "is_gc": 0},
    "G": {"is_amd": 0, "is_gc": 1, "dr_grade": 0},
    "N": {"dr_grade": 0, **dict.fromkeys(FLAGS, 0), "findings": []},
}


def photos(root: Path, report: Report) -> Iterator[Photo]:
    """Every photograph; the drawn vessels in `Ground truth` are no photographs."""
    folder = Folder(root, within="original")
    report.total = len(folder.paths)
    for path in folder.paths:
        name = re.fullmatch(r"(\d+)_([ADGN])", path.stem)
        part = next((part for part in ("train", "test") if part in path.parts[len(root.parts) :]), "part")
        if name is None:
            report.drop("name without A, D, G or N", path.name)
            continue
        if name[2] == "D":
            report.note("retinopathy without a grade (D)")
        yield folder.photo(path, id=f"{part}-{path.stem}", **_LABELS[name[2]])
