"""Folders of pictures alone: `[SPLIT/]CLASS/picture`, with folders between as they come, or pictures without classes.

The folders of a picture are its `source`, `A/B`, by which files of classes (`clip eval --classes`) tell it.  Folders named
after a split are that split, and are not in it.  Every picture is a person of its own.
"""

from pathlib import Path

import numpy as np

from clip.inputs import kinds
from clip.inputs.listing import SPLIT_NAMES, Files, Listing, split_of_path, utf8


def holds(data: Path) -> bool:
    """Whether pictures lie here."""
    return data.is_dir() and any(path.is_file() and kinds.is_picture(path) for path in kinds.visible(data))


def read(data: Path) -> Listing:
    """Every picture, in the order of their paths."""
    found = [path for path in kinds.visible(data) if kinds.is_picture(path)]
    paths = sorted(path for path in found if path.is_file())
    rows = []
    for path in paths:
        short = utf8(path.relative_to(data).as_posix())
        source = "/".join(part for part in short.split("/")[:-1] if part.lower() not in SPLIT_NAMES)
        row = {"id": short, "subject_id": short} | split_of_path(data, path.parent)
        rows.append(row | ({"source": source} if source else {}))
    where = [str(path.parent) for path in paths]
    sizes = np.array([path.stat().st_size for path in paths])
    dead = len(found) - len(paths)
    note = f"{data}: pictures that are links to nothing, or no files, left out: {dead:,}"
    return Listing(rows, Files(paths, where), sizes, [str(path) for path in paths], (note,) if dead else ())
