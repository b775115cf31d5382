"""One pair as webdataset and img2dataset lay it out: what `KEY.jpg`, `KEY.txt` and `KEY.json` tell together.

Understood per key: one picture (any suffix that `synth.sources.paths` knows); captions as `txt` (or `caption` in the json, as
img2dataset writes it; Chinese if a Chinese character is in it), `zh.txt`, `en.txt`, or `caption_zh` and `caption_en` in the
json; in the json, any other column of records, `subject_id` and `split` above all.
"""

import json
from collections.abc import Callable, Collection
from typing import Any

from clip.inputs import metadata
from clip.inputs.listing import caption
from synth.base.documents import unique_keys
from synth.base.errors import UserError
from synth.sources.paths import SUFFIXES

PICTURES = tuple(suffix.removeprefix(".") for suffix in SUFFIXES)
TEXTS = {"txt": None, "zh.txt": "caption_zh", "en.txt": "caption_en"}
"""Ending -> the column of its caption; None where the caption tells its language."""

Read = Callable[[str], bytes]
"""The content of the file of an ending."""


def picture_ending(endings: Collection[str], read: Read, where: str) -> str | None:
    """The ending of the one picture of a key; None where img2dataset could not fetch it.

    Raises:
        UserError: there is no picture, or more than one.
    """
    pictures = [ending for ending in PICTURES if ending in endings]
    if len(pictures) > 1:
        raise UserError(
            f"{where}: has two pictures ({', '.join(pictures)}); nobody can tell which the caption is of, take one out"
        )
    if pictures:
        return pictures[0]
    if "json" in endings and _json(read, where).get("status", "success") != "success":
        return None
    remedy = "give it one or take it out"
    if any(ending.rpartition(".")[2] in PICTURES for ending in endings):
        remedy = "a key ends at the first dot of a name, so names of pairs may have no other; rename them"
    raise UserError(f"{where}: no picture ({', '.join(endings)[:200]}); {remedy}")


def columns(endings: Collection[str], read: Read, where: str) -> dict[str, Any]:
    """What the texts and the json of one key tell, in columns of records.

    Raises:
        UserError: not UTF-8 or JSON, or a value outside the vocabulary; the file is named.
    """
    row: dict[str, Any] = {}
    if "json" in endings:
        content = _json(read, where)
        if not any(ending in endings for ending in TEXTS):
            row |= caption(metadata.text("caption", content.get("caption"), f"{where}.json"))
        row |= metadata.columns(content, f"{where}.json")
    for ending, column in TEXTS.items():
        if ending in endings:
            text = _decoded(read(ending), f"{where}.{ending}").strip()
            row |= caption(text) if column is None else {column: text or None}
    return row


def _json(read: Read, where: str) -> dict[str, Any]:
    try:
        content = json.loads(_decoded(read("json"), f"{where}.json"), object_pairs_hook=unique_keys)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}.json: not JSON ({error}); mend it or take it out") from None
    if not isinstance(content, dict):
        raise UserError(f"{where}.json: holds a {type(content).__name__}, not keys and values")
    return content


def _decoded(content: bytes, where: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: not UTF-8 text ({error}); mend it or take it out") from None
