"""Folders of pairs, each of files of its own, as img2dataset writes "files": `00000/000000001.jpg`, `.txt` and `.json`, see `samples`.

A pair is what has one path but for its ending.  Folders named after a split are that split.  Without `subject_id` every
picture is a person of its own.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from clip.inputs import kinds, samples
from clip.inputs.listing import Files, Listing, identified, split_of_path, unreadable, utf8
from synth.base.errors import UserError

_NOTES = re.compile(r"(readme|licen[cs]e|.*_stats$)", re.IGNORECASE)
_ENDINGS = sorted((*samples.PICTURES, *samples.TEXTS, "json"), key=len, reverse=True)

Pair = dict[str, Path]
"""Ending -> file, of one key."""


def holds(data: Path) -> bool:
    """Whether pictures lie here that have texts or json of the same names."""
    return data.is_dir() and any(len(_kinds(pair)) > 1 for _, pair in _pairs(data))


def read(data: Path) -> Listing:
    """Every pair of every folder; what img2dataset could not fetch is left out and noted.

    Raises:
        UserError: a text without its picture, two pictures of one name, not UTF-8, or a label outside the vocabulary.
    """
    rows: list[dict[str, Any]] = []
    names: list[str] = []
    paths: list[Path] = []
    failed = 0
    for key, pair in _pairs(data):
        where, content = str(data / key), _reader(pair)
        ending = samples.picture_ending(pair, content, where)
        if ending is None:
            failed += 1
            continue
        split = split_of_path(data, pair[ending].parent)
        names.append(utf8(key))
        rows.append(split | samples.columns(pair, content, where))
        paths.append(pair[ending])
    if not rows:
        raise UserError(f"{data}: no pair in its folders")
    places, where = [str(path.parent) for path in paths], [str(path) for path in paths]
    files = [utf8(path.parent.relative_to(data).as_posix()) for path in paths]
    notes = (f"{data}: {failed:,} failed downloads of img2dataset are left out",) if failed else ()
    sizes = np.array([path.stat().st_size for path in paths])
    return Listing(identified(rows, names, files, where), Files(paths, places), sizes, where, notes)


def _pairs(data: Path) -> Iterator[tuple[str, Pair]]:
    """The key, a path below `data`, and the files of every pair, in order; notes without a picture are left out."""
    found: dict[str, Pair] = {}
    for path in kinds.visible(data):
        name = path.name.lower()
        ending = next((each for each in _ENDINGS if name.endswith(f".{each}")), None)
        if ending is None or not path.is_file():
            continue
        key = path.relative_to(data).as_posix()[: -len(ending) - 1]
        if ending in (pair := found.setdefault(key, {})):
            raise UserError(f"{path}: {pair[ending].name} has that name too; take one out")
        pair[ending] = path
    with_pictures = {str(Path(key).parent) for key, pair in found.items() if "picture" in _kinds(pair)}
    for key, pair in sorted(found.items()):
        is_note = "picture" not in _kinds(pair) and _NOTES.fullmatch(Path(key).name)
        if str(Path(key).parent) in with_pictures and not is_note:
            yield key, pair


def _kinds(pair: Pair) -> set[str]:
    return {"picture" if ending in samples.PICTURES else "text" for ending in pair}


def _reader(pair: Pair) -> samples.Read:
    def read(ending: str) -> bytes:
        try:
            return pair[ending].read_bytes()
        except OSError as error:
            raise unreadable(pair[ending], error) from None

    return read
