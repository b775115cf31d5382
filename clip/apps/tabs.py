"""The further tab of the page: search a set."""

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from clip.apps import search as searching
from clip.inputs import photographs
from clip.model.encoders import CLIP
from synth.base.errors import UserError
from synth.data.images import decode

Keep = Callable[[np.ndarray], str]
"""Writes a picture to the page's own folder; gives its path."""
_LONGEST = 200  # letters of what is looked for
_SIDE = 384  # pixels a side of a picture that is shown


class Collection(NamedTuple):
    """A set that can be searched: a file of `clip embed`, and the records that it embeds."""

    embeddings: Path
    data: Path


def search(model: CLIP, collection: Collection, keep: Keep) -> None:
    """Words in, the nearest photographs of a set out.

    Raises:
        UserError: the embeddings are of another model, or not of these records.
    """
    import gradio as gr

    embedded = searching.read(collection.embeddings)
    searching.search(
        model, embedded, "眼", 1, str(collection.embeddings)
    )  # refuses now what it would refuse then
    ids = photographs.table(collection.data, columns=["id"])["id"].to_pylist()
    rows, pictures = {each: row for row, each in enumerate(ids)}, photographs.pictures(collection.data)
    if absent := [each for each in embedded.ids if each not in rows]:
        raise UserError(f"{collection.data}: no record '{absent[0]}'; give the records that were embedded")

    def find(text: str):
        try:
            hits = searching.search(model, embedded, text[:_LONGEST], 8)
        except UserError as error:
            return [], f'<div class="refused">{escape(str(error))}</div>'
        shown = [decode(pictures[rows[hit.id]], pictures.where(rows[hit.id])) for hit in hits]
        captions = [f"{hit.rank}. {hit.score:.3f}" for hit in hits]
        return [(keep(_fitted(each)), text) for each, text in zip(shown, captions, strict=True)], ""

    words = gr.Textbox(label="文字 words", value="疑似青光眼。", max_length=_LONGEST, elem_id="words")
    ask = gr.Button("检索 search", variant="primary", elem_id="find")
    found = gr.Gallery(
        label="最接近者在前，数字为余弦 · nearest first, by cosine",
        columns=4,
        elem_id="found",
        interactive=False,
    )
    refused = gr.HTML()
    ask.click(find, words, [found, refused], api_name="search")


def _fitted(picture: np.ndarray) -> np.ndarray:
    """At the size at which it is shown, without enlarging what is small by more than whole steps of the eye."""
    image = Image.fromarray(picture)
    scale = _SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))
