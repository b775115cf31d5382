"""What a file of somebody else's is, by its first bytes, and the files of one kind in a folder."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from clip.inputs.listing import unreadable
from synth.base.disk_errors import check_file
from synth.base.errors import UserError
from synth.data import formats, shards
from synth.sources.paths import SUFFIXES

Kind = Literal["empty", "parquet", "arrow", "tar", "compressed", "workbook", "zip", "page", "pointer", "lmdb", "picture", "text"]  # fmt: skip

_BEGINNINGS: tuple[tuple[bytes, Kind], ...] = (
    (b"PAR1", "parquet"),
    (b"ARROW1", "arrow"),
    (b"\xff\xff\xff\xff", "arrow"),  # a stream, as save_to_disk of the library datasets writes it
    (b"\x1f\x8b", "compressed"),
    (b"BZh", "compressed"),
    (b"\xfd7zXZ", "compressed"),
    (b"\x28\xb5\x2f\xfd", "compressed"),
    (b"PK\x03\x04", "zip"),
    (b"version https://git-lfs", "pointer"),
    (b"\xff\xd8\xff", "picture"),
    (b"\x89PNG", "picture"),
    (b"II*\0", "picture"),
    (b"MM\0*", "picture"),
)
_REMEDIES: dict[Kind, str] = {
    "empty": "is empty; fetch or write it again",
    "arrow": "is Arrow, as save_to_disk of 'datasets' writes it; write parquet with its to_parquet",
    "compressed": "is compressed, so it cannot be read at random; unpack it with 'gunzip', 'unzstd', 'unxz' or 'bunzip2'",
    "workbook": "is an Excel file; save its sheet as CSV in UTF-8",
    "zip": "is a zip archive; unpack it and give the folder",
    "page": "is a web page, not data; the download went wrong, fetch it again",
    "pointer": "is a pointer of Git LFS, not the file; fetch it with 'git lfs pull'",
    "lmdb": "is an LMDB by itself; give the folder that holds imgs/ and pairs/",
    "picture": "is one picture; give a list of them, or a folder",
}


def kind(path: Path) -> Kind:
    """What a file is; "text" is also what nothing else is.

    Raises:
        UserError: it cannot be read.
    """
    check_file(path)
    try:
        with open(path, "rb") as file:
            begin = file.read(512)
    except OSError as error:
        raise unreadable(path, error) from None
    if not begin:
        return "empty"
    if begin[257:262] == b"ustar" or (path.suffix == ".tar" and not begin.strip(b"\0")):
        return "tar"
    if begin[16:20] == b"\xde\xc0\xef\xbe":
        return "lmdb"
    if begin.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "page"
    if begin.startswith(b"PK\x03\x04") and (b"[Content_Types].xml" in begin or b"xl/" in begin):
        return "workbook"
    for start, what in _BEGINNINGS:
        if begin.startswith(start):
            return what
    return "text"


def refusal(path: Path, what: Kind) -> UserError:
    """What is said of a file that is no input, whatever its name says."""
    return UserError(f"{path}: {_REMEDIES.get(what, 'is not what its name says; fetch or write it again')}")


def files(data: Path, *suffixes: str) -> list[Path]:
    """The file `data`, or those in the folder `data` and below whose names end so; hidden ones are left out.

    Raises:
        UserError: a folder cannot be read.
    """
    return [data] if data.is_file() else sorted(p for p in visible(data) if p.name.lower().endswith(suffixes))


def visible(data: Path) -> Iterator[Path]:
    """The files of a folder and below, without hidden ones and what a Mac puts into archives."""
    return (folder / name for folder, names in _walk(data) for name in names)


def is_picture(path: Path) -> bool:
    """Whether a file is a picture: by its suffix, or, without one, by its content, as DICOM often comes."""
    if path.suffix.lower() in SUFFIXES:
        return True
    is_named = path.suffix and not path.suffix[1:].isdigit()  # unlike IM0001, 1.2.840.77
    if is_named or not path.is_file():  # who opens a pipe waits for ever
        return False
    try:
        with open(path, "rb") as file:
            return formats.is_picture(file.read(132))
    except OSError:
        return False


def stamp(data: Path) -> tuple[tuple[int, ...], ...]:
    """What tells an input from what stood there under its name before, for what is kept in memory.

    Of pictures that are files of their own only the folder is looked at: they are read when they are asked for.
    """
    if data.is_file():
        return (shards.stamp(data),)
    places: list[Path] = []
    for folder, names in _walk(data):
        places += [folder, *(folder / name for name in names if not name.lower().endswith(SUFFIXES))]
    return tuple(shards.stamp(place) for place in places if place.exists())


def _walk(data: Path) -> Iterator[tuple[Path, list[str]]]:
    def refuse(error: OSError) -> None:
        raise unreadable(error.filename, error)

    for folder, folders, names in os.walk(data, onerror=refuse, followlinks=True):
        place = Path(folder)
        if place.is_symlink() and place.resolve() in place.absolute().parent.resolve().parents:
            folders[:] = []  # a link to what it lies in
            continue
        folders[:] = [name for name in folders if not is_hidden(name)]
        yield place, [name for name in names if not is_hidden(name)]


def is_hidden(path: str) -> bool:
    """Whether a path holds a part that begins with a dot, such as `._1.jpg`, or is a Mac's `__MACOSX`."""
    return any(
        part == "__MACOSX" or (part[:1] == "." and part not in (".", "..")) for part in path.split("/")
    )
