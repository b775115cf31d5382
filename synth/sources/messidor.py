"""MESSIDOR (1,200 pictures): the annotations of its twelve bases, `*Base??*.csv`, and the pictures.

The set comes with `.xls` files, which we do not read: export each as CSV, under the same name.  Its grades are
not the international ones: 0 no lesion; 1 up to five microaneurysms; 2 more of them or few haemorrhages; 3 many of
either or new vessels.  0 to 2 are taken as they are; 3, severe or proliferative, becomes `dr_grade` 3.
"""

from collections.abc import Iterator
from pathlib import Path

from synth.base.errors import UserError
from synth.sources.idrid import GRADE, IMAGE, RISK, edema
from synth.sources.pictures import Folder, Photo
from synth.sources.report import Report
from synth.sources.tables import read_csv, whole


def photos(root: Path, report: Report) -> Iterator[Photo]:
    """Every picture that one of the tables names."""
    tables = sorted(root.rglob("*[Bb]ase*.csv"))
    if not tables:
        sheets = sorted(root.rglob("*.xls*"))
        found = f"only {sheets[0].name}, which we do not read; export" if sheets else "none; export"
        raise UserError(f"{root}: needs CSV tables such as Annotation_Base11.csv, found {found} them as CSV")
    read = {table: read_csv(table, [IMAGE, GRADE, RISK]) for table in tables}
    report.total = sum(map(len, read.values()))
    folder = Folder(root)
    lines = [(table, line) for table, lines in read.items() for line in lines]
    found = folder.find(((line[IMAGE], line.where) for _, line in lines), report)
    for (table, line), path in zip(lines, found, strict=True):
        if path is None:
            continue
        where = f"{table}: {line[IMAGE]}"
        grade = whole(line[GRADE], range(4), f"{where}: {GRADE}")
        if grade == 3:
            report.note("grade 3, severe or proliferative, kept as dr_grade 3")
        yield folder.photo(path, line.where, dr_grade=grade, **edema(line, where))
    folder.drop_unused(report)
