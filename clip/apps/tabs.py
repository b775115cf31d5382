"""The further tabs of the page: search a set, draw by labels, tell phantoms from synthetic photographs."""

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from clip.apps import search as searching
from clip.apps import synthesis
from clip.inputs import photographs
from clip.model.encoders import CLIP
from synth.base.errors import UserError
from synth.data.images import decode

Keep = Callable[[np.ndarray], str]
"""Writes a picture to the page's own folder; gives its path."""
_LONGEST = 200  # letters of what is looked for
_SIDES = [("左 left", "left"), ("右 right", "right")]
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


def synthesise(keep: Keep) -> None:
    """Labels in, a synthetic photograph of them out."""
    import gradio as gr

    def draw(key: str, side: str, seed: float | None):
        drawn = synthesis.draw(key, side, int(seed or 0) % synthesis.SEEDS)
        return keep(_fitted(drawn.picture)), f"{drawn.zh} {drawn.en}"

    with gr.Row(equal_height=False):
        with gr.Column(scale=5):
            key = gr.Dropdown(synthesis.choices(), value="normal", label="标签 label", elem_id="label")
            side = gr.Radio(_SIDES, value="right", label="眼别 eye")
            seed = gr.Number(
                value=0, precision=0, minimum=0, maximum=synthesis.SEEDS - 1, label="随机种子 seed"
            )
            ask = gr.Button("合成 synthesise", variant="primary", elem_id="draw")
            gr.Markdown(
                "由随附的四步生成器绘制，它从仿体和公开照片集 IDRiD 学习；所示均非真人照片。Drawn by the generator of four steps that ships, which "
                "learnt from phantoms and from IDRiD, a public set; none shown is anybody's photograph."
            )
        with gr.Column(scale=6):
            shown = gr.Image(
                label="合成照片 synthetic photograph", interactive=False, elem_id="drawn", buttons=[]
            )
            caption = gr.Textbox(label="描述 caption", interactive=False)
    ask.click(draw, [key, side, seed], [shown, caption], api_name="draw")


def quiz(keep: Keep) -> None:
    """Two pictures of the same labels, side by side: which one did the generator draw?"""
    import gradio as gr

    def ask(score: tuple[int, int]):
        asked = synthesis.question()
        pictures = [keep(_fitted(each)) for each in (asked.left, asked.right)]
        return *pictures, asked.synthetic, None, _score("", score), score

    def answer(choice: str | None, synthetic: str | None, score: tuple[int, int]):
        if not choice or not synthetic:
            return _score("先点下一题。 Ask for a question first.", score), synthetic, score
        right = choice == synthetic
        score = score[0] + right, score[1] + 1
        side = {"left": "合成的是左图。 The left one", "right": "合成的是右图。 The right one"}[synthetic]
        line = f"{'答对 correct' if right else '答错 wrong'}：{side} is synthetic."
        return _score(line, score), None, score

    synthetic, score = gr.State(), gr.State((0, 0))
    with gr.Row():
        left = gr.Image(label="左 left", interactive=False, elem_id="left", buttons=[])
        right = gr.Image(label="右 right", interactive=False, elem_id="right", buttons=[])
    choice = gr.Radio(_SIDES, label="哪一张是合成的？ Which one is synthetic?", elem_id="choice")
    told = gr.Markdown(elem_id="told")
    button = gr.Button("下一题 next question", variant="primary", elem_id="next")
    gr.Markdown("另一张是按规则绘制的仿体。 The other one is a phantom, drawn by rules.")
    button.click(ask, score, [left, right, synthetic, choice, told, score], api_name="question")
    choice.input(answer, [choice, synthetic, score], [told, synthetic, score], api_name="answer")


def _score(line: str, score: tuple[int, int]) -> str:
    right, asked = score
    return f"{line} 得分 score: {right} / {asked}" if asked else line


def _fitted(picture: np.ndarray) -> np.ndarray:
    """At the size at which it is shown, without enlarging what is small by more than whole steps of the eye."""
    image = Image.fromarray(picture)
    scale = _SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))
