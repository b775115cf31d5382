"""A folder of one's own: a table, a folder of pictures, and a YAML file that says which column is what.

    table: visits.xlsx           # CSV or Excel, below --root
    images: photos               # below --root, searched with its subfolders; default: --root itself
    columns:
      image: file                # column with the file's name or path, the only one that is needed
      subject_id: patient        # without it every picture is a subject of its own
      age: age_years
      eye_side: eye              # OD, left, 右眼 ... are known
      dr_grade: {column: icdr, values: {R0: 0, R1: 1, R2: 2, R3: 3, R4: 4, ungraded: null}}
      findings: {column: notes, separator: ";", values: {CNV: neovascularization, none: null}}
    diagnoses: {column: dx, terms: {GON: glaucoma}}
    constants: {modality: cfp}   # the same for every picture

On the left stand columns of our records, on the right yours.  A cell must mean something in our vocabulary, by itself or by
`values`; cells that do not are told all at once.  An empty cell is unknown, except in `findings`, where it is an entry of
nothing found only if `values` maps "" to null.
"""

import unicodedata
from collections.abc import Iterator
from pathlib import Path

from synth.base.config import load
from synth.base.errors import UserError
from synth.sources.mapping import Mapping
from synth.sources.pictures import Folder, Photo
from synth.sources.report import Report
from synth.sources.tables import Header, Line, read_csv
from synth.sources.translation import Picture, Translation


def photos(root: Path, report: Report, mapping: Path) -> Iterator[Photo]:
    """Every line of the table that has a picture, or every eye of it."""
    settings = load(Mapping, mapping)
    folder = Folder(root / settings.images, above=root)
    lines = (
        _named(folder, root / settings.images)
        if settings.table is None
        else read_csv(root / settings.table, settings.needed(), settings.form, report)
    )
    translation = Translation(settings)
    images = translation.images(lines, root / (settings.table or settings.images))
    report.total = len(images)
    found = iter(folder.find(((image, line.where) for image, line in images), report))
    ids: dict[str, Line] = {}
    known: dict[Path, tuple[Line, Picture]] = {}
    splits: dict[str, tuple[str, Line]] = {}
    people: set[str | None] = set()
    for line in lines:
        for picture in translation.pictures(line):
            path = next(found)
            _refuse_two_sides(splits, line, picture)
            if path:
                _refuse_other_labels(known, path, line, picture)
                _refuse_repeated(ids, line, picture)
                _note(picture, report)
                people.add(picture.labels.get("subject_id"))
                yield folder.photo(path, line.where, **picture.labels)
    for _ in range(_alike(people)):
        report.note("patients whose numbers differ only in letter case, width or leading zeros: one person?")
    folder.drop_unused(report)


def _named(folder: Folder, images: Path) -> list[Line]:
    """A line for every picture, where there is no table."""
    return [
        Line(Header(path, {"image": 0}, frozenset()), [path.relative_to(images).as_posix()], 0)
        for path in folder.paths
    ]


def _refuse_other_labels(
    known: dict[Path, tuple[Line, Picture]], path: Path, line: Line, picture: Picture
) -> None:
    """Lines of one picture say the same of it: nobody knows which of two grades is meant, or whether both diagnoses are.

    Two patients who share it are for `people.joined` to tell.
    """
    first, other = known.setdefault(path, (line, picture))
    for key, value in picture.labels.items():
        if key not in ("id", "subject_id", "split") and value != other.labels[key]:
            raise UserError(
                f"{line.where}: {key} of '{picture.image}' is {value}, but {other.labels[key]} in line {first.number}; put what "
                "is known of a picture in one line, or take the other out"
            )


def _refuse_repeated(ids: dict[str, Line], line: Line, picture: Picture) -> None:
    """Every id that the mapping gives is that of one line."""
    identity = str(picture.labels.get("id"))
    if "id" in picture.labels and identity in ids:
        raise UserError(
            f"{line.where}: id '{identity}' is that of line {ids[identity].number} too; give every line its own, or leave id out"
        )
    ids[identity] = line


def _refuse_two_sides(splits: dict[str, tuple[str, Line]], line: Line, picture: Picture) -> None:
    """No patient is on two sides of the split that the table tells."""
    subject, split = picture.labels.get("subject_id"), picture.labels.get("split")
    if subject is None or split is None:
        return
    first, other = splits.setdefault(subject, (split, line))
    if first != split:
        raise UserError(
            f"{line.where}: patient '{subject}' is in {split}, but in {first} in line {other.number}; put every picture of a "
            "patient on one side, or take split out of the mapping"
        )


def _alike(people: set[str | None]) -> int:
    """How many of them have a number that another one's is, as people write it: `P7` and `ｐ７`, `007` and `7`."""
    known = people - {None}
    return len(known) - len({unicodedata.normalize("NFKC", str(who)).casefold().lstrip("0") for who in known})


def _note(picture: Picture, report: Report) -> None:
    for entry in picture.doubtful:
        report.note(f"diagnosis '{entry}' is not clear, kept as unknown")
    if picture.labels.get("subject_id") is None and "subject_id" in picture.labels:
        report.note("pictures without subject_id, each taken for a person of its own")
