"""Paths of pictures: as they lie below a folder, as tables write them, and an index from one to the other."""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from unicodedata import normalize

from synth.base.errors import UserError

SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".ppm", ".pgm", ".webp", ".gif", ".jp2", ".j2k", ".dcm",
    ".dicom",
)  # fmt: skip


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
            key = composed(key.lower() if fold else key)
            if self.first.setdefault(key, name) is not name:
                self.second.setdefault(key, name)

    def get(self, place: str) -> list[str]:
        """The files of this form; without suffix, `place` may have one of its own."""
        place = composed(place)
        forms = {place, without_suffix(place)} if self._cut else {place}
        return [
            index[form] for form in sorted(forms) for index in (self.first, self.second) if form in index
        ][:2]


def composed(name: str) -> str:
    """A name in the one form (NFC) in which `é` and `が` are one character each; some systems store them as two."""
    return normalize("NFC", name)


class Spellings:
    """Files whose names are stored in other bytes than a list writes them: composed or not, or in GB18030."""

    def __init__(self) -> None:
        self._names: dict[Path, dict[str, list[str]]] = {}
        """Of each folder that was looked into, by how people read them."""

    def stored(self, path: Path) -> Path:
        """The one file or folder that `path` means; `path` itself where it is there, and where nothing is or two are."""
        if path.parent == path or os.path.lexists(path):
            return path
        folder = self.stored(path.parent)
        if folder not in self._names:
            names = self._names[folder] = {}
            with suppress(OSError):
                for name in (each.name for each in folder.iterdir()):
                    names.setdefault(composed(readable(name) or name), []).append(name)
        found = self._names[folder].get(composed(path.name), [])
        return folder / (found[0] if len(found) == 1 else path.name)


@dataclass
class Below:
    """The files below a folder, by path with slashes; hidden files and folders are left out."""

    pictures: dict[str, str] = field(default_factory=dict)
    """Path of every picture, as people read it -> as the system has it."""
    others: dict[str, str] = field(default_factory=dict)
    """The same for all other files."""
    unreadable: list[str] = field(default_factory=list)
    """Folders whose files cannot be listed."""
    nameless: list[str] = field(default_factory=list)
    """Pictures whose names are neither UTF-8 nor GB18030, with what is neither as `\\xNN`."""


def files_below(root: Path) -> Below:
    """Every file below `root`; linked folders are followed, each folder once.

    Raises:
        UserError: two files have the same name, one in UTF-8 and one in GB18030.
    """
    found, entered, waiting = Below(), set[tuple[int, int]](), [""]
    while waiting:
        links: list[str] = []
        for start in waiting:
            links += _walk(root, start, found, entered)
        waiting = sorted(
            links
        )  # after all that lies here itself, so that no file is named by a link to its folder
    return found


def _walk(root: Path, start: str, found: Below, entered: set[tuple[int, int]]) -> list[str]:
    """Put the files of one folder below `root`, and of those in it, into `found`; returns the links to folders."""
    links: list[str] = []
    for folder, folders, files in os.walk(
        root / start, onerror=lambda error: _unreadable(error, root, found)
    ):
        about = Path(folder).stat()
        if (about.st_dev, about.st_ino) in entered:
            folders[:] = []
            continue
        entered.add((about.st_dev, about.st_ino))
        below = os.path.relpath(folder, root)
        lead = "" if below == "." else f"{below}/"
        folders[:] = [name for name in folders if not name.startswith(".")]
        links += [f"{lead}{name}" for name in folders if Path(folder, name).is_symlink()]
        for name in files:
            if not name.startswith("."):
                _add(found, f"{lead}{name}")
    return links


def _unreadable(error: OSError, root: Path, found: Below) -> None:
    found.unreadable.append(readable(os.path.relpath(error.filename, root)) or "?")


def _add(found: Below, path: str) -> None:
    name, is_picture = readable(path), without_suffix(path) != path
    if name is None:
        if is_picture:
            found.nameless.append(os.fsencode(path).decode("utf-8", "backslashreplace"))
        return
    files = found.pictures if is_picture else found.others
    if files.setdefault(name, path) != path:
        raise UserError(
            f"{name}: two files have this name, one in UTF-8 and one in GB18030; rename one of them"
        )


def readable(path: str) -> str | None:
    """A path as people read it: each part UTF-8, else GB18030, as Chinese systems wrote it; None where one is neither."""
    if path.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in path):
        return path
    try:
        return "/".join(_decoded(os.fsencode(part)) for part in path.split("/"))
    except UnicodeDecodeError:
        return None


def _decoded(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("gb18030")


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
