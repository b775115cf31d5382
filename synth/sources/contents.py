"""Files without the suffix of a picture: some are pictures by their content, and the others are told by what they are."""

import os
from functools import cached_property
from pathlib import Path

from synth.data import formats
from synth.sources.matching import Names

Place = tuple[list[str], list[str]]
"""The folders that lead to one, and the last of them, with which paths in cells may begin."""


class Others:
    """Those of a folder; a file is opened where a cell may mean it."""

    def __init__(self, root: Path, names: dict[str, str], place: Place) -> None:
        """`names`: path below `root` as people read it -> as the system has it."""
        self._root, self._names, self._place = root, names, place

    def path(self, name: str) -> Path:
        return self._root / self._names[name]

    def is_picture(self, name: str) -> bool:
        """Whether a file is there, and is a picture."""
        return name in self._names and formats.is_picture(head(self.path(name)))

    def pictures(self, parts: list[str], begins_elsewhere: bool) -> list[str]:
        """The pictures that the parts of a cell could mean, two at most."""
        return [name for name in self._near(parts, begins_elsewhere) if self.is_picture(name)]

    def instead(self, parts: list[str], begins_elsewhere: bool) -> str:
        """A file that is no picture, where the parts of a cell name one, and what it is; empty if there is none."""
        found = self._near(parts, begins_elsewhere)
        found = found or [self._stems[stem] for stem in self._by_stem.nearest(parts, False, cuts=(False,))]
        return f"{found[0]}: {formats.kind(head(self.path(found[0])))}" if found else ""

    def _near(self, parts: list[str], begins_elsewhere: bool) -> list[str]:
        return self._by_name.nearest(parts, begins_elsewhere, cuts=(False,))

    @cached_property
    def _by_name(self) -> Names:
        return Names([*self._names], *self._place)

    @cached_property
    def _by_stem(self) -> Names:
        return Names([*self._stems], *self._place)

    @cached_property
    def _stems(self) -> dict[str, str]:
        """Path of every file without what follows its last dot -> its path."""
        return {stem: name for name in self._names if (stem := name.rpartition(".")[0])}


def head(path: Path) -> bytes:
    """The first bytes of a file, as many as tell what it is; none where it cannot be read, or is a pipe that says nothing."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            return file.read(256)
    except OSError:
        return b""


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
