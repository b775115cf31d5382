"""A first mapping for a folder of one's own: the table is looked at, and every guess is marked for a person to check."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from synth.base.config import check
from synth.base.errors import UserError
from synth.base.runs import write_text
from synth.sources import guesses, workbooks
from synth.sources.draft import Draft
from synth.sources.guesses import Guess
from synth.sources.mapping import COLUMNS, PERSON, Mapping
from synth.sources.paths import files_below
from synth.sources.tables import Form, Line, read_csv
from synth.sources.translation import Translation
from synth.sources.unmapped import Unmapped

_TABLES = (".csv", ".tsv", ".txt", ".xlsx")
_FITS = "every name fits it"
_HEADERS = 12  # lines among which the header is looked for


class Table(NamedTuple):
    """A table below the folder, read in one way."""

    path: Path
    form: Form
    lines: list[Line]
    images: list[Guess]
    """Its columns that name pictures."""


def suggest(root: Path, mapping: Path) -> dict[str, Any]:
    """Write a first mapping of the table and the pictures below `root` to `mapping`; returns what was guessed, in plain values.

    Raises:
        UserError: `mapping` is there already, or nothing below `root` can be told.
    """
    if mapping.exists():
        raise UserError(f"{mapping}: is there already; give another --mapping, or delete it")
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; is --root the folder with the table and the pictures?")
    pictures = sorted(files_below(root).pictures)
    if not pictures:
        raise UserError(f"{root}: no picture in it; is --root the folder with the table and the pictures?")
    table = _table(root, pictures)
    settings, why = _settings(root, table, pictures)
    lines = table.lines if table else []
    try:
        unmapped, problem = Translation(check(Mapping, settings, str(mapping))).unmapped(lines), None
    except UserError as error:
        unmapped, problem = Unmapped(), str(error)
    draft = Draft(settings, why, unmapped)
    write_text(mapping, draft.text(len(lines), len(pictures), _unused(table, settings), problem))
    return {
        "mapping": str(mapping),
        "table": settings.get("table"),
        "pictures": len(pictures),
        "columns": sorted(settings.get("columns", ())),
        "todo": draft.todo,
    }


def _unused(table: Table | None, settings: dict[str, Any]) -> list[str]:
    """The columns that no guess is about."""
    needed = check(Mapping, settings, "").needed()
    return [name for name in guesses.columns(table.lines) if name not in needed] if table else []


def _table(root: Path, pictures: Sequence[str]) -> Table | None:
    """The table that names most pictures."""
    paths = [
        path for path in sorted(root.rglob("[!.~]*")) if path.suffix.lower() in _TABLES and path.is_file()
    ]
    found = [table for path in paths for sheet in _sheets(path) if (table := _opened(path, sheet, pictures))]
    if paths and not found:
        raise UserError(
            f"{paths[0]}: no column names pictures below {root} ({pictures[0]}, ...); is --root the folder of both? "
            "A folder without a table is read by the names of its pictures"
        )
    return max(found, key=lambda table: len(table.lines) * len(table.images[:2]), default=None)


def _sheets(path: Path) -> list[str | None]:
    if path.suffix.lower() != ".xlsx":
        return [None]
    first, *rest = workbooks.sheets(path)
    return [None, *rest] if first else []


def _opened(path: Path, sheet: str | None, pictures: Sequence[str]) -> Table | None:
    """The table under the header that names most columns, one of them of pictures."""
    found: list[Table] = []
    for header in (None, *range(2, _HEADERS)):
        form = Form(header=header, sheet=sheet)
        try:
            lines = read_csv(path, (), form)
        except UserError:
            continue
        if images := guesses.image_columns(lines, pictures):
            found.append(Table(path, form, lines, images))
            if all(lines[0]):
                break  # a title has cells without a name beside it
    best = max(found, key=lambda table: len(guesses.columns(table.lines)), default=None)
    stems = {guesses.stem(name) for name in pictures}
    if best and any(guesses.stem(name) in stems for name in guesses.columns(best.lines)):
        raise UserError(
            f"{path}: its first line names a picture, not columns; put a line with names above it"
        )
    return best


def _settings(
    root: Path, table: Table | None, pictures: Sequence[str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The keys of a mapping, and for each column why it is taken for what it is."""
    images = {"images": os.path.commonpath([Path(name).parent for name in pictures]) or "."}
    if table is not None:
        place = {"table": table.path.relative_to(root).as_posix()} | images
        place |= {key: value for key, value in table.form._asdict().items() if value is not None}
        settings, why = _of_table(table)
        return place | settings, why
    pattern = guesses.pattern_of(pictures)
    if pattern is None:
        raise UserError(
            f"{root}: no table in it (.csv, .tsv, .txt, .xlsx), and the pictures' names do not tell patient and eye; "
            "write a table with a column of file names"
        )
    return images | {"pattern": pattern}, {"pattern": _FITS}


def _of_table(table: Table) -> tuple[dict[str, Any], dict[str, str]]:
    eyes = _eyes(table)
    columns: dict[str, Any] = {} if eyes else {"image": table.images[0].column}
    taken = {*columns.values(), *(column for eye in eyes.values() for column in eye.values())}
    # what a line of both eyes says of diseases is the patient's, not an eye's
    found = guesses.labelled(table.lines, taken, PERSON if eyes else COLUMNS)
    columns |= {key: guess.column for key, guess in found.items()}
    why = {key: guess.why for key, guess in found.items()} | {"image": table.images[0].why}
    if "age" not in columns and (dates := _dates(table.lines)):
        columns["age"], why["age"] = dates, "from two columns of dates"
    settings: dict[str, Any] = {"columns": columns}
    shared = guesses.diagnoses(table.lines)
    if any("diagnoses" in eye for eye in eyes.values()):
        settings["diagnoses"] = {"others": "error"}
    elif shared:
        settings["diagnoses"] = {"column": shared}
    why["diagnoses"] = "by its name; what an entry denies or doubts is never positive"
    settings |= {"eyes": eyes} if eyes else {}
    if "subject_id" not in columns and not eyes:
        pattern = guesses.pattern_of(list(guesses.distinct(table.lines, columns["image"])))
        settings |= {"pattern": pattern} if pattern else {}
        why |= {"pattern": _FITS} if pattern else {}
    return settings, why


def _dates(lines: Sequence[Line]) -> dict[str, str] | None:
    born = guesses.named(lines, guesses.BORN, guesses.is_date)
    at = guesses.named(lines, guesses.AT, guesses.is_date)
    return {"born": born, "at": at} if born and at else None


def _eyes(table: Table) -> dict[str, dict[str, str]]:
    """The columns of either eye, where each has one of pictures."""
    sides = {side: guess.column for guess in table.images if (side := guesses.side_of(guess.column)[0])}
    if len(sides) < 2:
        return {}
    eyes = {side: {"image": column} for side, column in sorted(sides.items(), reverse=True)}
    for column in guesses.columns(table.lines):
        side, rest = guesses.side_of(column)
        if side is None or column in sides.values():
            continue
        key = "diagnoses" if guesses.is_called(rest, guesses.DIAGNOSES) else guesses.key_of_name(rest)
        if key and key not in ("subject_id", "eye_side", "split"):
            eyes[side].setdefault(key, column)
    return eyes
