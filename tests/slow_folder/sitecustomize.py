"""Put at the head of PYTHONPATH, it makes a folder slow, as one on a network is: whoever opens a file below it waits.

VISIONCLIP_SLOW names a file, into which goes how many waited at once at most, the seconds that each waits, and the folder.
"""

import atexit
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

_LOG, _SECONDS, _FOLDER = (os.environ.get("VISIONCLIP_SLOW") or "::").split(":", 2)
_lock = threading.Lock()
_waiting: set[int] = set()
_most = 0


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    global _most
    if event != "open" or not isinstance(arguments[0], str) or not arguments[0].startswith(_FOLDER):
        return
    with _lock:
        _waiting.add(threading.get_ident())
        _most = max(_most, len(_waiting))
    time.sleep(float(_SECONDS))
    with _lock:
        _waiting.discard(threading.get_ident())


if _LOG:
    atexit.register(lambda: Path(_LOG).write_text(str(_most)))
    sys.addaudithook(_hook)
