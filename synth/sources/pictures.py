"""The picture files of a set: found by path or name, checked, and kept as they are wherever possible."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from synth.base.errors import UserError
from synth.data.images import decode, encode
from synth.sources.paths import SUFFIXES, Index, is_absolute, parts_of, pictures_below, without_suffix
from synth.sources.report import Report

_LARGEST = 4 * 2**20  # bytes; a larger lossless picture is kept as JPEG


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


class Folder:
    """The pictures below a folder.  What finds them is indexed as it is needed: one is found as fast among a million.

    The cell of a table, where backslashes are slashes, finds in this order

    1. the file whose path below the folder, or else below `above`, it is, letter by letter;
    2. the one file whose path ends in it;
    3. the one file whose whole path, with a folder at least, it ends in; only where cells begin elsewhere, such as
       `D:\\export\\p1\\od.jpg`;

    2 and 3 first in its letter case, then in any, then both again without the suffix of a picture on either side.  So a name
    finds a file in any folder, and a cell that names folders none in another.  Two files that a cell could mean are an error,
    and so are two cells written differently that find one file, unless both are its path.
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
        found = [
            name for name in pictures_below(root) if re.search(within, name.rpartition("/")[0], re.IGNORECASE)
        ]
        if not found:
            where = f"no picture in its folders '{within}'" if within else "no picture in it"
            raise UserError(f"{root}: {where} ({', '.join(SUFFIXES)}); is the set unpacked?")
        self._root, self._above, self._elsewhere = root, above or root, elsewhere
        self._names = dict.fromkeys(sorted(found, key=lambda name: name.split("/")))
        self._indexes: dict[tuple[int, bool, bool], Index] = {}
        self._wanted: dict[Path, tuple[str, str, bool]] = {}

    @cached_property
    def paths(self) -> list[Path]:
        """Every picture, in order."""
        return [self._root / name for name in self._names]

    def find(self, cells: Iterable[tuple[str, str]], report: Report) -> list[Path | None]:
        """The file that each cell names, told with its line; an absent one is None and counted as dropped.

        Raises:
            UserError: two files could be meant, or two cells find the same.
        """
        return [self._find(cell, where, report) for cell, where in cells]

    def photo(self, path: Path, where: str = "", **labels: Any) -> Photo:
        """A picture of this folder, once all that a table names are found; its id is `identity` unless `labels` tell it."""
        return Photo(self._name(path), path.read_bytes, {"id": self.identity(path)} | labels, where, path)

    def identity(self, path: Path) -> str:
        """What names one picture of those in use: its stem if no other has it, else its path, without suffix if it can be."""
        stems, places = self._taken
        stem, place = without_suffix(path.name), without_suffix(self._name(path))
        if stems[stem] < 2:
            return stem
        return place if places[place] < 2 else self._name(path)

    @cached_property
    def _taken(self) -> tuple[Counter[str], Counter[str]]:
        """How many pictures in use have a stem, and a path without suffix."""
        used = self._wanted or self.paths
        stems = Counter(without_suffix(path.name) for path in used)
        return stems, Counter(without_suffix(self._name(path)) for path in used)

    def _find(self, cell: str, where: str, report: Report) -> Path | None:
        parts = parts_of(cell)
        if parts is None:
            report.drop("path that leads out of the folder", cell)
            return None
        exact = None if is_absolute(cell) else self._exact("/".join(parts))
        path = exact or self._near(parts, cell, where)
        if path is None:
            report.drop("picture absent", cell)
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
        for name in self._names:
            if self._root / name not in self._wanted:
                report.drop("picture without a line in the table", name)

    def _name(self, path: Path) -> str:
        """The path below the folder, or below the one around it."""
        name = path.as_posix().removeprefix(f"{self._root.as_posix()}/")
        return name.removeprefix(f"{self._above.as_posix()}/")

    def _exact(self, place: str) -> Path | None:
        if place in self._names:
            return self._root / place
        if self._root == self._above or without_suffix(place) == place:
            return None
        lead = f"{'/'.join(self._lead)}/"
        if self._lead and place.startswith(lead) and place.removeprefix(lead) in self._names:
            return self._root / place.removeprefix(lead)
        return self._above / place if place in self._around else None

    def _near(self, parts: list[str], cell: str, where: str) -> Path | None:
        begins_elsewhere = self._elsewhere or is_absolute(cell)
        for cut in (False, True):
            for fold in (False, True):
                found = self._matches(parts, begins_elsewhere, fold, cut)
                if len(found) > 1:
                    raise UserError(
                        f"{where}: '{cell}' could be {found[0]} or {found[1]} below {self._root}; write the path that is "
                        "meant, or take the other picture out"
                    )
                if found:
                    return self._root / found[0]
        return None

    def _matches(self, parts: list[str], begins_elsewhere: bool, fold: bool, cut: bool) -> list[str]:
        """Two at most of the nearest files."""
        parts = [part.lower() for part in parts] if fold else parts
        found = self._index(len(parts), fold, cut).get("/".join(parts))
        for start in range(1, len(parts) - 1 if begins_elsewhere and not found else 0):
            tail, lead = parts[start:], self._lead or [self._root.absolute().name]
            lead = [part.lower() for part in lead] if fold else lead
            if not found and tail[: len(lead)] == lead:
                found = self._index(0, fold, cut).get("/".join(tail[len(lead) :]))
            found = found or self._index(0, fold, cut).get("/".join(tail))
        return found

    @cached_property
    def _lead(self) -> list[str]:
        """The folders that lead from the one above to this one; none where it does not lie below."""
        below = Path(os.path.relpath(self._root, self._above)).parts
        return [] if below[:1] == ("..",) else list(below)

    @cached_property
    def _around(self) -> set[str]:
        return set(pictures_below(self._above))

    def _index(self, count: int, fold: bool, cut: bool) -> Index:
        """Files by the last `count` parts of their path, or by all of it below the folder where `count` is 0."""
        key = count, fold, cut
        if key not in self._indexes:
            self._indexes[key] = Index(self._names, list(self._root.absolute().parts[1:]), *key)
        return self._indexes[key]


def checked(photograph: Photo, size: int | None, report: Report) -> bytes | None:
    """The bytes to keep, or None (counted) when the picture is damaged.

    A sound picture stays as it is, byte for byte, unless it is larger than `size` pixels on its longest side
    or is a lossless file above 4 MiB; those become JPEG q95.
    """
    try:
        data = photograph.read()
        picture = decode(data, photograph.name)
    except (UserError, OSError):
        report.drop("damaged picture", photograph.name)
        return None
    longest = max(picture.shape[:2])
    if size is not None and longest > size:
        shape = [max(1, round(side * size / longest)) for side in picture.shape[1::-1]]
        small = Image.fromarray(picture).resize((shape[0], shape[1]), Image.Resampling.BICUBIC)
        report.note(f"pictures resized to {size} pixels, JPEG q95")
        return encode(np.asarray(small))
    if len(data) > _LARGEST and not data.startswith(b"\xff\xd8"):
        report.note("pictures above 4 MiB kept as JPEG q95")
        return encode(picture)
    return data


def digest(data: bytes) -> bytes:
    """What tells two files with the same content."""
    return hashlib.sha256(data).digest()
