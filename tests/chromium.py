"""A headless Chromium for tests, driven over its debugging pipe: no driver, no websocket."""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

PROGRAM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
    None,
)
_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
          "--disable-background-networking", "--disable-component-update", "--window-size=1200,1200",
          "--remote-debugging-pipe")  # fmt: skip
_PATIENCE = 600  # seconds, which only a hang takes


class Browser:
    """One page of a headless Chromium; `with` closes it."""

    def __init__(self, profile: Path) -> None:
        assert PROGRAM
        reads, self._out = os.pipe()  # the browser reads commands from its descriptor 3 and answers on 4
        self._in, writes = os.pipe()
        flags = " ".join((*_FLAGS, f"--user-data-dir='{profile}'"))
        line = f"exec '{PROGRAM}' {flags} about:blank 3<&{reads} 4>&{writes}"
        self._process = subprocess.Popen(
            ["bash", "-c", line],
            pass_fds=(reads, writes),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(reads)
        os.close(writes)
        self._buffer, self._number, self._session = b"", 0, None
        self.requests: list[str] = []
        """Every address that the page has asked for."""
        self.complaints: list[str] = []
        """Errors and warnings of the console, and exceptions that nobody caught."""
        targets = self.send("Target.getTargets")["targetInfos"]
        [page] = [target["targetId"] for target in targets if target["type"] == "page"]
        self._session = self.send("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Network", "Page", "Runtime", "DOM", "Log"):
            self.send(f"{domain}.enable")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: Any) -> None:
        os.close(self._out)
        os.close(self._in)
        self._process.terminate()
        self._process.wait(_PATIENCE)

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer to one command of the DevTools protocol."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("method") == "Network.requestWillBeSent":
                self.requests.append(answer["params"]["request"]["url"])
            self._complained(answer)
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def _complained(self, event: dict[str, Any]) -> None:
        said = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(said["exceptionDetails"]["text"])
        elif event.get("method") == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning"):
            self.complaints.append(str(said["args"]))
        elif event.get("method") == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            self.complaints.append(said["entry"]["text"])

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            assert select.select([self._in], [], [], _PATIENCE)[0], "Chromium is silent"
            part = os.read(self._in, 1 << 16)
            assert part, "Chromium has ended"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def run(self, script: str) -> Any:
        """The value of an expression of JavaScript."""
        return self.send("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def wait(self, script: str) -> None:
        """Until an expression is true."""
        end = time.monotonic() + _PATIENCE
        while not self.run(script):
            assert time.monotonic() < end, f"not true in {_PATIENCE} s: {script}"
            time.sleep(0.05)

    def open(self, address: str) -> None:
        self.send("Page.navigate", url=address)

    def drop(self, selector: str, path: Path) -> None:
        """Drop a file onto the middle of an element, as a hand would: again if the page, which may still move, sends nothing."""
        place = json.dumps(selector)
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        before, end = len(self.requests), time.monotonic() + _PATIENCE

        def taken() -> bool:
            return any("/upload" in address for address in self.requests[before:])

        while not taken():
            assert time.monotonic() < end, f"nothing is uploaded in {_PATIENCE} s"
            x, y = self.run(
                f"(() => {{ const r = document.querySelector({place}).getBoundingClientRect();"
                "return [r.x + r.width / 2, r.y + r.height / 2]; })()"
            )
            for kind in ("dragEnter", "dragOver", "drop"):
                self.send("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)
            again = time.monotonic() + 10
            while not taken() and time.monotonic() < again:
                time.sleep(0.05)
                self.run("0")  # reads what has happened

    def screenshot(self, path: Path) -> None:
        picture = self.send("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(picture))
