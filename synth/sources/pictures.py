"""The picture files of a set: found by name, checked, and kept as they are wherever possible."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from synth.base.errors import UserError
from synth.fundus.images import decode, encode
from synth.sources.report import Report

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".ppm")
_LARGEST = 4 * 2**20  # bytes; a larger lossless picture is kept as JPEG


class Photo(NamedTuple):
    """One picture of a set, not read yet: its name in the set, how to read it, and what is known of it."""

    name: str
    read: Callable[[], bytes]
    labels: dict[str, Any]
    """Columns of a record; `subject_id` without the set's name, null where each picture stands alone."""


def photo(path: Path, **labels: Any) -> Photo:
    """A picture that is a file of its own; its id is the file's stem unless `labels` say otherwise."""
    return Photo(path.name, path.read_bytes, {"id": path.stem} | labels)


class Folder:
    """The pictures below a folder, by file name or by stem, in any case of letters."""

    def __init__(self, root: Path, within: str = "") -> None:
        """`within`: a pattern that the path below `root` must hold, in any case, to tell the parts of a set."""
        if not root.is_dir():
            raise UserError(f"{root}: no such folder; is --root the folder of this set?")
        found = sorted(
            p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")
        )
        found = [p for p in found if re.search(within, str(p.relative_to(root).parent), re.IGNORECASE)]
        if not found:
            where = f"no picture in its folders '{within}'" if within else "no picture in it"
            raise UserError(f"{root}: {where} ({', '.join(SUFFIXES)}); is the set unpacked?")
        self.paths = found
        self._root = root
        self._known = {p.stem.lower(): p for p in reversed(found)}
        self._known |= {p.name.lower(): p for p in reversed(found)}
        self._used: set[Path] = set()

    def find(self, name: str, report: Report) -> Path | None:
        """The file called `name`, with or without suffix; an absent one is counted as dropped."""
        plain = name.replace("\\", "/").rsplit("/", 1)[-1].lower()
        path = self._known.get(plain) or self._known.get(plain.rsplit(".", 1)[0])
        if path is None:
            report.drop("picture absent", name)
        else:
            self._used.add(path)
        return path

    def drop_unused(self, report: Report) -> None:
        """Count the pictures that no line of the table asked for."""
        for path in self.paths:
            if path not in self._used:
                report.drop("picture without a line in the table", str(path.relative_to(self._root)))


def checked(photograph: Photo, size: int | None, report: Report) -> bytes | None:
    """The bytes to keep, or None (counted) when the picture is damaged.

    A sound picture stays as it is, byte for byte, unless it is larger than `size` pixels on its longest side
    or is a lossless file above 4 MiB; those become JPEG q95.
    """
    try:
        data = photograph.read()
        picture = decode(data, photograph.name)
    except (UserError, FileNotFoundError):
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
