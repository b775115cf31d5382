"""APTOS 2019: `train.csv` and `train_images/*.png`; grades of diabetic retinopathy, patients not told."""

from collections.abc import Iterator
from pathlib import Path

from synth.sources.pictures import Folder, Photo
from synth.sources.report import Report
from synth.sources.tables import read_csv, whole


def photos(root: Path, report: Report) -> Iterator[Photo]:
    """Every picture of the training part, the only one with labels."""
    table = root / "train.csv"
    lines = read_csv(table, ["id_code", "diagnosis"])
    report.total = len(lines)
    folder = Folder(root / "train_images")
    found = folder.find(((line["id_code"], line.where) for line in lines), report)
    for line, path in zip(lines, found, strict=True):
        if path:
            grade = whole(line["diagnosis"], range(5), f"{table}: {line['id_code']}: diagnosis")
            yield folder.photo(path, line.where, dr_grade=grade)
    folder.drop_unused(report)
