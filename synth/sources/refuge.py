"""REFUGE, training part: `Training400/{Glaucoma/g,Non-Glaucoma/n}0001.jpg`; the first letter is the label."""

import re
from collections.abc import Iterator
from pathlib import Path

from synth.sources.ichallenge import photographs
from synth.sources.pictures import Folder, Photo
from synth.sources.report import Report


def photos(root: Path, report: Report) -> Iterator[Photo]:
    """Every labelled photograph; masks are left alone, and parts without labels are counted as dropped."""
    folder = Folder(root)
    pictures = photographs(folder)
    report.total = len(pictures)
    for path in pictures:
        if re.fullmatch(r"[gn]\d{4}", path.stem, re.I):
            yield folder.photo(path, id=path.stem, is_gc=int(path.stem[0].lower() == "g"))
        else:
            report.drop("no label in the name", path.name)
