"""Shards of webdataset: tar files in which the members `KEY.jpg`, `KEY.txt`, `KEY.json` make one pair.

Understood per key: a picture (jpg, jpeg, png, webp, bmp, tif, tiff); captions as `txt` (or `caption` in the json, as
img2dataset writes it; Chinese if a Chinese character is in it), `zh.txt`, `en.txt`, or `caption_zh` and `caption_en` in the
json; in the json, any other column of records, `subject_id` and `split` above all.  Shards or folders named after a split
are that split.  Without `subject_id` every picture is a person of its own.
"""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from clip.training.inputs.listing import COLUMNS, SPLIT_NAMES, Listing, Slices, caption, split_name
from synth.base.errors import UserError
from synth.data.records import check_labels

_PICTURES = ("jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff")
_TEXTS = {"txt": None, "zh.txt": "caption_zh", "en.txt": "caption_en"}

Sample = dict[str, tarfile.TarInfo]
"""Ending -> member, of one key."""


def holds(data: Path) -> bool:
    """Whether this is a tar, or a folder with some in it or in its folders."""
    return bool(_shards(data))


def read(data: Path) -> Listing:
    """Every pair of every shard.

    Raises:
        UserError: a shard is damaged or compressed, a key has no picture, or a label is outside the vocabulary.
    """
    shards = _shards(data)
    rows: list[dict[str, Any]] = []
    places: list[tuple[int, int, int]] = []
    names: list[str] = []
    for number, path in enumerate(shards):
        if path.suffix != ".tar":
            raise UserError(f"{path}: a compressed shard cannot be read at random; unpack it with 'gunzip'")
        split = _split(data, path)
        try:
            with tarfile.open(path, "r:") as file:
                for key, members in _samples(file, path):
                    place = next((members[ending] for ending in _PICTURES if ending in members), None)
                    if place is None:
                        raise UserError(
                            f"{path} {key}: no picture ({', '.join(members)}); give it one or take it out"
                        )
                    rows.append(
                        {"id": key, "subject_id": key} | split | _told(file, members, f"{path} {key}")
                    )
                    places.append((number, place.offset_data, place.size))
                    names.append(place.name)
        except tarfile.TarError as error:
            raise UserError(f"{path}: damaged tar ({error}); make or fetch it again") from None
    if not rows:
        raise UserError(f"{data}: no pair in its tars")
    found = np.array(places, np.int64)
    where = [f"{shards[place[0]]} {name}" for place, name in zip(places, names, strict=True)]
    return Listing(rows, Slices(shards, found, names), found[:, 2], where)


def _shards(data: Path) -> list[Path]:
    if data.is_file():
        return [data] if data.name.endswith((".tar", ".tar.gz", ".tgz")) else []
    within = (path for pattern in ("*.tar", "*.tar.gz", "*.tgz", "*/*.tar", "*/*.tar.gz", "*/*.tgz")
              for path in data.glob(pattern))  # fmt: skip
    return sorted(path for path in within if not path.name.startswith("."))


def _split(data: Path, path: Path) -> dict[str, str]:
    """The split that the name of a shard or of its folder tells."""
    inside = [path.parent.name] if path.parent != data and data.is_dir() else []
    for name in (*inside, path.name):
        word = name.lower().split(".")[0].split("-")[0].split("_")[0]
        if word in SPLIT_NAMES:
            return {"split": SPLIT_NAMES[word]}
    return {}


def _samples(file: tarfile.TarFile, path: Path) -> Iterator[tuple[str, Sample]]:
    """The members of each key, which stand one after another."""
    end = path.stat().st_size
    key, members = "", {}
    for member in file:
        folder, _, name = member.name.rpartition("/")
        stem, _, ending = name.partition(".")
        if not member.isfile() or stem.startswith("__") or not ending:  # the last are notes of webdataset's
            continue
        if member.offset_data + member.size > end:
            raise tarfile.ReadError(f"ends within {member.name}")
        this = f"{folder}/{stem}" if folder else stem
        if this != key:
            if members:
                yield key, members
            key, members = this, {}
        members[ending.lower()] = member
        file.members = []  # type: ignore[attr-defined]  # tarfile keeps all that it has seen
    if members:
        yield key, members


def _told(file: tarfile.TarFile, members: Sample, where: str) -> dict[str, Any]:
    """What the texts and the json of one key tell."""
    told: dict[str, Any] = {}
    try:
        if "json" in members:
            content = json.loads(_content(file, members["json"]))
            if not isinstance(content, dict):
                raise UserError(f"{where}.json: holds a {type(content).__name__}, not keys and values")
            if isinstance(content.get("caption"), str):
                told |= caption(content["caption"])
            told |= {name: content[name] for name in COLUMNS if content.get(name) is not None}
            if content.get("split"):
                told["split"] = split_name(str(content["split"]), f"{where}.json")
        for ending, column in _TEXTS.items():
            if ending in members:
                text = _content(file, members[ending]).decode().strip()
                told |= caption(text) if column is None else {column: text or None}
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{where}: not UTF-8 text or JSON ({error}); mend it or take it out") from None
    for name in ("id", "subject_id"):
        if name in told:
            told[name] = str(told[name])
    check_labels(told, where)
    return told


def _content(file: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    content = file.extractfile(member)
    assert content is not None  # it is a regular file
    return content.read()
