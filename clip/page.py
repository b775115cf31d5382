"""A page on this machine: drop a photograph, read findings in Chinese and English, see what speaks for each.

Gradio serves it.  Nothing leaves the machine: its analytics are off, and the page forbids the browser to fetch anything
from elsewhere.
"""

import os
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from clip import saliency
from clip.prediction import Reader
from synth.base.errors import UserError

NOTICE = (
    "仅供研究，不能用于诊断。照片不会离开本机。",
    "For research only, not for diagnosis. The photograph does not leave this machine.",
)
_PROMPTS = {"zh": "中文提示", "en": "English prompts"}
_POLICY = "; ".join(
    (
        "default-src 'self' data: blob:",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "connect-src 'self' data: blob:",
    )
)
"""Content-Security-Policy: what the browser may load, this server's own files and nothing else."""
_STYLE = """
.gradio-container { max-width: 1080px !important; margin: 0 auto !important; }
#title h1 { margin: 0.2em 0 0; font-weight: 650; }
#notice { border-left: 4px solid #c2410c; background: #fff7ed; color: #7c2d12; padding: 0.5em 0.9em; border-radius: 4px; }
.dark #notice { background: #431407; color: #fed7aa; }
.finding { display: grid; grid-template-columns: 1fr 10em 3.4em; gap: 0.1em 0.9em; align-items: center; padding: 0.34em 0;
           border-bottom: 1px solid var(--border-color-primary); }
.finding b { font-weight: 600; } .finding i { font-style: normal; font-size: 0.92em; color: var(--body-text-color-subdued); }
.bar { height: 0.6em; border-radius: 0.3em; background: var(--border-color-primary); overflow: hidden; }
.bar div { height: 100%; background: #c2410c; } .low .bar div { background: #94a3b8; }
.finding span { text-align: right; font-variant-numeric: tabular-nums; }
.languages { grid-column: 2 / 4; font-size: 0.75em; color: var(--body-text-color-subdued); }
#refused { border: 1px solid #b91c1c; color: #b91c1c; border-radius: 4px; padding: 0.6em 0.9em; }
footer { display: none !important; }
"""


def table(findings: list[dict[str, Any]]) -> str:
    """Findings as HTML, the most probable first: names in both languages, probability, and that of each language."""
    rows = []
    for row in sorted(findings, key=lambda row: -row["probability"]):
        p, each = row["probability"], row["by_language"]
        rows.append(
            f'<div class="finding{" low" if p < 0.5 else ""}" data-key="{row["key"]}">'
            f"<div><b>{escape(row['zh'])}</b> <i>{escape(row['en'])}</i></div>"
            f'<div class="bar"><div style="width:{100 * p:.0f}%"></div></div><span>{100 * p:.0f} %</span>'
            f'<div class="languages">{" · ".join(f"{_PROMPTS[lang]} {100 * each[lang]:.0f} %" for lang in each)}</div></div>'
        )
    return f'<div id="findings">{"".join(rows)}</div>'


def choices(reader: Reader) -> list[tuple[str, str]]:
    """The findings to choose between, as a person reads them and as keys."""
    return [(f"{term.zh} {term.en}", term.key) for term in reader.terms]


def build(reader: Reader) -> Any:
    """The page, as a `gradio.Blocks`."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio as gr

    def read(path: str | None):
        """Findings at once, then their saliency, which takes a hundred photographs."""
        if not path:
            yield "", None, None, gr.update(interactive=False)
            return
        try:
            photograph = reader.see(Path(path))
        except UserError as error:
            line = escape(str(error).replace(path, Path(path).name))
            yield f'<div id="refused">{line}</div>', None, None, gr.update(interactive=False)
            return
        found = reader.findings(photograph.square)
        top = max(found, key=lambda row: row["probability"])["key"]
        yield table(found), None, None, gr.update(value=top, interactive=True)
        drops = saliency.occlusion(reader.model, photograph.square, reader.axes["both"])
        shown = saliency.overlay(photograph.shown, drops[reader.number(top)])
        yield table(found), (photograph.shown, drops), shown, gr.update(value=top, interactive=True)

    def choose(kept: tuple[np.ndarray, np.ndarray] | None, key: str):
        return saliency.overlay(kept[0], kept[1][reader.number(key)]) if kept else gr.skip()

    with gr.Blocks(title="visionclip", analytics_enabled=False) as page:
        gr.Markdown("# 眼底照片 · fundus photograph", elem_id="title")
        gr.HTML("<br>".join(NOTICE), elem_id="notice")
        kept = gr.State()
        with gr.Row(equal_height=False):
            with gr.Column(scale=5):
                photo = gr.Image(
                    type="filepath", sources=["upload", "clipboard"], height=330,
                    label="照片 photograph", elem_id="photograph", buttons=[],
                )  # fmt: skip
                finding = gr.Dropdown(
                    choices(reader), label="显示哪一项的依据 · show what speaks for", interactive=False
                )
                shown = gr.Image(
                    label="依据 橙＝支持 蓝＝反对 · orange: speaks for, blue: against", height=330,
                    interactive=False, elem_id="saliency", buttons=["fullscreen"],
                )  # fmt: skip
            with gr.Column(scale=6):
                answer = gr.HTML(label="findings", elem_id="answer")
                gr.Markdown(
                    "各项均与正常眼底相比，视二者同样常见，未经校准；依据由遮挡法得出。"
                    "Each against a normal fundus, as if both were equally common, calibrated by nothing; "
                    f"evidence by {saliency.METHOD}."
                )
        # The file is handed on unopened: what is no picture, `intake.read` refuses in words.
        photo.preprocess = lambda payload: payload and payload.path  # type: ignore[method-assign]
        photo.change(read, photo, [answer, kept, shown, finding], api_name="read")
        finding.input(choose, [kept, finding], shown, api_name="choose")
    return page


def serve(reader: Reader, port: int | None = None, open_browser: bool = False, block: bool = True) -> str:
    """Serve the page to this machine alone; returns its address, unless it `block`s until interrupted.

    Raises:
        UserError: the port is taken.
    """
    page = build(reader)
    from gradio.themes import Base
    from starlette.middleware import Middleware

    theme = Base(
        primary_hue="orange",
        neutral_hue="slate",
        font=["system-ui", "Noto Sans CJK SC", "Microsoft YaHei", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
    try:
        _, address, _ = page.queue().launch(
            server_name="127.0.0.1", server_port=port, share=False, inbrowser=open_browser, quiet=True,
            prevent_thread_lock=True, theme=theme, css=_STYLE, footer_links=[], max_file_size="200mb",
            enable_monitoring=False, ssr_mode=False,
            app_kwargs={"middleware": [Middleware(Enclosed)]},
        )  # fmt: skip
    except OSError:
        raise UserError(f"--port {port}: taken; choose another") from None
    if block:
        page.block_thread()
    return address


class Enclosed:
    """ASGI middleware: every answer carries `_POLICY`."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def enclose(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", []),
                    (b"content-security-policy", _POLICY.encode()),
                ]
            await send(message)

        await self.app(scope, receive, enclose)
