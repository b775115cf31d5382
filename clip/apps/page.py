"""A page on this machine: read a photograph and what speaks for each finding, search a set, draw by labels, a quiz.

Gradio serves it.  Nothing leaves the machine: its analytics are off, and the page forbids the browser to fetch anything
from elsewhere.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from clip import serving
from clip.apps import saliency, tabs
from clip.apps.predict import UNCALIBRATED, Classifier, Finding
from clip.apps.readability import Readability
from synth.base.errors import UserError
from synth.base.runs import Tell, quiet

NOTICE = (
    "仅供研究，不能用于诊断。照片不会离开本机。",
    "For research only, not for diagnosis. The photograph does not leave this machine.",
)
_PROMPTS = {"zh": "中文提示", "en": "English prompts"}
_STYLE = """
.gradio-container { max-width: 1080px !important; margin: 0 auto !important; }
#title h1 { margin: 0.2em 0 0; font-weight: 650; }
#notice { border-left: 4px solid #c2410c; background: #fff7ed; color: #7c2d12; padding: 0.5em 0.9em; border-radius: 4px; }
.dark #notice { background: #431407; color: #fed7aa; }
.finding { display: grid; grid-template-columns: 1fr 10em 3.4em; gap: 0.1em 0.9em; align-items: center; padding: 0.34em 0;
           border-bottom: 1px solid var(--border-color-primary); }
.finding b { font-weight: 600; } .finding i { font-style: normal; font-size: 0.92em; }
.bar { height: 0.6em; border-radius: 0.3em; background: var(--border-color-primary); overflow: hidden; }
.bar div { height: 100%; background: #c2410c; } .low .bar div { background: #94a3b8; }
.finding span { text-align: right; font-variant-numeric: tabular-nums; }
.languages { grid-column: 2 / 4; font-size: 0.75em; }
.finding i, .languages { color: #545f70; } .dark :is(.finding i, .languages) { color: #a6b0be; }
#unreadable { border: 2px solid #b91c1c; color: #b91c1c; border-radius: 4px; padding: 0.6em 0.9em; margin-bottom: 0.6em; font-weight: 650; }
.dark :is(#unreadable, #refused, .refused) { border-color: #fca5a5; color: #fca5a5; }
#unreadable + #findings { opacity: 0.45; }
#refused, .refused { border: 1px solid #b91c1c; color: #b91c1c; border-radius: 4px; padding: 0.6em 0.9em; }
footer { display: none !important; }
@media (max-width: 600px) { .finding { grid-template-columns: 1fr 5em 3.4em; } #saliency label { padding-right: 3em; }
  #found .grid-container { grid-template-columns: repeat(2, minmax(0, 1fr)) !important; } }
"""


def table(findings: list[Finding], readability: Readability | None = None) -> str:
    """Findings as HTML, the most probable first: names in both languages, probability, and that of each language.

    Above them stands that the picture is unreadable, where it is.
    """
    rows = []
    for row in sorted(findings, key=lambda row: -row.probability):
        p, each = row.probability, row.by_language
        rows.append(
            f'<div class="finding{" low" if p < 0.5 else ""}" data-key="{row.key}">'
            f"<div><b>{escape(row.zh)}</b> <i>{escape(row.en)}</i></div>"
            f'<div class="bar"><div style="width:{100 * p:.0f}%"></div></div><span>{100 * p:.0f} %</span>'
            f'<div class="languages">{" · ".join(f"{_PROMPTS[lang]} {100 * each[lang]:.0f} %" for lang in each)}</div></div>'
        )
    shown = f'<div id="findings">{"".join(rows)}</div>'
    if readability is None or readability.readable:
        return shown
    return f'<div id="unreadable">{escape(readability.zh)}<br>{escape(readability.en)}</div>{shown}'


def choices(classifier: Classifier) -> list[tuple[str, str]]:
    """The findings to choose between, as a person reads them and as keys."""
    return [(f"{term.zh} {term.en}", term.key) for term in classifier.terms]


def build(classifier: Classifier, folder: Path, collection: tabs.Collection | None = None) -> Any:
    """The page, as a `gradio.Blocks`, over a `serving.private_folder` for what is uploaded and drawn.

    Args:
        collection: a set to search; without one the page has no such tab.
    """
    import gradio as gr

    def keep(picture: np.ndarray) -> str:
        descriptor, path = tempfile.mkstemp(".webp", "evidence-", folder)  # mode 0600
        with open(descriptor, "wb") as file:
            Image.fromarray(picture).save(file, "WEBP")
        return path

    with gr.Blocks(title="visionclip", analytics_enabled=False) as page:
        gr.Markdown("# 眼底照片 · fundus photograph", elem_id="title")
        gr.HTML("<br>".join(NOTICE), elem_id="notice")
        with gr.Tab("读片 read", id="read"):
            _reading(classifier, folder, keep)
        if collection:
            with gr.Tab("检索 search", id="search"):
                tabs.search(classifier.model, collection, keep)
        with gr.Tab("合成 synthesise", id="synthesise"):
            tabs.synthesise(keep)
        with gr.Tab("测验 quiz", id="quiz"):
            tabs.quiz(keep)
    return page


def _reading(classifier: Classifier, folder: Path, keep: tabs.Keep) -> None:
    """A photograph in, its findings and what speaks for them out."""
    import gradio as gr

    def read(path: str | None):
        """Findings at once, then their saliency, which takes a hundred photographs."""
        if not path:
            yield "", None, None, gr.update(interactive=False)
            return
        try:
            photograph = classifier.see(serving.uploaded(path, folder))
        except UserError as error:
            line = escape(str(error).replace(path, Path(path).name))
            yield f'<div id="refused">{line}</div>', None, None, gr.update(interactive=False)
            return
        found = classifier.findings(photograph.square)
        top = max(found, key=lambda row: row.probability).key
        yield table(found, photograph.readability), None, None, gr.update(value=top, interactive=True)
        drops = saliency.occlusion(classifier.model, photograph.square, classifier.axes["both"])
        shown = keep(saliency.overlay(photograph.shown, drops[classifier.number(top)]))
        yield (
            table(found, photograph.readability),
            (photograph.shown, drops),
            shown,
            gr.update(value=top, interactive=True),
        )

    def choose(kept: tuple[np.ndarray, np.ndarray] | None, key: str):
        return keep(saliency.overlay(kept[0], kept[1][classifier.number(key)])) if kept else gr.skip()

    kept = gr.State()
    with gr.Row(equal_height=False):
        with gr.Column(scale=5):
            photo = gr.Image(
                type="filepath", sources=["upload", "clipboard"], height=330,
                label="照片 photograph", elem_id="photograph", buttons=[],
            )  # fmt: skip
            finding = gr.Dropdown(
                choices(classifier), label="显示哪一项的依据 · show what speaks for", interactive=False
            )
            shown = gr.Image(
                label="依据 橙＝支持 蓝＝反对 · orange: speaks for, blue: against", height=330,
                interactive=False, elem_id="saliency", buttons=["fullscreen"],
            )  # fmt: skip
        with gr.Column(scale=6):
            answer = gr.HTML(label="findings", elem_id="answer")
            gr.Markdown(
                f"{UNCALIBRATED} 视二者同样常见；依据由遮挡法得出。"
                f"Both are taken to be equally common; evidence by {saliency.METHOD}."
            )
    # The file is handed on unopened: what is no picture, `intake.read` refuses in words.
    photo.preprocess = lambda payload: payload and payload.path  # type: ignore[method-assign]
    photo.async_move_resource_to_block_cache = _stay  # type: ignore[method-assign]
    photo.change(read, photo, [answer, kept, shown, finding], api_name="read")
    finding.input(choose, [kept, finding], shown, api_name="choose")


async def _stay(path: str | Path | None) -> str:
    """Where a photograph lies; what has an address instead of a path, Gradio would fetch."""
    return str(path or "")


@contextmanager
def running(
    classifier: Classifier,
    port: int | None = None,
    open_browser: bool = False,
    host: str = serving.HOSTS[0],
    collection: tabs.Collection | None = None,
) -> Iterator[str]:
    """Serve the page, at the address that is given; nothing is left of it afterwards.

    Args:
        host: a name or an address of this machine; beside its own, who is told the address can open the page.

    Raises:
        UserError: the port is taken, or `host` is not of this machine.
    """
    with (
        serving.private_folder() as folder,
        serving.launched(
            build(classifier, folder, collection), folder, port, open_browser, _STYLE, host
        ) as address,
    ):
        yield address


def serve(
    classifier: Classifier,
    port: int | None = None,
    open_browser: bool = False,
    host: str = serving.HOSTS[0],
    tell: Tell = quiet,
    collection: tabs.Collection | None = None,
) -> None:
    """Serve the page until Ctrl-C, `kill`, or the end of the terminal.

    Args:
        tell: is given the address, once it is answered.

    Raises:
        UserError: the port is taken, or `host` is not of this machine.
    """
    with (
        serving.until_stopped() as stop,
        running(classifier, port, open_browser, host, collection) as address,
    ):
        tell([f"{address} is served until Ctrl-C"])
        stop.wait()
