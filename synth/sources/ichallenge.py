"""What the sets of the iChallenge have in common: photographs beside masks and annotations, the label in the first letter of a name."""

import re
from pathlib import Path

from synth.sources.pictures import Folder


def photographs(folder: Folder) -> list[Path]:
    """The pictures of a set without masks and annotations, which are `.bmp` or lie in folders of their own."""
    return [
        path
        for path in folder.paths
        if path.suffix.lower() != ".bmp" and not re.search("mask|annotation|-gt", str(path.parent), re.I)
    ]
