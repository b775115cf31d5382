"""Photographs by words: the embeddings of a data set nearest to that of a text."""

import base64
import io
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from clip import embed
from clip.inputs import photographs
from clip.inputs.sets import Data
from clip.model.checkpoints import weights_fingerprint
from clip.model.encoders import CLIP
from synth.base import ties
from synth.base.errors import UserError
from synth.base.runs import atomic, write_text
from synth.base.templates import environment
from synth.base.translation import LANGUAGES, Catalogue, page_name
from synth.data.images import decode

SIDE = 192
"""Pixels a side of a picture on a contact sheet, `.png`."""
_OFF = 1e-3  # by which the length of an embedding may differ from 1
CATALOGUE = Catalogue(Path(__file__).parent / "zh.yaml")
LARGE = 512
"""Pixels a side of a picture that enlarges where it is chosen, on a sheet `.html`."""


class Hit(NamedTuple):
    """A photograph that lies near to a text."""

    rank: int
    """From 1."""
    score: float
    """Cosine with the text."""
    id: str
    subject_id: str


class Embedded(NamedTuple):
    """A file of `clip embed`."""

    ids: list[str]
    subjects: list[str]
    vectors: np.ndarray
    """(N, D) of length 1."""
    model: str
    """The fingerprint of the model's weights."""


def read(path: Path) -> Embedded:
    """Read a file of `clip embed`.

    Raises:
        UserError: absent, or not such a file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise UserError(f"{path}: no such file; write it with 'clip embed'")
    try:
        table = pq.read_table(
            path, columns=["id", "subject_id", "embedding"], page_checksum_verification=True
        )
    except (pa.ArrowException, OSError, KeyError) as error:  # KeyError: a column stands twice
        line = str(error).splitlines()[0]
        raise UserError(f"{path}: no embeddings of 'clip embed' ({line})") from None
    if not len(table):
        raise UserError(f"{path}: holds no embeddings")
    for name in ("id", "subject_id"):
        if table[name].null_count or not pa.types.is_string(table[name].type):
            raise UserError(f"{path}: '{name}' is not a name in every row; embed again")
    try:
        vectors = np.array(table["embedding"].to_pylist(), np.float32)
    except (ValueError, TypeError):
        raise UserError(
            f"{path}: its embeddings are not lists of as many numbers each; embed again"
        ) from None
    if vectors.ndim != 2 or not np.isfinite(vectors).all():
        row = int(np.argmin(np.isfinite(vectors).reshape(len(vectors), -1).all(axis=1)))
        raise UserError(f"{path} row {row}: its embedding holds what is no number; embed again")
    lengths, ids = np.linalg.norm(vectors, axis=1), table["id"].to_pylist()
    if (off := np.abs(lengths - 1)).max() > _OFF:
        row = int(off.argmax())
        raise UserError(
            f"{path} row {row}: its embedding is {lengths[row]:.3g} long, not 1, so products are no cosines; embed again"
        )
    if len(set(ids)) < len(ids):
        raise UserError(
            f"{path}: id '{Counter(ids).most_common(1)[0][0]}' is in it more than once; embed again"
        )
    model = (table.schema.metadata or {}).get(embed.MODEL.encode())
    if model is None:
        raise UserError(f"{path}: does not tell which model embedded it; embed again with this --model")
    return Embedded(ids, table["subject_id"].to_pylist(), vectors, model.decode())


def search(model: CLIP, embedded: Embedded, text: str, k: int, where: str = "") -> list[Hit]:
    """The `k` photographs whose embeddings have the largest cosine with that of a text, the nearest first.

    Raises:
        UserError: an empty text, or embeddings of another model; `where` names their file.
    """
    if not text.strip():
        raise UserError("the text to look for is empty; give for example '疑似青光眼。'")
    if embedded.vectors.shape[1] != model.config.embedding:
        raise UserError(
            f"{where}: embeddings of {embedded.vectors.shape[1]} numbers, the model makes "
            f"{model.config.embedding}; embed with this --model"
        )
    if embedded.model != weights_fingerprint(model):
        raise UserError(
            f"{where}: embeddings of another model, whose numbers mean something else; embed with this --model"
        )
    scores = ties.levelled(embedded.vectors.astype(float) @ embed.texts(model, [text])[0])
    nearest = np.argsort(-scores, kind="stable")[:k]
    return [
        Hit(rank, float(scores[i]), embedded.ids[i], embedded.subjects[i])
        for rank, i in enumerate(nearest, 1)
    ]


def sheet(path: Path, text: str, hits: list[Hit], data: Data) -> None:
    """Write what was found as pictures: `.png`, or `.html` with its Chinese `.zh.html` beside it; `data` are the records that were embedded.

    Raises:
        UserError: another kind of file, or records that lack what was found.
    """
    if path.suffix.lower() not in (".png", ".html"):
        raise UserError(f"--sheet {path}: write .png or .html")
    rows = {each: row for row, each in enumerate(photographs.table(data, columns=["id"])["id"].to_pylist())}
    if absent := [hit.id for hit in hits if hit.id not in rows]:
        raise UserError(f"{data}: no record '{absent[0]}'; give the records that were embedded")
    pictures = photographs.pictures(data)
    images, side = [], LARGE if path.suffix.lower() == ".html" else SIDE
    for hit in hits:
        image = Image.fromarray(decode(pictures[rows[hit.id]], pictures.where(rows[hit.id])))
        image.thumbnail((side, side))
        images.append(image)
    if path.suffix.lower() == ".html":
        for language in LANGUAGES:
            page = path.with_name(page_name(path.name, language))
            write_text(page, html(text, hits, images, path.name, language))
    else:
        with atomic(path) as temporary:
            _grid(hits, images).save(temporary, "PNG")


def _grid(hits: list[Hit], images: list[Image.Image]) -> Image.Image:
    columns, line = min(5, len(images)), 18
    grid = Image.new("RGB", (columns * SIDE, -(-len(images) // columns) * (SIDE + line)), "white")
    draw = ImageDraw.Draw(grid)
    for k, (hit, image) in enumerate(zip(hits, images, strict=True)):
        x, y = k % columns * SIDE, k // columns * (SIDE + line)
        grid.paste(image, (x + (SIDE - image.width) // 2, y + (SIDE - image.height) // 2))
        draw.text((x + 4, y + SIDE + 3), f"{hit.rank}. {hit.score:.3f}  {hit.id[:18]}", fill="black")
    return grid


def html(text: str, hits: list[Hit], images: list[Image.Image], name: str, language: str) -> str:
    """The sheet as a page in a language; `name` is the file of the English one."""
    shown = []
    for hit, image in zip(hits, images, strict=True):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=90)
        shown.append((hit, f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"))
    pages = environment(Path(__file__).parent, language, CATALOGUE)
    return pages.get_template("search.html.j2").render(
        page=name, text=text, shown=shown, text_language=_language(text)
    )


def _language(text: str) -> str:
    return "zh" if any("\u4e00" <= letter <= "\u9fff" for letter in text) else "en"
