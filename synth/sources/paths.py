"""Paths of pictures: as they lie below a folder, as tables write them, and an index from one to the other."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".ppm")


def without_suffix(name: str) -> str:
    """A name or path without a picture's suffix; any other dot belongs to the name, as in `1.2.840.77`."""
    stem, _, suffix = name.rpartition(".")
    return stem if stem[-1:] not in ("", "/") and f".{suffix.lower()}" in SUFFIXES else name


class Index:
    """Names by one form of them; of names that share it the first two."""

    def __init__(self, names: Iterable[str], above: list[str], count: int, fold: bool, cut: bool) -> None:
        """Read the names.

        Args:
            above: the folders in which the names lie.
            count: how many of the last parts of a path are compared; 0 is all that the name has.
            fold:  whether letter case is ignored.
            cut:   whether the suffix of a picture is.
        """
        self.first: dict[str, str] = {}
        self.second: dict[str, str] = {}
        self._cut = cut
        for name in names:
            key = name
            if count:
                split = name.split("/")
                key = "/".join((split if count <= len(split) else above + split)[-count:])
            key = without_suffix(key) if cut else key
            key = key.lower() if fold else key
            if self.first.setdefault(key, name) is not name:
                self.second.setdefault(key, name)

    def get(self, place: str) -> list[str]:
        """The files of this form; without suffix, `place` may have one of its own."""
        forms = {place, without_suffix(place)} if self._cut else {place}
        return [
            index[form] for form in sorted(forms) for index in (self.first, self.second) if form in index
        ][:2]


def pictures_below(root: Path) -> Iterator[str]:
    """The path below `root` of every picture, with slashes; hidden files and folders are left out."""
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(folder).relative_to(root)
        for name in files:
            if without_suffix(name) != name and not name.startswith("."):
                yield (below / name).as_posix()


def parts_of(cell: str) -> list[str] | None:
    """The folders and the name in a cell; None where it leads out of where it begins."""
    found: list[str] = []
    for part in cell.replace("\\", "/").split("/"):
        if part == ".." and not found:
            return None
        if part == "..":
            found.pop()
        elif part not in ("", "."):
            found.append(part)
    return found


def is_absolute(cell: str) -> bool:
    """Whether a cell begins at the root of some machine's files: `/mnt`, `D:`, `\\\\server`."""
    return re.match(r"[/\\]|[A-Za-z]+:", cell) is not None
