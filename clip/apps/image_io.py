"""Photographs as people have them: single files and folders, of any format that `synth.data.formats` reads."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from clip.inputs import kinds, photographs
from clip.inputs.listing import Encoded
from synth.base.errors import UserError
from synth.sources.paths import SUFFIXES

_SETS = (".csv", ".tsv", ".json", ".jsonl", ".tar", ".parquet", ".mdb")


class Inside(NamedTuple):
    """A photograph within another file, such as a tar, or one that a list names."""

    where: str
    """The file and the row or member."""
    name: str
    """Its id, fit for the name of a file."""
    pictures: Encoded
    row: int

    @property
    def stem(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.where


def find(places: Sequence[Path]) -> list[Path | Inside]:
    """The files among `places`, and the pictures directly in the folders among them, in order of name.

    A file without a picture's suffix is one by its content, as DICOM often comes.  Of what else `clip train` takes, all
    photographs, each once.

    Raises:
        UserError: a place does not exist, or a folder holds no picture or cannot be read.
    """
    found: list[Path | Inside] = []
    for place in places:
        if _is_set(place):
            found += _inside(place)
        elif place.is_dir():
            inside = sorted(path for path in _files(place) if kinds.is_picture(path))
            if not inside:
                raise UserError(f"{place}: no pictures in this folder; looked for {', '.join(SUFFIXES)}")
            found += inside
        elif place.is_file():
            found.append(place)
        else:
            raise UserError(f"{place}: no such picture")
    return found


def _is_set(place: Path) -> bool:
    """Whether this is no picture and no folder with pictures directly in it, but another form of photographs."""
    if place.is_file():
        return place.suffix.lower() in _SETS
    if not place.is_dir() or any(map(kinds.is_picture, _files(place))):
        return False
    return bool(kinds.files(place, *_SETS)) or any(map(kinds.is_picture, kinds.visible(place)))


def _inside(place: Path) -> list[Path | Inside]:
    pictures = photographs.pictures(place)
    ids = photographs.table(place, columns=["id"])["id"].to_pylist()
    return [Inside(pictures.where(row), key.replace("/", "-"), pictures, row) for row, key in enumerate(ids)]


def _files(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not path.is_dir() and not path.name.startswith(".")]
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror}); mend its permissions") from None


def read(path: Path | Inside) -> bytes:
    """An encoded picture, for `Preprocessing`, which decodes it and refuses what is no picture.

    Raises:
        UserError: no such file, or it cannot be read.
    """
    if isinstance(path, Inside):
        return path.pictures[path.row]
    if not path.is_file():
        raise UserError(f"{path}: no such picture")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); mend its permissions") from None
