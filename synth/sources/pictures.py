"""The picture files of a set: found by path or name, checked, and kept as they are wherever possible."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

from synth.base.disk_errors import check_file
from synth.base.errors import UserError
from synth.data import formats
from synth.data.keeping import Kept, kept
from synth.data.refusal import Refused
from synth.sources.contents import Others, Place, head
from synth.sources.headers import completed
from synth.sources.matching import Names
from synth.sources.paths import SUFFIXES, files_below, is_absolute, parts_of, readable, without_suffix
from synth.sources.report import Report


class Photo(NamedTuple):
    """One picture of a set, not read yet: its name in the set, how to read it, and what is known of it."""

    name: str
    read: Callable[[], bytes]
    labels: dict[str, Any]
    """Columns of a record; `subject_id` without the set's name, null where each picture stands alone."""
    where: str = ""
    """The line of the table that names it, for errors."""
    path: Path | None = None
    """The file, where the picture is one of its own."""
    notes: tuple[str, ...] = ()
    """What the report is to count of it."""


def _content(path: Path) -> bytes:
    """What a file holds.

    Raises:
        UserError: it is none, but a pipe or a device.
    """
    check_file(path)
    return path.read_bytes()


class Folder:
    """The pictures below a folder.

    The cell of a table, where backslashes are slashes, finds in this order

    1. the file whose path below the folder, or else below `above`, it is, letter by letter;
    2. the one file whose path ends in it;
    3. the one file whose whole path, with a folder at least, it ends in; only where cells begin elsewhere, such as
       `D:\\export\\p1\\od.jpg`;

    2 and 3 first in its letter case, then in any, then both again without the suffix of a picture on either side.  So a name
    finds a file in any folder, and a cell that names folders none in another.  Two files that a cell could mean are an error,
    and so are two cells written differently that find one file, unless both are its path.

    Names are the same whether `é` is one character or two, and whether their bytes are UTF-8 or GB18030.  A file without the
    suffix of a picture is one by its content: where its path is written, where nothing else is found, or where the folder has
    no other.
    """

    def __init__(
        self, root: Path, within: str = "", above: Path | None = None, elsewhere: bool = False
    ) -> None:
        """Read the names of all files.

        Args:
            within:    a pattern that the path below `root` must hold, in any case, to tell the parts of a set.
            above:     a folder around `root` from which paths in a table may begin too.
            elsewhere: whether relative paths too may begin in folders that are not here.
        """
        if not root.is_dir():
            raise UserError(f"{root}: no such folder; is --root the folder of this set?")
        self._root, self._above, self._elsewhere = root, above or root, elsewhere
        self._below = files_below(root)
        found, others = (_of_part(names, within) for names in (self._below.pictures, self._below.others))
        found = found or {name: raw for name, raw in others.items() if formats.is_picture(head(root / raw))}
        if not found:
            raise UserError(f"{root}: {self._nothing(within)} ({', '.join(SUFFIXES)}); is the set unpacked?")
        self._names = dict(sorted(found.items(), key=lambda item: item[0].split("/")))
        rest = {name: raw for name, raw in others.items() if name not in found}
        self._others = Others(root, rest, self._place)
        self._wanted: dict[Path, tuple[str, str, bool]] = {}

    @cached_property
    def paths(self) -> list[Path]:
        """Every picture, in order."""
        return [self._root / raw for raw in self._names.values()]

    def find(self, cells: Iterable[tuple[str, str]], report: Report) -> list[Path | None]:
        """The file that each cell names, told with its line; an absent one is None and counted as dropped.

        Raises:
            UserError: two files could be meant, or two cells find the same.
        """
        for folder in self._below.unreadable:
            report.note(f"folder that cannot be read: {folder}")
        for name in self._below.nameless:
            report.drop("name that is neither UTF-8 nor GB18030", name)
        return [self._find(cell, where, report) for cell, where in cells]

    def photo(self, path: Path, where: str = "", **labels: Any) -> Photo:
        """A picture of this folder, once all that a table names are found; its id is `identity` unless `labels` tell it.

        What `labels` leave open, the header of DICOM tells.
        """
        known, notes = completed(path, {"id": self.identity(path)} | labels)
        return Photo(self._name(path), partial(_content, path), known, where, path, notes)

    def identity(self, path: Path) -> str:
        """What names one picture of those in use: its stem if no other has it, else its path, without suffix if it can be."""
        stems, places = self._taken
        name = self._name(path)
        stem, place = without_suffix(name.rpartition("/")[2]), without_suffix(name)
        if stems[stem] < 2:
            return stem
        return place if places[place] < 2 else name

    @cached_property
    def _taken(self) -> tuple[Counter[str], Counter[str]]:
        """How many pictures in use have a stem, and a path without suffix."""
        used = [self._name(path) for path in self._wanted or self.paths]
        stems = Counter(without_suffix(name.rpartition("/")[2]) for name in used)
        return stems, Counter(map(without_suffix, used))

    def _find(self, cell: str, where: str, report: Report) -> Path | None:
        parts = parts_of(cell)
        if parts is None or "\0" in cell:
            report.drop("path that leads out of the folder", cell)
            return None
        exact = None if is_absolute(cell) else self._exact("/".join(parts))
        begins = self._elsewhere or is_absolute(cell)
        path = exact or self._one(self._pictures.nearest(parts, begins), cell, where)
        path = path or self._one(self._others.pictures(parts, begins), cell, where)
        if path is None:
            report.drop(*self._nothing_at(parts, cell, begins))
            return None
        first, line, is_exact = self._wanted.setdefault(path, (cell, where, exact is not None))
        if first != cell and not (exact and is_exact):
            raise UserError(
                f"{where}: '{cell}' finds {self._name(path)}, as '{first}' did ({line}); write in both the path below "
                f"{self._root}, or take one line out"
            )
        return path

    def drop_unused(self, report: Report) -> None:
        """Count the pictures that no line of the table asked for."""
        for name, raw in self._names.items():
            if self._root / raw not in self._wanted:
                report.drop("picture without a line in the table", name)

    def _name(self, path: Path) -> str:
        """The path below the folder, or below the one around it, as people read it."""
        name = path.as_posix().removeprefix(f"{self._root.as_posix()}/")
        name = name.removeprefix(f"{self._above.as_posix()}/")
        return readable(name) or name

    def _exact(self, place: str) -> Path | None:
        """The file of this path below the folder or the one around it, through a link to a folder too."""
        if found := self._here(place):
            return found
        if self._root != self._above:
            lead = f"{'/'.join(self._lead)}/"
            if self._lead and place.startswith(lead) and (found := self._here(place.removeprefix(lead))):
                return found
            if without_suffix(place) != place and place in self._around:
                return self._above / self._around[place]
        real = Path(os.path.realpath(self._root / place))
        below = real.relative_to(self._real).as_posix() if real.is_relative_to(self._real) else ""
        raw = self._names.get(readable(below) or "")
        return self._root / raw if raw is not None else None

    def _here(self, place: str) -> Path | None:
        if place in self._names:
            return self._root / self._names[place]
        return self._others.path(place) if self._others.is_picture(place) else None

    @cached_property
    def _real(self) -> Path:
        return Path(os.path.realpath(self._root))

    def _one(self, found: list[str], cell: str, where: str) -> Path | None:
        """The path of what a cell means, if anything."""
        if len(found) > 1:
            raise UserError(
                f"{where}: '{cell}' could be {found[0]} or {found[1]} below {self._root}; write the path that is "
                "meant, or take the other picture out"
            )
        if not found:
            return None
        name = found[0]
        return self._root / self._names[name] if name in self._names else self._others.path(name)

    def _nothing_at(self, parts: list[str], cell: str, begins: bool) -> tuple[str, str]:
        """Why a cell finds no picture, and what to name; what is there instead is never called absent."""
        if parts and os.path.isdir(self._root / "/".join(parts)):  # noqa: PTH112, since Path raises for long names
            return "folder in the place of a picture", cell
        if instead := self._others.instead(parts, begins):
            return "file that is no picture", f"{cell} ({instead})"
        unsure = ", or in a folder that cannot be read" if self._below.unreadable else ""
        return f"picture absent{unsure}", cell

    @cached_property
    def _place(self) -> Place:
        root = list(self._root.absolute().parts[1:])
        return root, self._lead or root[-1:]

    @cached_property
    def _pictures(self) -> Names:
        return Names([*self._names], *self._place)

    @cached_property
    def _lead(self) -> list[str]:
        """The folders that lead from the one above to this one; none where it does not lie below."""
        below = Path(os.path.relpath(self._root, self._above)).parts
        return [] if below[:1] == ("..",) else list(below)

    @cached_property
    def _around(self) -> dict[str, str]:
        return files_below(self._above).pictures

    def _nothing(self, within: str) -> str:
        """What is wrong with a folder in which no picture is found."""
        hidden = f"; it holds folders that cannot be read: {', '.join(self._below.unreadable[:3])}"
        where = f"no picture in its folders '{within}'" if within else "no picture in it"
        return where + (hidden if self._below.unreadable else "")


def _of_part(names: dict[str, str], within: str) -> dict[str, str]:
    return {
        name: raw for name, raw in names.items() if re.search(within, name.rpartition("/")[0], re.IGNORECASE)
    }


def checked(photograph: Photo, size: int | None, report: Report) -> Kept | None:
    """What to keep, as `synth.data.keeping` says, or None (counted) when the picture cannot be read."""
    try:
        data = photograph.read()
        found = kept(data, formats.read(data, photograph.name), size)
    except OSError:
        report.drop("picture that cannot be read", photograph.name)
        return None
    except UserError as error:
        report.drop(error.reason if isinstance(error, Refused) else "damaged picture", photograph.name)
        return None
    for note in (*photograph.notes, *found.notes):
        report.note(note)
    return found


def digest(data: bytes) -> bytes:
    """What tells two files with the same content."""
    return hashlib.sha256(data).digest()
