"""Chinese-CLIP's raw form, from which its build_lmdb_dataset.py makes an LMDB: a table of pictures and lines of texts.

`SPLIT_imgs.tsv` holds an id and a picture in base64 a line, `SPLIT_texts.jsonl` an object `text_id`, `text`, `image_ids` a line.
Read is the folder of them, or one of the two files, with the other beside it.  A picture with several texts counts once for
each, a text of no picture for none.  Every picture is a person of its own, as in the LMDB.
"""

import json
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from clip.inputs.listing import SPLIT_NAMES, Listing, Slices, caption, from_base64, unreadable
from synth.base.documents import unique_keys
from synth.base.errors import UserError

_PICTURES, _TEXTS = "_imgs.tsv", "_texts.jsonl"


class Base64:
    """Pictures whose base64 lies somewhere in a few large files."""

    def __init__(self, texts: Slices) -> None:
        self._texts = texts

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, index: int) -> bytes:
        return from_base64(self._texts[index], self.where(index))

    def where(self, index: int) -> str:
        return self._texts.where(index)


class Text(NamedTuple):
    """A line of texts."""

    where: str
    """The file and the line."""
    text: str
    images: list[str]
    """The ids of its pictures."""


def holds(data: Path) -> bool:
    """Whether these files lie here, or this is one of them."""
    return bool(_parts(data))


def read(data: Path) -> Listing:
    """Every pair of every split.

    Raises:
        UserError: one of two files is absent, a line is not what it should be, or a text's picture is absent.
    """
    rows: list[dict[str, Any]] = []
    places: list[tuple[int, int, int]] = []
    names: list[str] = []
    where: list[str] = []
    paths: list[Path] = []
    for number, (name, folder) in enumerate(_parts(data)):
        pictures, texts = folder / f"{name}{_PICTURES}", folder / f"{name}{_TEXTS}"
        paths.append(pictures)
        lines = _pictures(pictures)
        split = {"split": SPLIT_NAMES[name.lower()]} if name.lower() in SPLIT_NAMES else {}
        for line in _texts(texts):
            for image in line.images:
                if image not in lines:
                    raise UserError(
                        f"{line.where}: image '{image}' is not in {pictures}; mend the one or the other"
                    )
                rows.append(
                    {"id": f"{name}/{image}", "subject_id": f"{name}/{image}"} | split | caption(line.text)
                )
                places.append((number, *lines[image]))
                names.append(f"image '{image}'")
                where.append(line.where)
    if not rows:
        raise UserError(f"{data}: no pair in it; its texts name no picture")
    found = np.array(places, np.int64)
    return Listing(rows, Base64(Slices(paths, found, names)), found[:, 2], where)


def _parts(data: Path) -> list[tuple[str, Path]]:
    """The name of each split and the folder of its files."""
    paths = [data] if data.is_file() else sorted(data.glob("[!.]*"))
    found = {(path.name.removesuffix(end), path.parent) for path in paths for end in (_PICTURES, _TEXTS)
             if path.name.endswith(end)}  # fmt: skip
    return sorted(found)


def _pictures(path: Path) -> dict[str, tuple[int, int]]:
    """Where the base64 of each picture lies: id -> offset and size in bytes."""
    found: dict[str, tuple[int, int]] = {}
    offset = 0
    for number, line in enumerate(_lines(path), start=1):
        image, separator, rest = line.partition(b"\t")
        begin, size = offset + len(image) + 1, len(rest.rstrip())
        offset += len(line)
        if not line.strip():
            continue
        if not separator or not size:
            raise UserError(
                f"{path} line {number}: not an id and a picture in base64 with a tab between; write it again"
            )
        key = image.removeprefix(BOM_UTF8).decode(errors="replace").strip()
        if key in found:
            raise UserError(
                f"{path} line {number}: image '{key}' comes again; give every picture an id of its own"
            )
        found[key] = (begin, size)
    return found


def _texts(path: Path) -> Iterator[Text]:
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        where = f"{path} line {number}"
        try:
            content = json.loads(line, object_pairs_hook=unique_keys)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{where}: not JSON ({error}); write it again") from None
        if not isinstance(content, dict) or not isinstance(content.get("text"), str):
            raise UserError(f"{where}: no key 'text' with a text; write it as Chinese-CLIP does")
        images = content.get("image_ids")
        if not isinstance(images, list) or not all(isinstance(image, int | str) for image in images):
            raise UserError(f"{where}: no key 'image_ids' with a list of ids; write it as Chinese-CLIP does")
        yield Text(where, content["text"].strip(), [str(image) for image in images])


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with open(path, "rb") as file:
            yield from file
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; Chinese-CLIP's raw form has *{_PICTURES} and *{_TEXTS}"
        ) from None
    except OSError as error:
        raise unreadable(path, error) from None
