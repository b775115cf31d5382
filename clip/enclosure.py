"""ASGI middleware around a page of Gradio's: who is answered, how much is taken, what is kept, and for how long."""

import asyncio
import json
import re
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from synth.sources.paths import SUFFIXES

LARGEST = 200 * 2**20
"""Bytes of an upload."""
TOGETHER = 10 * LARGEST
"""Bytes of all uploads that are kept, or on their way, at a time."""
MOST = 400
"""Files that are kept at a time."""
KEPT = (60, 600)
"""Every so many seconds, what is older than so many is deleted."""
SIMULTANEOUS = {"POST": 8, "": 64}
"""Requests that are answered at a time: those that bring something, and all."""
PATIENCE = 60
"""Seconds that an upload may stand still."""
_QUESTION = 2**20  # bytes of any other request
_ROOT = "/gradio_api/"
_COOKIE = "visionclip"
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
        "frame-ancestors 'none'",
    )
)
"""Content-Security-Policy: what the browser may load, this server's own files and nothing else."""
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),  # the address may hold the token
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
]


def below(path: str, folder: Path) -> Path | None:
    """A path without links and dots, if it lies in `folder`."""
    try:
        found = Path(path).resolve()
    except (OSError, ValueError, RuntimeError):  # too long, with a null in it, links in a circle
        return None
    return found if found.is_relative_to(folder) else None


@asynccontextmanager
async def enclosed(app: Any, folder: Path, hosts: tuple[str, ...], token: str | None) -> AsyncIterator[None]:
    """Put the middleware around an application while it runs, and sweep `folder`."""
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    # Around all of Gradio's own layers: the outermost of them would answer foreign sites.
    layer = Enclosed(app.middleware_stack, folder, token)
    app.middleware_stack = TrustedHostMiddleware(layer, hosts, www_redirect=False)
    sweeping = asyncio.create_task(_sweep(folder))
    yield
    sweeping.cancel()


async def _sweep(folder: Path) -> None:
    """Delete what is older than `KEPT` says, that of uploads which broke off too."""
    while True:
        await asyncio.sleep(KEPT[0])
        for path in list(folder.rglob("*")):
            with suppress(OSError):  # gone meanwhile; a folder that is not empty
                if path.is_dir():
                    path.rmdir()
                elif time.time() - path.lstat().st_ctime > KEPT[1]:
                    path.unlink()


class Enclosed:
    """Refuses what the page never asks for, and more than it can take; keeps no name of a file."""

    def __init__(self, app: Any, folder: Path, token: str | None = None) -> None:
        self.app, self.folder, self.token = app, folder, token
        self._running = {"POST": 0, "": 0}
        self._coming = 0  # bytes of uploads on their way

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from starlette.responses import PlainTextResponse

        if scope["type"] != "http":  # of websockets the page has none
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def enclose(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_HEADERS, *self._cookie(scope)]
            await send(message)

        fault = self._fault(scope)
        if fault:
            headers = {"connection": "close"} if fault[0] == 413 else None  # what follows is not even read
            await PlainTextResponse(fault[1], fault[0], headers)(scope, receive, enclose)
        else:
            await self._counted(scope, receive, enclose)

    async def _counted(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer, and count it as running meanwhile."""
        kinds = [kind for kind in self._running if kind in (scope["method"], "")]
        is_upload = _is_upload(scope)
        coming = _length(scope) if is_upload else 0
        self._coming += coming
        for kind in kinds:
            self._running[kind] += 1
        try:
            if is_upload:
                await self._upload(scope, _patient(receive), send)
            else:
                await self.app(scope, receive, send)
        finally:
            self._coming -= coming
            for kind in kinds:
                self._running[kind] -= 1

    async def _upload(self, scope: Any, receive: Any, send: Any) -> None:
        """Let Gradio take files, and forget what they were called: it is often a patient's name."""
        held: list[Any] = []

        async def hold(message: Any) -> None:
            held.append(message)

        await self.app(scope, receive, hold)
        body = b"".join(message.get("body", b"") for message in held)
        start = held[0]
        if start["status"] == 200:
            body = json.dumps([self._unnamed(path) for path in json.loads(body)]).encode()
        others = [each for each in start["headers"] if each[0].lower() != b"content-length"]
        await send(start | {"headers": [*others, (b"content-length", str(len(body)).encode())]})
        await send({"type": "http.response.body", "body": body})

    def _unnamed(self, path: str) -> str:
        found = below(path, self.folder)
        assert found, "Gradio keeps uploads in its folder"
        suffix = found.suffix.lower()
        fresh = found.with_name(f"photograph{suffix if suffix in SUFFIXES else ''}")
        return str(found.replace(fresh))

    def _fault(self, scope: Any) -> tuple[int, str] | None:
        """The status and the words of a refusal."""
        from starlette.datastructures import Headers

        headers, path = Headers(scope=scope), scope["path"]
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{headers['host']}":
            return 403, "another site's page asks; open this one by its own address"
        kind, _, rest = re.sub(r"[/=.]", "\0", path.removeprefix(_ROOT), count=1).partition("\0")
        if not self._is_known(scope) and kind != "startup-events":
            return 401, "open the whole address that 'clip demo' has printed; it ends in a token"
        if path.startswith(_ROOT) and kind not in _ASKED:
            return 404, "not a part of this page"
        if path.startswith(_ROOT) and kind == "file" and below(rest, self.folder) is None:
            return 403, "was not uploaded to this page"
        if any(
            self._running[kind] >= most
            for kind, most in SIMULTANEOUS.items()
            if kind in (scope["method"], "")
        ):
            return 503, "too much is asked at a time; try again in a moment"
        return self._too_much(headers, scope) if scope["method"] not in ("GET", "HEAD") else None

    def _too_much(self, headers: Any, scope: Any) -> tuple[int, str] | None:
        upload = _is_upload(scope)
        most = LARGEST + _QUESTION if upload else _QUESTION
        if scope["method"] == "POST" and not headers.get("content-length", "").isdecimal():
            return 411, "say how long it is (Content-Length)"
        if _length(scope) > most:
            return 413, f"at most {most // 2**20} MB are taken at a time"
        kept = [path.stat().st_size for path in self.folder.rglob("*") if path.is_file()] if upload else []
        if sum(kept) + self._coming + _length(scope) > TOGETHER or len(kept) >= MOST:
            return (
                507,
                f"{TOGETHER // 2**20} MB or {MOST} files are kept at a time; wait {KEPT[1] // 60} minutes",
            )
        return None

    def _is_known(self, scope: Any) -> bool:
        """Whether the address or the cookie has the token, where there is one."""
        from starlette.datastructures import Headers

        if self.token is None:
            return True
        found = self._given(scope)
        with suppress(CookieError):
            cookie = SimpleCookie(Headers(scope=scope).get("cookie", "")).get(_COOKIE)
            found = found or (cookie.value if cookie else "")
        return secrets.compare_digest(found.encode(), self.token.encode())

    def _given(self, scope: Any) -> str:
        return parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]

    def _cookie(self, scope: Any) -> list[tuple[bytes, bytes]]:
        """What spares the page to repeat the token, once its address had it."""
        if self.token is None or not secrets.compare_digest(self._given(scope).encode(), self.token.encode()):
            return []
        return [(b"set-cookie", f"{_COOKIE}={self.token}; HttpOnly; SameSite=Strict; Path=/".encode())]


def _is_upload(scope: Any) -> bool:
    return scope["method"] == "POST" and scope["path"] == f"{_ROOT}upload"


def _length(scope: Any) -> int:
    """Bytes that a request says it brings; 0 where it says nothing."""
    found = dict(scope["headers"]).get(b"content-length", b"0").decode("latin-1")
    return int(found) if found.isdecimal() else 0


def _patient(receive: Any) -> Any:
    """The same source of a request's parts, which is given up when it stands still."""

    async def wait() -> Any:
        try:
            return await asyncio.wait_for(receive(), PATIENCE)
        except TimeoutError:
            return {"type": "http.disconnect"}

    return wait
