"""A page of Gradio's for this machine alone: who is answered, what is served, and where what it is given is kept.

Gradio serves every file that it holds to whoever asks, answers under any name, fetches addresses that it is sent, and
keeps what is uploaded.  Here a page keeps it in a folder of its own, which only its owner can list, while it runs.
"""

import os
import re
import shutil
import signal
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from synth.base.errors import UserError

HOSTS = ("127.0.0.1", "localhost", "[::1]")
"""Names under which the page is asked for; under any other, another site's page is asking."""
LARGEST = 200 * 2**20
"""Bytes of an upload."""
TOGETHER = 10 * LARGEST
"""Bytes of all uploads that are kept at a time."""
KEPT = (60, 600)
"""Every so many seconds, what is older than so many is deleted."""
_QUESTION = 2**20  # bytes of any other request
_ROOT = "/gradio_api/"
_ASKED = (
    "api", "app_id", "call", "cancel", "file", "heartbeat", "info", "login_check", "openapi", "queue", "reset", "run",
    "startup-events", "theme", "token", "upload", "upload_progress", "user",
)  # fmt: skip
"""What the page itself asks Gradio for; the rest fetches from elsewhere, writes, or shows files of Gradio's."""
_POLICY = "; ".join(
    (
        "default-src 'self' data: blob:",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "connect-src 'self' data: blob:",
    )
)
"""Content-Security-Policy: what the browser may load, this server's own files and nothing else."""


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder for what a page is given and makes, mode 0700, that is gone afterwards; Gradio's analytics are off.

    Gradio reads its place from the environment, when it is imported, when components are made, and at each upload.
    """
    folder = Path(tempfile.mkdtemp(prefix="visionclip-page-")).resolve()
    before = os.environ.get("GRADIO_TEMP_DIR")
    os.environ |= {"GRADIO_TEMP_DIR": str(folder), "GRADIO_ANALYTICS_ENABLED": "False"}
    try:
        from gradio import routes

        routes.DEFAULT_TEMP_DIR = str(folder)  # type: ignore[attr-defined]  # of a page before, if there was one
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # an upload that breaks off may be deleting, too
        if before is None:
            del os.environ["GRADIO_TEMP_DIR"]
        else:
            os.environ["GRADIO_TEMP_DIR"] = before


def uploaded(path: str, folder: Path) -> Path:
    """The file that was uploaded, by its path below `folder`.

    Raises:
        UserError: it lies elsewhere, or is not there; which of the two is not told.
    """
    found = _below(path, folder)
    if found is None or not found.is_file():
        raise UserError(f"{Path(path).name}: was not uploaded to this page, or is gone; upload it again")
    return found


def _below(path: str, folder: Path) -> Path | None:
    """A path without links and dots, if it lies in `folder`."""
    try:
        found = Path(path).resolve()
    except (OSError, ValueError, RuntimeError):  # too long, with a null in it, links in a circle
        return None
    return found if found.is_relative_to(folder) else None


@contextmanager
def launched(page: Any, folder: Path, port: int | None, open_browser: bool, css: str) -> Iterator[str]:
    """Serve a `gradio.Blocks` on this machine; gives its address.

    Raises:
        UserError: the port is taken.
    """
    from gradio.themes import Base

    theme = Base(
        primary_hue="orange",
        neutral_hue="slate",
        font=["system-ui", "Noto Sans CJK SC", "Microsoft YaHei", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
    try:
        _, address, _ = page.queue().launch(
            server_name="127.0.0.1", server_port=port, share=False, inbrowser=open_browser, quiet=True,
            prevent_thread_lock=True, theme=theme, css=css, footer_links=[], max_file_size=LARGEST,
            enable_monitoring=False, ssr_mode=False, num_workers=0, run_history=False,
            app_kwargs={"lifespan": lambda app: _enclosed(app, folder)},
        )  # fmt: skip
    except OSError:
        raise UserError(f"--port {port}: taken; choose another") from None
    try:
        yield address
    finally:
        page.close(verbose=False)


@contextmanager
def until_stopped() -> Iterator[threading.Event]:
    """An event that Ctrl-C, a closed terminal and `kill` set, so that what is open is closed in order."""
    stop = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if number != signal.SIGHUP or handler != signal.SIG_IGN:  # `nohup` means it
            signal.signal(number, lambda *_: stop.set())
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@asynccontextmanager
async def _enclosed(app: Any, folder: Path) -> AsyncIterator[None]:
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    # Around all of Gradio's own layers: the outermost of them would answer foreign sites.
    enclosed = Enclosed(app.middleware_stack, folder)
    app.middleware_stack = TrustedHostMiddleware(enclosed, HOSTS, www_redirect=False)
    yield


class Enclosed:
    """ASGI middleware: refuses what the page never asks for, and every answer carries `_POLICY`."""

    def __init__(self, app: Any, folder: Path) -> None:
        self.app, self.folder = app, folder

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from starlette.responses import PlainTextResponse

        async def enclose(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", []),
                    (b"content-security-policy", _POLICY.encode()),
                ]
            await send(message)

        fault = self._fault(scope) if scope["type"] == "http" else None
        answer = PlainTextResponse(fault[1], fault[0]) if fault else self.app
        await answer(scope, receive, enclose)

    def _fault(self, scope: Any) -> tuple[int, str] | None:
        """The status and the words of a refusal."""
        from starlette.datastructures import Headers

        headers, path = Headers(scope=scope), scope["path"]
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{headers['host']}":
            return 403, "another site's page asks; open this one by its own address"
        kind, _, rest = re.sub(r"[/=.]", "\0", path.removeprefix(_ROOT), count=1).partition("\0")
        if path.startswith(_ROOT) and kind not in _ASKED:
            return 404, "not a part of this page"
        if path.startswith(_ROOT) and kind == "file" and _below(rest, self.folder) is None:
            return 403, "was not uploaded to this page"
        return self._too_much(headers, path == f"{_ROOT}upload") if scope["method"] == "POST" else None

    def _too_much(self, headers: Any, upload: bool) -> tuple[int, str] | None:
        length, most = headers.get("content-length", ""), LARGEST + _QUESTION if upload else _QUESTION
        if not length.isdecimal():
            return 411, "say how long it is (Content-Length)"
        if int(length) > most:
            return 413, f"at most {most // 2**20} MB are taken at a time"
        kept = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file()) if upload else 0
        if kept + int(length) > TOGETHER:
            return 507, f"{TOGETHER // 2**20} MB are kept at a time; wait {KEPT[1] // 60} minutes"
        return None
