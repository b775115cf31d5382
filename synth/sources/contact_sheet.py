"""Some pictures of an import for people to look at: small, as text that a page without a network shows."""

import base64
import io
from pathlib import Path
from random import Random
from typing import NamedTuple

from PIL import Image

from synth.base.errors import UserError
from synth.data.images import decode
from synth.data.pictures import Pictures
from synth.data.records import read_table
from synth.sources.entries import Images, entries
from synth.sources.paths import is_absolute, parts_of
from synth.sources.report import Report

_KEPT, _DROPPED = 32, 24
_SIDE = 112  # pixels of a picture


class Tile(NamedTuple):
    """One picture of a sheet."""

    url: str | None
    """Data URL of a JPEG; None where there is nothing to see."""
    name: str
    """Of the file, or of the record."""
    note: str
    """Why it was dropped, or its labels."""


def kept(records: Path) -> list[Tile]:
    """Some records, drawn at random, the same ones every time."""
    pictures = Pictures(records)
    table = read_table(records, columns=["id", "caption_en"])
    drawn = sorted(Random(0).sample(range(len(pictures)), min(_KEPT, len(pictures))))
    return [
        Tile(_url(pictures[place]), table["id"][place].as_py(), table["caption_en"][place].as_py() or "")
        for place in drawn
    ]


def dropped(report: Report, root: Path, read: Path) -> list[Tile]:
    """Some pictures of every reason for which some were dropped, those that cannot be shown too.

    Args:
        root: the folder of the set.
        read: what the import has read.
    """
    reasons = {reason: names for reason, names in report.sampled.items() if names}
    each = max(1, _DROPPED // max(1, len(reasons)))
    drawn = [(reason, name) for reason, names in reasons.items() for name in names[:each]]
    places = _places(read, {name for _, name in drawn})
    images = Images(read)
    tiles = []
    for reason, name in drawn:
        data = images[places[name]] if name in places else None
        tiles.append(Tile(_url(data or _content(root, name)), name, reason))
    return tiles


def _places(read: Path, names: set[str]) -> dict[str, int]:
    return {entry.name: place for place, entry in enumerate(entries(read)) if entry.name in names}


def _content(root: Path, name: str) -> bytes:
    """The file of this name below the folder of the set, or below one of those in it; none of a name that leads elsewhere."""
    if is_absolute(name) or parts_of(name) is None:
        return b""
    try:
        folders = [root, *sorted(path for path in root.iterdir() if path.is_dir())]
        found = next((folder / name for folder in folders if (folder / name).is_file()), None)
        return found.read_bytes() if found else b""
    except (OSError, ValueError):  # a name that is none, a file that cannot be read
        return b""


def _url(data: bytes) -> str | None:
    try:
        picture = Image.fromarray(decode(data))
    except UserError:
        return None
    picture.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
