"""Photographs with masks: a number per pixel that says which class it is of, on the photograph pixel by pixel.

Read are records with `masks/ID.png` beside them, as `synth phantom --masks` writes, or a plain folder

    FOLDER/images/NAME.jpg        photographs of any name
    FOLDER/masks/NAME.png         or .bmp, .tif, .gif: whole numbers, without loss
    FOLDER/masks/classes.yaml     classes: [disc, cup]   what 1, 2, ... mean; or {cup: 0, disc: 128} and background: 255

which becomes records, split by patient, for the length of an evaluation.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from clip.evaluation.coding import Coding, Shape
from clip.zoo.preprocessing import ForeignPreprocessing
from synth.base.errors import UserError
from synth.base.runs import progress
from synth.base.scratch import scratch
from synth.data.images import Preprocessing, decode, field_of_view, window
from synth.data.pictures import Pictures
from synth.data.records import read_table, write_records
from synth.sources import importing
from synth.sources.people import distinct, same_people
from synth.sources.pictures import Folder
from synth.sources.report import Report

SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".gif")
"""Formats that keep every number."""

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels of a photograph."""


class Photograph(NamedTuple):
    """Where a photograph stands, and its mask."""

    id: str
    subject: str
    mask: Path
    shape: Shape
    window: Box
    """What of it the square shows."""


class Masked(NamedTuple):
    """N photographs of one part, as an encoder sees them, with their masks."""

    pixels: np.ndarray
    """(N, S, S, 3) uint8."""
    masks: np.ndarray
    """(N, S, S) uint8, the nearest pixel's class."""
    photographs: list[Photograph]
    """What they are of, in the same order."""


@contextmanager
def opened(
    data: Path, subject: str | None, shares: Sequence[int]
) -> Iterator[tuple[Path, dict[str, Any] | None]]:
    """Records of photographs, `data` itself or made of its folder `images`; and what a report says of the import.

    Args:
        subject: finds the patient in a file's name, as the group of a regular expression; without it every photograph
                 stands alone.
        shares:  train : validation : test, over patients.

    Raises:
        UserError: neither records nor such a folder, or a name without a patient.
    """
    if (data / "data").is_dir() or not (data / "images").is_dir():
        yield data, None
        return
    report = Report("images")
    photos = []
    folder = Folder(data / "images")
    for path in folder.paths:
        person = re.search(subject, path.stem) if subject else None
        if subject and person is None:
            raise UserError(f"{path}: --set subject='{subject}' finds no patient in its name")
        photos.append(folder.photo(path, **({"subject_id": person[1]} if person else {})))
    people = same_people(distinct(iter(photos)), report)
    rows = importing.rows("images", iter(photos), report, None, people)
    with scratch(data) as folder:
        first = next(rows, None)
        if first is None:
            raise UserError(f"{data / 'images'}: no photograph in it can be read; replace them")
        write_records(Path(folder), chain([first], rows), {"kind": "masked", "shares": list(shares)}, shares)
        yield Path(folder), report.summary()


def read(
    records: Path,
    split: Sequence[str],
    folder: Path,
    names: Coding,
    preprocessing: Preprocessing | ForeignPreprocessing,
) -> Masked:
    """The photographs of some splits with their masks, `folder/ID.png`, where ID may lack the name of the set.

    Raises:
        UserError: a photograph has no mask, or one that does not fit it.
    """
    table, pictures = read_table(records, split, ["id", "subject_id", "source"]), Pictures(records, split)
    there = _masks(folder)
    side, count = preprocessing.size, len(table)
    found = Masked(np.zeros((count, side, side, 3), np.uint8), np.zeros((count, side, side), np.uint8), [])
    with progress("reading masks", count) as bar:
        for i, row in enumerate(table.to_pylist()):
            short = row["id"].removeprefix(f"{row['source']}-")  # an import puts the name of its set first
            path = there.get(row["id"]) or there.get(short)
            if path is None:
                raise UserError(
                    f"{folder}: no mask of '{short}'; add {short}.png, or take the photograph out"
                )
            picture = decode(pictures[i], pictures.where(i))
            shape, box = (picture.shape[0], picture.shape[1]), shown(preprocessing, picture)
            mask = Image.fromarray(names.read(path, shape))
            found.pixels[i] = preprocessing(pictures[i], pictures.where(i))
            found.masks[i] = mask.transform(
                (side, side), Image.Transform.EXTENT, box, Image.Resampling.NEAREST
            )
            found.photographs.append(Photograph(row["id"], row["subject_id"], path, shape, box))
            bar.update()
    return found


def _masks(folder: Path) -> dict[str, Path]:
    """Id of a photograph -> its mask."""
    there: dict[str, Path] = {}
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES):
        short = path.relative_to(folder).with_suffix("").as_posix()
        if there.setdefault(short, path) is not path:
            raise UserError(
                f"{folder}: two masks of '{short}', {there[short].name} and {path.name}; take one out"
            )
    return there


def shown(preprocessing: Preprocessing | ForeignPreprocessing, picture: np.ndarray) -> Box:
    """The part of a (H, W, 3) photograph that becomes the square; may reach beyond the photograph."""
    height, width = picture.shape[:2]
    if preprocessing.name == "fov-square":
        return window(field_of_view(picture))
    if preprocessing.name == "squash":
        return 0, 0, width, height
    assert isinstance(preprocessing, ForeignPreprocessing) and preprocessing.name == "shortest-side"
    resize, size = preprocessing.resize or preprocessing.size, preprocessing.size
    spans = []
    for side in (width, height):
        whole = resize * side // min(height, width)  # torchvision's Resize cuts, its CenterCrop rounds
        start = round((whole - size) / 2)
        spans.append((round(start * side / whole), round((start + size) * side / whole)))
    (left, right), (top, bottom) = spans
    return left, top, right, bottom


def spread(probability: torch.Tensor, box: Box, shape: Shape) -> np.ndarray:
    """(H, W) uint8 classes of a photograph's own pixels from (1 + K, S, S) probabilities on its square.

    Bilinear, then the likeliest class; what the square does not show is background.
    """
    left, top, right, bottom = box
    wide = torch.nn.functional.interpolate(probability[None], (bottom - top, right - left), mode="bilinear")
    return paste(wide[0].argmax(dim=0).byte().cpu().numpy(), box, shape)


def paste(part: np.ndarray, box: Box, shape: Shape) -> np.ndarray:
    """(H, W) uint8, `part` at its place in the photograph and 0 elsewhere."""
    whole = Image.new("L", (shape[1], shape[0]), 0)
    whole.paste(Image.fromarray(part), box[:2])
    return np.asarray(whole)
