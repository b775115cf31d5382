"""A page of Gradio's for this machine alone, or for who is told its address: where it is served, and where it keeps what it is given.

Gradio serves every file that it holds to whoever asks, answers under any name, fetches addresses that it is sent, and
keeps what is uploaded.  `clip.enclosure` forbids that; here a page gets a folder of its own, which only its owner can list,
while it runs.
"""

import os
import re
import secrets
import shutil
import signal
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any

from clip import enclosure
from synth.base.errors import UserError

HOSTS = ("127.0.0.1", "localhost", "[::1]")
"""Names under which a page of this machine is asked for; under any other, another site's page is asking."""
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")
_WAITING = 32  # photographs and choices that wait for their turn
_LOOPBACK = re.compile(r"localhost|127(\.[0-9]{1,3}){3}")


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
    found = enclosure.below(path, folder)
    if found is None or not found.is_file():
        raise UserError(f"{Path(path).name}: was not uploaded to this page, or is gone; upload it again")
    return found


def check_host(host: str) -> None:
    """Refuse what is no single name or IPv4 address of this machine.

    Raises:
        UserError: it is none, or stands for all addresses at once: under which the page is asked for is then not known.
    """
    if not _NAME.fullmatch(host) or host == "0.0.0.0":
        raise UserError(
            f"--host '{host}': give one name or IPv4 address of this machine under which the page is to be asked for, such as "
            "192.168.1.5"
        )


@contextmanager
def launched(
    page: Any, folder: Path, port: int | None, open_browser: bool, css: str, host: str = HOSTS[0]
) -> Iterator[str]:
    """Serve a `gradio.Blocks` on this machine; gives its address, with a token where others can reach it.

    Raises:
        UserError: the port is taken, or `host` is no name or address of this machine.
    """
    check_host(host)
    from gradio.themes import Base

    is_local = bool(_LOOPBACK.fullmatch(host))
    token = None if is_local else secrets.token_urlsafe(24)
    hosts = (*HOSTS, host)

    theme = Base(
        primary_hue="orange",
        neutral_hue="slate",
        font=["system-ui", "Noto Sans CJK SC", "Microsoft YaHei", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )
    # Processes of its own and a history of what was asked: gradio 6.11 has neither, 6.24 both.
    unwanted = {"num_workers": 0, "run_history": False}
    known = signature(page.launch).parameters
    try:
        _, address, _ = page.queue(max_size=_WAITING).launch(
            server_name=host, server_port=port, share=False, inbrowser=False, quiet=True,
            prevent_thread_lock=True, theme=theme, css=css, footer_links=[], max_file_size=enclosure.LARGEST,
            enable_monitoring=False, ssr_mode=False,
            **{name: off for name, off in unwanted.items() if name in known},
            app_kwargs={"lifespan": lambda app: enclosure.enclosed(app, folder, hosts, token)},
        )  # fmt: skip
    except OSError:
        raise UserError(
            f"--host {host} --port {port or 'any'}: taken, or no address of this machine; choose another"
        ) from None
    try:
        address = address if token is None else f"{address}?token={token}"
        if open_browser:
            webbrowser.open(address)
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
