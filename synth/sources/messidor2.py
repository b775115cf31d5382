"""MESSIDOR-2 with the adjudicated grades of Krause et al. 2018: `messidor_data.csv` and a folder of pictures.

Pictures that the graders could not judge are dropped and counted.  Where the set's own list of pairs,
`messidor-2.csv` (`left;right`), lies beside it, both eyes of a person are one subject; without it nobody can
know, and every picture stands alone.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synth.base.errors import UserError
from synth.sources.paths import without_suffix
from synth.sources.pictures import Folder, Photo
from synth.sources.report import Report
from synth.sources.tables import read_csv, whole


def photos(root: Path, report: Report) -> Iterator[Photo]:
    """Every gradable picture, under the column names of either public copy of the grades."""
    table = root / "messidor_data.csv"
    own = "image_id" in read_csv(table)[0]
    image, grade = ("image_id", "adjudicated_dr_grade") if own else ("id_code", "diagnosis")
    lines = read_csv(table, [image, grade, "adjudicated_dme", "adjudicated_gradable"])
    report.total = len(lines)
    folder, eyes = Folder(root), _eyes(root / "messidor-2.csv")
    found = folder.find(((line[image], line.where) for line in lines), report)
    for line, path in zip(lines, found, strict=True):
        if path is None:
            continue
        where = f"{table}: {line[image]}"
        if whole(line["adjudicated_gradable"], (0, 1), f"{where}: adjudicated_gradable") != 1:
            report.drop("not gradable", path.name)
            continue
        labels = {
            "dr_grade": whole(line[grade], range(5), f"{where}: {grade}"),
            "is_dme": whole(line["adjudicated_dme"], (0, 1), f"{where}: adjudicated_dme"),
        }
        yield folder.photo(path, line.where, **labels, **eyes.get(without_suffix(path.name).lower(), {}))
    folder.drop_unused(report)


def _eyes(pairs: Path) -> dict[str, dict[str, Any]]:
    """Stem of a picture -> its person and side."""
    eyes: dict[str, dict[str, Any]] = {}
    for line in read_csv(pairs, ["left", "right"]) if pairs.exists() else []:
        for side in ("left", "right"):
            name, known = line[side], {"subject_id": without_suffix(line["left"]), "eye_side": side}
            if name and eyes.setdefault(without_suffix(name).lower(), known) != known:
                raise UserError(f"{line.where}: {side}='{name}' is in another pair too; take one out")
    return eyes
