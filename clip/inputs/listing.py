"""What the readers of other people's inputs share: rows by the names of records, where pictures lie, names of splits."""

import base64
import binascii
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from synth.base.disk_errors import check_file
from synth.base.errors import UserError
from synth.data import records
from synth.data.pictures import Encoded

SPLIT_NAMES = {"train": "train", "training": "train", "validation": "validation", "valid": "validation",
               "val": "validation", "dev": "validation", "test": "test", "testing": "test"}  # fmt: skip
"""What others call a split -> what records call it."""

EMPTY_CELLS = frozenset(("nan", "none", "null", "<na>", "n/a", "na"))
"""How tables write a cell that is empty, when they are made into texts."""

COLUMNS = tuple(name for name in records.COLUMNS if name not in ("image", "seed", "plan", "canary"))
"""The columns that an input may tell."""


class Input(Protocol):
    """Captioned pictures, split so that nobody is on two sides."""

    fingerprint: str
    """What names the content."""
    notes: Sequence[str]
    """What was left out on reading, in lines for people."""

    def table(self, split: str, columns: Sequence[str]) -> pa.Table:
        """Columns of a split, null where the input does not tell."""
        ...

    def pictures(self, split: str) -> Encoded:
        """The pictures of a split, in the row order of `table`."""
        ...

    def shards(self, split: str) -> Sequence[Path]:
        """The files of records in which the pictures of a split lie, in order; none of an input that is not ours."""
        ...


class Listing(NamedTuple):
    """What a reader finds in an input that is not ours: N rows."""

    rows: list[dict[str, Any]]
    """What is told of each: columns of records, and `split` where the input tells it."""
    pictures: Encoded
    """N pictures."""
    sizes: np.ndarray
    """(N,) int64, bytes of each picture as it is stored."""
    where: list[str]
    """The file and row of each, for errors."""
    notes: tuple[str, ...] = ()
    """What was left out, in lines for people."""


class Slices:
    """Pictures that lie somewhere in a few large files."""

    def __init__(self, paths: Sequence[Path], places: np.ndarray, names: Sequence[str] | None = None) -> None:
        """`places`: (N, 3) int64, the number of the file in `paths`, offset and size; `names`: what each is called."""
        self._paths, self._places, self._names = paths, places, names

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> bytes:
        path, offset, size = self._places[index].tolist()
        try:
            with open(self._paths[path], "rb") as file:
                file.seek(offset)
                return file.read(size)
        except OSError as error:
            raise unreadable(self.where(index), error) from None

    def where(self, index: int) -> str:
        path = self._places[index, 0]
        name = (
            self._names[index] if self._names else f"row {index - np.searchsorted(self._places[:, 0], path)}"
        )
        return f"{self._paths[path]} {name}"


class Files:
    """Pictures that are files of their own."""

    def __init__(self, paths: Sequence[Path], where: Sequence[str]) -> None:
        """`where`: what names each, for errors."""
        self._paths, self._where = paths, where

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> bytes:
        check_file(self._paths[index])
        try:
            return self._paths[index].read_bytes()
        except OSError as error:
            raise unreadable(self.where(index), error) from None

    def where(self, index: int) -> str:
        return f"{self._where[index]} ({self._paths[index].name})"


def identified(
    rows: Sequence[dict[str, Any]], names: Sequence[str], files: Sequence[str], where: Sequence[str]
) -> list[dict[str, Any]]:
    """The rows with ids, and each picture a person of its own where nobody is told.

    Args:
        names: of the pictures that tell no id.
        files: where each lies; an id that several of them have goes with it.
        where: file and row of each picture, the same in rows that are more captions of one.

    Raises:
        UserError: two pictures of one file have one id.
    """
    ids = [str(row.get("id", name)) for row, name in zip(rows, names, strict=True)]
    first: dict[str, str] = {}
    several = {each for each, file in zip(ids, files, strict=True) if first.setdefault(each, file) != file}
    ids = [f"{file}/{each}" if each in several else each for each, file in zip(ids, files, strict=True)]
    places: dict[str, str] = {}
    for each, place in zip(ids, where, strict=True):
        if places.setdefault(each, place) != place:
            raise UserError(
                f"{place}: id '{each}' is that of {places[each]} too; give every picture its own, or leave id out"
            )
    return [{"subject_id": each} | row | {"id": each} for each, row in zip(ids, rows, strict=True)]


def split_name(text: str, where: str) -> str:
    """What records call the split that `text` names.

    Raises:
        UserError: none that we know.
    """
    if text.lower() not in SPLIT_NAMES:
        raise UserError(f"{where}: split='{text}' is unknown; known: {', '.join(SPLIT_NAMES)}")
    return SPLIT_NAMES[text.lower()]


def split_of_path(data: Path, path: Path) -> dict[str, str]:
    """The split that the names on the way from `data` to a file or folder below it tell, if any does.

    Raises:
        UserError: they tell two.
    """
    names = path.relative_to(data).parts if data.is_dir() else (path.name,)
    words = [re.split(r"[.\-_]", name.lower())[0] for name in names]
    splits = {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}
    if len(splits) > 1:
        raise UserError(
            f"{path}: is named after {' and '.join(sorted(splits))}; rename it or its folder after one"
        )
    return {"split": splits.pop()} if splits else {}


def caption(text: str) -> dict[str, str]:
    """A caption of unknown language under its column: Chinese if a Chinese character is in it."""
    chinese = any("\u4e00" <= character <= "\u9fff" for character in text)
    return {"caption_zh" if chinese else "caption_en": text} if text else {}


def from_base64(text: bytes, where: str) -> bytes:
    """The picture that a text of either alphabet of base64 holds.

    Raises:
        UserError: it is no such text.
    """
    try:
        return base64.b64decode(text.translate(bytes.maketrans(b"-_", b"+/")), validate=True)
    except binascii.Error:
        raise UserError(f"{where}: not base64; build the file again") from None


def utf8(name: str) -> str:
    """A name of a file or member that can be written down: bytes that are not UTF-8 are read as GB18030, else one by one."""
    data = name.encode(errors="surrogateescape")
    for encoding in ("utf-8", "gb18030"):
        with suppress(UnicodeDecodeError):
            return data.decode(encoding)
    return data.decode("latin-1")


def unreadable(where: str | Path, error: OSError) -> UserError:
    """What is said of an input that the system does not let us read."""
    return UserError(f"{where}: cannot be read ({error.strerror}); mend that, or take it out")
